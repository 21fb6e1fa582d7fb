"""An agent's file at the wheel: observations of N cars in, actions out, nothing learned.

The agent is built from the file's description and filled with
its weights, as the command does it; no world is made, and nothing in the file is run."""

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
from dreamduck.envs.rnnenv import OBSERVATION_LIMIT
from dreamduck.registration import ENTRY_POINTS
from dreamduck.rl import agent_file, agents, algorithms, env_batches, sb3
from dreamduck.rl.arguments import Flags
from dreamduck.rl.checkpoint import InitialAgent
from dreamduck.rl.run_plan import resolve
from dreamduck.rl.sb3 import BaseAlgorithm, DummyVecEnv, VecEnv
from dreamduck.rl.train_loop import StepCount

ROAD, DREAM = "DreamDuck-v0", "DreamDuck-v2"
MOST_SIZE = 65_536  # of an axis of an observation
MOST_NUMBERS = 1920 * 1080 * 3  # in an observation: the largest camera's frame


@dataclasses.dataclass(frozen=True)
class About:
    """What a file says of its agent.

    Attributes:
        env_id: the world that it learned in. shape: of one observation.
        steps: of that world, all environments together. seconds: that the training took.
        weights: fingerprints of the world model that it learned through; None where the file has none.
    """

    env_id: str
    shape: tuple[int, ...]
    steps: int
    seconds: float
    weights: Mapping[str, str] | None = None

    @property
    def sees_frames(self) -> bool:
        """Whether it looks at frames; otherwise at [z, c, h]."""
        return self.env_id == ROAD

    @property
    def dreamt(self) -> bool:
        """Whether it learned in the dream."""
        return self.env_id == DREAM


class AgentPolicy:
    """An agent that drives N cars, by the mean of its actions.

    Args:
        path: what `--save_path` or a checkpoint of `python -m baselines.run` holds.
    Raises:
        CheckpointError: missing, damaged, of another program, or not of a Duckietown world.
    """

    def __init__(self, path: PathLike) -> None:
        save = agent_file.read(path)
        self.about = _about(save)
        said = InitialAgent(save).said(Flags())
        algorithm = algorithms.find(str(said["alg"]))
        values = {**algorithms.defaults(algorithm, "duckietown"), **said["values"]}
        venv: VecEnv = DummyVecEnv([lambda: SpacesOnlyEnv(self.about)])
        spaces = venv.observation_space, venv.action_space
        plan = resolve(algorithm, values, {}, str(said["network"]), 1, *spaces)
        agent_file.check_network_size(save, plan)
        sb3.set_threads(agents.uses_pictures(plan))
        norm = plan.normalize_observations, plan.normalize_returns, plan.clip_observations
        venv = env_batches.normalized(venv, *norm, False)
        self._model: BaseAlgorithm = agents.build(plan.idle(), venv, seed=None)
        self._normalize = self._model.get_vec_normalize_env()
        agent_file.fill(self._model, save, self._normalize)
        self._state: Any = None
        self._starts = True

    def start(self) -> None:
        """Episodes begin: a recurrent agent forgets."""
        self._state, self._starts = None, True

    def act(self, observations: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """The actions (N, 2) in [-1, 1] for N observations.

        Raises:
            CheckpointError: observations of another shape than it learned from.
        """
        if observations.shape[1:] != self.about.shape:
            raise CheckpointError(
                f"agent: learned from observations {self.about.shape}, got {observations.shape[1:]}"
            )
        if not self.about.sees_frames:
            observations = np.clip(observations, -OBSERVATION_LIMIT, OBSERVATION_LIMIT)  # as v1 shows them
        if self._normalize is not None:
            observations = cast(npt.NDArray[Any], self._normalize.normalize_obs(observations))
        starts = np.full(len(observations), self._starts)
        actions, self._state = self._model.predict(observations, self._state, starts, deterministic=True)
        self._starts = False
        return actions


class SpacesOnlyEnv(gym.Env[Any, Any]):
    """A world of which there are only the spaces; an agent is built for it."""

    def __init__(self, about: About) -> None:
        if about.sees_frames:
            self.observation_space: gym.Space[Any] = gym.spaces.Box(0, 255, about.shape, np.uint8)
        else:
            limit = OBSERVATION_LIMIT
            self.observation_space = gym.spaces.Box(-limit, limit, about.shape, np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)


def about(path: PathLike) -> About:
    """What a file says of its agent.

    Raises:
        CheckpointError: missing, damaged, of another program, or not of a Duckietown world.
    """
    return _about(agent_file.read(path))


def _about(save: agent_file.Save) -> About:
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
    if not fits or _shape(save.path, action) != (2,):
        raise CheckpointError(
            f"{save.path}: {agent_file.CARD} is damaged; its spaces are not those of {env_id}"
        )
    account = StepCount.from_card(save.card, save.path)
    return About(env_id, shape, account.step, account.elapsed, save.card.get("weights"))


def _shape(path: Path, space: Mapping[str, Any]) -> tuple[int, ...]:
    shape = space.get("shape")
    sizes = shape if isinstance(shape, list) and len(shape) <= 3 else [0]
    if not all(type(size) is int and 0 < size <= MOST_SIZE for size in sizes):
        raise CheckpointError(f"{path}: {agent_file.CARD} is damaged; expected spaces with a shape")
    return tuple(sizes)
