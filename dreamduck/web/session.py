"""One drive: a world, who drives it, and every moment of it so far.

Nothing here knows of browsers. A drive is a row of moments; any
of them can be gone back to, and driving on from there drops what came after."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ActionError, ConfigError
from dreamduck.web.share_link import GRID, MAX_PULL, MAX_STEPS, MAX_TEMPERATURE, Script, Start, on_grid
from dreamduck.world_model.imagination import TEMPERATURE

Frame = npt.NDArray[np.uint8]
Action = npt.NDArray[np.float32]

PERSON, CONTROLLER, EXPERT = "person", "controller", "expert"
REPLAY = "replay"  # nobody drives: what lies ahead is shown again
DRIVERS = (PERSON, CONTROLLER, EXPERT, REPLAY)
REPLAY_LIMIT = 120.0  # [s]; a full episode takes some 15 s, or 40 s on upstream's simulator


class Cancelled(Exception):
    """A replay was given up, because nobody waits for it any more."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one step of a world gave.

    Attributes:
        reward: of the step; in the dream, the predicted one.
        end: "" while the drive goes on, otherwise why it ended.
    """

    reward: float
    end: str = ""


class World(Protocol):
    """One of the three worlds, with one car in it.

    Attributes:
        start: what it was begun with; its `z` is filled in where the world drew it.
        drivers: who can drive in it.
        simulator: "native", "gym-duckietown" or "dream".
        environment: its description, for recordings; None where it is not known.
    """

    start: Start
    simulator: str
    environment: dict[str, Any] | None
    drivers: tuple[str, ...]

    def step(self, action: Action, temperature: float) -> Outcome:
        """Go on by one step; `action` (2,) in [-1, 1], throttle and steering."""
        ...

    def mark(self) -> Any:
        """What `back` needs to return to this moment; small, and never changed afterwards."""
        ...

    def back(self, mark: Any, actions: npt.NDArray[np.float32]) -> None:
        """Return to a moment; `actions` (n, 2) are all that led to it from the start."""
        ...

    def act(self, driver: str) -> Action:
        """What the controller or the expert would do now, (2,)."""
        ...

    def pull(self, latent: int, value: float) -> None:
        """Set one latent of this moment."""
        ...

    def frame(self) -> Frame:
        """What is recorded of this moment, (64, 64, 3)."""
        ...

    def look(self, ahead: Action, temperature: float) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Pictures and facts for people.

        Args:
            ahead: the action now held, for what the dream expects next.
        """
        ...

    def close(self) -> None:
        """Free what is held; calling it twice is harmless."""
        ...


@dataclasses.dataclass
class Moment:
    """A point in a drive.

    Attributes:
        mark: how to return to it.
        frame: (64, 64, 3) uint8.
        action, temperature, outcome: of the step that led here; of no meaning for the first.
        pulls: latents that were pulled here, and to what.
    """

    mark: Any
    frame: Frame
    action: Action
    temperature: float
    outcome: Outcome
    pulls: dict[int, float] = dataclasses.field(default_factory=dict)


class Session:
    """A drive.

    Args:
        world: just begun.
        temperature: of the dream, for a start.
    """

    def __init__(self, world: World, temperature: float = TEMPERATURE) -> None:
        self.world = world
        self.temperature = temperature
        self.driver = PERSON
        self._before_replay = PERSON
        self._untold = 0  # the first moment that `news` has not told as it is now
        self.hand: Action = np.zeros(2, np.float32)  # what the person holds
        nothing = np.zeros(2, np.float32)
        self.moments = [Moment(world.mark(), world.frame(), nothing, temperature, Outcome(0.0))]
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

    def choose_driver(self, driver: str) -> None:
        """Hand the wheel over.

        Raises:
            ConfigError: nobody of that name can drive in this world.
        """
        known = (*self.world.drivers, REPLAY)
        if driver not in known:
            raise ConfigError(f"driver: expected one of {', '.join(known)}, got {driver!r:.40}")
        if driver == REPLAY and self.driver != REPLAY:
            self._before_replay = self.driver
        self.driver = driver

    def end_replay(self) -> None:
        """Give the car back to the driver from before the replay."""
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
            self._show_next()
            return True
        action = self._action()
        del self.moments[self.at + 1 :]
        outcome = self.world.step(action, self.temperature)
        mark, frame = self.world.mark(), self.world.frame()
        self.moments.append(Moment(mark, frame, action, self.temperature, outcome))
        self.at += 1
        self._untold = min(self._untold, self.at)
        return True

    def seek(self, step: int) -> None:
        """Go to a moment of this drive; one outside it means the nearest."""
        target = min(max(step, 0), len(self.moments) - 1)
        self.at = target
        self.world.back(self.now.mark, self.actions())

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
        for value in pulls.values():
            if not abs(value) <= MAX_PULL:
                raise ConfigError(f"latent: expected -{MAX_PULL} to {MAX_PULL}, got {value}")
        for latent, value in pulls.items():
            given = float(np.float32(value))
            self.world.pull(latent, given)
            del self.moments[self.at + 1 :]
            self.now.pulls[latent] = given
        self.now.mark, self.now.frame = self.world.mark(), self.world.frame()
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
        """Pictures of this moment, and what is known about it."""
        pictures, facts = self.world.look(self._action(), self.temperature)
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
        return pictures, {**told, **facts}

    def script(self) -> Script:
        """All that is needed to drive this drive again, up to this moment."""
        upto = self.moments[: self.at + 1]
        pulls = [(step, *pull) for step, moment in enumerate(upto) for pull in moment.pulls.items()]
        temperatures = tuple(moment.temperature for moment in upto[1:])
        return Script(self.world.start, self.actions(), temperatures, tuple(pulls))

    def close(self) -> None:
        """End the world."""
        self.world.close()

    def _action(self) -> Action:
        """What the driver does at this moment."""
        if self.driver == PERSON:
            return self.hand
        if self.driver == REPLAY:
            return self.moments[min(self.at + 1, len(self.moments) - 1)].action
        return on_grid(self.world.act(self.driver))

    def _show_next(self) -> None:
        """Go on to the next moment as it was."""
        self.at += 1
        self.world.step(self.now.action, self.now.temperature)
        for latent, value in self.now.pulls.items():
            self.world.pull(latent, value)


def replay(
    make: Callable[[Start], World], script: Script, cancelled: Callable[[], bool] = lambda: False
) -> Session:
    """Drive a script again; the session stands at its beginning, ready to show it.

    Args:
        make: begins a world.
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
