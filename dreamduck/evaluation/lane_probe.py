"""A probe of the lane position: offset and angle of the car in its lane, read from latents.

Least squares on the latents and their products, made by `dreamduck train-lane-probe` for one VAE. It is
read at every step."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import RecordError, WeightsError
from dreamduck.common.storage import PathLike, read_json, write_json
from dreamduck.recordings import TELEMETRY, read_episode
from dreamduck.world_model import WorldModel

FILE = "lane_probe.json"
QUANTITIES = ("lane_dist", "lane_angle")  # [m], positive to the right of the centre; [rad], likewise
DIGITS = 6  # of numbers in the file
RIDGE = 30.0  # of the least squares, on standardized features
MAX_ANGLE = np.pi / 3  # to the lane, up to which offset and angle mean something
FRAME_STRIDE = 3  # of a recording every third frame is used: neighbours say the same
HELD_OUT = 5  # every fifth episode is kept for the error

FloatArray = npt.NDArray[np.float32]


class LaneProbe:
    """The probe.

    Args:
        mean: (Z,) of the latents.
        std: (Z,) likewise.
        weights: (F, 2) of the features of `_features`.
        vae: fingerprint of the VAE that it was made for.
        error: (2,) mean absolute errors on episodes that it was not made from.
    """

    def __init__(
        self,
        mean: FloatArray,
        std: FloatArray,
        weights: FloatArray,
        vae: str,
        error: tuple[float, ...] = (),
    ) -> None:
        self.mean, self.std, self.weights, self.vae, self.error = mean, std, weights, vae, error

    @classmethod
    def of(cls, model: WorldModel) -> LaneProbe | None:
        """The probe in a model's folder; None where there is none for its VAE.

        Raises:
            WeightsError: it is damaged.
        """
        path = model.folder / FILE
        if not path.exists():
            return None
        value = read_json(path, WeightsError)
        try:
            mean, std, weights = (
                np.asarray(value[name], np.float32) for name in ("mean", "std", "weights")
            )
            probe = cls(mean, std, weights, str(value["vae"]), tuple(map(float, value["error"])))
            size = model.vae.z_size
            fits = probe.mean.shape == probe.std.shape == (size,) and len(probe.weights) == _count(size)
        except (KeyError, TypeError, ValueError) as err:
            raise WeightsError(
                f"{path}: expected a probe ({err}); make it with dreamduck train-lane-probe"
            ) from err
        return probe if fits and probe.vae == model.vae.weights else None

    @classmethod
    def fit(cls, z: FloatArray, numbers: FloatArray, vae: str) -> LaneProbe:
        """Make a probe.

        Args:
            z: (N, Z) latents of real frames.
            numbers: (N, 2) the true `QUANTITIES`.
            vae: its fingerprint.
        """
        mean, std = z.mean(axis=0), np.maximum(z.std(axis=0), np.float32(1e-3))
        features = _features((z - mean) / std).astype(np.float64)
        penalty = RIDGE * np.eye(features.shape[1])
        penalty[0, 0] = 0.0  # the constant
        weights = np.linalg.solve(features.T @ features + penalty, features.T @ numbers)
        return cls(mean, std, weights.astype(np.float32), vae)

    @classmethod
    def from_recordings(cls, model: WorldModel, paths: Sequence[Path], episodes: int = 400) -> LaneProbe:
        """Make a probe of recordings with telemetry; its error is that on every fifth episode.

        Args:
            model: whose VAE it is for.
            paths: of the recordings.
            episodes: how many to read at most, evenly spread.
        Raises:
            RecordError: too few have telemetry.
        """
        columns = [TELEMETRY.index(name) for name in QUANTITIES]
        latents: list[FloatArray] = []
        numbers: list[FloatArray] = []
        places: list[npt.NDArray[np.int64]] = []
        for path in paths[:: max(1, -(-len(paths) // episodes))]:
            found = read_episode(path)
            if found.telemetry is None:
                continue
            true = found.telemetry[::FRAME_STRIDE, columns]
            known = np.isfinite(true).all(axis=1) & (np.abs(true[:, 1]) < MAX_ANGLE)
            if known.any():
                latents.append(model.encode(found.obs[::FRAME_STRIDE][known]))
                numbers.append(true[known])
                places.append(np.full(int(known.sum()), len(places), np.int64))
        if len(latents) < HELD_OUT:
            raise RecordError(
                f"expected {HELD_OUT} recordings with telemetry or more, got {len(latents)}; record more "
                "with dreamduck record"
            )
        z, true, row = np.concatenate(latents), np.concatenate(numbers), np.concatenate(places)
        held_out = row % HELD_OUT == 0
        probe = cls.fit(z[~held_out], true[~held_out], model.vae.weights)
        error = np.abs(probe.read(z[held_out]) - true[held_out]).mean(axis=0)
        probe.error = tuple(float(value) for value in error.round(4))
        return probe

    def read(self, z: FloatArray) -> FloatArray:
        """The `QUANTITIES` (N, 2) of latents (N, Z)."""
        return np.asarray(_features((z - self.mean) / self.std) @ self.weights, np.float32)

    def write(self, path: PathLike) -> None:
        """Write it."""
        arrays = {"mean": self.mean, "std": self.std, "weights": self.weights}
        value = {
            name: np.round(array.astype(np.float64), DIGITS).tolist() for name, array in arrays.items()
        }
        write_json(path, {"vae": self.vae, "error": list(self.error), **value}, indent=None)


def _features(z: FloatArray) -> FloatArray:
    """A constant, standardized latents (N, Z) within their usual range, and all products of two, (N, F)."""
    z = np.clip(z, -4, 4)
    first, second = _pairs(z.shape[1])
    return np.concatenate([np.ones((len(z), 1), np.float32), z, z[:, first] * z[:, second]], axis=1)


@functools.cache
def _pairs(size: int) -> tuple[npt.NDArray[np.int64], ...]:
    """The rows and columns of all products of two of `size` numbers."""
    return np.triu_indices(size)


def _count(size: int) -> int:
    return 1 + size + size * (size + 1) // 2
