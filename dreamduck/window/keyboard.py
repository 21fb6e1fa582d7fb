"""Driving an environment by keyboard or gamepad: `env.py`, `realenv.py` and `rnnenv.py` as scripts."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.common import command_line
from dreamduck.common.config import add_arguments, from_arguments, to_dict
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import replacing
from dreamduck.controllers.factory import add_strict
from dreamduck.recordings.live import EpisodeLog, VideoWriter
from dreamduck.recordings.sources import DRIVING, ActionSpace
from dreamduck.window.policy_switch import CONTROLLER, EXPERT, PERSON, Action, PolicySwitch
from dreamduck.window.window import Keys, Window, compose, status

log = logging.getLogger(__name__)

END_PAUSE = 2.0  # [s] for which an episode's end is seen, where no person drives
FIRST_KEY, NEXT_KEY = "a key begins", "a key begins the next episode"
CRUISE, FULL = 0.5, 1.0  # throttle of the up key, alone and with shift
TURN, FULL_TURN = 0.6, 1.0  # steering likewise
POLICIES = {"_1": PERSON, "_2": CONTROLLER, "_3": EXPERT}
POLICIES |= {f"NUM{key}": policy for key, policy in POLICIES.items()}
ENDS = {
    "off-road": "off the road",
    "collision": "a collision",
    "dream-end": "the dream ends here: a crash is predicted",
}
EPILOG = """keys:
  arrows     drive; down brakes and reverses
  shift      held with them: a boost
  1, 2, 3    the policy: the person, the controller, the expert (on the road)
  backspace  a new episode
  return     save the image
  escape     quit (or close the window)
A gamepad's left stick drives too."""


def add_drive_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that driving adds to an environment's own."""
    parser.add_argument("--seed", type=int, default=None, help="seed of the first episode (default: any)")
    parser.add_argument(
        "--images",
        "--pictures",
        type=Path,
        default=Path("images"),
        help="folder for saved images (default: images)",
    )
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps (default: 0, never)")
    parser.add_argument(
        "--policy",
        "--driver",
        choices=(PERSON, CONTROLLER, EXPERT),
        default=PERSON,
        help="which policy begins (default: person)",
    )
    parser.add_argument(
        "--controller", default="", help="controller file (default: the best of the largest run in ./log)"
    )
    add_strict(parser)
    parser.add_argument(
        "--record",
        type=Path,
        nargs="?",
        const=Path("records"),
        metavar="FOLDER",
        help="save every episode for training (default folder: records)",
    )
    parser.add_argument(
        "--video", type=Path, metavar="FILE", help="write what the window shows, .mp4 or .gif"
    )


def key_action(held: Collection[str]) -> Action:
    """[throttle, steering] for the keys that are held; steering is positive to the left."""
    boost = "LSHIFT" in held or "RSHIFT" in held
    throttle = ("UP" in held) - ("DOWN" in held)
    steering = ("LEFT" in held) - ("RIGHT" in held)
    return np.array(
        [throttle * (FULL if boost else CRUISE), steering * (FULL_TURN if boost else TURN)],
        dtype=np.float32,
    )


def person_action(keys: Keys) -> Action:
    """[throttle, steering] of the person: the gamepad's if its stick is moved, else the keys'."""
    if keys.stick != (0.0, 0.0):
        right, up = keys.stick
        return np.array([up, -right], np.float32)
    return key_action({*keys.held, *keys.pressed})  # a short tap counts too


def run(
    description: str, config: type[Any], env: type[Any], argv: Sequence[str] | None, weights: bool = False
) -> None:
    """The command line that drives an environment by keyboard.

    Args:
        description: of the command.
        config: the environment's settings.
        env: the environment's class.
        argv: the arguments; those of the process where it is None.
        weights: whether to add a flag for the world model that the controller drives with.
    """
    parser = command_line.parser(description, EPILOG)
    add_arguments(parser, config, skip=("camera_width", "camera_height"))  # recordings have 64 x 64
    add_drive_arguments(parser)
    if weights:
        parser.add_argument(
            "--weights", "-w", default="", help="world model that the controller drives with"
        )
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    drive(env(render_mode="rgb_array", **to_dict(from_arguments(config, arguments))), arguments)


def drive(world: gymnasium.Env[Any, Any], arguments: argparse.Namespace) -> None:
    """Show an environment in a window and drive it until escape is pressed.

    Args:
        world: made with render_mode="rgb_array"; it is closed at the end.
        arguments: what `add_drive_arguments` parsed, and `weights` where the script has them.
    Raises:
        DisplayError: there is no display.
        ConfigError: the environment does not have the policy that was named.
        ControllerError: what was named cannot be used.
        WeightsError: likewise.
        VideoError: the encoder failed.
    """
    with contextlib.ExitStack() as ending:
        ending.callback(world.close)
        actions = getattr(world.unwrapped, "actions", None)
        if isinstance(actions, ActionSpace) and actions != DRIVING:
            raise ConfigError(
                "weights: expected some of Duckietown, whose throttle and steering the keys give, got "
                "some of another environment; dreamduck drive shows its dream"
            )
        session = _Drive(world, arguments)
        if arguments.video:
            session.video = ending.enter_context(VideoWriter(arguments.video, session.fps))
        window = Window(type(world.unwrapped).__name__)
        ending.callback(window.close)
        ending.callback(session.end)
        session.run(window, arguments.seed, arguments.steps)


