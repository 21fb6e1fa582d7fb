"""What a row of `progress.csv` says, for each family of algorithms.

Column names are those of 2019's `ppo2.py`,
`a2c.py`, `trpo_mpi.py`, `ddpg.py` and `deepq.py`; the figures come from Stable-Baselines3, turned
to 2019's sign and scale where they differ."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Moment:
    """Where a training is when a row is due.

    Attributes:
        step: steps of all environments together; serial: of one of them.
        updates, episodes: so far. new_episodes: since the last row.
        fps: steps a second since the last row. elapsed: seconds since the start.
        recent: (reward, length) of the last 100 episodes.
        figures: what the agent's own logger holds, "train/..." and "rollout/...".
    """

    step: int
    serial: int
    updates: int
    episodes: int
    new_episodes: int
    fps: float
    elapsed: float
    recent: Sequence[tuple[float, float]]
    figures: Mapping[str, Any]

    @property
    def reward(self) -> float:
        """Mean over the recent episodes; nan before the first."""
        return _mean([r for r, _ in self.recent])

    @property
    def length(self) -> float:
        """Likewise [steps]."""
        return _mean([n for _, n in self.recent])

    def figure(self, name: str, factor: float = 1.0) -> float:
        """One of the agent's figures; nan if it has none."""
        value = self.figures.get(name)
        return math.nan if value is None else float(value) * factor


def row(family: str, moment: Moment) -> dict[str, Any]:
    """The row, in 2019's order of columns."""
    return MAKERS[family](moment)


def _ppo2(m: Moment) -> dict[str, Any]:
    return {
        "misc/serial_timesteps": m.serial,
        "misc/nupdates": m.updates,
        "misc/total_timesteps": m.step,
        "fps": int(m.fps),
        "misc/explained_variance": m.figure("train/explained_variance"),
        "eprewmean": m.reward,
        "eplenmean": m.length,
        "misc/time_elapsed": m.elapsed,
        "loss/policy_loss": m.figure("train/policy_gradient_loss"),
        "loss/value_loss": m.figure("train/value_loss", 0.5),  # 2019's has the half of the square in it
        "loss/policy_entropy": m.figure("train/entropy_loss", -1.0),
        "loss/approxkl": m.figure("train/approx_kl"),
        "loss/clipfrac": m.figure("train/clip_fraction"),
    }


def _a2c(m: Moment) -> dict[str, Any]:
    return {
        "nupdates": m.updates,
        "total_timesteps": m.step,
        "fps": int(m.fps),
        "policy_entropy": m.figure("train/entropy_loss", -1.0),
        "value_loss": m.figure("train/value_loss"),
        "explained_variance": m.figure("train/explained_variance"),
        "eprewmean": m.reward,
        "eplenmean": m.length,
    }


def _trpo(m: Moment) -> dict[str, Any]:
    return {
        "optimgain": m.figure("train/policy_objective"),
        "meankl": m.figure("train/kl_divergence_loss"),
        "entloss": 0.0,  # there is no entropy bonus
        "surrgain": m.figure("train/policy_objective"),
        "entropy": m.figure("entropy"),
        "ev_tdlam_before": m.figure("train/explained_variance"),
        "EpLenMean": m.length,
        "EpRewMean": m.reward,
        "EpThisIter": m.new_episodes,
        "EpisodesSoFar": m.episodes,
        "TimestepsSoFar": m.step,
        "TimeElapsed": m.elapsed,
    }


def _ddpg(m: Moment) -> dict[str, Any]:
    latest = m.recent[-m.new_episodes :] if m.new_episodes else []
    # What is measured beside the engine's own; the normalisation's only where there is one.
    measured = {
        name: value
        for name, value in m.figures.items()
        if name.startswith(("obs_rms_", "ret_rms_", "reference_", "rollout/actions_", "rollout/Q_"))
    }
    return {
        **measured,
        "rollout/return": _mean([r for r, _ in latest]),
        "rollout/return_std": _std([r for r, _ in latest]),
        "rollout/return_history": m.reward,
        "rollout/return_history_std": _std([r for r, _ in m.recent]),
        "rollout/episode_steps": _mean([n for _, n in latest]),
        "rollout/episodes": m.new_episodes,
        "train/loss_actor": m.figure("train/actor_loss"),
        "train/loss_critic": m.figure("train/critic_loss"),
        "total/duration": m.elapsed,
        "total/steps_per_second": m.fps,
        "total/episodes": m.episodes,
        "total/epochs": m.figure("total/epochs"),
        "total/steps": m.step,
    }


def _deepq(m: Moment) -> dict[str, Any]:
    return {
        "steps": m.step,
        "episodes": m.episodes,
        "mean 100 episode reward": round(m.reward, 1),
        "% time spent exploring": m.figure("rollout/exploration_rate", 100.0),
    }


def _generic(m: Moment) -> dict[str, Any]:
    losses = {
        f"loss/{name.removeprefix('train/')}": float(value)
        for name, value in m.figures.items()
        if name.startswith("train/") and name not in ("train/n_updates", "train/learning_rate")
    }
    return {
        "misc/nupdates": m.updates,
        "misc/total_timesteps": m.step,
        "fps": int(m.fps),
        "eprewmean": m.reward,
        "eplenmean": m.length,
        "misc/time_elapsed": m.elapsed,
        **losses,
    }


MAKERS: dict[str, Callable[[Moment], dict[str, Any]]] = {
    "ppo2": _ppo2,
    "a2c": _a2c,
    "trpo": _trpo,
    "ddpg": _ddpg,
    "deepq": _deepq,
    "generic": _generic,
}


def _std(values: Sequence[float]) -> float:
    return math.sqrt(_mean([(value - _mean(values)) ** 2 for value in values]))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
