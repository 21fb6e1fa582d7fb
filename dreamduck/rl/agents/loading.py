"""Loading a saved agent into a new one: what must fit, and the weights."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from dreamduck.common.errors import CheckpointError
from dreamduck.common.readers import one_line
from dreamduck.controllers.factory import check_model
from dreamduck.rl.agents.agent_file import MODEL_ENVS, Save, describe, model_folder
from dreamduck.rl.agents.networks import least_size
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, VecNormalize, th


def fill(model: BaseAlgorithm, save: Save, normalize: VecNormalize | None) -> None:
    """Load the weights and the state of optimizers and normalization into a new agent.

    Raises:
        CheckpointError: the file has another network or another environment.
    """
    _check_same_network(save, model)
    weights = save.weights if save.card is not None else {"policy": save.weights["policy"]}
    parts, variables = model._get_torch_save_params()
    if save.card is not None and set(weights) != set(
        parts
    ):  # Stable-Baselines3 looks them up by these names
        raise CheckpointError(
            f"{save.path}: expected the parts {', '.join(parts)}, got {', '.join(weights)}"
        )
    try:
        model.set_parameters(weights, exact_match=save.card is not None)
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError) as err:
        raise CheckpointError(f"{save.path}: does not fit this agent ({one_line(err)})") from err
    if save.card is None:
        return
    _check_optimizers(save, model)
    for name in variables:
        value, own = save.variables.get(name), getattr(model, name)
        if isinstance(own, th.Tensor):
            if not isinstance(value, th.Tensor) or value.shape != own.shape:
                raise CheckpointError(f"{save.path}: does not fit this agent; expected {name} in it")
            own.data = value.data
    if normalize is not None:
        _restore(normalize, save)


def check_spaces(save: Save, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
    """Refuse a file from an environment with other observations or actions.

    Raises:
        CheckpointError: with both.
    """
    if save.card is None:
        return
    for key, space in (("observation_space", observation_space), ("action_space", action_space)):
        if save.card[key] != describe(space):
            raise CheckpointError(
                f"{save.path}: trained in {save.card['env']:.80} with {key} {save.card[key]!s:.200}, "
                f"and this environment has {describe(space)}"
            )


def check_network_size(save: Save, plan: Plan) -> None:
    """Refuse a file whose card describes a larger network than its weights.

    Raises:
        CheckpointError: the weights are too few.
    """
    weights = [value for value in save.weights["policy"].values() if isinstance(value, th.Tensor)]
    layers, numbers = least_size(plan.network, plan.network_options)
    if layers > len(weights) or numbers > sum(value.numel() for value in weights):
        options = ", ".join(f"{key} {value}" for key, value in plan.network_options.items())
        raise CheckpointError(
            f"{save.path}: from another network, its weights are too few for {plan.network} "
            f"with {options:.200}"
        )


def check_world_model(save: Save, env_id: str, env_kwargs: Mapping[str, Any], strict: bool = False) -> None:
    """Warn where the environment has another world model than the one in which the agent learned.

    Args:
        save: the agent's file.
        env_id: of the environment that it meets.
        env_kwargs: of that environment.
        strict: raise instead of warning.
    Raises:
        ControllerError: it learned in another one, and `strict` is true.
    """
    if save.card is not None and env_id.rpartition(":")[2] in MODEL_ENVS:
        check_model(save.path, save.card.get("weights"), model_folder(env_kwargs), strict)


def _check_same_network(save: Save, model: BaseAlgorithm) -> None:
    """Compare names and shapes; report the first difference."""
    theirs = save.weights["policy"]
    ours = model.policy.state_dict()
    for name, tensor in ours.items():
        other = theirs.get(name)
        if not isinstance(other, th.Tensor):
            raise CheckpointError(
                f"{save.path}: from another network, it has no {name}; give the --network and the options "
                "that it was trained with"
            )
        if other.shape != tensor.shape:
            raise CheckpointError(
                f"{save.path}: from another network or environment, its {name} is {tuple(other.shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
    extra = sorted(map(str, set(theirs) - set(ours)))
    if extra:
        raise CheckpointError(
            f"{save.path}: from another network, it has {extra[0]}, which this one has not"
        )


def _restore(normalize: VecNormalize, save: Save) -> None:
    pairs = [("ret", normalize.ret_rms)]
    if normalize.norm_obs:
        pairs.append(("obs", normalize.obs_rms))  # type: ignore[arg-type]
    for prefix, rms in pairs:
        parts = [save.normalize.get(f"{prefix}_{part}") for part in ("mean", "var", "count")]
        shapes = [np.shape(rms.mean), np.shape(rms.var), ()]
        sound = all(
            part is not None and part.dtype.kind == "f" and part.shape == shape and np.isfinite(part).all()
            for part, shape in zip(parts, shapes, strict=True)
        )
        if not sound:
            raise CheckpointError(
                f"{save.path}: has no normalization of this kind; give --normalize_observations and "
                "--normalize_returns as it was trained"
            )
        rms.mean, rms.var, rms.count = parts[0], parts[1], float(parts[2])  # type: ignore[arg-type,assignment]


def _check_optimizers(save: Save, model: BaseAlgorithm) -> None:
    """Refuse an optimizer's state whose shapes are not those of its weights."""
    for name in save.weights:
        optimizer = operator.attrgetter(name)(model)
        if isinstance(optimizer, th.optim.Optimizer):
            for weight, kept in optimizer.state.items():
                if any(
                    isinstance(v, th.Tensor) and v.shape not in ((), weight.shape) for v in kept.values()
                ):
                    raise CheckpointError(f"{save.path}: {name} does not fit this agent's weights")
