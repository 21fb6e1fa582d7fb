"""One episode that is driven: an environment, the policies that may drive in it, and every moment so far.

Nothing here knows of browsers. Any moment can be returned to, and driving on from there drops what came
after."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ActionError, ConfigError
from dreamduck.envs.base import SingleEnv, WorldState
from dreamduck.web.share_link import GRID, MAX_PULL, MAX_STEPS, MAX_TEMPERATURE, Script, Start, on_grid
from dreamduck.window.policy_switch import CONTROLLER, EXPERT, PERSON, Action
from dreamduck.world_model.imagination import TEMPERATURE

Frame = npt.NDArray[np.uint8]

REPLAY = "replay"  # nobody drives: what lies ahead is shown again
DRIVERS = (PERSON, CONTROLLER, EXPERT, REPLAY)
REPLAY_LIMIT = 120.0  # [s]; a full episode takes some 15 s, or 40 s on upstream's simulator


class Cancelled(Exception):
    """A replay was given up, because nobody waits for it any more."""


class Outcome(NamedTuple):
    """What one step gave.

    Attributes:
        reward: of the step; in the dream, the predicted one.
        end: "" while the episode goes on, otherwise why it ended.
        distance: [m] along the lane; 0 in the dream.
    """

    reward: float
    end: str = ""
    distance: float = 0.0


class Scene:
    """An environment in which an episode has just begun.

    Args:
        env: the environment.
        start: what the episode began with.
        policies: what each driver beside the person would do now, by the driver's name.
    """

    def __init__(self, env: SingleEnv, start: Start, policies: Mapping[str, Callable[[], Action]]) -> None:
        self.env, self.start, self.policies = env, start, policies

    @property
    def drivers(self) -> tuple[str, ...]:
        """The names of those who can drive here."""
        return (PERSON, *self.policies)

    @property
    def latents(self) -> npt.NDArray[np.float32]:
        """(Z,) the latents of this moment, to be changed in place; empty where there is no world model."""
        return np.zeros(0, np.float32)

    def step(self, action: Action, temperature: float) -> Outcome:
        """Go on by one step.

        Args:
            action: (2,) in [-1, 1], throttle and steering.
            temperature: of what is dreamt or expected.
        """
        _, reward, _, _, info = self.env.step(action)
        return Outcome(reward, info["end"])

    def look(self, session: Session, ahead: Action) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Images and facts of this moment for people.

        Args:
            session: that stands at this moment.
            ahead: (2,) the action now held, for what the dream expects next.
        """
        return {"camera": session.now.frame}, {}


@dataclasses.dataclass
class Moment:
    """A point in an episode.

    Attributes:
        state: of the environment.
        frame: (64, 64, 3) uint8.
        action: of the step that led here; of no meaning for the first.
        temperature: likewise.
        outcome: likewise.
        pulls: latents that were pulled here, and to what.
    """

    state: WorldState
    frame: Frame
    action: Action
    temperature: float
    outcome: Outcome
    pulls: dict[int, float] = dataclasses.field(default_factory=dict)


