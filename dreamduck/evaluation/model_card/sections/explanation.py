"""How well a model explains recordings without telemetry: reconstruction, surprise, lane position."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamduck.evaluation.lane_probe import QUANTITIES, LaneProbe
from dreamduck.evaluation.model_card.bootstrap import IntArray, bootstrap, bootstrap_mean, number
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.driving.data import RealData, RealEpisodes
from dreamduck.evaluation.model_card.probes.probe import Probes
from dreamduck.simulator.environment import is_own
from dreamduck.world_model.dynamics import Dynamics, FloatArray

DECODED = 1024  # frames at a time
EXACT = 1e-6  # squared error of a pixel, of 1, below which it does not count


def explanation(
    dreams: Dreams, data: RealData, probes: Probes | None, config: ModelCardConfig
) -> dict[str, Any]:
    """The section of the card.

    Args:
        dreams: of the world model.
        data: the real episodes.
        probes: not used.
        config: the card's settings.
    Returns:
        "psnr" of the reconstructed frames [dB]; "surprise", the squared error of the predicted next
        latents as a share of that of latents that stay as they are (1: the model predicts nothing of what
        comes); the same of each second since the episode's beginning, "by_second"; and, of
        Duckietown, "lane_position", see `lane_position`.
    """
    episodes = data.held_out
    psnr = bootstrap_mean(reconstruction(dreams, episodes), config.seed, episodes.episode)
    error, still = one_step_errors(dreams.model.dynamics, episodes)

    def surprise(chosen: IntArray) -> float:
        return float(np.nansum(error[chosen]) / np.nansum(still[chosen]))

    a_second = max(1, round(1 / data.step_time))
    seconds = [
        number(float(np.nansum(error[:, at : at + a_second]) / np.nansum(still[:, at : at + a_second])))
        for at in range(0, error.shape[1], a_second)
    ]
    found: dict[str, Any] = {
        "episodes": len(episodes),
        "psnr": psnr._asdict(),
        "surprise": bootstrap(surprise, len(episodes), config.seed)._asdict(),
        "by_second": seconds,
    }
    if is_own(data.environment.get("id")):
        found["lane_position"] = lane_position(LaneProbe.of(dreams.model), episodes, a_second)
    return found


def lane_position(probe: LaneProbe | None, episodes: RealEpisodes, a_second: int) -> dict[str, Any]:
    """What the lane probe reads from the latents of each episode, over time.

    Args:
        probe: of the model's VAE; None where it has none.
        episodes: the real episodes.
        a_second: steps in a second.
    Returns:
        Of each of `QUANTITIES` one list an episode: its mean in each second, a last part of a second
        included; and "error", the probe's own on recordings of the simulator, by quantity.
    """
    if probe is None:
        return {
            "left_out": "there is no lane_probe.json for the VAE; make it with dreamduck train-lane-probe"
        }
    found: dict[str, Any] = {"error": dict(zip(QUANTITIES, probe.error, strict=False))}
    read = probe.read(episodes.z)
    for column, name in enumerate(QUANTITIES):
        found[name] = [
            [number(float(values[at : at + a_second].mean())) for at in range(0, len(values), a_second)]
            for values in (read[episodes.rows(e), column] for e in range(len(episodes)))
        ]
    return found


def reconstruction(dreams: Dreams, episodes: RealEpisodes) -> FloatArray:
    """The peak signal-to-noise ratio (N,) of each frame after encoding and decoding [dB]."""
    found = []
    for at in range(0, len(episodes.z), DECODED):
        rows = slice(at, at + DECODED)
        difference = dreams.decode(episodes.z[rows]).astype(np.float32) - episodes.frames[rows]
        found.append(np.mean((difference / 255) ** 2, axis=(1, 2, 3)))
    return np.asarray(-10 * np.log10(np.maximum(np.concatenate(found), EXACT)), np.float32)


def one_step_errors(dynamics: Dynamics, episodes: RealEpisodes) -> tuple[FloatArray, FloatArray]:
    """The squared error of each step's next latents: of those that are likeliest, and of those now.

    Returns:
        (E, T - 1) each, T of the longest episode; nan after an episode's end.
    """
    count, most = len(episodes), int(episodes.lengths.max())
    error, still = np.full((2, count, most - 1), np.nan, np.float32)
    order = np.argsort(-episodes.lengths, kind="stable")
    first, lengths = episodes.offsets[:-1][order], episodes.lengths[order]
    state = dynamics.start(count)
    for t in range(most - 1):
        going = int((lengths > t + 1).sum())
        rows = first[:going] + t
        z, after = episodes.z[rows], episodes.z[rows + 1]
        state = dynamics.observe(z, state.rows(slice(going)))
        state = dynamics.advance(z, episodes.action[rows], state)
        sizes = dynamics.config.uniform_size, dynamics.config.normal_size
        uniform, normal = (np.zeros((going, size), np.float32) for size in sizes)
        likeliest = dynamics.draw(dynamics.predict(z, state), state, uniform, normal, 0.0).z
        error[order[:going], t] = ((likeliest - after) ** 2).sum(axis=1)
        still[order[:going], t] = ((z - after) ** 2).sum(axis=1)
    return error, still
