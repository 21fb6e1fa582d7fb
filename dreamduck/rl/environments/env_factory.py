"""Finds an environment by its id and makes it, in any process.

A process that only steps an environment imports this, and nothing of PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from dreamduck.common.errors import ConfigError
from dreamduck.registration import register

OWN = "dreamduck."  # the package of our entry points


def plain_id(env_id: str) -> str:
    """An id without the module in front of it."""
    return env_id.rpartition(":")[2]


def import_module(module: str, flag: str) -> None:
    """Import a module that registers environments; only the command line may name one.

    Args:
        module: its name.
        flag: the flag that named it.
    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        importlib.import_module(module)
    except Exception as err:  # anything, from a foreign module
        text = f"{type(err).__name__}: {first_line(err)}"
        raise ConfigError(f"{flag}: cannot import {module!r} ({text})") from err


def find_spec(env_id: str) -> EnvSpec:
    """The registration of an id; `module:Id` imports the module first.

    Raises:
        ConfigError: it is not registered.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        import_module(module, "env")
    try:
        register()
        return gym.spec(name)
    except gym.error.Error as err:
        raise ConfigError(f"env: {first_line(err)}; expected a Gymnasium id, such as DreamDuck-v0") from err


def registered_spec(env_id: str, path: Path) -> EnvSpec:
    """The registration of an id that a file names; nothing is imported for it.

    Raises:
        ConfigError: it is not registered.
    """
    register()
    name = plain_id(env_id)
    if name not in gym.registry:
        raise ConfigError(
            f"{path}: trained in {name[:80]!r}, which is not registered here; name the module that "
            "registers it with --extra_import=MODULE, or give --env=MODULE:ID"
        )
    return gym.registry[name]


def is_own(spec: EnvSpec) -> bool:
    """Whether it is one of the three Duckietown environments."""
    return isinstance(spec.entry_point, str) and spec.entry_point.startswith(OWN)


def env_type(spec: EnvSpec) -> str:
    """2019's name for a family of environments: classic_control, mujoco, atari, duckietown, ..."""
    entry = (
        spec.entry_point
        if isinstance(spec.entry_point, str)
        else getattr(spec.entry_point, "__module__", "")
    )
    if entry.startswith(OWN):
        return "duckietown"
    parts = entry.partition(":")[0].split(".")
    if parts[:2] == ["gymnasium", "envs"] and len(parts) > 2:
        return parts[2]
    return {"ale_py": "atari", "retro": "retro"}.get(parts[0], parts[0])


def first_line(err: BaseException) -> str:
    """The first line of an error's message."""
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(". ")


class EnvFactory:
    """Makes an environment when it is called.

    Args:
        env_id: a Gymnasium id; `module:Id` imports the module first.
        arguments: the environment's keyword arguments.
        modules: to import first, since they register environments.
    """

    def __init__(self, env_id: str, arguments: Mapping[str, Any], modules: Sequence[str] = ()) -> None:
        self.env_id, self.arguments, self.modules = env_id, dict(arguments), tuple(modules)

    def __call__(self) -> gym.Env[Any, Any]:
        """Make the environment; observations in several parts are concatenated, as in 2019."""
        for module in self.modules:
            importlib.import_module(module)
        register()  # a spawned process has not done that yet
        env: gym.Env[Any, Any] = gym.make(self.env_id, **self.arguments)
        if isinstance(env.observation_space, (gym.spaces.Dict, gym.spaces.Tuple)):
            env = gym.wrappers.FlattenObservation(env)
        return env
