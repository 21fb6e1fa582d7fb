"""A wrapper of Gymnasium's environments that shows them through a world model."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, ResetNeeded
from dreamduck.envs.latent import clipped, observation_space
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.frame_env import END, RUNNING, TERMINATED, TRUNCATED, FrameEnv
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception


class WorldModelObservation(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An existing environment, observed as [z, c, h] of its world model.

    A step repeats the action as the model learned it (frame skip), and adds the rewards.

    Args:
        env: of the id that the model learned from, not wrapped in another frame skip.
        weights: folder of the model, or a model that is loaded already.
    Raises:
        ConfigError: the model learned from another environment, or from other actions, arguments or images.
        WeightsError: the weights are missing or damaged.
    """

    def __init__(self, env: Any, weights: str | os.PathLike[str] | WorldModel) -> None:
        super().__init__(env)
        self.model = weights if isinstance(weights, WorldModel) else WorldModel.load(weights)
        if env.spec is None:
            raise ConfigError("env: expected one that gymnasium.make has made, got one without an id")
        learned, name = self.model.gym_environment, env.spec.id
        if learned is None or learned.id != name:
            expected = "Duckietown (DreamDuck-v1)" if learned is None else learned.id
            raise ConfigError(
                f"{self.model.folder}: the weights are of {expected}, expected some of {name}; "
                "give the folder of a model that was trained on this environment"
            )
        self.actions = self.model.actions
        if ActionSpace.of(env.action_space, name) != self.actions:
            raise ConfigError(
                f"{name}: actions: expected {self.actions.space}, as the weights learned, got "
                f"{env.action_space}; make the environment with the arguments {learned.arguments}"
            )
        wanted, given = (_arguments(spec) for spec in (learned.spec, env.spec))
        if given != wanted:
            raise ConfigError(
                f"{name}: arguments: expected {wanted}, as the weights learned, got {given}; make the "
                "environment with these"
            )
        learned.settled(env)
        self.observation_space = observation_space(self.model)
        self._frames = FrameEnv(env, learned.pixels, learned.margins, learned.frame_skip)
        self._perception = Perception(self.model.vae, self.model.dynamics)
        self._end = TERMINATED

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Begin an episode."""
        frame, info = self._frames.reset(seed=seed, options=options)
        self._end = info[END]
        return clipped(self._perception.reset(frame[np.newaxis]))[0], self._frames.inner_info

    def step(self, action: Any) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take an action of the environment, as often as the model learned it.

        Raises:
            ActionError: the action is none of the environment's.
            ResetNeeded: the episode has ended, or none has begun.
        """
        if self._end != RUNNING:
            raise ResetNeeded("expected a reset before step (the episode has ended); call reset")
        vectors = self.actions.encode(np.asarray(action)[np.newaxis], 1)
        frame, reward, _, _, info = self._frames.step(vectors[0])
        self._end = info[END]
        seen = clipped(self._perception.step(frame[np.newaxis], vectors))[0]
        return seen, reward, self._end == TERMINATED, self._end == TRUNCATED, self._frames.inner_info


def _arguments(spec: Any) -> dict[str, Any]:
    """The arguments of an environment that change what happens in it."""
    return {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
