"""The probes: what tells the state of the car from a frame, and from [z, h].

Both learn from real frames with the simulator's telemetry. The first one sees pixels, of real frames and of
their reconstructions, so that it judges dreams by what they show. Its own error on reconstructions of real
frames is the floor of all that it measures."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.data import RealData, RealEpisodes
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.motion_probe import MotionProbe, fit_motion, halved, motion_scores
from dreamduck.evaluation.model_card.probe_network import (
    HIDDEN,
    ProbeNetwork,
    feature_network,
    frame_network,
)
from dreamduck.evaluation.model_card.road_ahead import AHEAD
from dreamduck.world_model.mdn_rnn.layout import FloatArray

FRAME_PROBE, FEATURE_PROBE = 1, 2  # streams of their seeds
OUTPUTS = (4, len(AHEAD))  # offset, sine and cosine of the angle, speed; classes of the road ahead
QUANTITIES = ("lane_dist", "lane_angle", "speed")
NO_TELEMETRY = "the recordings hold no telemetry"


class ProbedState(NamedTuple):
    """What a probe reads of N states."""

    lane_dist: FloatArray  # (N,) [m], positive to the right of the lane's centre
    lane_angle: FloatArray  # (N,) [rad], positive when heading to the right
    speed: FloatArray  # (N,) [m/s]
    ahead: FloatArray  # (N, 4), probabilities of `road_ahead.AHEAD`


class Probe:
    """A trained probe.

    Args:
        network: reads standardized rows.
        mean: of the inputs; of frames 127.5.
        std: likewise.
        scale: [m], [m/s] of the offset and the speed, as the network gives them in units of it.
    """

    def __init__(
        self, network: ProbeNetwork, mean: FloatArray, std: FloatArray, scale: tuple[float, float]
    ) -> None:
        self._network, self._mean, self._std, self._scale = network, mean, std, scale

    def predict(self, features: npt.NDArray[Any]) -> ProbedState:
        """The states.

        Args:
            features: (N, 64, 64, 3) uint8 for the probe of frames, (N, Z + H) for that of [z, h].
        """
        return self._decoded(self._network(self._rows(features))[0])

    def hidden(self, features: npt.NDArray[Any]) -> FloatArray:
        """The network's last layer before its outputs, (N, HIDDEN); arguments as of `predict`."""
        return self._network(self._rows(features))[1]

    def read(self, features: npt.NDArray[Any]) -> tuple[ProbedState, FloatArray]:
        """Both, in one pass."""
        outputs, hidden = self._network(self._rows(features))
        return self._decoded(outputs), hidden

    def _rows(self, features: npt.NDArray[Any]) -> FloatArray:
        rows = halved(features) if features.dtype == np.uint8 else features
        return ((rows - self._mean) / self._std).astype(np.float32)

    def _decoded(self, outputs: FloatArray) -> ProbedState:
        offset, speed = self._scale
        logits = outputs[:, OUTPUTS[0] :]
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return ProbedState(
            outputs[:, 0] * np.float32(offset),
            np.arctan2(outputs[:, 1], outputs[:, 2]),
            outputs[:, 3] * np.float32(speed),
            likely / likely.sum(axis=1, keepdims=True),
        )


class Probes(NamedTuple):
    """The probes of a model."""

    frame: Probe  # of frames
    zh: Probe  # of [z, h]
    motion: MotionProbe  # of two frames

    def state(self, dreams: Dreams, z: FloatArray, h: FloatArray) -> ProbedState:
        """The state that dreams show: from their frames, and the speed, which no frame shows, from [z, h].

        Args:
            dreams: of the world model.
            z: (N, Z).
            h: (N, H), seen together with z.
        """
        speed = self.zh.predict(np.concatenate([z, h], axis=1)).speed
        return self.frame.predict(dreams.decode(z))._replace(speed=speed)


def fit_probes(dreams: Dreams, data: RealData, config: ModelCardConfig) -> Probes | None:
    """Train the probes on the episodes for it; None where there is no telemetry.

    Args:
        dreams: of the world model.
        data: the real episodes.
        config: the card's settings.
    """
    if data.train.telemetry is None or data.held_out.telemetry is None:
        return None
    train, epochs = data.train, config.sizes.probe_epochs
    known = np.isfinite(train.telemetry[:, :3]).all(axis=1)  # type: ignore[index]
    scale = tuple(float(train.column(name)[known].std()) or 1.0 for name in ("lane_dist", "speed"))
    angle = train.column("lane_angle")
    numbers = np.stack(
        [
            train.column("lane_dist") / scale[0],
            np.sin(angle),
            np.cos(angle),
            train.column("speed") / scale[1],
        ],
        axis=1,
    )[known]
    classes = np.full(len(train.z), -1, np.int64) if train.ahead is None else train.ahead
    classes = classes[known]

    seed = derive(config.seed, FRAME_PROBE)
    pixels = (np.float32(127.5), np.float32(127.5))
    decoded = dreams.decode(train.z)
    frames = np.concatenate([train.frames[known], decoded[known]])
    network = frame_network(3, OUTPUTS, seed)
    probe = Probe(network, *pixels, scale)
    network.fit(probe._rows(frames), np.tile(numbers, (2, 1)), np.tile(classes, 2), epochs)

    features = episode_features(dreams, train)[known]
    network = feature_network(features.shape[1], OUTPUTS, derive(config.seed, FEATURE_PROBE))
    other = Probe(network, features.mean(axis=0), features.std(axis=0) + np.float32(1e-3), scale)
    network.fit(other._rows(features), numbers, classes, 2 * epochs)
    return Probes(probe, other, fit_motion(train, decoded, data.environment, config))


