"""One environment of Gymnasium, as a source sees it: frames, actions as vectors, frame skip."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.errors import SimulatorError
from dreamduck.recordings.sources import car_racing
from dreamduck.recordings.sources.action_space import ActionSpace
from dreamduck.recordings.sources.images import RENDER, SIDE, ImageReader

RUNNING, TERMINATED, TRUNCATED = range(3)
END = "end_kind"  # key of the end in info


class FrameEnv(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations are frames (64, 64, 3) and whose actions are vectors (A,).

    An end is reported in `info[END]` alone, and the environment rests until its next reset; so that no
    vector environment begins an episode by itself.

    Args:
        env: of Gymnasium.
        pixels: "render", "observation", or the key of a dictionary.
        crop: see `ImageReader`.
        frame_skip: steps of the environment in one of ours; their rewards are added.
    Raises:
        ConfigError: its actions are of no kind that is known.

    Attributes:
        inner_info: the environment's own information, of the last step.
    """

    def __init__(self, env: Any, pixels: str, crop: tuple[int, int, int, int], frame_skip: int = 1) -> None:
        super().__init__(env)
        self._source = "env" if env.spec is None else env.spec.id
        self.actions = ActionSpace.of(env.action_space, self._source)
        self.observation_space = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (self.actions.size,), np.float32)
        space: Any = None if pixels == RENDER else env.observation_space
        self._key = pixels if isinstance(space, spaces.Dict) else ""
        if self._key:
            space = space[self._key]
        self._renders, self._skip = pixels == RENDER, frame_skip
        self._drawing = None if self._renders or self._key else car_racing.drawing(env)
        self._reader = ImageReader(space, crop, self._source)
        self._frame = np.zeros((SIDE, SIDE, 3), np.uint8)
        self._end = TERMINATED
        self.inner_info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode."""
        observation, self.inner_info = self.env.reset(seed=seed, options=options or None)
        self._frame, self._end = self._read(observation), RUNNING
        return self._frame, {END: RUNNING}

    def step(self, action: Any) -> tuple[npt.NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Take an action `frame_skip` times, or until the episode ends.

        Nothing happens after that, nor where the action is nan. An end that is reported as both terminated
        and truncated is terminated.

        Raises:
            FrameError: an observation is no image.
            SimulatorError: a reward is not finite.
        """
        total = 0.0
        if self._end == RUNNING and not np.isnan(action).any():
            taken = self._inside(self.actions.decode(np.asarray(action)[np.newaxis])[0])
            if self._drawing:
                with self._drawing.undrawn():
                    _, total = self._repeat(taken)
                self._frame = self._read(self._drawing.image())
            else:
                observation, total = self._repeat(taken)
                self._frame = self._read(observation)
            if not np.isfinite(total):
                raise SimulatorError(
                    f"{self._source}: expected a finite reward, got {total}; what is recorded is kept, "
                    "start again when the environment is mended"
                )
        return self._frame, total, False, False, {END: self._end}

    def _repeat(self, action: Any) -> tuple[Any, float]:
        """Take an action `frame_skip` times; the last observation, and the sum of the rewards."""
        total = 0.0
        for _ in range(self._skip):
            observation, reward, terminated, truncated, self.inner_info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                self._end = TERMINATED if terminated else TRUNCATED
                break
        return observation, total

    def _inside(self, action: Any) -> Any:
        """An action in the numbers of the environment's Box, which may be finer or coarser than float32."""
        space = self.env.action_space
        if isinstance(space, spaces.Box):
            return np.clip(action.astype(space.dtype), space.low, space.high)
        return action

    def _read(self, observation: Any) -> npt.NDArray[np.uint8]:
        if self._renders:
            return self._reader(self.env.render())
        return self._reader(observation[self._key] if self._key else observation)
