"""The columns of `progress.csv`, for each family of algorithms.

Names are those of 2019's `ppo2.py`, `a2c.py`, `trpo_mpi.py`, `ddpg.py` and `deepq.py`; the values come
from Stable-Baselines3's logger, with 2019's sign and scale. What that logger lacks is measured on the last
rollout or on the replay buffer (`measure`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, th

SAMPLE = 1024  # observations at most that a metric is measured on
REFERENCE = 64  # of these, the oldest of the replay buffer: 2019's reference batch


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A training at the moment of a log entry.

    Attributes:
        step: steps of all environments together.
        serial: steps of one environment.
        updates: so far.
        episodes: so far.
        new_episodes: since the last entry.
        fps: steps a second since the last entry.
        elapsed: since the start [s].
        recent: (reward, length) of the last 100 episodes.
        metrics: of the agent's own logger, "train/..." and "rollout/...", and of `measure`.
    """

    step: int
    serial: int
    updates: int
    episodes: int
    new_episodes: int
    fps: float
    elapsed: float
    recent: Sequence[tuple[float, float]]
    metrics: Mapping[str, Any]

    @property
    def reward(self) -> float:
        """Mean over the recent episodes; nan before the first."""
        return _mean([r for r, _ in self.recent])

    @property
    def length(self) -> float:
        """Likewise [steps]."""
        return _mean([n for _, n in self.recent])

    def metric(self, name: str, factor: float = 1.0) -> float:
        """One of the metrics; nan where there is none."""
        value = self.metrics.get(name)
        return math.nan if value is None else float(value) * factor


def log_entry(family: str, snapshot: Snapshot) -> dict[str, Any]:
    """The entry, in 2019's order of columns."""
    return FAMILIES[family](snapshot)


def _ppo2(m: Snapshot) -> dict[str, Any]:
    return {
        "misc/serial_timesteps": m.serial,
        "misc/nupdates": m.updates,
        "misc/total_timesteps": m.step,
        "fps": int(m.fps),
        "misc/explained_variance": m.metric("train/explained_variance"),
        "eprewmean": m.reward,
        "eplenmean": m.length,
        "misc/time_elapsed": m.elapsed,
        "loss/policy_loss": m.metric("train/policy_gradient_loss"),
        "loss/value_loss": m.metric("train/value_loss", 0.5),  # 2019 halved the squared error
        "loss/policy_entropy": m.metric("train/entropy_loss", -1.0),
        "loss/approxkl": m.metric("train/approx_kl"),
        "loss/clipfrac": m.metric("train/clip_fraction"),
    }


def _a2c(m: Snapshot) -> dict[str, Any]:
    return {
        "nupdates": m.updates,
        "total_timesteps": m.step,
        "fps": int(m.fps),
        "policy_entropy": m.metric("train/entropy_loss", -1.0),
        "value_loss": m.metric("train/value_loss"),
        "explained_variance": m.metric("train/explained_variance"),
        "eprewmean": m.reward,
        "eplenmean": m.length,
    }


def _trpo(m: Snapshot) -> dict[str, Any]:
    return {
        "optimgain": m.metric("train/policy_objective"),
        "meankl": m.metric("train/kl_divergence_loss"),
        "entloss": 0.0,  # there is no entropy bonus
        "surrgain": m.metric("train/policy_objective"),
        "entropy": m.metric("entropy"),
        "ev_tdlam_before": m.metric("train/explained_variance"),
        "EpLenMean": m.length,
        "EpRewMean": m.reward,
        "EpThisIter": m.new_episodes,
        "EpisodesSoFar": m.episodes,
        "TimestepsSoFar": m.step,
        "TimeElapsed": m.elapsed,
    }


def _ddpg(m: Snapshot) -> dict[str, Any]:
    latest = m.recent[-m.new_episodes :] if m.new_episodes else []
    # What `measure` adds; the normalization's only where there is one.
    measured = {
        name: value
        for name, value in m.metrics.items()
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
        "train/loss_actor": m.metric("train/actor_loss"),
        "train/loss_critic": m.metric("train/critic_loss"),
        "total/duration": m.elapsed,
        "total/steps_per_second": m.fps,
        "total/episodes": m.episodes,
        "total/epochs": m.metric("total/epochs"),
        "total/steps": m.step,
    }


