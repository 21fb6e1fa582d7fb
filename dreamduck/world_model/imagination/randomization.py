"""Domain randomization of dreams: each dream has a car with other dynamics, delay and camera.

The dream continues with the action that arrives, late and by other motors. The policy sees [z, c, h] as it
would on that car: h and c follow the actions that it commanded, and z is shifted, as light or the place of
a camera shifts it. Source: Tobin et al. 2017 for images, Peng et al. 2018 for dynamics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import derive, generator
from dreamduck.simulator.environment import ENVIRONMENT, is_own
from dreamduck.simulator.physics.dynamics import draw_dynamics
from dreamduck.simulator.robot import WHEEL_DISTANCE
from dreamduck.world_model.dynamics import Dynamics, FloatArray, InitialZ, RecurrentState
from dreamduck.world_model.imagination.stepper import Dreams, DreamState, DreamStep

RANDOM_KEY = 0x7261  # keeps this random stream apart from the seed's others
MOTORS, DELAY, SHIFT = range(3)
STEERING_GAIN = 3.14  # where the dynamics' card has none
MOST_DELAY = 20
MOST_SPREAD = 3.0  # beyond 10 / 3 a motor could turn against its command
ACTION_DELAY = "actions arrive up to so many steps late, drawn for each dream"
DYNAMICS_SPREAD = "with dynamics_rand, cars differ up to so many times as much as in the simulator"
LATENT_SHIFT = "standard deviation of a shift of the latents that are seen, drawn for each dream"


@dataclasses.dataclass(frozen=True)
class RandomizationConfig:
    """Settings of the randomization."""

    dynamics_rand: bool = option(
        False, "draw the motors' gain and trim and the distance of the wheels for each dream"
    )
    dynamics_spread: float = option(1.0, DYNAMICS_SPREAD, above=0.0, high=MOST_SPREAD)
    action_delay: int = option(0, ACTION_DELAY, unit="steps", low=0, high=MOST_DELAY)
    latent_shift: float = option(0.0, LATENT_SHIFT, low=0.0, high=10.0)

    def __post_init__(self) -> None:
        check(self)

    def __bool__(self) -> bool:
        """Whether anything is randomized."""
        return bool(self.dynamics_rand or self.action_delay or self.latent_shift)


class Randomization(NamedTuple):
    """The drawn parameters of B dreams."""

    motors: FloatArray  # (B, A, A), from the action that arrives to what it does
    delay: FloatArray  # (B, D + 1), 1 at the number of steps that actions are late, else 0
    shift: FloatArray  # (B, Z)


class Perceived(NamedTuple):
    """The observations and commands of the policies of B dreams."""

    h: FloatArray  # (B, H)
    c: FloatArray  # (B, C)
    commands: FloatArray  # (B, D + 1, A), the newest first
    first: FloatArray  # (B, 1, 1), 1 until the first command, which stands for those before it


def randomize(
    config: RandomizationConfig, dynamics: Dynamics, dreams: Sequence[tuple[int, int]]
) -> Randomization:
    """Draw the parameters, by the position of a dream alone.

    Args:
        config: what differs.
        dynamics: what is dreamt.
        dreams: (seed, episode) of each of B.
    Raises:
        ConfigError: motors of other dynamics than Duckietown's.
    """
    sizes, card = dynamics.config, dynamics.card.get(ENVIRONMENT, {})
    if config.dynamics_rand and (sizes.action_size != 2 or not is_own(card.get("id"))):
        raise ConfigError("dynamics_rand: expected a world model of Duckietown, whose actions drive wheels")
    motors = np.tile(np.eye(sizes.action_size, dtype=np.float32), (len(dreams), 1, 1))
    delay = np.zeros((len(dreams), config.action_delay + 1), np.float32)
    shift = np.zeros((len(dreams), sizes.z_size), np.float32)
    for row, (seed, episode) in enumerate(dreams):
        if config.dynamics_rand:
            motors[row] = _motors(derive(seed, RANDOM_KEY, episode, MOTORS), config.dynamics_spread, card)
        late = generator(seed, RANDOM_KEY, episode, DELAY).integers(config.action_delay + 1)
        delay[row, late] = 1.0
        if config.latent_shift:
            random = generator(seed, RANDOM_KEY, episode, SHIFT)
            shift[row] = config.latent_shift * random.standard_normal(sizes.z_size, dtype=np.float32)
    return Randomization(motors, delay, shift)


def _motors(seed: int, spread: float, card: Mapping[str, Any]) -> FloatArray:
    """The matrix (2, 2) from commanded to effective throttle and steering; see `physics.wheel_duties`."""
    gain, trim, _, distance = draw_dynamics(seed, spread)
    turn = 0.5 * float(card.get("steering_gain", STEERING_GAIN))
    rows = [
        [gain, trim * distance * turn],
        [trim / (turn * WHEEL_DISTANCE), gain * distance / WHEEL_DISTANCE],
    ]
    return np.array(rows, np.float32)


def begin_perceived(
    dynamics: Dynamics, z: FloatArray, state: RecurrentState, randomization: Randomization
) -> Perceived:
    """The observations at the start of dreams.

    Args:
        dynamics: what is dreamt.
        z: (B, Z), their first latents.
        state: their first state.
        randomization: of the dreams.
    """
    h, c = dynamics.observe(z + randomization.shift, state)
    commands = np.zeros((*randomization.delay.shape, dynamics.config.action_size), np.float32)
    return Perceived(h, c, commands, np.ones((len(z), 1, 1), np.float32))


def arrive(
    xp: Any, action: Any, commands: Any, first: Any, motors: Any, delay: Any
) -> tuple[Any, Any, Any]:
    """Store a command; return the delayed action of the motors.

    Args:
        xp: numpy, or another array library.
        action: (B, A), in [-1, 1].
        commands: see `Perceived`.
        first: likewise.
        motors: see `Randomization`.
        delay: likewise.
    Returns:
        The action (B, A) for the dynamics, and the next `commands` and `first`.
    """
    action = action[:, None]
    commands = xp.concat([action, commands[:, :-1]], 1)
    commands = commands + first * (action - commands)
    late = xp.einsum("bd,bda->ba", delay, commands)
    done = xp.einsum("bij,bj->bi", motors, late)
    return xp.minimum(xp.maximum(done, -1.0), 1.0), commands, 0.0 * first


class RandomizedDreams(Dreams):
    """N dreams side by side, each of another car.

    Args:
        dynamics: what is dreamt.
        initial: where it begins.
        count: N.
        temperature: see `Dreams`.
        config: what differs.
    Raises:
        ConfigError: a temperature that is not more than 0, or motors of other dynamics than Duckietown's.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        initial: InitialZ,
        count: int,
        temperature: float | None,
        config: RandomizationConfig,
    ) -> None:
        super().__init__(dynamics, initial, count, temperature)
        self._config = config
        self._random = randomize(config, dynamics, [(0, 0)] * count)
        self._perceived = begin_perceived(dynamics, self.z, self.state, self._random)

    @property
    def observation(self) -> FloatArray:
        """(N, Z + C + H) [z, c, h], as the policy sees it."""
        seen = RecurrentState(self._perceived.h, self._perceived.c)
        return self.dynamics.features(self.z + self._random.shift, seen)

    def reset(self, seeds: Sequence[int], rows: Sequence[int] | None = None, episode: int = 0) -> None:
        """See `Dreams.reset`."""
        super().reset(seeds, rows, episode)
        chosen = np.arange(self.count) if rows is None else np.asarray(rows, np.intp)
        drawn = randomize(self._config, self.dynamics, [(int(seed), episode) for seed in seeds])
        begun = begin_perceived(self.dynamics, self.z[chosen], self.state.rows(chosen), drawn)
        for arrays, new in ((self._random, drawn), (self._perceived, begun)):
            for array, part in zip(arrays, new, strict=True):
                array[chosen] = part

    def step(self, actions: npt.ArrayLike) -> DreamStep:
        """See `Dreams.step`."""
        action = np.asarray(actions, np.float32)
        h, c, commands, first = self._perceived
        motors, delay, shift = self._random
        done, commands, first = arrive(np, action, commands, first, motors, delay)
        advanced = self.dynamics.advance(self.z + shift, action, RecurrentState(h, c))
        found = super().step(done)
        self._perceived = Perceived(*self.dynamics.observe(self.z + shift, advanced), commands, first)
        return found

    def get_state(self) -> Any:
        """A snapshot of all N dreams; a copy."""
        kept = (tuple(array.copy() for array in part) for part in (self._random, self._perceived))
        return super().get_state(), *kept

    def set_state(self, state: tuple[DreamState, Any, Any]) -> None:  # type: ignore[override]
        """Return to a snapshot of as many dreams."""
        dreams, random, perceived = state
        super().set_state(dreams)
        self._random = Randomization(*(array.copy() for array in random))
        self._perceived = Perceived(*(array.copy() for array in perceived))
