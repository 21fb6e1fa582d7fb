"""The equations of the categorical state-space model, once for every array library.

`xp` is `numpy` or `tensorflow`. `dense` gives every dense layer by its name (`layout.dense_sizes`), as a
function from (B, in) to (B, out); "core" and "core_state" are the GRU's products of the input and of the
state before.

Source: Cho et al. 2014 for the GRU; Hafner et al. 2021, 2023 for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dreamduck.world_model.categorical.layout import CategoricalConfig
from dreamduck.world_model.mdn_rnn.equations import sigmoid
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED

Array = Any
Layers = Mapping[str, Callable[[Array], Array]]

UNIFORM_MIX = 0.01  # of every distribution over classes is uniform, so that no logarithm is infinite


def silu(xp: Any, x: Array) -> Array:
    """The product of x and its logistic function."""
    half = 0.5 * x
    return half + half * xp.tanh(half)


def gates(xp: Any, of_input: Array, of_state: Array) -> tuple[Array, Array, Array]:
    """The gates of a GRU.

    Args:
        xp: the array library.
        of_input: (B, 3H), the input's product, in Keras's order.
        of_state: (B, 3H), the state's.
    Returns:
        The gate that keeps the state, the reset gate, the candidate, each (B, H).
    """
    size = of_input.shape[1] // 3
    opened = sigmoid(xp.tanh(0.5 * (of_input[:, : 2 * size] + of_state[:, : 2 * size])))
    reset = opened[:, size:]
    candidate = xp.tanh(of_input[:, 2 * size :] + reset * of_state[:, 2 * size :])
    return opened[:, :size], reset, candidate


def advance(xp: Any, dense: Layers, action: Array, h: Array, s: Array) -> Array:
    """The state after an action.

    Args:
        xp: the array library.
        dense: the layers.
        action: (B, A).
        h: (B, H), before.
        s: (B, S), one-hot vectors side by side.
    Returns:
        (B, H).
    """
    x = silu(xp, dense["core_input"](xp.concat([s, action], 1)))
    keep, _, candidate = gates(xp, dense["core"](x), dense["core_state"](h))
    return candidate + keep * (h - candidate)


def prior(xp: Any, dense: Layers, h: Array) -> Array:
    """The logits (B, S) of s, from the state alone."""
    return dense["prior"](silu(xp, dense["prior_hidden"](h)))


def posterior(xp: Any, dense: Layers, h: Array, seen: Array) -> Array:
    """The logits (B, S) of s, when the frame is known.

    Args:
        xp: the array library.
        dense: the layers.
        h: (B, H).
        seen: (B, Z + 1), its latent, and the level of the noise in it.
    """
    return dense["posterior"](silu(xp, dense["posterior_state"](h) + dense["posterior_latent"](seen)))


def decode(xp: Any, dense: Layers, h: Array, s: Array) -> Array:
    """The latent (B, Z) of a state."""
    return dense["decoder"](silu(xp, dense["decoder_hidden"](xp.concat([h, s], -1))))


def rewards_and_end_logit(xp: Any, dense: Layers, h: Array) -> tuple[Array, Array]:
    """The two rewards (..., 2) and the end's logit (...,) of the action that led to a state."""
    hidden = silu(xp, dense["head_hidden"](h))
    return dense["head_reward"](hidden), dense["head_end"](hidden)[..., 0]


def end_and_rewards(xp: Any, dense: Layers, h: Array) -> tuple[Array, Array, Array]:
    """The reward if an episode continues, that if it ends, the probability of its end, each (B,)."""
    reward, logit = rewards_and_end_logit(xp, dense, h)
    return reward[:, ALIVE], reward[:, ENDED], sigmoid(xp.tanh(0.5 * logit))


def probabilities(xp: Any, logits: Array, config: CategoricalConfig) -> Array:
    """The probability of every class, (B, variables, classes), from logits (B, S)."""
    shaped = xp.reshape(logits, (-1, config.variables, config.classes))
    weights = xp.exp(shaped - _greatest(xp, shaped))
    whole = xp.einsum("bgc->bg", weights)
    return weights * ((1 - UNIFORM_MIX) / whole)[:, :, None] + UNIFORM_MIX / config.classes


def draw(xp: Any, likely: Array, uniform: Array, temperature: Any = None) -> Array:
    """One class of each variable.

    Args:
        xp: the array library.
        likely: (B, variables, classes), probabilities.
        uniform: (B, variables), in [0, 1).
        temperature: more than 0, divides their logarithms; None leaves them as they are.
    Returns:
        (B, S), one-hot vectors side by side.
    """
    if temperature is not None:
        likely = (likely / _greatest(xp, likely)) ** (1.0 / temperature)
    sums = xp.cumsum(likely, 2)
    point = uniform[:, :, None] * sums[:, :, -1:]
    one = xp.ones_like(sums)
    below = xp.where(point < sums[:, :, :-1], one[:, :, 1:], 0 * one[:, :, 1:])
    below = xp.concat([below, one[:, :, :1]], 2)
    chosen = xp.concat([below[:, :, :1], below[:, :, 1:] - below[:, :, :-1]], 2)
    return xp.reshape(chosen, (-1, likely.shape[1] * likely.shape[2]))


def _greatest(xp: Any, x: Array) -> Array:
    """The greatest over the last axis (B, G, 1), by halves: libraries call it by different names."""
    while x.shape[2] > 1:
        half = (x.shape[2] + 1) // 2
        x = xp.maximum(x[:, :, :half], x[:, :, -half:])
    return x
