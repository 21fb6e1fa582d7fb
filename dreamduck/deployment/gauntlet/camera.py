"""Perturbations of the camera's image: roll, blur, exposure, white balance, noise, JPEG; in this order."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from dreamduck.common.seeding import generators
from dreamduck.deployment.gauntlet.perturbations import Conditions

Frames = npt.NDArray[np.uint8]
NOISE_STREAM = 2  # of an episode's seed


class ImagePerturbation:
    """What happens to the frames of N cars between the lens and the policy.

    The fish-eye, the height and the pitch of the camera are the renderer's. A camera that is rolled
    about its axis sees the same image, rotated about its middle; where that shows what lies outside the
    image, the edge is repeated.

    Args:
        conditions: (N,) of each car's episode.
        seeds: (N,) of the episodes, for the noise.
    """

    def __init__(self, conditions: Sequence[Conditions], seeds: Sequence[int]) -> None:
        self._conditions = list(conditions)
        self._streams = generators(list(seeds), [(NOISE_STREAM,)] * len(seeds))
        clean = Conditions()
        fields = ("roll", "blur", "exposure", "red", "noise", "jpeg_quality")
        self._touched = {
            car
            for car, one in enumerate(self._conditions)
            if any(getattr(one, name) != getattr(clean, name) for name in fields)
        }

    def __call__(self, frames: Frames, cars: Iterable[int] | None = None) -> Frames:
        """The frames as they arrive at the policy; the given ones are left as they are.

        Args:
            frames: (n, H, W, 3) of some cars.
            cars: (n,) which; all by default.
        """
        if not self._touched:
            return frames
        seen = frames.copy()
        for row, car in enumerate(range(len(frames)) if cars is None else cars):
            if car in self._touched:
                seen[row] = self._perturb(frames[row], int(car))
        return seen

    def _perturb(self, frame: Frames, car: int) -> Frames:
        now = self._conditions[car]
        if now.roll:
            frame = rolled(frame, now.roll)
        if now.blur:
            blurred = Image.fromarray(frame).filter(ImageFilter.GaussianBlur(now.blur * frame.shape[1]))
            frame = np.asarray(blurred)
        if now.exposure != 1.0 or now.red != 1.0 or now.noise:
            values = frame * np.array([now.red, 1.0, 1.0 / now.red], np.float32) * np.float32(now.exposure)
            if now.noise:
                noise = self._streams[car].standard_normal(frame.shape, np.float32)
                values += np.float32(now.noise) * noise
            frame = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        return compressed(frame, now.jpeg_quality) if now.jpeg_quality else frame


def rolled(frame: Frames, degrees: float) -> Frames:
    """What a camera sees that is rolled clockwise by so many degrees; (H, W, 3)."""
    height, width, _ = frame.shape
    reach = math.hypot(height, width) / 2
    border = math.ceil(reach * abs(math.sin(math.radians(degrees)))) + 1
    wider = Image.fromarray(np.pad(frame, ((border, border), (border, border), (0, 0)), mode="edge"))
    turned = np.asarray(wider.rotate(degrees, Image.Resampling.BILINEAR))
    return turned[border : border + height, border : border + width]


def compressed(frame: Frames, quality: int) -> Frames:
    """A frame (H, W, 3) after JPEG compression."""
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))
