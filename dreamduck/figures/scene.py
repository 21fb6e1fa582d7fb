"""One episode and its dream: the image of each panel at each step."""

from __future__ import annotations

import functools

import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.figures.config import DREAMT, ERROR, MAP, RECONSTRUCTED, TRUE
from dreamduck.figures.real_drive import RealDrive, enlarge
from dreamduck.simulator.base import Frames
from dreamduck.world_model.dynamics import FloatArray

BRIGHTER = 2  # differences are shown so many times as large


def dream_after(dreams: Dreams, z: FloatArray, actions: FloatArray, warmup: int, seed: int) -> FloatArray:
    """The latents of a drive: as they were seen at first, then dreamt under the same actions.

    Args:
        dreams: of the world model.
        z: (T, Z) what was seen; frames after the warm-up are not looked at.
        actions: (warmup - 1 + K, A).
        warmup: frames that are seen.
        seed: of the dream.
    Returns:
        (warmup + K, Z).
    """
    steps = len(actions) - warmup + 1
    dreamt = dreams.open_loop(z[None, :warmup], actions[None], steps, 1, seed).z[0, 0]
    return np.concatenate([z[:warmup], dreamt])


def check_length(length: int, warmup: int) -> None:
    """Refuse a drive that ended before the dream begins.

    Args:
        length: steps of the drive.
        warmup: frames that are seen.
    Raises:
        ConfigError: the drive is too short.
    """
    if length <= warmup:
        raise ConfigError(
            f"warmup: expected fewer frames than the drive has, got {warmup} of {length}; give "
            "another seed or a smaller warmup"
        )


class Scene:
    """A drive and its dream.

    Args:
        dreams: of the world model.
        drive: with images.
        warmup: frames that are seen.
        step_time: [s].
        seed: of the dream.
    """

    def __init__(self, dreams: Dreams, drive: RealDrive, warmup: int, step_time: float, seed: int) -> None:
        self.dreams, self.drive, self.warmup = dreams, drive, warmup
        self.step_time, self.seed = step_time, seed

    def __len__(self) -> int:
        return len(self.drive.actions)

    @functools.cached_property
    def z(self) -> FloatArray:
        """(T, Z) what the model sees."""
        return self.dreams.encode(self.drive.frames)

    @functools.cached_property
    def reconstructed(self) -> Frames:
        """(T, 64, 64, 3), the frames through the VAE."""
        return self.dreams.decode(self.z)

    @functools.cached_property
    def dreamt(self) -> Frames:
        """(T, 64, 64, 3), reconstructed up to the warm-up's end, then dreamt.

        Raises:
            ConfigError: the drive ended before the dream could begin.
        """
        check_length(len(self), self.warmup)
        z = dream_after(self.dreams, self.z, self.drive.actions[:-1], self.warmup, self.seed)
        return self.dreams.decode(z)

    def dreamt_seconds(self, step: int) -> float:
        """How long the dream has lasted at a step; not above 0 before it begins."""
        return (step - self.warmup + 1) * self.step_time

    def panel(self, name: str, step: int) -> Frames:
        """A panel's image at a step, as large as the drive's images."""
        image = self.drive.images[step]
        if name in (TRUE, MAP):
            return self.drive.above[step] if name == MAP else image
        if name == ERROR:
            difference = np.clip(BRIGHTER * self.difference(step), 0, 255).astype(np.uint8)
            small = np.repeat(difference[..., None], 3, axis=2)
        else:
            small = {RECONSTRUCTED: self.reconstructed, DREAMT: self.dreamt}[name][step]
        return enlarge(small, len(image))

    def label(self, name: str, step: int) -> str:
        """The label of a panel."""
        seconds = self.dreamt_seconds(step)
        if name == DREAMT:
            return f"dream, eyes closed for {seconds:.1f} s" if seconds > 0 else "reconstructed, eyes open"
        return f"error {self.difference(step).mean():.0f} of 255" if name == ERROR else name

    def difference(self, step: int) -> FloatArray:
        """(64, 64) of grey levels, between the true and the dreamt frame."""
        true = self.drive.frames[step].astype(np.float32)
        return np.asarray(np.abs(true - self.dreamt[step]).mean(axis=2))
