"""Resolves flags, keys and defaults to a run's plan, with the engine's arguments.

All input that can be checked without an agent is checked here."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.rl import algorithms
from dreamduck.rl.algorithms import NETWORK_KEYS, NO_NETWORK_NOISE, Algorithm
from dreamduck.rl.arguments import LinearSchedule
from dreamduck.rl.engine_arguments import boolean, engine_arguments, integer, layer_sizes, number
from dreamduck.rl.networks import NETWORKS, check_network, default_network
from dreamduck.rl.sb3 import BaseAlgorithm, sb3, sb3_contrib

CLIP = 5.0  # [standard deviations], as in 2019's DDPG
RESERVED = {"self", "policy", "env", "policy_kwargs", "tensorboard_log", "verbose", "seed", "action_noise"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run, resolved.

    Attributes:
        algorithm: its entry in the table.
        engine: the class of Stable-Baselines3 or sb3-contrib.
        arguments: of the engine's constructor, by its names.
        policy_options: of its policies, beside the network.
        network: the name.
        network_options: by names of 2019.
        num_env: environments stepped together.
        log_every: updates (steps or episodes where the algorithm counts those) between entries of
            `progress.csv`, and between checkpoints that are kept; 0: none.
        checkpoint_every: likewise.
        noise: "normal_S", "ou_S" or "none"; only for continuous actions.
        normalize_observations: by their running mean and variance.
        normalize_returns: rewards by the running variance of the returns.
        clip_observations: for normalized ones [standard deviations].
        value_network: "", "shared" or "copy".
        load_path: file of the agent to start from.
    """

    algorithm: Algorithm
    engine: type[BaseAlgorithm]
    arguments: dict[str, Any]
    policy_options: dict[str, Any]
    network: str
    network_options: dict[str, Any]
    num_env: int
    log_every: int
    checkpoint_every: int
    noise: str
    normalize_observations: bool
    normalize_returns: bool
    clip_observations: float
    value_network: str
    load_path: str | None

    @property
    def recurrent(self) -> bool:
        """Whether the agent carries a state from step to step."""
        return NETWORKS[self.network].recurrent

    def idle(self) -> Plan:
        """The same for an agent that does not learn: minimal buffers."""
        arguments = dict(self.arguments)
        arguments |= {name: 2 for name in ("n_steps", "batch_size") if name in arguments}
        if not self.algorithm.on_policy:
            arguments["buffer_size"] = 1
        return dataclasses.replace(self, arguments=arguments)

    def described(self) -> dict[str, Any]:
        """The plan as JSON, for files and for the log."""
        clip = {} if self.clip_observations == CLIP else {"clip_observations": self.clip_observations}
        return {
            **clip,
            "alg": self.algorithm.name,
            "engine": self.engine.__name__,
            "network": self.network,
            "network_options": self.network_options,
            "value_network": self.value_network,
            "num_env": self.num_env,
            "noise": self.noise,
            "normalize_observations": self.normalize_observations,
            "normalize_returns": self.normalize_returns,
            "arguments": {k: _as_json(v) for k, v in self.arguments.items()},
            "policy_options": {k: _as_json(v) for k, v in self.policy_options.items()},
        }


def resolve(
    algorithm: Algorithm,
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    network: str | None,
    num_env: int,
    observation_space: gym.Space[Any],
    action_space: gym.Space[Any],
) -> Plan:
    """Turn keys of 2019 into a plan.

    Args:
        algorithm: which one.
        values: defaults and recipe, by names of 2019.
        given: from the command line; checked, and wins.
        network: the flag, if it was given.
        num_env: environments stepped together.
        observation_space: of the environment.
        action_space: of the environment.
    Raises:
        ConfigError: a key, a value or a network does not fit.
    """
    _check_actions(algorithm, action_space)
    merged = {**values, **given}
    chosen = network or str(merged.get("network") or default_network(observation_space))
    # A default for another network than the chosen one is dropped; a key that was given
    # stays, and is refused if the network does not take it.
    takes = NETWORKS[chosen].options if chosen in NETWORKS else ()
    options = {k: merged[k] for k in NETWORK_KEYS if k in given or (k in merged and k in takes)}
    check_network(chosen, options, observation_space)
    engine = _engine(algorithm, chosen)
    constructor = constructor_of(engine)
    algorithms.check_keys(algorithm, given, constructor)
    arguments = engine_arguments(algorithm, merged, constructor, num_env)
    policy_options: dict[str, Any] = {}
    if algorithm.name == "a2c":
        policy_options["optimizer_kwargs"] = {
            "alpha": number("alpha", merged["alpha"], 0, 1),
            "weight_decay": 0,
        }
    if "log_std_init" in merged:
        policy_options["log_std_init"] = number("log_std_init", merged["log_std_init"], -20, 2)
    if "hiddens" in merged:
        policy_options["net_arch"] = layer_sizes("hiddens", merged["hiddens"])
    return Plan(
        algorithm=algorithm,
        engine=engine,
        arguments=arguments,
        policy_options=policy_options,
        network=chosen,
        network_options=options,
        num_env=num_env,
        log_every=_log_every(algorithm, merged, num_env),
        checkpoint_every=integer(
            "keep", merged.get("save_interval", merged.get("checkpoint_freq", 0)) or 0, 0
        ),
        noise=_noise(algorithm, merged),
        normalize_observations=_normalizes(merged, given, observation_space),
        normalize_returns=boolean("normalize_returns", merged),
        clip_observations=number("clip_observations", merged.get("clip_observations", CLIP), 1e-3, 1e6),
        value_network=_value_network(merged),
        load_path=None if merged.get("load_path") is None else str(merged["load_path"]),
    )


