"""The expert imitated from [z, h] or from z: a ridge regression (Hoerl & Kennard 1970) of its actions.

The expert's action is computed at every recorded pose, whichever policy drove, so that the imitation also
sees states that the expert itself never reaches (as in DAgger, Ross et al. 2011)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import MapError, RecordError
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.evaluation.model_card.probes.probe import NO_TELEMETRY
from dreamduck.recordings import TELEMETRY
from dreamduck.simulator.base import CarState
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.world_model.dynamics import FloatArray

RIDGE = 1e-3  # of the number of steps, on features of variance 1
LEAST_STEPS = 300  # that an imitation is fitted on


class Imitation:
    """A linear policy on [z, h] or on z.

    Args:
        weights: (F, 2).
        bias: (2,).
        z_size: Z; a policy on z has F = Z.
    """

    def __init__(self, weights: FloatArray, bias: FloatArray, z_size: int) -> None:
        self.weights, self.bias = weights.astype(np.float32), bias.astype(np.float32)
        self.features = "z" if len(weights) == z_size else "zh"

    def __call__(self, z: FloatArray, h: FloatArray, step: int = 0) -> FloatArray:
        """The actions (B, 2) in [-1, 1], for z (B, Z) and h (B, H)."""
        seen = z if self.features == "z" else np.concatenate([z, h], axis=1)
        return np.clip(seen @ self.weights + self.bias, -1, 1)


def fit_imitation(dreams: Dreams, data: RealData, features: str = "zh") -> Imitation:
    """Imitate the expert on the recorded steps of `data.train`.

    Args:
        dreams: of the world model whose features are seen.
        data: the recordings.
        features: "zh" or "z".
    Raises:
        RecordError: they have no telemetry, or no maps, or too few steps.
    """
    real = data.train
    wanted, known = expert_actions(real, data.environment.get("steering_gain"))
    if known.sum() < LEAST_STEPS:
        raise RecordError(
            f"recordings: expected at least {LEAST_STEPS} steps with telemetry on known maps, got "
            f"{int(known.sum())}; record more"
        )
    seen = _features(dreams, real)[:, : real.z.shape[1] if features == "z" else None]
    seen, wanted = seen[known].astype(np.float64), wanted[known]
    mean, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-3)
    scaled = (seen - mean) / spread
    penalty = RIDGE * len(scaled) * np.eye(scaled.shape[1])
    weights = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ (wanted - wanted.mean(axis=0)))
    weights /= spread[:, None]
    return Imitation(weights, wanted.mean(axis=0) - mean @ weights, real.z.shape[1])


def expert_actions(
    real: RealEpisodes, steering_gain: float | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """What the expert would do at each recorded step.

    Args:
        real: the recordings.
        steering_gain: of their environment; the usual one by default.
    Returns:
        Actions (N, 2), and (N,) at which steps they are known: on a lane of a map that can be read.
    Raises:
        RecordError: there is no telemetry.
    """
    if real.telemetry is None:
        raise RecordError(NO_TELEMETRY)
    column = {name: real.telemetry[:, i].astype(np.float64) for i, name in enumerate(TELEMETRY)}
    actions, known = np.zeros((len(real.z), 2)), np.isfinite(column["lane_dist"])
    pose = np.stack([column["x"], column["z"], column["heading"]], axis=1)
    config = ExpertConfig() if steering_gain is None else ExpertConfig(steering_gain=steering_gain)
    for map_name in sorted(set(real.maps)):
        rows = np.zeros(len(known), np.bool_)
        for episode, name in enumerate(real.maps):
            rows[real.rows(episode)] |= name == map_name
        try:
            expert = Expert(load_map(map_name), config)
        except MapError:
            known &= ~rows
            continue
        rows &= known
        actions[rows] = expert(_cars(pose[rows], column["speed"][rows]))
    return actions, known


def _cars(pose: npt.NDArray[np.float64], speed: npt.NDArray[np.float64]) -> CarState:
    """Cars with only the state that the expert needs."""
    count = len(pose)
    nothing, none = np.zeros(count), np.zeros((count, 2))
    tile, end = np.zeros((count, 2), np.int64), np.zeros(count, np.int8)
    return CarState(
        np.ascontiguousarray(pose), speed.copy(), nothing, nothing, none, tile, nothing, nothing, end
    )


def _features(dreams: Dreams, real: RealEpisodes) -> FloatArray:
    """[z, h] at each recorded step, (N, Z + H)."""
    rows, longest = [real.rows(episode) for episode in range(len(real))], int(real.lengths.max())
    z = np.zeros((len(rows), longest, real.z.shape[1]), np.float32)
    action = np.zeros((len(rows), longest, real.action.shape[1]), np.float32)
    for episode, row in enumerate(rows):
        z[episode, : row.stop - row.start] = real.z[row]
        action[episode, : row.stop - row.start] = real.action[row]
    found = dreams.features(z, action, perceived=True)
    return np.concatenate([found[episode, : row.stop - row.start] for episode, row in enumerate(rows)])
