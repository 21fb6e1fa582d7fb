"""From the images of any environment to frames: which images there are, cropped and resized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from dreamduck.common.area_average import resize
from dreamduck.common.errors import ConfigError, FrameError
from dreamduck.recordings.episode import FRAME_SHAPE

Frame = npt.NDArray[np.uint8]

SIDE = FRAME_SHAPE[0]
SMALLEST = 8  # [pixels] side of an image
RENDER, OBSERVATION = "render", "observation"  # other ways to images are keys of dictionaries
RULE = "an image (H, W, 3), (H, W, 1), (H, W) or (3, H, W), of uint8, or of floats in [0, 1] or [0, 255]"


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether the observations of a space are images that have a rule."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
        return False
    height, width, channels = _axes(space.shape)
    if min(height, width) < SMALLEST or channels not in (1, 3):
        return False
    if space.dtype == np.uint8:
        return bool(space.high.max() > 1)  # else it is a mask
    return _scale(space) is not None


def find_pixels(space: spaces.Space[Any], pixels: str, source: str) -> str:
    """The way to an environment's images.

    Args:
        space: of its observations.
        pixels: as a person gives it; "" chooses the observation, or the only image in a dictionary.
        source: what an error message calls the environment.
    Returns:
        "render", "observation", or the key of a dictionary.
    Raises:
        ConfigError: there is no such image.
    """
    if pixels == RENDER:
        return RENDER
    if isinstance(space, spaces.Dict):
        found = [key for key, one in space.spaces.items() if is_image(one)]
        if pixels in found or (not pixels and len(found) == 1):
            return pixels or found[0]
        keys = ", ".join(f"{key} {one}" for key, one in space.spaces.items())
        raise ConfigError(
            f"{source}: pixels: expected the key of {RULE}, got {pixels or 'none'!r} of {keys}; "
            "give --pixels KEY or --pixels render"
        )
    if is_image(space) and pixels in ("", OBSERVATION):
        return OBSERVATION
    raise ConfigError(
        f"{source}: pixels: expected observations that are {RULE}, got {space} with pixels {pixels!r}; "
        "give --pixels render if the environment renders"
    )


class ImageReader:
    """Makes frames of images.

    Args:
        space: of an image; None of what `render` gives, (H, W, 3) uint8.
        crop: rows or columns cut away at the top, bottom, left and right.
        source: what an error message calls the environment.
    Raises:
        ConfigError: the crop leaves nothing.
    """

    def __init__(self, space: spaces.Box | None, crop: Sequence[int], source: str) -> None:
        self._scale = None if space is None or space.dtype == np.uint8 else _scale(space)
        self._crop, self._source = tuple(crop), source
        if space is not None:
            self._check_crop(*_axes(space.shape)[:2])

    def __call__(self, image: Any) -> Frame:
        """The frame (64, 64, 3) of an image: cropped, three channels, resized by area.

        Raises:
            FrameError: it is no image.
        """
        array = np.asarray(image)
        if array.ndim not in (2, 3) or _axes(array.shape)[2] not in (1, 3) or array.dtype.kind not in "uf":
            shape = f"{array.dtype} {array.shape}"
            raise FrameError(f"{self._source}: expected {RULE}, got {shape}; give --pixels KEY or render")
        if array.ndim == 3 and _is_first(array.shape):
            array = np.moveaxis(array, 0, 2)
        height, width = array.shape[:2]
        self._check_crop(height, width)
        top, bottom, left, right = self._crop
        array = array[top : height - bottom, left : width - right]
        if array.dtype != np.uint8:
            array = self._bytes(array)
        small = resize(np.atleast_3d(array)[np.newaxis], SIDE, SIDE)[0]
        return np.repeat(small, 3 // small.shape[2], axis=2)

    def _bytes(self, array: npt.NDArray[Any]) -> Frame:
        if array.dtype.kind == "f" and self._scale is None:
            raise FrameError(
                f"{self._source}: expected an image of uint8, got one of {array.dtype}; give uint8, or an "
                "observation space of floats from 0 to 1"
            )
        if not np.isfinite(array).all():
            raise FrameError(f"{self._source}: expected an image of finite numbers")
        return np.clip(np.rint(array * (self._scale or 1.0)), 0, 255).astype(np.uint8)

    def _check_crop(self, height: int, width: int) -> None:
        top, bottom, left, right = self._crop
        if top + bottom >= height or left + right >= width:
            raise ConfigError(
                f"crop: expected less than the image of {height} rows and {width} columns, got "
                f"{','.join(map(str, self._crop))} (top, bottom, left, right)"
            )


def _is_first(shape: tuple[int, ...]) -> bool:
    """Whether the channels stand first."""
    return shape[0] in (1, 3) and shape[2] not in (1, 3)


def _axes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width, channels."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    return (shape[1], shape[2], shape[0]) if _is_first(shape) else (shape[0], shape[1], shape[2])


def _scale(space: spaces.Box) -> float | None:
    """What a float image is multiplied by; None where its bounds have no rule."""
    if not np.issubdtype(space.dtype, np.floating) or space.low.min() != 0:
        return None
    return {1.0: 255.0, 255.0: 1.0}.get(float(space.high.max()))