def constructor_of(engine: type[BaseAlgorithm]) -> dict[str, Any]:
    """The constructor's arguments that a command line can set, with their defaults."""
    found = {}
    for name, parameter in inspect.signature(engine.__init__).parameters.items():
        if name in RESERVED or name.startswith("_") or "buffer_class" in name or "buffer_kwargs" in name:
            continue
        found[name] = parameter.default
    return found


def _engine(algorithm: Algorithm, network: str) -> type[BaseAlgorithm]:
    if NETWORKS[network].recurrent:
        if algorithm.engine != "PPO":
            raise ConfigError(
                f"network: {algorithm.name} has no recurrent form; use --alg=ppo2 with {network}"
            )
        return sb3_contrib.RecurrentPPO
    for library in (sb3, sb3_contrib):
        if hasattr(library, algorithm.engine):
            engine: type[BaseAlgorithm] = getattr(library, algorithm.engine)
            return engine
    raise AssertionError(algorithm.engine)


def _check_actions(algorithm: Algorithm, space: gym.Space[Any]) -> None:
    continuous = isinstance(space, gym.spaces.Box)
    if algorithm.actions == "continuous" and not continuous:
        raise ConfigError(f"alg: {algorithm.name} needs continuous actions, got {space}; use ppo2 or deepq")
    if algorithm.actions == "discrete" and not isinstance(space, gym.spaces.Discrete):
        raise ConfigError(
            f"alg: {algorithm.name} needs discrete actions, got {space}; use ppo2, sac or td3"
        )


def _log_every(algorithm: Algorithm, merged: Mapping[str, Any], num_env: int) -> int:
    if algorithm.log_family == "ddpg":
        cycles = integer("nb_epoch_cycles", merged["nb_epoch_cycles"], 1)
        return cycles * num_env * integer("nb_rollout_steps", merged["nb_rollout_steps"], 1)
    if algorithm.log_family == "deepq":
        return integer("print_freq", merged["print_freq"], 1)
    if algorithm.log_family == "generic":
        return 1000
    return integer("log_interval", merged["log_interval"], 1)


def _noise(algorithm: Algorithm, merged: Mapping[str, Any]) -> str:
    text = str(merged.get("noise_type") or "none")
    if algorithm.actions != "continuous" or text == "none":
        return "none"
    kind, _, size = text.rpartition("_")
    if kind.startswith("adaptive-param"):
        raise ConfigError(f"--noise_type: {NO_NETWORK_NOISE}")
    if kind not in ("normal", "ou"):
        raise ConfigError(
            f"noise_type: expected normal_S, ou_S or none, as in normal_0.2, got {text!r:.100}"
        )
    try:
        number("noise_type", float(size), 0, math.inf)
    except ValueError as err:
        raise ConfigError(
            f"noise_type: expected a size after the _, as in normal_0.2, got {text!r:.100}"
        ) from err
    return text


def _normalizes(merged: Mapping[str, Any], given: Mapping[str, Any], space: gym.Space[Any]) -> bool:
    wanted = boolean("normalize_observations", merged)
    fits = isinstance(space, gym.spaces.Box) and space.dtype != np.uint8
    if wanted and not fits and "normalize_observations" in given:
        raise ConfigError(f"normalize_observations: expected observations of real numbers, got {space}")
    return wanted and fits


def _value_network(merged: Mapping[str, Any]) -> str:
    value = merged.get("value_network")
    if value not in (None, "shared", "copy"):
        raise ConfigError(f"value_network: expected shared or copy, got {value!r:.100}")
    return value or ""


def _as_json(value: Any) -> Any:
    return str(value) if isinstance(value, LinearSchedule) else value
