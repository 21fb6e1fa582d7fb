"""The probe of motion: how far the camera has turned and advanced within half a second.

It sees frames alone, not the actions, so that a dream whose frames do not follow the
actions cannot pass for one whose frames do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap
from dreamduck.evaluation.model_card.config import LAG, ModelCardConfig
from dreamduck.evaluation.model_card.driving.data import RealEpisodes
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.vae.layout import Frames

if TYPE_CHECKING:
    from dreamduck.evaluation.model_card.probes.probe_network import ProbeNetwork

KEY = 3
MOTIONS = ("turn", "advance")


class Motion(NamedTuple):
    """How N cars moved."""

    turn: FloatArray  # (N,) [rad], positive to the left
    advance: FloatArray  # (N,) [m] along the heading, negative backwards


class MotionProbe:
    """A trained probe of motion over `LAG` seconds.

    Args:
        network: reads the latents of three frames.
        encode: frames (N, 64, 64, 3) to latents (N, Z).
    """

    def __init__(self, network: ProbeNetwork, encode: Callable[[Frames], FloatArray]) -> None:
        self._network, self._encode = network, encode

    def path(self, frames: Frames) -> Motion:
        """The motion since the first frame, added up.

        Args:
            frames: (N, 2K + 1, 64, 64, 3), at the steps that `seen_steps` gives.
        Returns:
            Turn and advance after each of K times `LAG` seconds, each (N, K).
        """
        count = len(frames)
        z = self._encode(frames.reshape(-1, *frames.shape[2:])).reshape(count, frames.shape[1], -1)
        parts = np.stack([z[:, k : k + 3].reshape(count, -1) for k in range(0, z.shape[1] - 2, 2)], axis=1)
        moved = self.read(parts.reshape(-1, parts.shape[-1]))
        return Motion(*(part.reshape(count, -1).cumsum(axis=1) for part in moved))

    def read(self, features: FloatArray) -> Motion:
        """The motion from the latents of three frames, (N, 3Z)."""
        numbers = self._network(features)[0]
        return Motion(numbers[:, 0], numbers[:, 1])


def lag_steps(step_time: float) -> int:
    """`LAG` in steps of the environment, of `step_time` [s]."""
    return max(1, round(LAG / step_time))


def seen_steps(lag: int, count: int) -> list[int]:
    """The steps whose frames `MotionProbe.path` needs for `count` times `lag` steps."""
    return [0, *(k * lag + step for k in range(count) for step in (lag // 2, lag))]


def motion_rows(real: RealEpisodes, lag: int) -> tuple[IntArray, npt.NDArray[np.float32]]:
    """All steps after which an episode continues for `lag` steps, and turn and advance until then.

    Args:
        real: with telemetry.
        lag: steps.
    Returns:
        (R,) rows, and (R, 2).
    """
    last = np.repeat(real.offsets[1:] - 1, real.lengths)
    rows = np.flatnonzero(np.arange(len(real.z)) + lag <= last)
    poses = np.stack([real.column(name) for name in ("x", "z", "heading")], axis=1).astype(np.float64)
    return rows, np.stack(true_motion(poses[rows], poses[rows + lag]), axis=1)


def true_motion(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> Motion:
    """The motion between poses.

    Args:
        before: (N, 3) x [m], z [m], heading [rad].
        after: likewise.
    """
    turn = np.angle(np.exp(1j * (after[:, 2] - before[:, 2])))
    middle = before[:, 2] + turn / 2
    moved = after[:, :2] - before[:, :2]
    advance = moved[:, 0] * np.cos(middle) - moved[:, 1] * np.sin(middle)
    return Motion(turn.astype(np.float32), advance.astype(np.float32))


def triples(z: FloatArray, rows: IntArray, lag: int) -> FloatArray:
    """The latents of three frames, as the probe reads them, (R, 3Z).

    Args:
        z: (N, Z) of all steps.
        rows: (R,) of the first frames.
        lag: steps.
    """
    return np.concatenate([z[rows], z[rows + lag // 2], z[rows + lag]], axis=1)


def fit_motion(
    sources: list[FloatArray],
    train: RealEpisodes,
    encode: Callable[[Frames], FloatArray],
    step_time: float,
    config: ModelCardConfig,
) -> MotionProbe:
    """Train the probe.

    Args:
        sources: (N, Z) each, latents of real frames and of their reconstructions.
        train: the episodes that they are of, with telemetry.
        encode: frames (N, 64, 64, 3) to latents (N, Z).
        step_time: of the environment [s].
        config: the card's settings.
    """
    from dreamduck.evaluation.model_card.probes.probe_network import ProbeNetwork

    lag = lag_steps(step_time)
    rows, motion = motion_rows(train, lag)
    features = np.concatenate([triples(z, rows, lag) for z in sources])
    network = ProbeNetwork(features.shape[1], (len(MOTIONS), 0), derive(config.seed, KEY))
    network.fit(features, np.tile(motion, (len(sources), 1)), None, config.sizes.probe_epochs)
    return MotionProbe(network, encode)


def motion_scores(
    probe: MotionProbe, real: RealEpisodes, z: FloatArray, step_time: float, seed: int
) -> dict[str, Any]:
    """R² of turn and advance.

    Args:
        probe: the probe.
        real: episodes with telemetry.
        z: (N, Z) the latents of their frames, or of reconstructions of them.
        step_time: of the environment [s].
        seed: of the intervals.
    """
    lag, count = lag_steps(step_time), len(real)
    rows, motion = motion_rows(real, lag)
    if not len(rows):
        return {"left_out": f"no episode is longer than {LAG:g} s"}
    episode, found = real.episode[rows], {}
    for name, guess, true in zip(MOTIONS, probe.read(triples(z, rows, lag)), motion.T, strict=True):
        squares = ((guess - true) ** 2, (true - true.mean()) ** 2)
        sums = np.array([np.bincount(episode, square, count) for square in squares], np.float64)
        found[name] = {"r2": bootstrap(partial(_explained, sums), count, seed)._asdict()}
    return found


def _explained(sums: npt.NDArray[np.float64], episodes: IntArray) -> float:
    """R² of some episodes, from the squared errors and deviations of each, (2, E)."""
    squared, spread = sums[:, episodes].sum(axis=1)
    return float(1 - squared / spread) if spread > 0 else float("nan")
