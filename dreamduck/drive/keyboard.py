"""Driving a world by keyboard; what `env.py`, `realenv.py` and `rnnenv.py` do as scripts.

Flow: envs, window -> [keyboard]."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.drive.window import Window, status
from dreamduck.storage import replacing

log = logging.getLogger(__name__)

CRUISE, FULL = 0.5, 1.0  # throttle of the up key, alone and with shift
TURN, FULL_TURN = 0.6, 1.0  # steering likewise
EPILOG = """keys:
  arrows     drive; down brakes and reverses
  shift      held with them: a boost
  backspace  a new episode
  return     save the picture
  escape     quit (or close the window)"""


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that driving adds to a world's own."""
    parser.add_argument("--seed", type=int, default=None, help="of the first episode (default: any)")
    parser.add_argument(
        "--pictures",
        type=Path,
        default=Path("pictures"),
        help="folder for saved pictures (default: pictures)",
    )
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps (default: 0, never)")


def key_action(held: Collection[str]) -> npt.NDArray[np.float32]:
    """[throttle, steering] for the keys that are held; steering is positive to the left."""
    boost = "LSHIFT" in held or "RSHIFT" in held
    throttle = ("UP" in held) - ("DOWN" in held)
    steering = ("LEFT" in held) - ("RIGHT" in held)
    return np.array(
        [throttle * (FULL if boost else CRUISE), steering * (FULL_TURN if boost else TURN)],
        dtype=np.float32,
    )


def drive(world: gymnasium.Env[Any, Any], arguments: argparse.Namespace) -> None:
    """Show a world in a window and drive it with the arrow keys until escape is pressed.

    Args:
        world: made with render_mode="rgb_array"; it is closed at the end.
        arguments: what `add_drive_arguments` parsed.
    Raises:
        DisplayError: there is no display.
    """
    try:
        window = Window(type(world.unwrapped).__name__)
        try:
            _Drive(world, window, arguments.pictures).run(arguments.seed, arguments.steps)
        finally:
            window.close()
    finally:
        world.close()


class _Drive:
    """One session at the keyboard."""

    def __init__(self, world: gymnasium.Env[Any, Any], window: Window, pictures: Path) -> None:
        self.world, self.window, self.pictures = world, window, pictures
        self.fps = float(world.metadata["render_fps"])
        self.steps, self.total, self.reward = 0, 0.0, 0.0
        self.info: dict[str, Any] = {}

    def begin(self, seed: int | None) -> None:
        """A new episode."""
        _, self.info = self.world.reset(seed=seed)
        self.steps, self.total, self.reward = 0, 0.0, 0.0

    def run(self, seed: int | None, limit: int) -> None:
        """Until escape, or so many steps."""
        self.begin(seed)
        driven, over = 0, False
        while not limit or driven < limit:
            frame: Any = self.world.render()
            keys = self.window.show(frame, status(self.reward, self.info, self.steps, self.total), self.fps)
            if keys.closed or "ESCAPE" in keys.pressed:
                return
            if "RETURN" in keys.pressed or "ENTER" in keys.pressed:
                self.save(frame)
            if over or "BACKSPACE" in keys.pressed:
                self.begin(None)
                over = False
                continue
            over = self.step(key_action({*keys.held, *keys.pressed}))  # a short tap counts too
            driven += 1

    def step(self, action: npt.NDArray[np.float32]) -> bool:
        """One step; tells whether the episode is over."""
        _, reward, terminated, truncated, self.info = self.world.step(action)
        self.reward = float(reward)
        self.steps, self.total = self.steps + 1, self.total + self.reward
        if terminated or truncated:
            log.info(
                "%d steps, sum of rewards %.2f, ended: %s",
                self.steps,
                self.total,
                self.info.get("end") or "by the world",
            )
        return terminated or truncated

    def save(self, frame: npt.NDArray[np.uint8]) -> None:
        """Save a picture under the first free number."""
        number = 1
        while (path := self.pictures / f"dreamduck-{number:03d}.png").exists():
            number += 1
        with replacing(path) as temporary:
            Image.fromarray(frame).save(temporary)
        log.info("saved %s", path)