class _Drive:
    """One session at the keyboard."""

    def __init__(self, world: gymnasium.Env[Any, Any], arguments: argparse.Namespace) -> None:
        self.world, self.images = world, arguments.images
        self.switch = PolicySwitch(
            world, arguments.controller, getattr(arguments, "weights", ""), arguments.strict
        )
        self.first_policy = arguments.policy
        self.log = EpisodeLog(arguments.record, world) if arguments.record else None
        self.video: VideoWriter | None = None
        self.fps = float(world.metadata["render_fps"])
        self.names: tuple[str, ...] = getattr(world.unwrapped, "panel_names", ())
        self.steps, self.total, self.reward = 0, 0.0, 0.0
        self.observation: Any = None
        self.info: dict[str, Any] = {}
        self.note = ""

    def begin(self, seed: int | None) -> None:
        """A new episode."""
        self.end()
        self.observation, self.info = self.world.reset(seed=seed)
        self.steps, self.total, self.reward = 0, 0.0, 0.0
        self.switch.begin()

    def end(self) -> None:
        """The episode is over, or is left: save it, if it is to be saved."""
        if self.log is not None:
            self.log.close()

    def run(self, window: Window, seed: int | None, limit: int) -> None:
        """Until escape, or so many steps."""
        self.begin(seed)
        self.switch.choose(self.first_policy)
        if not limit and self.switch.policy == PERSON and not self.wait(window, FIRST_KEY):
            return
        driven, over = 0, False
        while not limit or driven < limit:
            frame: Any = self.world.render()
            lines = self.lines()
            keys = window.show(frame, lines, self.fps, self.names)
            if self.video is not None:
                self.video.add(compose(frame, lines, names=self.names))
            if keys.closed or "ESCAPE" in keys.pressed:
                return
            self.press(keys, frame)
            if over or "BACKSPACE" in keys.pressed:
                if over and not limit and not self.wait(window, f"{self.why()}: {NEXT_KEY}"):
                    return
                self.begin(None)
                over = False
                continue
            over = self.step(self.switch.action(person_action(keys), self.observation))
            driven += 1

    def why(self) -> str:
        """Why the episode ended."""
        return ENDS.get(str(self.info.get("end", "")), "the time is over")

    def wait(self, window: Window, text: str) -> bool:
        """Show this moment until a key is pressed or, where no person drives, for a while.

        Returns:
            Whether to continue; not if the window was closed.
        """
        frame: Any = self.world.render()
        until = time.monotonic() + END_PAUSE
        self.note = text
        while self.switch.policy == PERSON or time.monotonic() < until:
            keys = window.show(frame, self.lines(), self.fps, self.names)
            if keys.closed or "ESCAPE" in keys.pressed:
                return False
            if keys.pressed or keys.stick != (0.0, 0.0):
                self.note = ""
                self.press(keys, frame)
                return True
        self.note = ""
        return True

    def lines(self) -> list[str]:
        """The text below the image."""
        first, second = status(self.reward, self.info, self.steps, self.total)
        # What to do comes first: a line that is too long is cut.
        parts = [self.note, second] if self.note else [second, f"policy: {self.switch.policy}"]
        return [first, "   ".join(part for part in (*parts, "records" if self.log else "") if part)]

    def press(self, keys: Keys, frame: npt.NDArray[np.uint8]) -> None:
        """Execute the keys that do not drive."""
        if "RETURN" in keys.pressed or "ENTER" in keys.pressed:
            try:
                self.save(frame)
            except OSError as err:  # a full disk ends no episode
                self.note = f"the image was not saved: {err}"
                log.warning("%s", self.note)
        for key in keys.pressed:
            if key in POLICIES:
                try:
                    self.switch.choose(POLICIES[key])
                    self.note = ""
                except ConfigError as err:
                    self.note = str(err)
                    log.warning("%s", err)

    def step(self, action: Action) -> bool:
        """Take one step; returns whether the episode is over."""
        world: Any = self.world
        seen = world.frame() if self.log else None
        self.observation, reward, terminated, truncated, self.info = world.step(action)
        self.switch.acted(action)
        self.reward = float(reward)
        self.steps, self.total = self.steps + 1, self.total + self.reward
        if self.log is not None and seen is not None:
            self.log.add(seen, action, self.reward, terminated, str(self.info.get("end", "")))
        if terminated or truncated:
            log.info(
                "%d steps, sum of rewards %.2f, ended: %s",
                self.steps,
                self.total,
                self.info.get("end") or "time",
            )
        return terminated or truncated

    def save(self, frame: npt.NDArray[np.uint8]) -> None:
        """Save an image under the first free number."""
        number = 1
        while (path := self.images / f"dreamduck-{number:03d}.png").exists():
            number += 1
        with replacing(path) as temporary:
            Image.fromarray(frame).save(temporary)
        log.info("saved %s", path)
