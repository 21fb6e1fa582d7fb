"""`DreamDuck-v1` of another environment than Duckietown: any Gymnasium id, seen through its world model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.config import from_mapping
from dreamduck.common.errors import ConfigError, SimulatorError, WeightsError
from dreamduck.envs.base import Flags, Indices, Info, SingleEnv, WorldState
from dreamduck.envs.latent import LatentCars, LatentEnv, observation_space, step_time
from dreamduck.envs.panels import panels
from dreamduck.envs.realenv import RealEnv, RealVectorEnv
from dreamduck.envs.vector import BatchEnv
from dreamduck.recordings.sources.gym_vector import GymVector
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.model_config import ModelConfig

ENDS = np.array(["", "terminated", "truncated"], dtype=object)


class GymCars(LatentCars):
    """N environments of the id that the card names, each seen through the VAE and the dynamics.

    Attributes:
        perception: the latents, and the state of the dynamics.
    """

    options: ClassVar[tuple[str, ...]] = ()

    def _configure(self, settings: dict[str, Any]) -> tuple[spaces.Box, float]:
        model = settings.pop("model", None)
        self.config = from_mapping(ModelConfig, settings)
        self.model = model or WorldModel.load(self.config.folder)
        space = observation_space(self.model)
        self.actions = self.model.actions
        return space, 1.0 / step_time(self.model.dynamics)

    def _make(self, num_envs: int, threads: int | None) -> None:
        environment = self.model.gym_environment
        assert environment is not None
        self._vector = GymVector(environment, num_envs, threads or 1)
        if self._vector.action_space != self.actions:
            self._vector.close()
            raise ConfigError(
                f"{environment.id}: actions: expected {self.actions.space}, as the weights learned, got "
                f"{self._vector.action_space.space}; install the version that they learned from"
            )
        self.perception = Perception(self.model.vae, self.model.dynamics, num_envs)
        self._cut = np.zeros(num_envs, np.bool_)

    @property
    def latent_cars(self) -> Perception:
        """The environments as the model sees them."""
        return self.perception

    def about(self) -> dict[str, Any]:
        """The facts that a recording of the first environment's episode holds."""
        described = self.model.environment
        return {
            "world": "seen",
            "map_name": described["id"],
            "simulator": "gymnasium",
            "environment": described,
        }

    def get_state(self) -> WorldState:
        """Not possible: Gymnasium's environments have no snapshots.

        Raises:
            SimulatorError: always.
        """
        raise SimulatorError(f"{self.model.environment['id']}: expected an environment with snapshots")

    def set_state(self, state: WorldState) -> None:
        """See `get_state`."""
        self.get_state()

    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        self._vector.reset(seeds, envs.tolist())
        self.perception.reset(self._vector.frames()[envs], envs)
        self._cut[envs] = False
        return {"end": ENDS[np.zeros(len(envs), np.int64)]}

    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        step = self._vector.step(actions)
        self.perception.step(self._vector.frames(), actions)
        self._cut = step.truncated
        return step.reward, step.terminated, {"end": ENDS[step.terminated + 2 * step.truncated]}

    def _truncated(self) -> Flags:
        return self._cut

    def _images(self) -> list[Frames]:
        shown = self._vector.frames(), self.model.decode(self.perception.z)
        return [panels(list(frames)) for frames in zip(*shown, strict=True)]

    def _parts(self) -> dict[str, Any]:
        return {}

    def _free(self) -> None:
        if hasattr(self, "_vector"):  # it is closed even when it could not be made
            self._vector.close()


class GymRealEnv(GymCars, LatentEnv):
    """An environment of Gymnasium, seen through its world model.

    ## Action Space
    The environment's.

    ## Observation Space
    Box(-50, 50, (Z + C + H,), float32): [z, c, h], see `RealEnv`.

    ## Rewards
    The environment's, added over the frame skip that the card names.

    ## Starting State
    The environment's.

    ## Episode End
    As the environment terminates or truncates; `info["end"]` is "", "terminated" or "truncated".
    Gymnasium's time limit, a wrapper that `make` adds, truncates after 1,000 steps.

    ## Information
    `end`.

    ## Arguments
    `weights`, a folder; `model`, a world model that is loaded already, instead. All else is in the card.

    ## Version History
    v1: the first.

    Raises:
        ConfigError: an unknown argument, or the environment cannot be made.
        WeightsError: the weights are missing or damaged.
    """

    def frame(self) -> Frames:
        """What is seen now, (64, 64, 3)."""
        return self._vector.frames()[0].copy()  # the next step writes over it


class GymRealVectorEnv(GymCars, BatchEnv):
    """N environments of Gymnasium at once; see `GymRealEnv`; with `threads` each in a process of its own.

    Its arguments are those of `GymRealEnv` and `BatchEnv`.
    """


def make_real(**settings: Any) -> SingleEnv:
    """`DreamDuck-v1`: of Duckietown, or of the environment that the weights learned from.

    Args:
        settings: see `RealEnv` and `GymRealEnv`.
    """
    return (GymRealEnv if _is_other(settings) else RealEnv)(**settings)


def make_real_vector(**settings: Any) -> BatchEnv:
    """As `make_real`, N at once.

    Args:
        settings: see `RealVectorEnv` and `GymRealVectorEnv`.
    """
    return (GymRealVectorEnv if _is_other(settings) else RealVectorEnv)(**settings)


def _is_other(settings: dict[str, Any]) -> bool:
    """Whether a world model is of another environment than Duckietown; False without a readable card."""
    model = settings.get("model") or WorldModel.load(settings.get("weights") or None)
    try:
        return model.gym_environment is not None
    except WeightsError:
        return False