def episode_features(dreams: Dreams, real: RealEpisodes) -> FloatArray:
    """[z, h] of every step of real episodes, (N, Z + H)."""
    count, longest = len(real), int(real.lengths.max())
    z = np.zeros((count, longest, real.z.shape[1]), np.float32)
    action = np.zeros((count, longest, real.action.shape[1]), np.float32)
    mask = np.arange(longest) < real.lengths[:, None]
    z[mask], action[mask] = real.z, real.action
    found: FloatArray = dreams.features(z, action)[mask]
    return found


def probe(dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig) -> dict[str, Any]:
    """The section of the card: how well the probes read real states they never learned from.

    Args:
        dreams: of the world model.
        data: the real episodes.
        probes: the trained probes; None where there is no telemetry.
        config: the card's settings.
    """
    if probes is None:
        return {"left_out": NO_TELEMETRY}
    found: dict[str, Any] = {"features": HIDDEN, "train_episodes": len(data.train)}
    for name, real in (("held_out", data.held_out), ("unseen_maps", data.unseen)):
        if real is None or real.telemetry is None:
            found[name] = {"left_out": "no episodes on maps never recorded, with telemetry"}
            continue
        decoded = dreams.decode(real.z)
        states = {
            "frame": probes.frame.predict(real.frames),
            "reconstruction": probes.frame.predict(decoded),
            "zh": probes.zh.predict(episode_features(dreams, real)),
        }
        scores = {source: agreement(real, state, config.seed) for source, state in states.items()}
        scores["motion"] = motion_scores(probes.motion, real, decoded, data.environment, config.seed)
        found[name] = {"episodes": len(real), "steps": len(real.z), **scores}
    return found


def agreement(real: RealEpisodes, state: ProbedState, seed: int) -> dict[str, Any]:
    """R² and mean absolute error of each quantity, and the accuracy of the road ahead, over episodes.

    Args:
        real: the true states.
        state: what a probe read of all steps.
        seed: of the intervals.
    """
    episode, found = real.episode, {}
    for name in QUANTITIES:
        true = real.column(name)
        error = state_error(name, getattr(state, name), true)
        known = np.isfinite(error)
        sums = _sums(episode[known], error[known], true[known], len(real))
        found[name] = {
            "r2": bootstrap(lambda e, s=sums: _r2(s[:, e]), len(real), seed)._asdict(),  # type: ignore[misc]
            "error": bootstrap(lambda e, s=sums: _mean(s[:, e]), len(real), seed)._asdict(),  # type: ignore[misc]
        }
    if real.ahead is None:
        found["ahead"] = {"left_out": "a map of the recordings is not known here"}
        return found
    known = real.ahead >= 0
    hits = np.bincount(episode[known], state.ahead.argmax(axis=1)[known] == real.ahead[known], len(real))
    counts = np.bincount(episode[known], minlength=len(real))
    share = np.bincount(real.ahead[known], minlength=len(AHEAD)) / max(known.sum(), 1)
    accuracy = bootstrap(lambda e: float(hits[e].sum() / counts[e].sum()), len(real), seed)
    found["ahead"] = {"accuracy": accuracy._asdict(), "commonest_class": float(f"{share.max():.6g}")}
    return found


def state_error(name: str, probed: FloatArray, true: FloatArray) -> FloatArray:
    """Probed less true; of angles the shorter way round."""
    error = np.asarray(probed, np.float64) - true
    if name == "lane_angle":
        error = np.angle(np.exp(1j * error))
    found: FloatArray = error.astype(np.float32)
    return found


def _sums(episode: IntArray, error: FloatArray, true: FloatArray, count: int) -> npt.NDArray[np.float64]:
    """Of each episode: steps, sums of |error|, error², true, true²; (5, E)."""
    columns = (np.ones(len(error)), np.abs(error), error**2.0, true, true**2.0)
    return np.stack([np.bincount(episode, np.float64(column), count) for column in columns])


def _r2(sums: npt.NDArray[np.float64]) -> float:
    steps, _, squared, true, true_squared = sums.sum(axis=1)
    return float(1 - squared / max(true_squared - true**2 / steps, 1e-12))


def _mean(sums: npt.NDArray[np.float64]) -> float:
    steps, absolute, *_ = sums.sum(axis=1)
    return float(absolute / steps)
