"""Watch an agent: in a window, or in a film where there is no display."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, DreamDuckError
from dreamduck.envs.base import stopped
from dreamduck.rl.sb3 import BaseAlgorithm, VecEnv

USUAL_RATE = 30.0  # frames a second, where the world does not say


def has_display() -> bool:
    """Whether a window can open; outside Linux there always is a display."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def play(
    model: BaseAlgorithm,
    venv: VecEnv,
    episodes: int,
    steps: int,
    tell: Callable[[str], None],
    film: Path | None = None,
) -> int:
    """Let the agent drive the first environment, until it is told to stop: Escape, or the window's closing.

    Args:
        episodes: how many; 0 goes on until it is stopped, or ends a film after one.
        steps: of all episodes together, at most; 0 for no limit.
        tell: gets a line after each episode, as 2019 printed it.
        film: file to write; None shows what the world shows.
    Returns:
        Steps played.
    Raises:
        ConfigError: the world cannot be shown. VideoError: the film cannot be written.
    """
    if film is None:
        return sum(1 for _ in _drive(model, venv, episodes, steps, tell))
    from dreamduck.common.video import write_video

    frames = (picture(venv) for _ in _drive(model, venv, episodes or 1, steps, tell))
    played = write_video(film, frames, rate(venv))
    tell(f"wrote {film}")
    return played


def _drive(
    model: BaseAlgorithm, venv: VecEnv, episodes: int, most: int, tell: Callable[[str], None]
) -> Iterator[npt.NDArray[Any]]:
    """Yield each observation of the first environment, once it is on the screen."""
    observations: Any = venv.reset()
    state, starts = None, np.ones(venv.num_envs, dtype=np.bool_)
    played, steps, total = 0, 0, 0
    reward = 0.0
    while (not episodes or played < episodes) and (not most or total < most):
        if venv.render_mode == "human":
            _shown(venv)
            if _left(venv):
                tell(f"stopped after {total} steps")
                return
        yield observations
        actions, state = model.predict(observations, state=state, episode_start=starts, deterministic=True)
        observations, rewards, starts, infos = venv.step(actions)
        reward, steps, total = reward + float(rewards[0]), steps + 1, total + 1
        if starts[0]:
            earned = infos[0].get("episode", {}).get("r", reward)  # before any scaling
            tell(f"episode_rew={earned:g} episode_len={steps}")
            played, steps, reward = played + 1, 0, 0.0


def _shown(venv: VecEnv) -> None:
    try:
        venv.env_method("render")
    except DreamDuckError:
        raise
    except Exception as err:  # whatever a foreign world's window raises
        raise _unseen(err) from err


def _left(venv: VecEnv) -> bool:
    """Whether the person who watches pressed escape, or closed the window."""
    if any(stopped(env) for env in getattr(venv.unwrapped, "envs", ())):
        return True
    pygame = sys.modules.get("pygame")  # Gymnasium's own windows; they leave these events to others
    if pygame is None or not pygame.display.get_init():
        return False
    events = pygame.event.get((pygame.QUIT, pygame.KEYDOWN))
    return any(event.type == pygame.QUIT or event.key == pygame.K_ESCAPE for event in events)


def picture(venv: VecEnv, flag: str = "--play") -> npt.NDArray[np.uint8]:
    """What the first environment looks like now, (H, W, 3) uint8.

    Args:
        flag: what asked for it.
    Raises:
        ConfigError: it has no pictures.
    """
    try:
        frame = venv.get_images()[0]
    except DreamDuckError:
        raise
    except Exception as err:
        raise _unseen(err, flag) from err
    if frame is None:
        raise ConfigError(f"{flag}: this environment has no images (render_mode rgb_array)")
    return np.asarray(frame, dtype=np.uint8)


def _unseen(err: Exception, flag: str = "--play") -> ConfigError:
    line = (str(err).splitlines() or [type(err).__name__])[0]
    return ConfigError(f"{flag}: this environment cannot be rendered ({line})")


def rate(venv: VecEnv) -> float:
    """Frames a second at which the world is to be shown."""
    metadata = venv.get_attr("metadata")[0]
    return float((metadata or {}).get("render_fps") or USUAL_RATE)
