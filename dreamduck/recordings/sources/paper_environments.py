"""The environments of WorldModelsExperiments as its code of 2018 saw them, on today's packages.

Importing this registers `CarRacing2018-v0` and `DoomTakeCover2018-v0`. Frames are what the published VAEs
were trained on, and actions are what the published controllers give. Source: Ha & Schmidhuber 2018;
WorldModelsExperiments, `carracing/env.py` and `doomrnn/doomreal.py`."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from PIL import Image

from dreamduck.recordings.sources.images import SIDE

CAR_RACING, TAKE_COVER = "CarRacing2018-v0", "DoomTakeCover2018-v0"
CAR_ROWS = 84 / 96  # of an image that are seen; below them are the instruments
DOOM_ROWS = 400 / 480
LONGEST = 2100  # steps of an episode of Doom, each of 1/35 s
THRESHOLD = 0.3333  # of an action; between -it and it nothing is pressed

Frame = npt.NDArray[np.uint8]


def frame_of_2018(image: Frame, rows: float) -> Frame:
    """An image as the code of 2018 made it smaller.

    `scipy.misc.imresize` spread the values of floats over 0 to 255, and one minus the result, times 255,
    left the range of a byte: each value is one less, and 0 is 255.

    Args:
        image: (H, W, 3).
        rows: which part of the rows is kept, from the top.
    Returns:
        (64, 64, 3).
    """
    kept = image[: round(len(image) * rows)].astype(np.float64)
    low, high = kept.min(), kept.max()
    spread = (kept - low) * (255.0 / ((high - low) or 1.0))
    seen = Image.fromarray((spread + 0.5).astype(np.uint8))
    small = np.asarray(seen.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return small - np.uint8(1)


class FramesOf2018(gymnasium.ObservationWrapper[Frame, Any, Any]):
    """Observations as frames, see `frame_of_2018`.

    Args:
        env: its observations are images, or a dictionary with one under "screen".
        rows: see `frame_of_2018`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], rows: float) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        self._rows = rows

    def observation(self, observation: Any) -> Frame:
        """The frame of an observation."""
        image = observation["screen"] if isinstance(observation, dict) else observation
        return frame_of_2018(image, self._rows)


class CarActionsOf2018(gymnasium.ActionWrapper[Any, Any, Any]):
    """Steering, gas and brake in [-1, 1]; no brake below 0."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def action(self, action: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The environment's action."""
        steering, gas, brake = action
        return np.array([steering, (gas + 1) / 2, max(brake, 0.0)], np.float32)


class DoomActionsOf2018(gymnasium.ActionWrapper[Any, Any, Any]):
    """One number in [-1, 1]: a move to the left, none, a move to the right."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def action(self, action: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
        """The buttons MOVE_LEFT and MOVE_RIGHT."""
        return np.array([action[0] < -THRESHOLD, action[0] > THRESHOLD], np.int8)


def make_car_racing(**settings: Any) -> gymnasium.Env[Any, Any]:
    """The car race; a lap ends it where every tile was visited, as in 2018.

    Args:
        settings: further arguments of `CarRacing-v3`.
    """
    env = gymnasium.make("CarRacing-v3", **{"lap_complete_percent": 1.0, **settings})
    return CarActionsOf2018(FramesOf2018(env, CAR_ROWS))


def make_take_cover(**settings: Any) -> gymnasium.Env[Any, Any]:
    """Doom's Take Cover, a step of 1/35 s, cut after 2,100 steps.

    Args:
        settings: further arguments of `VizdoomTakeCover-v1`.
    """
    importlib.import_module("vizdoom.gymnasium_wrapper")  # registers it
    given = {
        "max_buttons_pressed": 0,
        "screen_resolution": "RES_640X480",
        "episode_timeout": LONGEST,
        **settings,
    }
    env = gymnasium.make("VizdoomTakeCover-v1", **given)
    return DoomActionsOf2018(FramesOf2018(env, DOOM_ROWS))


gymnasium.register(CAR_RACING, f"{__name__}:make_car_racing", max_episode_steps=1000)
gymnasium.register(TAKE_COVER, f"{__name__}:make_take_cover", max_episode_steps=LONGEST)
