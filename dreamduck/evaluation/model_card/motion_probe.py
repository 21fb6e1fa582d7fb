"""The probe of motion: how far the camera has turned and advanced between two frames.

It sees pixels alone, not what the model was told to do, so that a dream whose pictures do not obey the
actions cannot pass for one whose pictures do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap
from dreamduck.evaluation.model_card.config import LAG, ModelCardConfig
from dreamduck.evaluation.model_card.data import RealEpisodes
from dreamduck.evaluation.model_card.probe_network import ProbeNetwork, frame_network
from dreamduck.world_model.mdn_rnn.layout import FloatArray
from dreamduck.world_model.vae.layout import Frames

KEY = 3
STEP_TIME = 0.1  # [s], where the environment does not tell it
MOTIONS = ("turn", "advance")


class Motion(NamedTuple):
    """How N cars moved between two frames."""

    turn: FloatArray  # (N,) [rad], positive to the left
    advance: FloatArray  # (N,) [m] along the heading, negative backwards


class MotionProbe:
    """A trained probe of motion over `LAG` seconds.

    Args:
        network: reads two frames.
        scale: of turn and advance, as the network gives them in units of it.
    """

    def __init__(self, network: ProbeNetwork, scale: FloatArray) -> None:
        self._network, self._scale = network, scale

    def predict(self, before: Frames, after: Frames) -> Motion:
        """The motion between frames.

        Args:
            before: (N, 64, 64, 3).
            after: likewise, `LAG` seconds later.
        """
        return Motion(*(self._network(pixel_rows(before, after))[0] * self._scale).T)

    def path(self, frames: Frames) -> Motion:
        """The motion since the first frame, added up.

        Args:
            frames: (N, K, 64, 64, 3), `LAG` seconds apart.
        Returns:
            Turn and advance, each (N, K - 1).
        """
        count, steps = len(frames), frames.shape[1] - 1
        flat = (part.reshape(-1, *frames.shape[2:]) for part in (frames[:, :-1], frames[:, 1:]))
        parts = self.predict(*flat)
        return Motion(*(part.reshape(count, steps).cumsum(axis=1) for part in parts))


def halved(frames: Frames) -> FloatArray:
    """Frames (N, 64, 64, 3) at half their size, (N, 32, 32, 3), in [0, 255]."""
    found: FloatArray = frames.reshape(len(frames), 32, 2, 32, 2, 3).mean(axis=(2, 4), dtype=np.float32)
    return found


def pixel_rows(before: Frames, after: Frames) -> FloatArray:
    """Two frames as one row of the network, (N, 32, 32, 6) in [-1, 1]."""
    return np.concatenate([halved(before), halved(after)], axis=3) / np.float32(127.5) - np.float32(1)


def lag_steps(environment: dict[str, Any]) -> int:
    """`LAG` in steps of the environment."""
    return max(1, round(LAG / float(environment.get("step_time", STEP_TIME))))


def motion_pairs(real: RealEpisodes, lag: int) -> tuple[IntArray, Motion]:
    """All steps after which an episode goes on for `lag` steps, and the true motion until then.

    Args:
        real: with telemetry.
        lag: steps.
    """
    last = np.repeat(real.offsets[1:] - 1, real.lengths)
    rows = np.flatnonzero(np.arange(len(real.z)) + lag <= last)
    poses = np.stack([real.column(name) for name in ("x", "z", "heading")], axis=1).astype(np.float64)
    return rows, true_motion(poses[rows], poses[rows + lag])


def true_motion(before: Any, after: Any) -> Motion:
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


def fit_motion(
    train: RealEpisodes, reconstructions: Frames, environment: dict[str, Any], config: ModelCardConfig
) -> MotionProbe:
    """Train the probe, on real frames and on their reconstructions.

    Args:
        train: episodes with telemetry.
        reconstructions: (N, 64, 64, 3) of their frames.
        environment: what a step means.
        config: the card's settings.
    """
    lag = lag_steps(environment)
    rows, motion = motion_pairs(train, lag)
    scale = np.array([max(float(part.std()), 1e-3) for part in motion], np.float32)
    network = frame_network(6, (len(MOTIONS), 0), derive(config.seed, KEY))
    pairs = [pixel_rows(frames[rows], frames[rows + lag]) for frames in (train.frames, reconstructions)]
    numbers = np.tile(np.stack(motion, axis=1) / scale, (2, 1))
    network.fit(np.concatenate(pairs), numbers, None, config.sizes.probe_epochs)
    return MotionProbe(network, scale)


def motion_scores(
    probe: MotionProbe, real: RealEpisodes, frames: Frames, environment: dict[str, Any], seed: int
) -> dict[str, Any]:
    """R² of turn and advance.

    Args:
        probe: the probe.
        real: episodes with telemetry.
        frames: (N, 64, 64, 3), theirs or reconstructions of them.
        environment: what a step means.
        seed: of the intervals.
    """
    lag = lag_steps(environment)
    rows, motion = motion_pairs(real, lag)
    if not len(rows):
        return {"left_out": f"no episode is longer than {LAG:g} s"}
    episode, found = real.episode[rows], {}
    read = probe.predict(frames[rows], frames[rows + lag])
    for name, guess, true in zip(MOTIONS, read, motion, strict=True):
        squared = np.bincount(episode, (guess - true) ** 2.0, len(real))
        spread = np.bincount(episode, (true - true.mean()) ** 2.0, len(real))
        found[name] = {
            "r2": bootstrap(
                lambda e, a=squared, b=spread: float(1 - a[e].sum() / max(b[e].sum(), 1e-12)),  # type: ignore[misc]
                len(real),
                seed,
            )._asdict()
        }
    return found
