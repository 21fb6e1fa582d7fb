"""A plan becomes an agent of Stable-Baselines3."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.rl.arguments import LinearSchedule
from dreamduck.rl.networks import ACTIVATIONS, NETWORKS, LayerNormRecurrentPolicy, extractor, lstm_units
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import (
    ActionNoise,
    BaseAlgorithm,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VecEnv,
    sb3,
    th,
)


def build(plan: Plan, venv: VecEnv, seed: int | None) -> BaseAlgorithm:
    """A fresh agent for those environments.

    Raises:
        ConfigError: Stable-Baselines3 does not take the arguments.
    """
    policy, options = _policy(plan)
    arguments = {name: _scheduled(value) for name, value in plan.arguments.items()}
    if plan.noise != "none":
        arguments["action_noise"] = _noise(plan.noise, venv)
    if NETWORKS[plan.network].pictures is False:
        arguments.setdefault("device", "cpu")  # dense layers this small run faster there
    try:
        return plan.engine(policy, venv, policy_kwargs=options, seed=seed, verbose=0, **arguments)
    except (ValueError, TypeError, AssertionError) as err:
        if isinstance(err, ConfigError):
            raise
        first = (str(err).splitlines() or [type(err).__name__])[0]
        raise ConfigError(f"{plan.algorithm.name}: Stable-Baselines3 does not take this ({first})") from err


def _policy(plan: Plan) -> tuple[Any, dict[str, Any]]:
    """The policy and its arguments for the plan's network."""
    network = NETWORKS[plan.network]
    if network.pictures is None:
        return plan.network, dict(plan.policy_options)
    if not plan.algorithm.on_policy and not network.pictures and plan.algorithm.logs != "deepq":
        return "MlpPolicy", _dense(plan)
    kind, settings = extractor(plan.network, plan.network_options)
    options: dict[str, Any] = {
        "features_extractor_class": kind,
        "features_extractor_kwargs": settings,
        **plan.policy_options,
    }
    if network.recurrent:
        return _recurrent(plan, options)
    if plan.algorithm.on_policy:
        # 2019's TRPO always had a second network for the value, the others only if asked.
        own = plan.value_network == "copy" or (plan.algorithm.engine == "TRPO" and not plan.value_network)
        return "MlpPolicy", {"net_arch": [], "share_features_extractor": not own, **options}
    if plan.algorithm.actions == "continuous":
        options.setdefault("net_arch", [256])
    elif plan.algorithm.logs != "deepq":
        options.setdefault("net_arch", [])
    return "MlpPolicy", options


def _recurrent(plan: Plan, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    options |= {
        "net_arch": [],
        "lstm_hidden_size": lstm_units(plan.network, plan.network_options),
        "shared_lstm": plan.value_network == "shared",
        "enable_critic_lstm": plan.value_network != "shared",
        "share_features_extractor": plan.value_network != "copy",
    }
    if plan.network == "cnn_lnlstm" or plan.network_options.get("layer_norm", False):
        return LayerNormRecurrentPolicy, options
    return "MlpLstmPolicy", options


def _dense(plan: Plan) -> dict[str, Any]:
    """Dense layers for an algorithm with a replay buffer: the action joins them at the first."""
    given = plan.network_options
    options = dict(plan.policy_options)
    if plan.algorithm.name == "ddpg":  # the newer ones keep Stable-Baselines3's sizes unless told
        given = {"num_layers": 2, "num_hidden": 64, "activation": "tanh", **given}
    if given.get("layer_norm"):
        raise ConfigError(f"--layer_norm: not with {plan.algorithm.name}; leave it out")
    if "num_layers" in given or "num_hidden" in given:
        options["net_arch"] = [given.get("num_hidden", 64)] * given.get("num_layers", 2)
    if "activation" in given:
        options["activation_fn"] = ACTIVATIONS[str(given["activation"]).rsplit(".", 1)[-1]]
    return options


def _scheduled(value: Any) -> Any:
    return (
        sb3.common.utils.LinearSchedule(value.start, 0.0, 1.0)
        if isinstance(value, LinearSchedule)
        else value
    )


def _noise(text: str, venv: VecEnv) -> ActionNoise:
    """Noise on the actions, as `normal_0.2` or `ou_0.2` say it."""
    space = venv.action_space
    assert isinstance(space, gym.spaces.Box)
    kind, _, size = text.rpartition("_")
    mean, sigma = np.zeros(space.shape), np.full(space.shape, float(size))
    return (NormalActionNoise if kind == "normal" else OrnsteinUhlenbeckActionNoise)(mean, sigma)


def uses_pictures(plan: Plan) -> bool:
    """Whether the network has convolutions."""
    return bool(NETWORKS[plan.network].pictures) or plan.network == "CnnPolicy"


def count_weights(model: BaseAlgorithm) -> int:
    """How many numbers the agent learns."""
    return sum(int(p.numel()) for p in model.policy.parameters() if isinstance(p, th.Tensor))
