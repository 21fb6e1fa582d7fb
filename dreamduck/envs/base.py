"""What the three worlds have in common, alone and in a batch: episodes, seeds, options, snapshots.

A world is written once, for N cars, as a subclass of `Cars`; `SingleEnv` here and `vector.BatchEnv` make
Gymnasium's environments of it. A batch gives what `gymnasium.vector.SyncVectorEnv` over single
environments gives, only faster."""

from __future__ import annotations

import abc
import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.config import integer
from dreamduck.common.errors import ConfigError, ResetNeeded, SimulatorError
from dreamduck.envs.reset_options import check_options
from dreamduck.recordings.sources import DRIVING, ActionSpace
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.road import first_row

RENDER_MODES = ("human", "rgb_array")
SEEDS = 2**31  # episodes that are given no seed draw one below this

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Info = dict[str, npt.NDArray[Any]]  # a row for each environment that it speaks of


@dataclasses.dataclass(frozen=True)
class WorldState:
    """A snapshot of an environment, never changed: stepping on from it gives exactly the same again.

    Attributes:
        source: the class of the environment that it is of.
        num_envs: how many environments it holds.
    """

    source: str
    num_envs: int
    _values: dict[str, Any] = dataclasses.field(repr=False)


class Cars(abc.ABC):
    """N cars in one world; a subclass says how episodes begin and continue.

    Attributes:
        options: what `reset` takes.
        actions: the action space.
        kept: names of the attributes of the subclass that belong to a snapshot.
    """

    options: ClassVar[tuple[str, ...]] = ("start",)
    kept: ClassVar[tuple[str, ...]] = ()

    closed: bool
    actions: ActionSpace = DRIVING
    _own: ClassVar[tuple[str, ...]]  # names of further attributes that belong to a snapshot
    _count: int  # N

    @abc.abstractmethod
    def _configure(self, settings: dict[str, Any]) -> tuple[spaces.Box, float]:
        """Check the keyword arguments; gives the space of an observation, and steps a second."""

    @abc.abstractmethod
    def _make(self, num_envs: int, threads: int | None) -> None:
        """Make what the world consists of, when `_configure` has passed."""

    @abc.abstractmethod
    def _begin(self, envs: Indices, seeds: Sequence[int], options: dict[str, Any]) -> Info:
        """Begin the episodes of these seeds in these environments; gives their info, a row each."""

    @abc.abstractmethod
    def _advance(self, actions: FloatArray) -> tuple[npt.NDArray[Any], Flags, Info]:
        """Take actions (N, A) as vectors, checked; gives rewards, terminated and info, N rows each."""

    def _truncated(self) -> Flags:
        """Which episodes the last step cut, (N,)."""
        return np.zeros(self._count, np.bool_)

    @abc.abstractmethod
    def _observe(self) -> npt.NDArray[Any]:
        """The observations as they are now, (N, ...), not used again afterwards."""

    @abc.abstractmethod
    def _images(self) -> list[Frames]:
        """What `render` shows of each environment, (H, W, 3) uint8."""

    @abc.abstractmethod
    def about(self) -> dict[str, Any]:
        """The facts that a recording of the first car's episode holds."""

    @property
    def panel_names(self) -> tuple[str, ...]:
        """What `render` shows, from left to right."""
        return ("camera",)

    def _free(self) -> None:  # noqa: B027  (most worlds hold nothing)
        """Free what is held."""

    @abc.abstractmethod
    def _parts(self) -> dict[str, Any]:
        """The objects with `get_state` and `set_state` that the world consists of, by name."""

    def get_state(self) -> WorldState:
        """A snapshot of this moment, from which `set_state` continues exactly as before.

        Raises:
            ResetNeeded: before the first reset.
            SimulatorError: the simulator has no snapshots.
        """
        self._check_begun("get_state")
        values = {name: copy.deepcopy(getattr(self, name)) for name in (*self.kept, *self._own)}
        parts = {name: part.get_state() for name, part in self._parts().items()}
        return WorldState(type(self).__name__, self._count, values | parts)

    def set_state(self, state: WorldState) -> None:
        """Return to a moment, of this environment or of another with the same settings.

        Raises:
            ConfigError: the snapshot is of another world, or of another number of environments.
        """
        self._check_open()
        expected, found = (type(self).__name__, self._count), (state.source, state.num_envs)
        if found != expected:
            raise ConfigError(
                f"state: expected one of {expected[1]} {expected[0]}, got {found[1]} {found[0]}"
            )
        for name, part in self._parts().items():
            part.set_state(state._values[name])
        for name in (*self.kept, *self._own):
            setattr(self, name, copy.deepcopy(state._values[name]))

    def _check_open(self) -> None:
        if self.closed:
            raise SimulatorError("this environment is closed; expected an open one, make another")

    @abc.abstractmethod
    def _check_begun(self, call: str) -> None:
        """Refuse a call before the first reset, or after `close`."""