def _deepq(m: Snapshot) -> dict[str, Any]:
    return {
        "steps": m.step,
        "episodes": m.episodes,
        "mean 100 episode reward": round(m.reward, 1),
        "% time spent exploring": m.metric("rollout/exploration_rate", 100.0),
    }


def _generic(m: Snapshot) -> dict[str, Any]:
    losses = {
        f"loss/{name.removeprefix('train/')}": float(value)
        for name, value in m.metrics.items()
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


FAMILIES: dict[str, Callable[[Snapshot], dict[str, Any]]] = {
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


def measure(plan: Plan, model: BaseAlgorithm, epochs: int, steps: int) -> dict[str, float]:
    """Metrics of 2019's logs that the agent's own logger does not have.

    Args:
        plan: the run's.
        model: the agent.
        epochs: entries so far.
        steps: since the last entry, of all environments together.
    Returns:
        By 2019's names; empty for families that need none.
    """
    family = plan.algorithm.log_family
    with th.no_grad():
        if family == "trpo":
            return {"entropy": _mean_entropy(model)}
        if family == "ddpg":
            return {"total/epochs": float(epochs), **_replay_metrics(model, max(1, steps // plan.num_env))}
    return {}


def _mean_entropy(model: Any) -> float:
    """The policy's mean entropy over the last rollout."""
    seen = model.rollout_buffer.observations
    seen = seen.reshape(-1, *model.observation_space.shape)[:SAMPLE]
    entropy = model.policy.get_distribution(model.policy.obs_to_tensor(seen)[0]).entropy()
    return float("nan") if entropy is None else float(entropy.mean())


def _replay_metrics(model: Any, steps: int) -> dict[str, float]:
    """Actions and values of the newest steps and of a reference batch, and the normalization."""
    buffer, normalize = model.replay_buffer, model.get_vec_normalize_env()
    filled = buffer.buffer_size if buffer.full else buffer.pos
    newest = [(buffer.pos - 1 - i) % buffer.buffer_size for i in range(min(steps, filled, SAMPLE))]
    found: dict[str, float] = {}
    if not filled:
        return found
    taken = th.as_tensor(buffer.actions[newest]).float()
    found |= _moments("rollout/actions", taken)
    found["rollout/Q_mean"] = float(_values(model, buffer, newest, taken=True).mean())
    reference = list(range(min(REFERENCE, filled)))
    found |= _moments("reference_Q", _values(model, buffer, reference, taken=True))
    found |= _moments("reference_actor_Q", _values(model, buffer, reference, taken=False))
    found |= _moments("reference_action", model.actor(_seen(model, buffer, reference)))
    if normalize is not None and normalize.norm_obs:
        found["obs_rms_mean"] = float(normalize.obs_rms.mean.mean())
        found["obs_rms_std"] = float(normalize.obs_rms.var.mean() ** 0.5)
    if normalize is not None and normalize.norm_reward:
        found["ret_rms_mean"] = float(normalize.ret_rms.mean)
        found["ret_rms_std"] = float(normalize.ret_rms.var**0.5)
    return found


def _seen(model: Any, buffer: Any, indices: list[int]) -> Any:
    seen = buffer._normalize_obs(buffer.observations[indices], model.get_vec_normalize_env())
    return model.policy.obs_to_tensor(seen.reshape(-1, *model.observation_space.shape))[0]


def _values(model: Any, buffer: Any, indices: list[int], taken: bool) -> th.Tensor:
    """The critic's values of the actions that were taken, or that the actor would take."""
    seen = _seen(model, buffer, indices)
    actions = th.as_tensor(buffer.actions[indices]).float().to(model.device) if taken else model.actor(seen)
    values: th.Tensor = model.critic(seen, actions.reshape(len(seen), -1))[0]
    return values


def _moments(name: str, values: th.Tensor) -> dict[str, float]:
    return {f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std(correction=0))}
