"""An agent's file at the wheel: observations of N cars in, actions out, nothing learned.

Flow: saves -> [acting] -> scoreboard. The agent is built from the file's description and filled with
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

from dreamduck.baselines import agents, algorithms, engine, saves, worlds
from dreamduck.baselines.arguments import Flags
from dreamduck.baselines.engine import BaseAlgorithm, DummyVecEnv, VecEnv
from dreamduck.baselines.origin import Origin
from dreamduck.baselines.plan import resolve
from dreamduck.baselines.training import Account
from dreamduck.envs.rnnenv import OBSERVATION_LIMIT
from dreamduck.errors import CheckpointError
from dreamduck.registration import ENTRY_POINTS
from dreamduck.storage import PathLike

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


class Actor:
    """An agent that drives N cars, by the mean of its actions.

    Args:
        path: what `--save_path` or a checkpoint of `python -m baselines.run` holds.
    Raises:
        CheckpointError: missing, damaged, of another program, or not of a Duckietown world.
    """

    def __init__(self, path: PathLike) -> None:
        save = saves.read(path)
        self.about = _about(save)
        said = Origin(save).said(Flags())
        algorithm = algorithms.find(str(said["alg"]))
        values = {**algorithms.defaults(algorithm, "duckietown"), **said["values"]}
        venv: VecEnv = DummyVecEnv([lambda: Nowhere(self.about)])
        spaces = venv.observation_space, venv.action_space
        plan = resolve(algorithm, values, {}, str(said["network"]), 1, *spaces)
        saves.check_network_size(save, plan)
        engine.set_threads(agents.uses_pictures(plan))
        norm = plan.normalize_observations, plan.normalize_returns, plan.clip_observations
        venv = worlds.normalized(venv, *norm, False)
        self._model: BaseAlgorithm = agents.build(plan.idle(), venv, seed=None)
        self._normalize = self._model.get_vec_normalize_env()
        saves.fill(self._model, save, self._normalize)
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


class Nowhere(gym.Env[Any, Any]):
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
    return _about(saves.read(path))


def _about(save: saves.Save) -> About:
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
        raise CheckpointError(f"{save.path}: {saves.CARD} is damaged; its spaces are not those of {env_id}")
    account = Account.from_card(save.card, save.path)
    return About(env_id, shape, account.step, account.elapsed, save.card.get("weights"))


def _shape(path: Path, space: Mapping[str, Any]) -> tuple[int, ...]:
    shape = space.get("shape")
    sizes = shape if isinstance(shape, list) and len(shape) <= 3 else [0]
    if not all(type(size) is int and 0 < size <= MOST_SIZE for size in sizes):
        raise CheckpointError(f"{path}: {saves.CARD} is damaged; expected spaces with a shape")
    return tuple(sizes)
