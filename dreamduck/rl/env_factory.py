"""Makes one environment, in whatever process.

A process that only steps an environment imports this and nothing
of PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym

from dreamduck.registration import register


class EnvFactory:
    """Makes an environment when it is called.

    Args:
        env_id: may begin with a module to import, `module:Id`.
        arguments: the environment's own.
        modules: to import first, since they register environments.
    """

    def __init__(self, env_id: str, arguments: Mapping[str, Any], modules: Sequence[str] = ()) -> None:
        self.env_id, self.arguments, self.modules = env_id, dict(arguments), tuple(modules)

    def __call__(self) -> gym.Env[Any, Any]:
        """The environment; what it observes in several parts is laid end to end, as 2019 did."""
        for module in self.modules:
            importlib.import_module(module)
        register()  # a process that was just spawned has yet to do that
        env: gym.Env[Any, Any] = gym.make(self.env_id, **self.arguments)
        if isinstance(env.observation_space, (gym.spaces.Dict, gym.spaces.Tuple)):
            env = gym.wrappers.FlattenObservation(env)
        return env
