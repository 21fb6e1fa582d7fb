"""Uncertainty: whether the ensemble's disagreement in a dream predicts a later error of the dream.

The score of a dream is its mean uncertainty up to a step; it is wrong where the probed lane offset, some
time after that step, is off by more than a limit. Both are known for dreams under the recorded actions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dreamduck.common.seeding import derive
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.evaluation.model_card.probes.probe import NO_TELEMETRY, Probes, defined
from dreamduck.evaluation.model_card.sections.horizon import make_windows
from dreamduck.world_model.mdn_rnn.prediction_metrics import roc_auc

KEY = 0x756E63
NO_ENSEMBLE = "no ensemble was trained for these dynamics (dreamduck train-ensemble)"
TIMES = ((1.0, 1.0), (1.0, 2.0), (2.0, 3.0))  # [s], of the disagreement, and from there to the error
LIMIT = 0.1  # [m] of the lane offset: more is wrong


def uncertainty(
    dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig
) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes.
        probes: the trained probes; None where there is no telemetry.
        config: the card's settings.
    """
    ensemble = dreams.model.ensemble
    if ensemble is None or probes is None:
        return {"left_out": NO_ENSEMBLE if ensemble is None else NO_TELEMETRY}
    step_time = data.step_time
    longest = max(round((before + after) / step_time) for before, after in TIMES)
    real, seed = data.held_out, derive(config.seed, KEY)
    windows = make_windows(real, config.warmup, longest, longest, config.sizes.horizon_windows)
    if not len(windows.first):
        return {"left_out": f"no held-out episode has {config.warmup + longest} frames"}
    dreamt = dreams.open_loop(windows.z, windows.action, longest, config.dreams, seed)
    h = dreamt.h.reshape(-1, dreamt.h.shape[-1])
    doubt = ensemble.uncertainty(h).reshape(dreamt.h.shape[:3]).astype(np.float64)
    readable, offset = defined(real), real.column("lane_dist").astype(np.float64)
    horizons: dict[str, Any] = {}
    for before, after in TIMES:
        steps, end = round(before / step_time), round((before + after) / step_time)
        here = np.flatnonzero(readable[windows.first + end])
        z = dreamt.z[here, :, end - 1]
        said = probes.frame.predict(dreams.decode(z.reshape(-1, z.shape[-1]))).lane_dist
        true = offset[windows.first[here] + end]
        wrong = np.abs(said.reshape(z.shape[:2]) - true[:, None]) > LIMIT
        found = foretold(doubt[here, :, :steps].mean(axis=2), wrong, windows.episode[here], config.seed)
        horizons[f"{before:g} s, then {after:g}"] = found
    return {"windows": len(windows.first), "dreams": config.dreams, "limit": LIMIT, "horizons": horizons}


def foretold(doubt: Any, wrong: Any, episode: IntArray, seed: int) -> dict[str, Any]:
    """How well scores predict which dreams are wrong.

    Args:
        doubt: (W, S) scores.
        wrong: (W, S) bool.
        episode: (W,) of each window.
        seed: of the intervals.
    Returns:
        The AUC of all dreams; that among the dreams of a window, which saw the same frames and actions; the
        share that is wrong.
    """
    places = np.unique(episode, return_inverse=True)[1]
    rows = [np.flatnonzero(places == e) for e in range(places.max() + 1)] if len(places) else []
    pairs = (wrong.sum(axis=1) * (~wrong).sum(axis=1)).astype(np.float64)
    inside = np.array([roc_auc(*window) for window in zip(doubt, wrong, strict=True)])
    ordered = np.where(pairs > 0, inside, 0.0) * pairs

    def auc(episodes: IntArray) -> float:
        chosen = np.concatenate([rows[e] for e in episodes])
        return roc_auc(doubt[chosen].ravel(), wrong[chosen].ravel())

    def within(episodes: IntArray) -> float:
        chosen = np.concatenate([rows[e] for e in episodes])
        return float(ordered[chosen].sum() / pairs[chosen].sum()) if pairs[chosen].any() else math.nan

    return {
        "auc": bootstrap(auc, len(rows), seed)._asdict(),
        "auc_within_a_window": bootstrap(within, len(rows), seed)._asdict(),
        "wrong": float(wrong.mean()) if wrong.size else None,
    }
