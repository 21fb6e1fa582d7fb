"""One round of the gauntlet: N cars, each in the conditions of its own episode, driven by one policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common import seeding
from dreamduck.common.config import replace
from dreamduck.deployment.gauntlet.camera import Frames, ImagePerturbation
from dreamduck.deployment.gauntlet.car import Pushes, disturb, variations
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.perturbations import Conditions, Perturbation
from dreamduck.deployment.gauntlet.timing import CommandDelay, irregular_steps, regular_steps
from dreamduck.evaluation.episode_stats import EpisodeStatsCallback
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.simulator.base import END_NONE, SIMULATION_RATE, SimulatorConfig
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.physics.dynamics import action_of_duties
from dreamduck.simulator.road import RoadStep

IntArray = npt.NDArray[np.int64]
CONDITIONS_STREAM = 4  # of an episode's seed
CARS = 10  # of a round at most; they share when frames come


class WheelPolicy(Protocol):
    """What drives; `dreamduck.deployment.policy.DeployedPolicy` is one."""

    def reset(self, cars: int) -> None:
        """So many cars begin an episode."""
        ...

    def act(self, frames: Frames, cars: IntArray) -> npt.NDArray[Any]:
        """The wheel duties (n, 2), left and right in [-1, 1], of the cars (n,) that have these frames."""
        ...


class Camera(NamedTuple):
    """A policy's camera and frame skip, from its contract.

    Attributes:
        distortion: whether its lens is the fish-eye.
        frame_skip: steps of the simulation from a frame to the next.
        width: of its frames [pixels].
        height: likewise.
    """

    distortion: bool = False
    frame_skip: int = 3
    width: int = FRAME_SHAPE[1]
    height: int = FRAME_SHAPE[0]


class Rounds:
    """Drives rounds of cars; keeps the simulator for the next round.

    Args:
        settings: of the gauntlet.
        policy: drives.
        camera: of the policy.
    """

    def __init__(self, settings: GauntletConfig, policy: WheelPolicy, camera: Camera) -> None:
        self.settings, self.policy, self.camera = settings, policy, camera
        self._simulator: NativeSimulator | None = None

    def drive(self, perturbation: Perturbation, map_name: str, number: int) -> list[dict[str, Any]]:
        """Drive one round.

        Args:
            perturbation: in whose conditions.
            map_name: where.
            number: of the round.
        Returns:
            Of each episode its measures, see `EpisodeStatsCallback.episodes`, and its seed.
        """
        seeds = round_seeds(self.settings, number)
        conditions = [perturbation.draw(seeding.generator(seed, CONDITIONS_STREAM)) for seed in seeds]
        simulator = self._simulator_on(map_name, len(seeds))
        stats = EpisodeStatsCallback(1 / SIMULATION_RATE)
        self._run(simulator, conditions, seeds, self._frame_steps(conditions, number), stats)
        episodes = stats.episodes()
        for episode, seed in zip(episodes, seeds, strict=True):
            episode["seed"] = seed
        return episodes

    def _frame_steps(self, conditions: Sequence[Conditions], number: int) -> npt.NDArray[np.bool_]:
        settings = self.settings
        steps = max(1, round(settings.seconds * SIMULATION_RATE))
        if any(one.irregular for one in conditions):
            return irregular_steps(steps, settings.strengths, settings.seed, number)
        return regular_steps(steps, self.camera.frame_skip)

    def _run(
        self,
        simulator: NativeSimulator,
        conditions: Sequence[Conditions],
        seeds: Sequence[int],
        frame_steps: npt.NDArray[np.bool_],
        stats: EpisodeStatsCallback,
    ) -> None:
        state = simulator.reset(seeds, variations=variations(conditions, self.camera.distortion))
        disturb(simulator, conditions)
        image = ImagePerturbation(conditions, seeds)
        delay = CommandDelay([one.latency for one in conditions])
        pushes = Pushes(conditions, seeds, self.settings.strengths.push_interval, len(frame_steps))
        self.policy.reset(len(seeds))
        stats.start(state)
        alive = np.ones(len(seeds), np.bool_)
        duties = np.zeros((len(seeds), 2))
        reward = np.zeros(len(seeds), np.float32)
        for step, comes in enumerate(frame_steps):
            if comes:
                cars = np.flatnonzero(alive)
                duties[cars] = self.policy.act(image(simulator.frames(cars=cars), cars), cars)
            pushes.apply(simulator, step)
            arrived = np.where(alive[:, None], delay(duties), 0.0)
            state = simulator.step(action_of_duties(arrived))
            terminated = state.end != END_NONE
            stats.update(RoadStep(state, reward, terminated))
            alive &= ~terminated
            if not alive.any():
                break

    def _simulator_on(self, map_name: str, cars: int) -> NativeSimulator:
        kept = self._simulator
        if kept is None or kept.num_cars != cars or kept.config.map_name != map_name:
            self.close()
            config = replace(
                SimulatorConfig(),
                map_name=map_name,
                frame_skip=1,
                camera_width=self.settings.camera_width or self.camera.width,
                camera_height=self.settings.camera_height or self.camera.height,
            )
            self._simulator = NativeSimulator(config, cars, threads=1)
        assert self._simulator is not None
        return self._simulator

    def close(self) -> None:
        """Free the simulator."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None


def round_count(settings: GauntletConfig) -> int:
    """How many rounds there are for each perturbation and map."""
    return -(-settings.count // CARS)


def round_seeds(settings: GauntletConfig, number: int) -> list[int]:
    """The seeds of a round's episodes, the same for all perturbations and maps."""
    numbers = range(number * CARS, min((number + 1) * CARS, settings.count))
    return [seeding.derive(settings.seed, episode) for episode in numbers]
