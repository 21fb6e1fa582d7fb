"""Figures of 2019's logs that Stable-Baselines3's own logger does not have.

They are measured when a row is due, on what the agent
still holds: the last rollout, or the replay buffer."""

from __future__ import annotations

from typing import Any

from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, th

SAMPLE = 1024  # observations at most that a figure is measured on
REFERENCE = 64  # of these, the oldest of the replay buffer: 2019's reference batch


def measure(plan: Plan, model: BaseAlgorithm, epochs: int, steps: int) -> dict[str, float]:
    """The figures for a row.

    Args:
        epochs: rows so far. steps: since the last row, of all environments together.
    Returns:
        By 2019's names, without a family's prefix where there is none; nothing for families that need none.
    """
    family = plan.algorithm.logs
    with th.no_grad():
        if family == "trpo":
            return {"entropy": _entropy(model)}
        if family == "ddpg":
            return {"total/epochs": float(epochs), **_ddpg(model, max(1, steps // plan.num_env))}
    return {}


def _entropy(model: Any) -> float:
    """The policy's mean entropy over the last rollout."""
    seen = model.rollout_buffer.observations
    seen = seen.reshape(-1, *model.observation_space.shape)[:SAMPLE]
    entropy = model.policy.get_distribution(model.policy.obs_to_tensor(seen)[0]).entropy()
    return float("nan") if entropy is None else float(entropy.mean())


def _ddpg(model: Any, steps: int) -> dict[str, float]:
    """Actions and values over the last steps and over a reference batch, and what is normalised."""
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


def _seen(model: Any, buffer: Any, rows: list[int]) -> Any:
    seen = buffer._normalize_obs(buffer.observations[rows], model.get_vec_normalize_env())
    return model.policy.obs_to_tensor(seen.reshape(-1, *model.observation_space.shape))[0]


def _values(model: Any, buffer: Any, rows: list[int], taken: bool) -> th.Tensor:
    """The critic's values of the actions that were taken, or that the actor would take."""
    seen = _seen(model, buffer, rows)
    actions = th.as_tensor(buffer.actions[rows]).float().to(model.device) if taken else model.actor(seen)
    values: th.Tensor = model.critic(seen, actions.reshape(len(seen), -1))[0]
    return values


def _moments(name: str, values: th.Tensor) -> dict[str, float]:
    return {f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std(correction=0))}
