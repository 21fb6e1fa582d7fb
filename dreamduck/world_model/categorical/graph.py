"""The model over a sequence of frames in TensorFlow, with a gradient of its own.

The library's own gradient adds each step's to those of all weights, and multiplies with transposed
matrices; here the weights' gradients are one product over all steps. Tests hold it to the equations."""

from __future__ import annotations

from typing import Any, NamedTuple

from dreamduck.common.backend import tf
from dreamduck.world_model.categorical import equations
from dreamduck.world_model.categorical.layout import CategoricalConfig

Tensor = Any


class PathWeights(NamedTuple):
    """The weights along a sequence, by their layers."""

    posterior_state: Tensor  # (H, U)
    posterior: Tensor  # (U, S)
    posterior_bias: Tensor  # (S,)
    core_input: Tensor  # (S, U), of s alone
    core: Tensor  # (U, 3H)
    recurrent: Tensor  # (H, 3H)
    core_bias: Tensor  # (2, 3H)


class PriorSteps(NamedTuple):
    """The rows and steps at which states continue with draws of the prior: the first R rows, some steps."""

    layers: equations.Layers  # of which the prior is computed
    use: Tensor  # (T, R) bool
    uniform: Tensor  # (T, R, variables)


class Path(NamedTuple):
    """States and logits of every step."""

    h: Tensor  # (T, B, H), before the frame is known
    s: Tensor  # (T, B, S), drawn when it is known
    logits: Tensor  # (T, B, S), of which it was drawn


def run(
    latent: Tensor,
    action: Tensor,
    uniform: Tensor,
    priors: PriorSteps,
    weights: PathWeights,
    config: CategoricalConfig,
    precision: str,
) -> Path:
    """Follow T frames from a state of zeros; float32.

    The gradient of a draw is that of its probabilities (straight-through); none passes through draws of
    the prior.

    Args:
        latent: (T, B, U), output of the layer "posterior_latent" for the frames.
        action: (T, B, U), the part of the layer "core_input" from the actions after them, with its bias.
        uniform: (T, B, variables), in [0, 1), chooses s.
        priors: the draws of the prior.
        weights: tensors.
        config: the sizes.
        precision: of products.
    """

    @tf.custom_gradient
    def path(latent: Tensor, action: Tensor, *weights: Tensor) -> Any:
        named = zip(PathWeights._fields, weights, strict=True)
        cast = PathWeights(*(w if name.endswith("bias") else tf.cast(w, precision) for name, w in named))
        return _path(latent, action, uniform, priors, cast, config)

    return Path(*path(latent, action, *map(tf.convert_to_tensor, weights)))


def product(x: Tensor, kernel: Tensor) -> Tensor:
    """X (..., in) by a kernel (in, out), multiplied in the precision of the kernel; float32."""
    flat = tf.cast(tf.reshape(x, (-1, kernel.shape[0])), kernel.dtype)
    found = tf.cast(tf.matmul(flat, kernel), tf.float32)
    return tf.reshape(found, tf.concat([tf.shape(x)[:-1], kernel.shape[1:]], 0))


class _Kept(NamedTuple):
    """Values of each step that the backward pass needs."""

    h: Tensor  # (B, H), before
    s: Tensor  # (B, S), as drawn
    logits: Tensor  # (B, S), of which it was drawn
    hidden: Tensor  # (B, U), before the posterior's activation
    used: Tensor  # (B, S), s, or a draw of the prior
    inputs: Tensor  # (B, U), before the GRU's activation
    opened: Tensor  # (B, 4H): keep, reset, candidate, and the state's part of the candidate


def _path(
    latent: Tensor,
    action: Tensor,
    uniform: Tensor,
    priors: PriorSteps,
    weights: PathWeights,
    config: CategoricalConfig,
) -> Any:
    units, rows, steps = config.units, priors.use.shape[1], tf.shape(latent)[0]
    joint = tf.concat([weights.posterior_state, weights.recurrent], 1)

    def draw(logits: Tensor, uniform: Tensor) -> Tensor:
        return equations.draw(tf, equations.probabilities(tf, logits, config), uniform)

    def forward(t: Tensor, h: Tensor, kept: Any) -> tuple[Any, ...]:
        of_state = product(h, joint)
        hidden = latent[t] + of_state[:, :units]
        logits = product(equations.silu(tf, hidden), weights.posterior) + weights.posterior_bias
        used = s = draw(logits, uniform[t])
        if rows:
            own = draw(equations.prior(tf, priors.layers, h[:rows]), priors.uniform[t])
            used = tf.concat([tf.where(priors.use[t][:, None], own, s[:rows]), s[rows:]], 0)
        inputs = product(used, weights.core_input) + action[t]
        of_input = product(equations.silu(tf, inputs), weights.core) + weights.core_bias[0]
        of_state = of_state[:, units:] + weights.core_bias[1]
        keep, reset, candidate = equations.gates(tf, of_input, of_state)
        opened = tf.concat([keep, reset, candidate, of_state[:, 2 * config.hidden_size :]], 1)
        now = _Kept(h, s, logits, hidden, used, inputs, opened)
        kept = tuple(row.write(t, part) for row, part in zip(kept, now, strict=True))
        return t + 1, candidate + keep * (h - candidate), kept

    first = tf.zeros((tf.shape(latent)[1], config.hidden_size))
    start = (tf.constant(0), first, _arrays(len(_Kept._fields), steps))
    *_, arrays = tf.while_loop(lambda t, *_: t < steps, forward, start, parallel_iterations=1)
    kept = _Kept(*(row.stack() for row in arrays))

    def gradient(d_h: Tensor, d_s: Tensor, d_logits: Tensor) -> Any:
        return _gradient(Path(d_h, d_s, d_logits), kept, priors.use, joint, weights, config)

    return (kept.h, kept.s, kept.logits), gradient


