"""A film of the training now and then: `--save_video_interval`, `--save_video_length`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.video import write_video
from dreamduck.rl.play import picture, rate
from dreamduck.rl.sb3 import VecEnv, VecEnvWrapper


class FilmNowAndThen(VecEnvWrapper):
    """Films the first environment every `interval` of its steps, for `length` steps.

    Args:
        venv: made with render_mode "rgb_array".
    """

    def __init__(self, venv: VecEnv, interval: int, length: int) -> None:
        super().__init__(venv)
        self.interval, self.length = interval, length
        self.folder: Path | None = None
        self.step_count = 0  # of this environment; a resumed run sets it
        self._begun = 0
        self._frames: list[npt.NDArray[np.uint8]] = []

    def reset(self) -> Any:
        """Begin everywhere."""
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, npt.NDArray[np.float32], npt.NDArray[np.bool_], list[dict[str, Any]]]:
        """Step everywhere, and keep a frame while a film is being made."""
        if self.folder is not None and (self._frames or self.step_count % self.interval == 0):
            if not self._frames:
                self._begun = self.step_count
            self._frames.append(picture(self.venv, "--save_video_interval"))
            if len(self._frames) == self.length:
                self._write(self.folder)
        self.step_count += 1
        return self.venv.step_wait()

    def _write(self, folder: Path) -> None:
        write_video(folder / f"vid-{self._begun}.mp4", self._frames, rate(self.venv))
        self._frames = []

    def close(self) -> None:
        """Write the film that is being made, and close the environments."""
        if self.folder is not None and self._frames:
            self._write(self.folder)
        super().close()
