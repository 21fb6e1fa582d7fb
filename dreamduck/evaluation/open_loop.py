"""Dreams against what really happened: the same actions, without further frames.

The MDN-RNN sees the first frames of an episode
that it never learned from, then continues with the recorded actions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.recordings import Episode
from dreamduck.world_model.dynamics import Dynamics, FloatArray, Prediction
from dreamduck.world_model.mdn_rnn.prediction_metrics import correlation, roc_auc

Frames = npt.NDArray[np.uint8]
NOISE_KEY = 0x6F6C


class EpisodeWindow(NamedTuple):
    """One episode to dream after; T real steps."""

    frames: Frames  # (F, 64, 64, 3), all T or the first of them
    z: FloatArray  # (F, Z), what the VAE makes of them (mu)
    action: FloatArray  # (T, A)
    reward: FloatArray  # (T,)
    ended: bool  # whether the last step truly ended the episode


class Dreamt(NamedTuple):
    """S dreams of one episode, from the step after the last frame that was shown; D steps."""

    z: FloatArray  # (S, D, Z)
    reward: FloatArray  # (S, D), of each step if it is reached
    end: FloatArray  # (S, D), probability that the episode ends with the step
    end_reward: FloatArray  # (S, D), if it does

    def length(self, uniform: FloatArray) -> npt.NDArray[np.int64]:
        """When each dream ends, (S,): steps, D + 1 where it does not. `uniform` is (S, D)."""
        ends = uniform < self.end
        return np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, ends.shape[1] + 1)


def make_window(episode: Episode, z: FloatArray) -> EpisodeWindow:
    """An episode and the latents of its frames, or of the first of them; the others are let go."""
    obs = episode.obs if len(z) == len(episode) else episode.obs[: len(z)].copy()
    return EpisodeWindow(obs, z, episode.action, episode.reward, bool(episode.done[-1]))


def dream_on(
    dynamics: Dynamics,
    window: EpisodeWindow,
    shown: int,
    steps: int,
    dreams: int,
    temperature: float,
    seed: int,
) -> Dreamt:
    """Show the first `shown` frames, then dream `steps` steps with the recorded actions.

    Behind the last recorded action that action is held, so that a dream may outlive the episode.

    Args:
        dreams: S, each with random numbers of its own.
        seed: of this episode.
    Returns:
        The dreams; their first step is that of the last frame shown, their first latent the one after.
    """
    random = generator(seed, NOISE_KEY)
    state = dynamics.observe(window.z[:1], dynamics.start())
    for t in range(shown - 1):
        state = dynamics.advance(window.z[t : t + 1], window.action[t : t + 1], state)
        state = dynamics.observe(window.z[t + 1 : t + 2], state)
    state, z = state.repeat(dreams), np.repeat(window.z[shown - 1 : shown], dreams, axis=0)
    sizes = dynamics.config
    found: list[tuple[FloatArray, Prediction]] = []
    for t in range(shown - 1, shown - 1 + steps):
        action = np.repeat(window.action[min(t, len(window.action) - 1)][None], dreams, axis=0)
        uniform = random.random((dreams, sizes.uniform_size), np.float32)
        normal = random.standard_normal((dreams, sizes.normal_size), np.float32)
        z, state, prediction = dynamics.step(z, action, state, uniform, normal, temperature)
        found.append((z, prediction))
    return Dreamt(
        np.stack([z for z, _ in found], axis=1),
        np.stack([p.reward for _, p in found], axis=1),
        np.stack([p.end for _, p in found], axis=1),
        np.stack([p.end_reward for _, p in found], axis=1),
    )


def z_errors(
    windows: Sequence[EpisodeWindow], dreamt: Sequence[Dreamt], shown: int, horizon: int, mean_z: FloatArray
) -> dict[str, float]:
    """Mean squared error of a latent over the first `horizon` dreamt frames, and of two baselines.

    Args:
        mean_z: (Z,), of the mean frame.
    Returns:
        dream: of single dreams. dream_mean: of the mean over the dreams of an episode.
        last_frame, mean_frame: the baselines. steps: how many frames were compared.
    """
    sums: dict[str, float] = dict.fromkeys(("dream", "dream_mean", "last_frame", "mean_frame"), 0.0)
    steps = 0
    for window, dream in zip(windows, dreamt, strict=True):
        real = window.z[shown : shown + horizon]
        count = len(real)
        for name, guess in (
            ("dream", dream.z[:, :count]),
            ("dream_mean", dream.z[:, :count].mean(axis=0)),
            ("last_frame", np.broadcast_to(window.z[shown - 1], real.shape)),
            ("mean_frame", np.broadcast_to(mean_z, real.shape)),
        ):
            squared = ((guess - real) ** 2).mean(axis=-1)
            sums[name] += float(squared.mean(axis=0).sum() if squared.ndim == 2 else squared.sum())
        steps += count
    return {**{name: total / max(steps, 1) for name, total in sums.items()}, "steps": float(steps)}


def return_errors(
    windows: Sequence[EpisodeWindow], dreamt: Sequence[Dreamt], shown: int, horizon: int, seed: int
) -> dict[str, float]:
    """Predicted against true return over the first `horizon` steps of dreaming.

    The dream is left to end when it will; its return is the mean over its dreams. Episodes that were cut
    before the horizon are compared as far as they go.

    Returns:
        correlation, error (root mean square), bias (predicted less true), spread (standard deviation of
        the true returns, which is the error of a guess that is always their mean).
    """
    true, predicted = [], []
    for index, (window, dream) in enumerate(zip(windows, dreamt, strict=True)):
        first = shown - 1
        count = min(horizon, len(window.reward) - first)
        until = horizon if window.ended else count  # the dream may also outlive the episode
        uniform = generator(seed, NOISE_KEY, index).random(dream.end.shape, np.float32)
        length = dream.length(uniform)[:, None]
        step = np.arange(1, dream.end.shape[1] + 1)[None]
        gained = np.where(step < length, dream.reward, np.where(step == length, dream.end_reward, 0.0))
        true.append(float(window.reward[first : first + count].sum(dtype=np.float64)))
        predicted.append(float(gained[:, :until].sum(axis=1, dtype=np.float64).mean()))
    a, b = np.array(true), np.array(predicted)
    return {
        "correlation": correlation(a, b),
        "error": float(np.sqrt(((a - b) ** 2).mean())),
        "bias": float((b - a).mean()),
        "spread": float(a.std()),
        "mean": float(a.mean()),
        "episodes": float(len(a)),
    }


def end_errors(
    windows: Sequence[EpisodeWindow], dreamt: Sequence[Dreamt], shown: int, horizon: int
) -> dict[str, float]:
    """Predicted against true time of ending, among episodes known to end or to live until the horizon.

    An episode is foreseen to end when its dreams, on average, would more likely have ended than not.

    Returns:
        auc: of the probability to have ended by the horizon. ended: the share that did; expected: the mean
        probability. foreseen: the share of ends for which an end is foreseen, false_alarms: of survivals.
        time_error [steps]: mean absolute error where an end is foreseen and came; time_spread: the mean
        absolute deviation of the true times from their median, which is the error of always saying that.
    """
    by_then, truth, times = [], [], []
    for window, dream in zip(windows, dreamt, strict=True):
        left = len(window.reward) - (shown - 1)
        ends = window.ended and left <= horizon
        if not ends and left < horizon:
            continue  # cut before the horizon: unknown
        gone = 1 - np.cumprod(1 - dream.end[:, :horizon].astype(np.float64), axis=1).mean(axis=0)
        by_then.append(float(gone[-1]))
        truth.append(ends)
        if ends:
            foreseen = int(np.argmax(gone > 0.5)) + 1 if gone[-1] > 0.5 else math.nan
            times.append((left, foreseen))
    chance, came = np.array(by_then), np.array(truth, dtype=np.bool_)
    pairs = np.array(times, dtype=np.float64).reshape(-1, 2)
    known = pairs[np.isfinite(pairs[:, 1])]
    median = float(np.median(pairs[:, 0])) if len(pairs) else math.nan
    return {
        "auc": roc_auc(chance, came) if len(came) else math.nan,
        "ended": _mean(came),
        "expected": _mean(chance),
        "foreseen": _mean(chance[came] > 0.5),
        "false_alarms": _mean(chance[~came] > 0.5),
        "time_error": _mean(np.abs(known[:, 1] - known[:, 0])),
        "time_spread": _mean(np.abs(pairs[:, 0] - median)),
        "episodes": float(len(came)),
    }


def _mean(values: npt.NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
