"""A probe of the lane position: what latents say of where the car is across its lane, and how it heads.

Least squares on the latents and their products, made by `dreamduck train-lane-probe` for one VAE. It is
read at every step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.storage import PathLike, read_json, write_json
from dreamduck.world_model import WorldModel

FILE = "lane_probe.json"
QUANTITIES = ("lane_dist", "lane_angle")  # [m], positive to the right of the centre; [rad], likewise
DIGITS = 6  # of numbers in the file
RIDGE = 30.0  # of the least squares, on standardized features

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

    def read(self, z: FloatArray) -> FloatArray:
        """What latents (N, Z) say, (N, 2) as `QUANTITIES`."""
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
    first, second = np.triu_indices(z.shape[1])
    return np.concatenate([np.ones((len(z), 1), np.float32), z, z[:, first] * z[:, second]], axis=1)


def _count(size: int) -> int:
    return 1 + size + size * (size + 1) // 2
