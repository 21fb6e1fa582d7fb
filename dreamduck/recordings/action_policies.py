"""Behaviour policies for any action space: random, smooth random, repeated random actions, or one's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, DreamDuckError, SimulatorError
from dreamduck.recordings.behavior_policies import OWN_POLICY, BehaviorPolicy
from dreamduck.recordings.sources.action_space import DISCRETE, ActionSpace
from dreamduck.recordings.sources.gym_environment import first_line

FloatArray = npt.NDArray[np.float64]
Generator = np.random.Generator

DEFAULT_MIX = ("smooth=2", "repeat=2", "random=1")
STRETCH = (2, 20)  # steps that a repeated action is kept, at least and at most
TIME_CONSTANT = (3.0, 30.0)  # [steps] after which a deviation has decayed to 1/e
SEEDS = 2**31


class Random:
    """Another random action at each step."""

    def __init__(self, actions: ActionSpace, random: Generator) -> None:
        self._actions, self._random = actions, random

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        return self._actions.sample(self._random)


class SmoothRandom:
    """Smooth random walks (Ornstein-Uhlenbeck) around a mean that the episode draws.

    Of discrete actions each has a walk, and the greatest is taken.
    """

    def __init__(self, actions: ActionSpace, random: Generator) -> None:
        self._random = random
        self._keep = float(np.exp(-1 / random.uniform(*TIME_CONSTANT)))
        spread = 0.2 if actions.kind == DISCRETE else 0.5
        self._mean = random.normal(0, spread, actions.size)
        self._std = random.uniform(0.2, 0.8)
        self._value = random.normal(size=actions.size) * self._std

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        found = self._mean + self._value
        fresh = self._random.normal(size=len(self._value)) * self._std * np.sqrt(1 - self._keep**2)
        self._value = self._keep * self._value + fresh
        return found


class Repeated:
    """A random action, kept for some steps, then another."""

    def __init__(self, actions: ActionSpace, random: Generator) -> None:
        self._actions, self._random, self._until = actions, random, 0
        self._action = actions.sample(random)

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        if step >= self._until:
            self._until = step + int(self._random.integers(STRETCH[0], STRETCH[1] + 1))
            self._action = self._actions.sample(self._random)
        return self._action


class OwnPolicy:
    """A person's own: a function of the frame that gives an action of the environment.

    Args:
        name: "module:function"; the function takes the action space and a seed, once an episode, and
            gives the function of the frame.
    Raises:
        ConfigError: it cannot be imported or called.
    """

    def __init__(self, name: str, actions: ActionSpace, random: Generator) -> None:
        self._name, self._actions = name, actions
        module, _, function = name.partition(":")
        try:
            make = getattr(importlib.import_module(module), function)
            self._act: Callable[[Any], Any] = make(actions.space, int(random.integers(SEEDS)))
        except Exception as err:  # anything, from a foreign module
            raise ConfigError(
                f"policies: {name}: expected a function of (action_space, seed) that gives a function of a "
                f"frame, got {type(err).__name__}: {first_line(err)}"
            ) from err

    def act(self, step: int, frame: npt.NDArray[np.uint8], expert: FloatArray) -> FloatArray:
        """See `BehaviorPolicy.act`."""
        try:
            return self._actions.encode(np.asarray(self._act(frame))[np.newaxis], 1)[0]
        except DreamDuckError as err:
            raise ConfigError(f"policies: {self._name}: {err}") from err
        except Exception as err:  # anything, from a foreign module
            raise SimulatorError(
                f"policies: {self._name}: failed ({type(err).__name__}: {first_line(err)}); fix it and "
                "start again, the recorded episodes are kept"
            ) from err


POLICIES: dict[str, Callable[[ActionSpace, Generator], BehaviorPolicy]] = {
    "random": Random,
    "smooth": SmoothRandom,
    "repeat": Repeated,
}
KEYBOARD = "keyboard"  # a person's, alone; its window is made by the command
NAMES = (*POLICIES, KEYBOARD, OWN_POLICY)


def make_policy(name: str, actions: ActionSpace, random: Generator) -> BehaviorPolicy:
    """A policy for one episode.

    Raises:
        ConfigError: one's own cannot be imported or called.
    """
    return POLICIES[name](actions, random) if name in POLICIES else OwnPolicy(name, actions, random)