class Session:
    """An episode that is driven.

    Args:
        scene: just begun.
        temperature: of the dream, for a start.
    """

    def __init__(self, scene: Scene, temperature: float = TEMPERATURE) -> None:
        self.scene = scene
        self.temperature = temperature
        self.driver = PERSON
        self._before_replay = PERSON
        self._untold = 0  # the first moment that `news` has not told as it is now
        self.hand: Action = np.zeros(2, np.float32)  # what the person holds
        nothing = np.zeros(2, np.float32)
        self.moments = [Moment(*self._here(), nothing, temperature, Outcome(0.0))]
        self.at = 0

    @property
    def now(self) -> Moment:
        """The moment that is shown."""
        return self.moments[self.at]

    @property
    def over(self) -> bool:
        """Whether there is no going on from here."""
        if self.driver == REPLAY:
            return self.at >= len(self.moments) - 1
        return bool(self.now.outcome.end) or self.at >= MAX_STEPS

    @property
    def total(self) -> float:
        """The sum of rewards up to here."""
        return sum(moment.outcome.reward for moment in self.moments[1 : self.at + 1])

    @property
    def distance(self) -> float:
        """[m] along the lane up to here."""
        return sum(moment.outcome.distance for moment in self.moments[1 : self.at + 1])

    def choose_driver(self, driver: str) -> None:
        """Let another drive.

        Raises:
            ConfigError: nobody of that name can drive in this world.
        """
        known = (*self.scene.drivers, REPLAY)
        if driver not in known:
            raise ConfigError(f"driver: expected one of {', '.join(known)}, got {driver!r:.40}")
        if driver == REPLAY and self.driver != REPLAY:
            self._before_replay = self.driver
        self.driver = driver

    def end_replay(self) -> None:
        """Let the driver from before the replay drive on."""
        if self.driver == REPLAY:
            self.driver = self._before_replay

    def hold(self, throttle: float, steering: float) -> None:
        """What the person holds now; numbers outside [-1, 1] are clipped."""
        if not np.isfinite((throttle, steering)).all():
            raise ActionError(f"action: expected finite numbers, got {(throttle, steering)}")
        self.hand = on_grid((throttle, steering))

    def heat(self, temperature: float) -> None:
        """Set the temperature, from the next step on.

        Raises:
            ConfigError: out of range.
        """
        if not 0 <= temperature <= MAX_TEMPERATURE:
            raise ConfigError(f"temperature: expected 0 to {MAX_TEMPERATURE}, got {temperature}")
        self.temperature = float(temperature)

    def advance(self) -> bool:
        """Drive one step on from this moment; whatever lay ahead of it is dropped.

        While REPLAY drives, go on to the next moment instead, and drop nothing.

        Returns:
            Whether there was a step to drive.
        """
        if self.over:
            return False
        if self.driver == REPLAY:
            self.seek(self.at + 1)
            return True
        action = self._action()
        del self.moments[self.at + 1 :]
        outcome = self.scene.step(action, self.temperature)
        self.moments.append(Moment(*self._here(), action, self.temperature, outcome))
        self.at += 1
        self._untold = min(self._untold, self.at)
        return True

    def seek(self, step: int) -> None:
        """Go to a moment of this drive; one outside it means the nearest."""
        target = min(max(step, 0), len(self.moments) - 1)
        self.at = target
        self.scene.env.set_state(self.now.state)

    def pull(self, latent: int, value: float) -> None:
        """Set one latent of this moment, see `pull_all`."""
        self.pull_all({latent: value})

    def pull_all(self, pulls: Mapping[int, float]) -> None:
        """Set latents of this moment; what lay ahead is dropped, since it no longer follows.

        Args:
            pulls: the value of each latent that is set.

        Raises:
            ConfigError: no such latent, or a value out of range.
        """
        latents = self.scene.latents
        if not len(latents):
            raise ConfigError("latent: expected a world with a world model; there are no weights")
        for latent, value in pulls.items():
            if not abs(value) <= MAX_PULL:
                raise ConfigError(f"latent: expected -{MAX_PULL} to {MAX_PULL}, got {value}")
            if not 0 <= latent < len(latents):
                raise ConfigError(f"latent: expected 0 to {len(latents) - 1}, got {latent}")
        for latent, value in pulls.items():
            latents[latent] = value
            self.now.pulls[latent] = float(latents[latent])
        del self.moments[self.at + 1 :]
        self.now.state, self.now.frame = self._here()
        self._untold = min(self._untold, self.at)

    def news(self) -> tuple[int, list[list[Any]]]:
        """What has changed since this was last asked.

        Returns:
            The first moment that changed, and all moments from there on: throttle and steering (integer
            multiples of 1 / GRID) and temperature of the step that led there, and [latent, value] of every
            latent that was set.
        """
        first, self._untold = self._untold, len(self.moments)
        rows = []
        for moment in self.moments[first:]:
            action = np.rint(moment.action.astype(np.float64) * GRID).astype(int).tolist()
            rows.append([*action, moment.temperature, [list(pull) for pull in moment.pulls.items()]])
        return first, rows

    def actions(self) -> npt.NDArray[np.float32]:
        """The actions that led to this moment, (at, 2)."""
        taken = [moment.action for moment in self.moments[1 : self.at + 1]]
        return np.array(taken, np.float32).reshape(-1, 2)

    def look(self) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Images of this moment, and what is known about it."""
        images, facts = self.scene.look(self, self._action())
        outcome = self.now.outcome
        told = {
            "step": self.at,
            "length": len(self.moments) - 1,
            "driver": self.driver,
            "action": [float(v) for v in self.now.action],
            "reward": outcome.reward,
            "total": self.total,
            "end": outcome.end or ("full" if self.at >= MAX_STEPS else ""),
            "temperature": self.temperature,
        }
        return images, {**told, **facts}

    def script(self) -> Script:
        """All that is needed to drive this drive again, up to this moment."""
        upto = self.moments[: self.at + 1]
        pulls = [(step, *pull) for step, moment in enumerate(upto) for pull in moment.pulls.items()]
        temperatures = tuple(moment.temperature for moment in upto[1:])
        return Script(self.scene.start, self.actions(), temperatures, tuple(pulls))

    def close(self) -> None:
        """Close the environment."""
        self.scene.env.close()

    def _here(self) -> tuple[WorldState, Frame]:
        """How to return to where the environment is now, and what is seen there."""
        env = self.scene.env
        return env.get_state(), env.frame()

    def _action(self) -> Action:
        """What the driver does at this moment."""
        if self.driver == PERSON:
            return self.hand
        if self.driver == REPLAY:
            return self.moments[min(self.at + 1, len(self.moments) - 1)].action
        return on_grid(self.scene.policies[self.driver]())


def replay(
    make: Callable[[Start], Scene], script: Script, cancelled: Callable[[], bool] = lambda: False
) -> Session:
    """Drive a script again; the session stands at its beginning, ready to show it.

    Args:
        make: begins an episode.
        script: what is driven.
        cancelled: asked at every step whether to give up.

    Raises:
        ConfigError: a latent is set that this world has not, or it takes longer than REPLAY_LIMIT.
        Cancelled: it was given up.
    """
    session = Session(make(script.start), script.temperatures[0] if script.temperatures else TEMPERATURE)
    deadline = time.monotonic() + REPLAY_LIMIT
    try:
        pulls: dict[int, dict[int, float]] = {}
        for moment, latent, value in script.pulls:
            pulls.setdefault(moment, {})[latent] = value
        for step in range(len(script.actions) + 1):
            if cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"link: expected an episode that is driven again in {REPLAY_LIMIT:.0f} s, and only "
                    f"{step} of {len(script.actions)} steps were; try again when the machine is less busy"
                )
            if step in pulls:
                session.pull_all(pulls[step])
            if step < len(script.actions):
                session.temperature = script.temperatures[step]
                session.hand = script.actions[step]
                if not session.advance():
                    break
        session.hand = np.zeros(2, np.float32)
        session.seek(0)
    except BaseException:
        session.close()
        raise
    return session