def _gradient(
    d: Path, kept: _Kept, prior_used: Tensor, joint: Tensor, weights: PathWeights, config: CategoricalConfig
) -> tuple[Tensor, ...]:
    """The gradient of the inputs of `_path`, from the gradient `d` of its outputs."""
    units, rows = config.units, prior_used.shape[1]
    steps = tf.shape(kept.h)[0]
    back = [tf.transpose(w) for w in (joint, weights.posterior, weights.core_input, weights.core)]
    joint_back, posterior_back, core_input_back, core_back = back

    def backward(t: Tensor, d_after: Tensor, found: Any) -> tuple[Any, ...]:
        keep, reset, candidate, of_state = tf.split(kept.opened[t], 4, 1)
        d_candidate = d_after * (1 - keep) * (1 - candidate * candidate)
        d_keep = d_after * (kept.h[t] - candidate) * keep * (1 - keep)
        d_reset = d_candidate * of_state * reset * (1 - reset)
        d_of_input = tf.concat([d_keep, d_reset, d_candidate], 1)
        d_inputs = product(d_of_input, core_back) * _slope(kept.inputs[t])
        d_used = product(d_inputs, core_input_back)
        if rows:
            real = tf.where(prior_used[t][:, None], tf.zeros_like(d_used[:rows]), d_used[:rows])
            d_used = tf.concat([real, d_used[rows:]], 0)
        d_logits = d.logits[t] + _straight_through(kept.logits[t], d.s[t] + d_used, config)
        d_hidden = product(d_logits, posterior_back) * _slope(kept.hidden[t])
        d_joint = tf.concat([d_hidden, d_keep, d_reset, d_candidate * reset], 1)
        d_before = d.h[t] + d_after * keep + product(d_joint, joint_back)
        now = (d_joint, d_logits, d_inputs, d_of_input)
        return t - 1, d_before, tuple(row.write(t, part) for row, part in zip(found, now, strict=True))

    start = (steps - 1, tf.zeros_like(kept.h[0]), _arrays(4, steps))
    *_, arrays = tf.while_loop(lambda t, *_: t >= 0, backward, start, parallel_iterations=1)
    d_joint, d_logits, d_inputs, d_of_input = (row.stack() for row in arrays)

    def over_all_steps(inputs: Tensor, d: Tensor) -> Tensor:
        return _over_all_steps(inputs, d, joint.dtype)

    by_joint = over_all_steps(kept.h, d_joint)
    by_weights = PathWeights(
        by_joint[:, :units],
        over_all_steps(equations.silu(tf, kept.hidden), d_logits),
        tf.reduce_sum(d_logits, (0, 1)),
        over_all_steps(kept.used, d_inputs),
        over_all_steps(equations.silu(tf, kept.inputs), d_of_input),
        by_joint[:, units:],
        tf.stack([tf.reduce_sum(d_of_input, (0, 1)), tf.reduce_sum(d_joint[:, :, units:], (0, 1))]),
    )
    return d_joint[:, :, :units], d_inputs, *by_weights


def _arrays(count: int, steps: Tensor) -> tuple[Any, ...]:
    return tuple(tf.TensorArray(tf.float32, steps, clear_after_read=False) for _ in range(count))


def _slope(x: Tensor) -> Tensor:
    """The derivative of `equations.silu`."""
    opened = tf.sigmoid(x)
    return opened * (1 + x * (1 - opened))


def _straight_through(logits: Tensor, d: Tensor, config: CategoricalConfig) -> Tensor:
    """The gradient by logits (B, S), where that by their probabilities is d."""
    shape = (-1, config.variables, config.classes)
    likely, d = tf.nn.softmax(tf.reshape(logits, shape)), tf.reshape(d, shape)
    spread = likely * (d - tf.reduce_sum(likely * d, 2, keepdims=True))
    return tf.reshape((1 - equations.UNIFORM_MIX) * spread, tf.shape(logits))


def _over_all_steps(inputs: Tensor, d: Tensor, precision: Any) -> Tensor:
    """The gradient by a kernel, of all steps at once."""
    flat = (tf.cast(tf.reshape(part, (-1, part.shape[-1])), precision) for part in (inputs, d))
    return tf.cast(tf.matmul(*flat, transpose_a=True), tf.float32)
