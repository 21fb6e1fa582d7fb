"""The policy of a saved agent: observations of N environments in, actions out.

The agent is built from the file's card and gets its weights, as in the command; no environment is made, and
nothing in the file is executed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import CheckpointError
from dreamduck.common.storage import PathLike
from dreamduck.envs.latent import OBSERVATION_LIMIT
from dreamduck.registration import ENTRY_POINTS
from dreamduck.rl import algorithms, policies, sb3
from dreamduck.rl.agents import agent_file, loading
from dreamduck.rl.agents.checkpoint import InitialAgent, TrainingProgress
from dreamduck.rl.arguments import Flags
from dreamduck.rl.environments import wrappers
from dreamduck.rl.run_plan import resolve
from dreamduck.rl.sb3 import BaseAlgorithm, DummyVecEnv, VecEnv

ROAD, DREAM = "DreamDuck-v0", "DreamDuck-v2"
MOST_SIZE = 65_536  # of an axis of an observation
MOST_NUMBERS = 1920 * 1080 * 3  # in an observation: the largest camera's frame


@dataclasses.dataclass(frozen=True)
class AgentInfo:
    """What a file's card says about its agent.

    Attributes:
        env_id: the environment in which it learned.
        shape: of one observation.
        steps: of training, all environments together.
        seconds: of training [s].
        weights: fingerprints of the world model in which it learned; None where the file has none.
        env_kwargs: arguments of its environment.
        network: its name.
    """

    env_id: str
    shape: tuple[int, ...]
    steps: int
    seconds: float
    weights: Mapping[str, str] | None = None
    env_kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    network: str = ""

    @property
    def sees_frames(self) -> bool:
        """Whether it observes frames; otherwise [z, c, h]."""
        return self.env_id == ROAD

    @property
    def dreamt(self) -> bool:
        """Whether it learned in the dream."""
        return self.env_id == DREAM


class AgentPolicy:
    """The deterministic policy of a saved agent, for N environments.

    Args:
        path: a file of `--save_path`, or a checkpoint of `python -m baselines.run`.
    Raises:
        CheckpointError: missing, damaged, of another program, or not of a Duckietown environment.

    Attributes:
        about: what the file's card says.
        model: the agent.
        normalize: of its observations and returns; None without.
    """

    def __init__(self, path: PathLike) -> None:
        save = agent_file.read(path)
        self.about = _info(save)
        saved = InitialAgent(save).defaults(Flags())
        algorithm = algorithms.find(str(saved["alg"]))
        values = {**algorithms.defaults(algorithm, "duckietown"), **saved["values"]}
        venv: VecEnv = DummyVecEnv([lambda: SpacesOnlyEnv(self.about)])
        spaces = venv.observation_space, venv.action_space
        plan = resolve(algorithm, values, {}, str(saved["network"]), 1, *spaces)
        loading.check_network_size(save, plan)
        sb3.set_threads(policies.uses_images(plan))
        norm = plan.normalize_observations, plan.normalize_returns, plan.clip_observations
        venv = wrappers.normalized(venv, *norm, False)
        self.model: BaseAlgorithm = policies.build(plan.idle(), venv, seed=None)
        self.normalize = self.model.get_vec_normalize_env()
        loading.fill(self.model, save, self.normalize)
        self._state: Any = None
        self._first = True

    def start(self) -> None:
        """All episodes begin; the state of a recurrent agent is reset."""
        self._state, self._first = None, True

    def act(self, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The actions for N observations.

        Args:
            observations: (N, ...), as the environment in which it learned has them.
        Returns:
            (N, 2) throttle and steering in [-1, 1].
        Raises:
            CheckpointError: observations of another shape.
        """
        if observations.shape[1:] != self.about.shape:
            raise CheckpointError(
                f"agent: learned from observations {self.about.shape}, got {observations.shape[1:]}"
            )
        if not self.about.sees_frames:
            observations = np.clip(observations, -OBSERVATION_LIMIT, OBSERVATION_LIMIT)  # as v1 shows them
        if self.normalize is not None:
            observations = cast(npt.NDArray[Any], self.normalize.normalize_obs(observations))
        starts = np.full(len(observations), self._first)
        actions, self._state = self.model.predict(observations, self._state, starts, deterministic=True)
        self._first = False
        return actions


class SpacesOnlyEnv(gym.Env[Any, Any]):
    """The spaces of an environment, for which an agent is built.

    Args:
        info: of the agent.
    """

    def __init__(self, info: AgentInfo) -> None:
        if info.sees_frames:
            self.observation_space: gym.Space[Any] = gym.spaces.Box(0, 255, info.shape, np.uint8)
        else:
            limit = OBSERVATION_LIMIT
            self.observation_space = gym.spaces.Box(-limit, limit, info.shape, np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def about(path: PathLike) -> AgentInfo:
    """What a file's card says about its agent.

    Raises:
        CheckpointError: missing, damaged, of another program, or not of a Duckietown environment.
    """
    return _info(agent_file.read(path))


def _info(save: agent_file.Save) -> AgentInfo:
    if save.card is None:
        raise CheckpointError(f"{save.path}: expected an agent that python -m baselines.run saved")
    env_id = str(save.card["env"]).rpartition(":")[2]
    if env_id not in ENTRY_POINTS:
        raise CheckpointError(
            f"{save.path}: learned in {env_id:.80}; expected one of {', '.join(ENTRY_POINTS)}"
        )
    seen, action = save.card["observation_space"], save.card["action_space"]
    shape = _shape(save.path, seen)
    fits = (seen.get("dtype"), len(shape)) == (("uint8", 3) if env_id == ROAD else ("float32", 1))
    fits = fits and math.prod(shape) <= MOST_NUMBERS
    if not fits or _shape(save.path, action) != (2,) or action.get("kind") != "Box":
        raise CheckpointError(
            f"{save.path}: expected an agent of Duckietown, got other spaces than those of {env_id} there"
        )
    progress = TrainingProgress.from_card(save.card, save.path)
    return AgentInfo(
        env_id,
        shape,
        progress.step,
        progress.elapsed,
        save.card.get("weights"),
        save.card["env_kwargs"],
        save.card["plan"]["network"],
    )


def _shape(path: Path, space: Mapping[str, Any]) -> tuple[int, ...]:
    shape = space.get("shape")
    sizes = shape if isinstance(shape, list) and len(shape) <= 3 else [0]
    if not all(type(size) is int and 0 < size <= MOST_SIZE for size in sizes):
        raise CheckpointError(f"{path}: {agent_file.CARD} is damaged; expected spaces with a shape")
    return tuple(sizes)
