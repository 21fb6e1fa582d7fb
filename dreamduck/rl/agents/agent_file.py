"""An agent's file: what Stable-Baselines3 saves, and what is needed to load it safely.

The file is Stable-Baselines3's own zip, so that `PPO.load(path)` opens it, with two more members:
`dreamduck.json` (its card) and `normalize.npz` (running mean and variance of observations and returns).

No file is trusted. Stable-Baselines3's member `data` holds pickles, which run code when they are opened; it
is never opened here. The agent is built from the card and gets the weights, read by
`torch.load(weights_only=True)`, which makes tensors and nothing else. The card chooses among our algorithms
and networks and among registered environments; no module is imported because a file names it. Of a file
without a card the network's weights alone are taken.

The card of an agent of DreamDuck-v1 or v2 also has the fingerprints of its world model: [z, c, h] means
something else in another one."""

from __future__ import annotations

import dataclasses
import io
import json
import operator
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import CheckpointError
from dreamduck.common.files.archives import checked_archive, read_arrays
from dreamduck.common.readers import in_words, one_line, open_input, parse_json
from dreamduck.common.storage import PathLike, replacing
from dreamduck.controllers.factory import check_model, weights_fingerprints
from dreamduck.pretrained import FOLDER
from dreamduck.rl.agents.networks import least_size
from dreamduck.rl.agents.safe_reader import SMALL_BYTES, read_tensors
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, VecNormalize, th

FORMAT, VERSION = "dreamduck-baselines", 1
MODEL_ENVS = ("DreamDuck-v1", "DreamDuck-v2")  # which need a world model
CARD, NORMALIZE = "dreamduck.json", "normalize.npz"
MOST_BYTES = 2 << 30  # of a file; the largest network of the command with its optimiser has a tenth of that
KINDS = {
    "env": str,
    "env_kwargs": dict,
    "observation_space": dict,
    "action_space": dict,
    "plan": dict,
    "training": dict,
}
PLAN_KINDS: dict[str, type] = {"alg": str, "engine": str, "network": str, "network_options": dict}
TRAINING_KINDS: dict[str, type] = {"step": int, "recent": list}


@dataclasses.dataclass(frozen=True)
class Save:
    """The content of a file.

    Attributes:
        path: the file.
        card: its description; None in a file of another program.
        weights: name of a part of the agent -> its state.
        variables: single tensors, by name.
        normalize: arrays of `VecNormalize`; empty without normalization.
    """

    path: Path
    card: dict[str, Any] | None
    weights: dict[str, Any]
    variables: dict[str, Any]
    normalize: dict[str, npt.NDArray[np.float64]]


def write(
    path: PathLike,
    model: BaseAlgorithm,
    plan: Plan,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    """Save an agent; the file appears whole or not at all.

    Args:
        path: the file.
        model: the agent.
        plan: of its run.
        env_id: the environment's id.
        env_kwargs: the environment's arguments.
        training: its progress; JSON.
    Raises:
        OSError: the folder cannot be written.
    """
    normalize = model.get_vec_normalize_env()
    card = {
        "format": FORMAT,
        "version": VERSION,
        "env": env_id,
        "env_kwargs": dict(env_kwargs),
        "observation_space": describe(model.observation_space),
        "action_space": describe(model.action_space),
        "plan": plan.described(),
        "training": dict(training),
        "weights": model_fingerprints(env_id, env_kwargs),
    }
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            model.save(file)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CARD, json.dumps(card, indent=2))
            if normalize is not None:
                buffer = io.BytesIO()
                np.savez(buffer, **_statistics(normalize))
                archive.writestr(NORMALIZE, buffer.getvalue())


