"""Scores of a model and a controller of any Gymnasium environment, with a verdict on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common import config, seeding
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import read_json
from dreamduck.controllers.evaluator import EvalBatch, Returns, blocks, run_episodes
from dreamduck.controllers.factory import WorldConfig, load_controller, make_evaluator
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.gym_vector import GymVector
from dreamduck.world_model import WorldModel

SEED = 90_001  # of the episodes that are evaluated; nothing was recorded or evolved on them
KEY = 0x71737274
BATCH = 10  # environments that act at random at a time
# figure: from where on it is good, and fair; higher is better
LEVELS = {
    "PSNR of the VAE [dB]": (24.0, 19.0),
    "correlation of predicted and true rewards": (0.8, 0.4),
    "AUC of the predicted end": (0.9, 0.75),
}


class RandomActions:
    """Acts at random in N environments.

    Args:
        actions: the action space.
        seeds: N of them.
    """

    needs_frames = False

    def __init__(self, actions: ActionSpace, seeds: Sequence[int]) -> None:
        self._actions = actions
        self._streams = [seeding.generator(seed, KEY) for seed in seeds]

    def start(self, seeds: Sequence[int]) -> None:
        """Do nothing: there is no state."""

    def act(self, state: Any, frames: Any) -> Any:
        """The vectors (N, A)."""
        return np.stack([self._actions.sample(stream) for stream in self._streams])


def score(
    weights: Path,
    controllers: Mapping[str, Path],
    episodes: int,
    steps: int,
    threads: int | None = None,
) -> dict[str, Any]:
    """Controllers and random actions in the real environment, in the same episodes.

    Args:
        weights: folder of the world model.
        controllers: their files, by the names in the result.
        episodes: of each.
        steps: of an episode at most.
        threads: cores to use; all by default.
    Returns:
        For each name, and for "random": mean and spread of the return, the mean's error, mean length.
    """
    world = config.from_mapping(WorldConfig, {"weights": str(weights)})
    found = {}
    for name, path in controllers.items():
        controller = load_controller(path, weights)
        evaluator: Any = make_evaluator("realenv", world, controller.form, threads)
        try:
            found[name] = _summary(evaluator(EvalBatch(controller.theta[None], (SEED,), episodes, steps)))
        finally:
            evaluator.close()
    return {**found, "random": _summary(_random_returns(weights, episodes, steps))}


def _random_returns(weights: Path, episodes: int, steps: int) -> Returns:
    environment = WorldModel.load(weights).gym_environment
    assert environment is not None
    seeds = [seeding.derive(SEED, episode) for episode in range(episodes)]
    count = min(episodes, BATCH)
    vector = GymVector(environment, count)
    try:
        parts = []
        for rows in blocks(episodes, count):
            here = [seeds[row] for row in rows]
            parts.append(run_episodes(vector, RandomActions(vector.action_space, here), here, steps))
    finally:
        vector.close()
    return Returns(*(np.concatenate(column)[:episodes] for column in zip(*parts, strict=True)))


def _summary(returns: Returns) -> dict[str, float]:
    reward, length = returns.reward.ravel().astype(np.float64), returns.length.ravel()
    spread = float(reward.std(ddof=1))
    return {
        "return": float(reward.mean()),
        "spread": spread,
        "error": spread / float(np.sqrt(len(reward))),
        "length": float(length.mean()),
    }


def figures(weights: Path) -> dict[str, float | None]:
    """The model's figures on episodes held out, by the names of `LEVELS`."""
    vae, rnn = (read_json(weights / f"{name}.json", ConfigError) for name in ("vae", "rnn"))
    found = rnn["metrics"]["held_out"]
    values = vae["metrics"]["held_out"]["psnr"], found.get("reward_correlation"), found.get("end_auc")
    return dict(zip(LEVELS, values, strict=True))


def words(found: Mapping[str, float | None]) -> list[str]:
    """How good the model is, a line for each figure."""
    lines = []
    for name, (good, fair) in LEVELS.items():
        value = found[name]
        if value is None:
            lines.append(f"{name}: no data to measure it")
            continue
        level = "good" if value >= good else "fair" if value >= fair else "poor"
        lines.append(f"{name}: {value:.3g}, {level} (good from {good:g}, fair from {fair:g})")
    return lines


def verdict(scores: Mapping[str, Mapping[str, float]], name: str = "controller") -> str:
    """Whether a controller is better than random actions, as text.

    Args:
        scores: see `score`.
        name: of the controller.
    """
    own, chance = scores[name], scores["random"]
    difference = own["return"] - chance["return"]
    error = float(np.hypot(own["error"], chance["error"]))
    text = (
        f"{name}: real return {own['return']:.4g} ± {own['error']:.2g} ({own['length']:.0f} steps), "
        f"random actions {chance['return']:.4g} ± {chance['error']:.2g} ({chance['length']:.0f} steps)"
    )
    if difference > 2 * error:
        return f"{text}: better than random; train longer to improve it"
    if difference < -2 * error:
        return f"{text}: worse than random actions; record more, and train longer"
    return f"{text}: no significant difference with so few episodes; record more, and train longer"
