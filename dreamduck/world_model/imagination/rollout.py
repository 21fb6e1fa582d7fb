"""Many dreams in compiled batches, with the controllers inside.

Source: Ha & Schmidhuber 2018, section 4 (training in the dream) and
App. A.2 (temperature). What is computed is `Dynamics.graph_step`; candidates whose dreams have all ended
drop out. A dream's numbers do not depend on those beside it: batches are
filled up to a multiple of 8 rows, where TensorFlow's kernels give a row the same bits in any batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.backend import tf
from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import derive
from dreamduck.world_model.dynamics import Dynamics, InitialZ
from dreamduck.world_model.ensemble import Ensemble
from dreamduck.world_model.ensemble.heads import MAKE as MAKE_ENSEMBLE
from dreamduck.world_model.imagination.dream_batch import STATE, DreamBatch
from dreamduck.world_model.imagination.randomization import RandomizationConfig, arrive
from dreamduck.world_model.imagination.stepper import check_temperature

Tensor = Any
Tensors = tuple[Tensor, ...]
Policy = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

CHUNK = 32  # steps in a call; between calls noise is drawn and what has ended drops out
POLICIES = 8  # compiled rollouts that are kept


class Trace(NamedTuple):
    """A rollout step by step; values after an end have no meaning."""

    z: npt.NDArray[np.float32]  # (P, E, T, Z), before the step
    action: npt.NDArray[np.float32]  # (P, E, T, A)
    reward: npt.NDArray[np.float32]  # (P, E, T)
    end: npt.NDArray[np.float32]  # (P, E, T), probability


class Rollout(NamedTuple):
    """Results of dreams; P candidates, E episodes each."""

    reward: npt.NDArray[np.float32]  # (P, E), summed
    length: npt.NDArray[np.int64]  # (P, E), steps
    ended: npt.NDArray[np.bool_]  # (P, E), whether it ended by itself, not by the number of steps
    trace: Trace | None = None


class Dream:
    """The dream of a world model.

    Args:
        dynamics: what is dreamt.
        initial: where it begins.
    """

    def __init__(self, dynamics: Dynamics, initial: InitialZ, ensemble: Ensemble | None = None) -> None:
        self.dynamics, self.initial = dynamics, initial
        self._step = dynamics.graph_step(tf)
        self._uncertainty = None if ensemble is None else ensemble.graph_uncertainty(tf)
        self._perceive: Any = None
        self._compiled: dict[tuple[Policy, bool, bool, bool], Any] = {}

    def rollout(
        self,
        policy: Policy,
        theta: npt.ArrayLike,
        episodes: int,
        steps: int,
        seed: int | Sequence[int],
        temperature: float | None = None,
        trace: bool = False,
        pessimism: float = 0.0,
        randomization: RandomizationConfig | None = None,
    ) -> Rollout:
        """Dream E episodes with each of P controllers.

        Args:
            policy: a function of theta (P, n), z (B, Z), c (B, C), h (B, H) that gives actions (B, A)
                with TensorFlow's operations; B = P * E, candidate by candidate. Keep one function for
                all calls: each new one is compiled again.
            theta: (P, n).
            steps: a dream is cut after so many.
            seed: of all, or one for each candidate. Episode e of a candidate with seed s is the dream
                (s, e), in any batch; the environment v2 dreams (s, 0) after `reset(seed=s)`.
            temperature: 1 as the dynamics expect; less is surer, more is stranger; None for that of their
                kind.
            trace: also return every step, at the price of the RAM for it.
            pessimism: how much a unit of uncertainty takes off the reward of a step, see `Ensemble`.
            randomization: what differs from dream to dream; nothing by default. The trace has what is
                dreamt, and the actions that are commanded.
        Raises:
            ConfigError: a number is out of its range, or the shapes do not fit.
        """
        theta = np.asarray(theta, dtype=np.float32)
        if theta.ndim != 2 or not len(theta) or episodes < 1 or steps < 1:
            raise ConfigError(
                f"rollout: expected theta (P, n), 1 or more episodes and steps, got {theta.shape}, "
                f"{episodes}, {steps}"
            )
        seeds = _seeds(seed, len(theta))
        divisor = np.float32(check_temperature(temperature, self.dynamics))
        if pessimism and self._uncertainty is None:
            raise ConfigError(
                f"pessimism: expected 0 without an ensemble, got {pessimism:g}; {MAKE_ENSEMBLE}"
            )
        if randomization and self._perceive is None:
            self._perceive = self.dynamics.graph_perceive(tf)
        run = self._compile(policy, trace, bool(pessimism), bool(randomization))
        batch = DreamBatch(self.dynamics, self.initial, theta, episodes, seeds, randomization)
        parts = []
        for at in range(0, steps, CHUNK):
            uniform, normal = batch.draw(min(CHUNK, steps - at))
            result = run(batch.theta, *batch.carried, uniform, normal, divisor, np.float32(pessimism))
            batch.carried = result[: len(batch.carried)]
            parts.append(result[len(batch.carried) :])
            if not batch.drop(keep_all=trace):
                break
        reward, length, alive = batch.results()
        shape = (len(theta), episodes)
        found = None
        if trace:
            columns = [np.concatenate([p.numpy() for p in column]) for column in zip(*parts, strict=True)]
            found = Trace(
                *(
                    np.moveaxis(c[:, : alive.size], 0, 1).reshape(*shape, len(c), *c.shape[2:])
                    for c in columns
                )
            )
        return Rollout(reward.reshape(shape), length.reshape(shape), ~alive.reshape(shape), found)

    def _compile(self, policy: Policy, trace: bool, pessimistic: bool, randomized: bool) -> Any:
        """The loop for a policy."""
        key = (policy, trace, pessimistic, randomized)
        if key not in self._compiled:
            while len(self._compiled) >= POLICIES:
                self._compiled.pop(next(iter(self._compiled)))
            sizes, floats = self.dynamics.config, tf.float32
            widths = (None, sizes.z_size, sizes.cell_size, sizes.hidden_size)
            signature = [tf.TensorSpec([None, width], floats) for width in widths]
            signature += [tf.TensorSpec([None], kind) for kind in (floats, tf.int32, tf.bool)]
            if randomized:
                a, width = sizes.action_size, (sizes.hidden_size, sizes.cell_size, sizes.z_size)
                shapes: list[list[Any]] = [
                    [width[0]],
                    [width[1]],
                    [None, a],
                    [1, 1],
                    [a, a],
                    [None],
                    [width[2]],
                ]
                signature += [tf.TensorSpec([None, *shape], floats) for shape in shapes]
            chance = (sizes.uniform_size + 1, sizes.normal_size)
            signature += [tf.TensorSpec([None, None, width], floats) for width in chance]
            signature += [tf.TensorSpec([], floats)] * 2

            def loop(theta: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
                return self._loop(policy, trace, pessimistic, theta, *given)

            self._compiled[key] = tf.function(loop, input_signature=signature)
        return self._compiled[key]

    def _loop(
        self,
        policy: Policy,
        trace: bool,
        pessimistic: bool,
        theta: Tensor,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        """T steps of all rows: what they carry, noise, temperature and pessimism in."""
        *first, uniform, normal, temperature, pessimism = given
        uniform, normal = (tf.transpose(noise, (1, 0, 2)) for noise in (uniform, normal))  # (T, B, ...)
        steps = tf.shape(uniform)[0]
        rows = tuple(tf.TensorArray(tf.float32, steps) for _ in Trace._fields) if trace else ()

        def body(t: Tensor, carried: tuple[Tensor, ...], rows: tuple[Any, ...]) -> tuple[Any, ...]:
            z, c, h, total, length, alive = carried[:STATE]
            random = carried[STATE:]
            seen = _seen(z, c, h, random)
            action = policy(theta, *seen)
            done, random = _arrived(action, random)
            chance = uniform[t]
            found = self._step(z, done, h, c, chance[:, :-1], normal[t], temperature)
            random = self._perceived(seen[0], action, found.z, random)
            ended = chance[:, -1] < found.end
            reward = tf.where(ended, found.end_reward, found.reward)
            if pessimistic and self._uncertainty is not None:
                reward -= pessimism * self._uncertainty(found.h)
            rows = tuple(r.write(t, v) for r, v in zip(rows, (z, action, reward, found.end), strict=False))
            total = total + tf.where(alive, reward, 0.0)
            length = length + tf.cast(alive, tf.int32)
            alive = tf.logical_and(alive, tf.logical_not(ended))
            return t + 1, (found.z, found.c, found.h, total, length, alive, *random), rows

        def carry_state(t: Tensor, carried: tuple[Tensor, ...], rows: tuple[Any, ...]) -> Tensor:
            return tf.logical_and(t < steps, tf.logical_or(trace, tf.reduce_any(carried[STATE - 1])))

        start = (tf.constant(0), tuple(first), rows)
        _, carried, rows = tf.while_loop(carry_state, body, start, parallel_iterations=1)
        return (*carried, *(row.stack() for row in rows))

    def _perceived(self, z: Tensor, action: Tensor, after: Tensor, random: Tensors) -> Tensors:
        """The next `random`, when policies have seen z (B, Z), acted, and the dreams have advanced."""
        if not random:
            return random
        h, c, *others, shift = random
        return (*self._perceive(z, action, h, c, after + shift), *others, shift)


def _seen(z: Tensor, c: Tensor, h: Tensor, random: Tensors) -> Tensors:
    """The policies' observations of z, c and h; `random` is `Perceived` and `Randomization`, or empty."""
    return (z + random[-1], random[1], random[0]) if random else (z, c, h)


def _arrived(action: Tensor, random: Tensors) -> tuple[Tensor, Tensors]:
    """The motors' action for a command, and the next `random`."""
    if not random:
        return action, random
    h, c, commands, first, motors, delay, shift = random
    done, commands, first = arrive(tf, action, commands, first, motors, delay)
    return done, (h, c, commands, first, motors, delay, shift)


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """One seed a candidate."""
    if isinstance(seed, (int, np.integer)):
        return [derive(int(seed), candidate) for candidate in range(count)]
    seeds = [int(one) for one in seed]
    if len(seeds) != count or min(seeds) < 0:
        raise ConfigError(f"seed: expected one of 0 or more, or {count} of them, got {seed!r}")
    return seeds
