"""`--play` and videos: watch an agent in a window or in a file, and record a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, DreamDuckError
from dreamduck.common.video import write_video
from dreamduck.envs.base import stopped
from dreamduck.rl.environments.env_factory import first_line
from dreamduck.rl.sb3 import BaseAlgorithm, VecEnv, VecEnvWrapper

DEFAULT_RATE = 30.0  # [frames/s], where the environment has none


def has_display() -> bool:
    """Whether a window can open; outside Linux there always is a display."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def play(
    model: BaseAlgorithm,
    venv: VecEnv,
    episodes: int,
    steps: int,
    report: Callable[[str], None],
    video: Path | None = None,
) -> int:
    """Run the agent in the first environment; Escape or closing the window stops it.

    Args:
        model: the agent.
        venv: the environments, made with a render mode.
        episodes: how many; 0: until it is stopped, or one in a video.
        steps: of all episodes together, at most; 0: no limit.
        report: gets a line after each episode, as 2019 printed it.
        video: file to write; None opens the environment's window.
    Returns:
        The number of steps.
    Raises:
        ConfigError: the environment cannot be rendered.
        VideoError: the video cannot be written.
    """
    if video is None:
        return sum(1 for _ in _steps(model, venv, episodes, steps, report))
    frames = (render_frame(venv) for _ in _steps(model, venv, episodes or 1, steps, report))
    played = write_video(video, frames, frame_rate(venv))
    report(f"wrote {video}")
    return played


def _steps(
    model: BaseAlgorithm, venv: VecEnv, episodes: int, most_steps: int, report: Callable[[str], None]
) -> Iterator[npt.NDArray[Any]]:
    """Yield each observation, after the window has shown it."""
    observations: Any = venv.reset()
    state, starts = None, np.ones(venv.num_envs, dtype=np.bool_)
    played, steps, total = 0, 0, 0
    reward = 0.0
    while (not episodes or played < episodes) and (not most_steps or total < most_steps):
        if venv.render_mode == "human":
            _show(venv)
            if _stopped(venv):
                report(f"stopped after {total} steps")
                return
        yield observations
        actions, state = model.predict(observations, state=state, episode_start=starts, deterministic=True)
        observations, rewards, starts, infos = venv.step(actions)
        reward, steps, total = reward + float(rewards[0]), steps + 1, total + 1
        if starts[0]:
            earned = infos[0].get("episode", {}).get("r", reward)  # before any scaling
            report(f"episode_rew={earned:g} episode_len={steps}")
            played, steps, reward = played + 1, 0, 0.0


def _show(venv: VecEnv) -> None:
    try:
        venv.env_method("render")
    except DreamDuckError:
        raise
    except Exception as err:  # anything, from a foreign environment
        raise _render_error(err) from err


def _stopped(venv: VecEnv) -> bool:
    """Whether Escape was pressed, or the window closed."""
    if any(stopped(env) for env in getattr(venv.unwrapped, "envs", ())):
        return True
    pygame = sys.modules.get("pygame")  # Gymnasium's own windows; they do not read these events
    if pygame is None or not pygame.display.get_init():
        return False
    events = pygame.event.get((pygame.QUIT, pygame.KEYDOWN))
    return any(event.type == pygame.QUIT or event.key == pygame.K_ESCAPE for event in events)


def render_frame(venv: VecEnv, flag: str = "--play") -> npt.NDArray[np.uint8]:
    """The first environment's image, (H, W, 3) uint8.

    Args:
        venv: the environments.
        flag: the flag that asked for it.
    Raises:
        ConfigError: it has no images.
    """
    try:
        frame = venv.get_images()[0]
    except DreamDuckError:
        raise
    except Exception as err:
        raise _render_error(err, flag) from err
    if frame is None:
        raise ConfigError(f"{flag}: this environment has no images (render_mode rgb_array)")
    return np.asarray(frame, dtype=np.uint8)


def _render_error(err: Exception, flag: str = "--play") -> ConfigError:
    return ConfigError(f"{flag}: this environment cannot be rendered ({first_line(err)})")


def frame_rate(venv: VecEnv) -> float:
    """The environment's frame rate [frames/s]."""
    metadata = venv.get_attr("metadata")[0]
    return float((metadata or {}).get("render_fps") or DEFAULT_RATE)


class VideoRecorder(VecEnvWrapper):
    """Records the first environment: `--save_video_interval`, `--save_video_length`.

    Args:
        venv: made with render_mode "rgb_array".
        interval: between the starts of two videos [steps].
        length: of a video [steps].
    """

    def __init__(self, venv: VecEnv, interval: int, length: int) -> None:
        super().__init__(venv)
        self.interval, self.length = interval, length
        self.folder: Path | None = None
        self.step_count = 0  # of this environment; a resumed run sets it
        self._first_step = 0
        self._frames: list[npt.NDArray[np.uint8]] = []

    def reset(self) -> Any:
        """Reset all environments."""
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all environments, and keep a frame while a video is recorded."""
        if self.folder is not None and (self._frames or self.step_count % self.interval == 0):
            if not self._frames:
                self._first_step = self.step_count
            self._frames.append(render_frame(self.venv, "--save_video_interval"))
            if len(self._frames) == self.length:
                self._write(self.folder)
        self.step_count += 1
        return self.venv.step_wait()

    def _write(self, folder: Path) -> None:
        write_video(folder / f"vid-{self._first_step}.mp4", self._frames, frame_rate(self.venv))
        self._frames = []

    def close(self) -> None:
        """Write the video that is being recorded, and close the environments."""
        if self.folder is not None and self._frames:
            self._write(self.folder)
        super().close()
