"""`DreamDuck-v2`, many dreams at once: `gymnasium.make_vec("DreamDuck-v2", num_envs=N)`.

All dreams are stepped as one batch, in numpy; searches, which
know their controllers, are quicker with `dreamduck.world_model.imagination.rollout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from dreamduck.envs.rnnenv import Pictures, dream_config, load_memory, observation_space, observe, step_time
from dreamduck.envs.vector import BatchVectorEnv, Flags, Indices, Info
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination import DREAM_END
from dreamduck.world_model.imagination.stepper import Dreams


class DreamVectorEnv(BatchVectorEnv):
    """N dreams at once; see `DreamEnv` for what a car does, sees and is told.

    Args:
        num_envs, render_mode, max_episode_steps, autoreset_mode: see `BatchVectorEnv`.
        settings: `weights` and `temperature`, as `DreamEnv` takes them.
    """

    options: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        self.config = dream_config(settings)
        rnn = load_memory(self.config.folder)
        fps = 1.0 / step_time(rnn)
        space = observation_space(rnn)
        super().__init__(num_envs, space, fps, render_mode, max_episode_steps, autoreset_mode)
        initial = WorldModel.load(self.config.folder).start_states(self.config.beginning)
        self.dreams = Dreams(rnn, initial, self.num_envs, self.config.temperature)
        self.pictures = Pictures(self.config.folder)

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        self.dreams.reset(seeds, envs.tolist())
        return _info(np.zeros(len(envs), np.bool_), np.zeros(len(envs), np.float32))

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        step = self.dreams.step(actions)
        return step.reward, step.ended, _info(step.ended, step.probability)

    def _observe(self) -> npt.NDArray[np.float32]:
        return observe(self.dreams)

    def _pictures(self) -> tuple[Frames, ...]:
        return tuple(self.pictures.of(self.dreams.z))


def _info(ended: Flags, probability: npt.NDArray[np.float32]) -> Info:
    return {
        "end": np.array(["", DREAM_END], dtype=object)[ended.astype(np.int64)],
        "end_probability": probability.astype(np.float64),
    }
