"""What the three worlds have in common: episodes, seeds, options, pictures."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.config import integer
from dreamduck.common.errors import ConfigError, ResetNeeded, SimulatorError, StartError
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.road import check_actions

RENDER_MODES = ("human", "rgb_array")
PICTURE_WIDTH, PICTURE_HEIGHT = 640, 480  # of `render` [pixels]
SEEDS = 2**31  # episodes that are given no seed draw one below this


class World(gymnasium.Env[Any, Any], abc.ABC):
    """A world with one car; a subclass says how an episode begins and goes on.

    Args:
        render_mode: None, "rgb_array" (`render` returns a picture) or "human" (a window).
        fps: steps of the world a second, for films and the window.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 10}  # type: ignore[misc]
    options: ClassVar[tuple[str, ...]] = ("start",)  # what `reset` takes

    def __init__(self, render_mode: str | None, fps: float) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ConfigError(f"render_mode: expected None or one of {RENDER_MODES}, got {render_mode!r}")
        if render_mode == "human":
            from dreamduck.window.window import check_display

            check_display()
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": fps}  # type: ignore[misc]
        self.action_space = spaces.Box(-1.0, 1.0, (2,), dtype=np.float32)
        self._running = self._closed = False
        self.stopped = False  # in mode "human": whether the window was closed, or escape pressed in it
        self._steps = 0
        self._window: Any = None
        self._last: tuple[float, dict[str, Any]] = (0.0, {})  # reward and info, for the window

    @abc.abstractmethod
    def _begin(self, seed: int, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Begin the episode of this seed; gives the observation and info."""

    @abc.abstractmethod
    def _advance(self, action: FloatArray) -> tuple[Any, float, bool, dict[str, Any]]:
        """Take an action (2,), checked; gives observation, reward, terminated, info."""

    @abc.abstractmethod
    def _picture(self) -> Frames:
        """What `render` shows, (H, W, 3) uint8."""

    @abc.abstractmethod
    def _free(self) -> None:
        """Free what is held."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of this episode, and of those that follow without one.
            options: see the class.
        Raises:
            ConfigError: an unknown option, or a bad seed. StartError: a start that cannot be driven from.
        """
        self._check_open()
        checked = check_options(options, self.options)
        if seed is not None:
            seed = integer("seed", seed, 0)
        super().reset(seed=seed)
        self._running = False
        episode = int(self.np_random.integers(SEEDS)) if seed is None else seed
        observation, info = self._begin(episode, checked)
        self._running, self._steps = True, 0
        self._show(0.0, info)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Drive one step; see the class for what it gives. Never truncated: that is a wrapper's to say.

        Raises:
            ActionError: the action has the wrong shape or is not finite.
            ResetNeeded: before the first reset, or after an episode has ended.
        """
        self._check_running()
        observation, reward, terminated, info = self._advance(one_action(action))
        self._steps += 1
        self._running = not terminated
        self._show(reward, info)
        return observation, reward, terminated, False, info

    def render(self) -> Any:
        """The picture in mode "rgb_array", (H, W, 3) uint8; in mode "human" the window shows it already."""
        self._check_open()
        if self.render_mode is None:
            raise ConfigError("render: expected render_mode='rgb_array' or 'human' when the world is made")
        if not self._last[1]:
            raise ResetNeeded("expected a reset before render; call reset")
        if self.render_mode == "rgb_array":
            return self._picture()
        return None

    def close(self) -> None:
        """Free everything; calling it twice is harmless."""
        if not self._closed:
            self._closed = True
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
        keys = self._window.show(self._picture(), lines, self.metadata["render_fps"])
        self.stopped = self.stopped or keys.closed or "ESCAPE" in keys.pressed

    def _check_open(self) -> None:
        if self._closed:
            raise SimulatorError("this world is closed; expected an open one, make another")

    def _check_running(self) -> None:
        self._check_open()
        if not self._running:
            when = "the episode has ended" if self._steps else "there is no episode yet"
            raise ResetNeeded(f"expected a reset before step ({when}); call reset")


def stopped(env: Any) -> bool:
    """Whether the person who watches has closed the window, or pressed escape in it.

    Args:
        env: of Gymnasium or legacy gym, wrapped or not; others than ours are never stopped.
    """
    inner = getattr(env, "unwrapped", env)
    return bool(getattr(getattr(inner, "world", inner), "stopped", False))


def one_action(action: Any) -> FloatArray:
    """A single action as (2,) float64, clipped to [-1, 1].

    Raises:
        ActionError: the shape is wrong or a number is not finite.
    """
    shape = np.shape(action) if isinstance(action, np.ndarray) else None
    rows: npt.ArrayLike = action[np.newaxis] if shape is not None else [action]
    return check_actions(rows, 1)[0]


def check_options(options: dict[str, Any] | None, known: Sequence[str]) -> dict[str, Any]:
    """The options of a reset, with "start" as (3,) float64.

    Raises:
        ConfigError: an unknown key. StartError: a start that is not three finite numbers.
    """
    checked = dict(options or {})
    unknown = sorted(set(checked) - set(known))
    if unknown:
        raise ConfigError(
            f"options: expected {', '.join(known) or 'none'}, got {', '.join(map(repr, unknown))}"
        )
    if checked.get("start") is not None:
        checked["start"] = check_start(checked["start"])
    return checked


def check_start(start: Any, rows: int | None = None) -> FloatArray:
    """A start pose as (3,) float64, or as (rows, 3) where rows are allowed.

    Raises:
        StartError: another shape, or a number that is not finite.
    """
    shapes = [(3,)] if rows is None else [(3,), (rows, 3)]
    expected = "three finite numbers (x [m], z [m], heading [rad])"
    if rows is not None:
        expected += f", or {rows} rows of them"
    try:
        array = np.asarray(start, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise StartError(f"start: expected {expected}, got {start!r}") from err
    if array.shape not in shapes or not np.isfinite(array).all():
        raise StartError(f"start: expected {expected}, got {start!r}")
    return array if rows is None else np.broadcast_to(array, (rows, 3))