def read(path: PathLike) -> Save:
    """Read a file; nothing in it is executed.

    Raises:
        CheckpointError: missing, damaged, or no agent.
    """
    found = locate(path)
    with (
        in_words(found, CheckpointError, "no saved agent"),
        open_input(found, MOST_BYTES) as file,
        checked_archive(file, most=SMALL_BYTES) as archive,
    ):
        names = archive.namelist()
        parts = [name for name in names if name.endswith(".pth")]
        if "policy.pth" not in parts:
            raise CheckpointError(f"{found}: no saved agent; expected policy.pth in it")
        card = _card(found, archive.read(CARD)) if CARD in names else None
        tensors = {name.removesuffix(".pth"): _tensors(found, name, archive.read(name)) for name in parts}
        arrays = _arrays(found, archive.read(NORMALIZE)) if NORMALIZE in names else {}
    if not all(isinstance(part, Mapping) for part in tensors.values()):
        raise CheckpointError(f"{found}: expected parts with tensors by name")
    variables = tensors.pop("pytorch_variables", {})
    return Save(found, card, tensors, variables, arrays)


def _tensors(path: Path, name: str, content: bytes) -> Any:
    """A part of the agent: tensors in dictionaries."""
    with in_words(path, CheckpointError, f"{name} holds something else than weights"):
        return read_tensors(content)


def _arrays(path: Path, content: bytes) -> dict[str, npt.NDArray[np.float64]]:
    """The normalization."""
    with (
        in_words(path, CheckpointError, f"{NORMALIZE} cannot be read"),
        checked_archive(io.BytesIO(content)) as archive,
    ):
        return read_arrays(archive)


def locate(path: PathLike) -> Path:
    """The file, or the one with `.zip` appended, as Stable-Baselines3 names them.

    Raises:
        CheckpointError: there is neither.
    """
    plain = Path(path).expanduser()
    for candidate in (plain, plain.with_name(plain.name + ".zip")):
        if candidate.is_file():
            return candidate
    if plain.exists():
        kind = "a folder" if plain.is_dir() else "no regular file"
        raise CheckpointError(f"{plain}: {kind}; expected the file that --save_path wrote")
    raise CheckpointError(f"{plain}: no such file; expected what --save_path wrote")


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


def model_fingerprints(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprints of the environment's world model, by file; empty where it has none."""
    if env_id.rpartition(":")[2] not in MODEL_ENVS:
        return {}
    return weights_fingerprints(_model_folder(env_kwargs))


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
        check_model(save.path, save.card.get("weights"), _model_folder(env_kwargs), strict)


def _model_folder(env_kwargs: Mapping[str, Any]) -> Path:
    return Path(str(env_kwargs.get("weights") or FOLDER))


def describe(space: gym.Space[Any]) -> dict[str, Any]:
    """A space as JSON: kind, shape, type, number of choices. Images have their channels last."""
    shape = list(space.shape or ())
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        shape = [shape[1], shape[2], shape[0]]
    found: dict[str, Any] = {"kind": type(space).__name__, "shape": shape, "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.Discrete):
        found["n"] = int(space.n)
    if isinstance(space, gym.spaces.MultiDiscrete):
        found["n"] = [int(n) for n in np.ravel(space.nvec)]
    return found


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


def _statistics(normalize: VecNormalize) -> dict[str, Any]:
    found = {"ret_mean": normalize.ret_rms.mean, "ret_var": normalize.ret_rms.var}
    found["ret_count"] = np.asarray(normalize.ret_rms.count)
    if normalize.norm_obs:
        rms: Any = normalize.obs_rms
        found |= {"obs_mean": rms.mean, "obs_var": rms.var, "obs_count": np.asarray(rms.count)}
    return found


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


def _card(path: Path, content: bytes) -> dict[str, Any]:
    """The card, with the type of every value that is used checked."""
    card = parse_json(content.decode(errors="replace"), f"{path}: {CARD}", CheckpointError)
    if not isinstance(card, dict) or card.get("format") != FORMAT or not set(KINDS) <= set(card):
        raise CheckpointError(f"{path}: {CARD} is of another form; expected {FORMAT}")
    if card.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: {CARD} is of another form; expected version {VERSION}; train it again"
        )
    for part, kinds in (("", KINDS), ("plan", PLAN_KINDS), ("training", TRAINING_KINDS)):
        values = card[part] if part else card
        for key, kind in kinds.items():
            if not isinstance(values.get(key), kind):
                where = f"{part}.{key}" if part else key
                raise CheckpointError(f"{path}: {CARD} is damaged; expected another {where}")
    return card