class SingleEnv(Cars, gymnasium.Env[Any, Any]):
    """A world with one car.

    Args:
        render_mode: None, "rgb_array" (`render` returns an image) or "human" (a window).
        settings: of the world.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # type: ignore[misc]
    _own = ("_running", "_steps", "_last", "_np_random", "_np_random_seed")

    _count = 1

    def __init__(self, *, render_mode: str | None = None, **settings: Any) -> None:
        self.closed = True
        self.observation_space, fps = self._configure(settings)
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ConfigError(f"render_mode: expected None or one of {RENDER_MODES}, got {render_mode!r}")
        if render_mode == "human":
            from dreamduck.window.window import check_display

            check_display()
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": fps}  # type: ignore[misc]
        self.action_space = self.actions.space
        self._running = False
        self.stopped = False  # in mode "human": whether the window was closed, or escape pressed in it
        self._steps = 0
        self._window: Any = None
        self._last: tuple[float, dict[str, Any]] = (0.0, {})  # reward and info, for the window
        self._make(1, threads=1)
        self.closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of this episode, and of those that follow without one.
            options: see the class.
        Raises:
            ConfigError: an unknown option, or a bad seed.
            StartError: a start that cannot be driven from.
        """
        self._check_open()
        checked = check_options(options, self.options)
        if seed is not None:
            seed = integer("seed", seed, 0)
        super().reset(seed=seed)
        self._running = False
        episode = int(self.np_random.integers(SEEDS)) if seed is None else seed
        info = first_row(self._begin(np.zeros(1, np.int64), [episode], checked))
        self._running, self._steps = True, 0
        self._show(0.0, info)
        return self.observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive one step; see the class for what it gives.

        Truncated only by a limit of another environment than Duckietown; other limits are of wrappers.

        Raises:
            ActionError: the action has the wrong shape or is not finite.
            ResetNeeded: before the first reset, or after an episode has ended.
        """
        self._check_open()
        if not self._running:
            when = "the episode has ended" if self._steps else "there is no episode yet"
            raise ResetNeeded(f"expected a reset before step ({when}); call reset")
        rewards, terminated, infos = self._advance(self.actions.encode(_row(action), 1))
        truncated = bool(self._truncated()[0])
        reward, info = float(rewards[0]), first_row(infos)
        self._steps += 1
        self._running = not (terminated[0] or truncated)
        self._show(reward, info)
        return self.observation, reward, bool(terminated[0]), truncated, info

    @abc.abstractmethod
    def frame(self) -> Frames:
        """What the camera sees now, or what is dreamt, (64, 64, 3) uint8."""

    @property
    def observation(self) -> npt.NDArray[Any]:
        """The observation as it is now."""
        found: npt.NDArray[Any] = self._observe()[0]
        return found

    def render(self) -> Any:
        """The image in mode "rgb_array", (H, W, 3) uint8; in mode "human" the window shows it already."""
        self._check_open()
        if self.render_mode is None:
            raise ConfigError("render: expected render_mode='rgb_array' or 'human' when the world is made")
        self._check_begun("render")
        return self._images()[0] if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""
        if not self.closed:
            self.closed = True
            if self._window is not None:
                self._window.close()
            self._free()

    def _show(self, reward: float, info: dict[str, Any]) -> None:
        """Bring the window up to date, in mode "human"."""
        self._last = (reward, info)
        if self.render_mode != "human":
            return
        from dreamduck.window.window import Window, status

        if self._window is None:
            self._window = Window(type(self).__name__)
        lines = status(reward, info, self._steps)
        keys = self._window.show(self._images()[0], lines, self.metadata["render_fps"])
        self.stopped = self.stopped or keys.closed or "ESCAPE" in keys.pressed

    def _check_begun(self, call: str) -> None:
        self._check_open()
        if not self._last[1]:
            raise ResetNeeded(f"expected a reset before {call}; call reset")


def stopped(env: Any) -> bool:
    """Whether the window was closed, or escape pressed in it.

    Args:
        env: of Gymnasium or legacy gym, wrapped or not; others than ours are never stopped.
    """
    inner = getattr(env, "unwrapped", env)
    return bool(getattr(getattr(inner, "world", inner), "stopped", False))


def _row(action: Any) -> npt.ArrayLike:
    """An action as the only row of a batch."""
    return action[np.newaxis] if isinstance(action, np.ndarray) else [action]
