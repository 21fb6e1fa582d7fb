"""The probes: networks that read the state of the car from a frame, and from [z, h].

Both learn from real frames with the simulator's telemetry. The first one sees frames, through the features
that the model's VAE finds in them, real frames and reconstructions; dreams are decoded for it, so that they
are judged by what they show. Its own error on reconstructions of real frames is the floor of all that it
measures. Both learn, and are measured, where the car heads about along its lane: across it, the lane that
offset and angle refer to changes to the opposite one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap, bootstrap_mean, number
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.evaluation.model_card.driving.road_ahead import AHEAD
from dreamduck.evaluation.model_card.probes.motion_probe import MotionProbe, fit_motion, motion_scores
from dreamduck.world_model.dynamics import FloatArray
from dreamduck.world_model.vae.layout import Frames

if TYPE_CHECKING:
    from dreamduck.evaluation.model_card.probes.probe_network import ProbeNetwork

FRAME_PROBE, FEATURE_PROBE = 1, 2  # streams of their seeds
QUANTITIES = ("lane_dist", "lane_angle", "speed")
OUTPUTS = (len(QUANTITIES), len(AHEAD))
MAX_ANGLE = math.pi / 3  # to the lane, up to which its offset and angle mean something
NO_TELEMETRY = "the recordings hold no telemetry"


class ProbedState(NamedTuple):
    """N states of a car, as a probe reads them."""

    lane_dist: FloatArray  # (N,) [m], positive to the right of the lane's centre
    lane_angle: FloatArray  # (N,) [rad], positive when heading to the right
    speed: FloatArray  # (N,) [m/s]
    ahead: FloatArray  # (N, 4), probabilities of `road_ahead.AHEAD`


class Probe:
    """A trained probe.

    Args:
        network: reads features.
        encode: frames (N, 64, 64, 3) to features; None for a probe that takes features themselves.
    """

    def __init__(self, network: ProbeNetwork, encode: Callable[[Frames], FloatArray] | None = None) -> None:
        self._network, self._encode = network, encode

    def read(self, features: npt.NDArray[Any]) -> tuple[ProbedState, FloatArray]:
        """The states, and the network's last layer before its outputs.

        Args:
            features: for the probe of frames (N, 64, 64, 3) uint8, or what they are encoded to; for that
                of [z, h] (N, Z + H).
        Returns:
            N states, and (N, F).
        """
        encode = self._encode if features.dtype == np.uint8 else None
        rows = features if encode is None else encode(features)
        numbers, ahead, hidden = self._network(rows)
        return ProbedState(numbers[:, 0], numbers[:, 1], numbers[:, 2], ahead), hidden

    def predict(self, features: npt.NDArray[Any]) -> ProbedState:
        """The states; arguments as of `read`."""
        return self.read(features)[0]

    def hidden(self, features: npt.NDArray[Any]) -> FloatArray:
        """The network's last layer before its outputs; arguments as of `read`."""
        return self.read(features)[1]


class Probes(NamedTuple):
    """The probes of a model."""

    frame: Probe  # of frames
    zh: Probe  # of [z, h]
    motion: MotionProbe  # of two frames

    def state(self, dreams: Dreams, z: FloatArray, h: FloatArray) -> ProbedState:
        """The states in dreams, read from their frames; the speed is read from [z, h].

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
    from dreamduck.evaluation.model_card.probes.probe_network import ProbeNetwork

    train, epochs = data.train, config.sizes.probe_epochs
    rows = np.flatnonzero(defined(train))
    numbers = np.stack([train.column(name)[rows] for name in QUANTITIES], axis=1)
    classes = (np.full(len(train.z), -1, np.int64) if train.ahead is None else train.ahead)[rows]

    features = episode_features(dreams, train)[rows]
    zh = ProbeNetwork(features.shape[1], OUTPUTS, derive(config.seed, FEATURE_PROBE))
    zh.fit(features, numbers, classes, epochs)

    sources = [train.z, reconstructed(dreams, train.z)]
    frame = ProbeNetwork(train.z.shape[1], OUTPUTS, derive(config.seed, FRAME_PROBE))
    frame.fit(
        np.concatenate([z[rows] for z in sources]), np.tile(numbers, (2, 1)), np.tile(classes, 2), epochs
    )
    motion = fit_motion(sources, train, dreams.encode, data.step_time, config)
    return Probes(Probe(frame, dreams.encode), Probe(zh), motion)


def reconstructed(dreams: Dreams, z: FloatArray) -> FloatArray:
    """The latents of the decoded frames of latents (N, Z), (N, Z)."""
    return dreams.encode(dreams.decode(z))


def defined(real: RealEpisodes) -> npt.NDArray[np.bool_]:
    """(N,) whether a step's true state is one that the probes read: on a lane, about along it."""
    states = np.stack([real.column(name) for name in QUANTITIES])
    found = np.isfinite(states).all(axis=0) & (np.abs(real.column("lane_angle")) < MAX_ANGLE)
    return np.asarray(found)


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
    found: dict[str, Any] = {"train_episodes": len(data.train)}
    for name, real in (("held_out", data.held_out), ("unseen_maps", data.unseen)):
        if real is None or real.telemetry is None:
            found[name] = {"left_out": "no episodes on maps never recorded, with telemetry"}
            continue
        again = reconstructed(dreams, real.z)
        states = {
            "frame": probes.frame.predict(real.frames),
            "reconstruction": probes.frame.predict(again),
            "zh": probes.zh.predict(episode_features(dreams, real)),
        }
        scores = {source: agreement(real, state, config.seed) for source, state in states.items()}
        scores["motion"] = motion_scores(probes.motion, real, again, data.step_time, config.seed)
        found[name] = {"episodes": len(real), "steps": len(real.z), **scores}
    return found


def agreement(real: RealEpisodes, state: ProbedState, seed: int) -> dict[str, Any]:
    """R² and mean absolute error of each quantity, and the accuracy of the road ahead, over episodes.

    Args:
        real: the true states.
        state: what a probe read of all steps.
        seed: of the intervals.
    """
    known, found = defined(real), {}
    episode, count = real.episode[known], len(real)
    for name in QUANTITIES:
        true = real.column(name)[known].astype(np.float64)
        error = getattr(state, name)[known] - true
        columns = (np.ones(len(error)), error**2, true, true**2)
        sums = np.array([np.bincount(episode, column, count) for column in columns], np.float64)
        found[name] = {
            "r2": bootstrap(partial(_r2, sums), count, seed)._asdict(),
            "error": bootstrap_mean(np.abs(error), seed, episode)._asdict(),
        }
    if real.ahead is None:
        return {**found, "ahead": {"left_out": "a map of the recordings is not known here"}}
    right = state.ahead[known].argmax(axis=1) == real.ahead[known]
    share = np.bincount(real.ahead[known], minlength=len(AHEAD)).max() / known.sum()
    accuracy = bootstrap_mean(right, seed, episode)._asdict()
    return {**found, "ahead": {"accuracy": accuracy, "commonest_class": number(float(share))}}


def _r2(sums: npt.NDArray[np.float64], episodes: IntArray) -> float:
    """R² of some episodes, from each one's steps and sums of error², true and true², (4, E)."""
    steps, squared, true, true_squared = sums[:, episodes].sum(axis=1)
    spread = true_squared - true**2 / steps if steps else 0.0
    return float(1 - squared / spread) if spread > 0 else math.nan
