"""Many dreams in compiled batches, with the controllers inside.

Source: Ha & Schmidhuber 2018, section 4 (training in the dream) and
App. A.2 (temperature). What is computed is the LSTM, its heads and one draw of each mixture; candidates
whose dreams have all ended drop out. A dream's numbers do not depend on those beside it: batches are
filled up to a multiple of 8 rows, where TensorFlow's kernels give a row the same bits in any batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.backend import tf, threads_used
from dreamduck.common.errors import ConfigError
from dreamduck.common.seeding import derive
from dreamduck.world_model.imagination import TEMPERATURE
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.imagination.stepper import check_temperature
from dreamduck.world_model.mdn_rnn import MDNRNN, InitialZ, equations, graph

Tensor = Any
Policy = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

CHUNK = 32  # steps in a call; between calls noise is drawn and what has ended drops out
ROWS = 8  # batches are filled up to a multiple of this
A_THREAD = 4096  # dream steps whose noise is worth a thread of its own
WORTH = 0.85  # ended candidates drop out when no more than this share of the rows is left
POLICIES = 8  # compiled rollouts that are kept


class Trace(NamedTuple):
    """A rollout step by step; what comes after an end means nothing."""

    z: npt.NDArray[np.float32]  # (P, E, T, Z), before the step
    action: npt.NDArray[np.float32]  # (P, E, T, A)
    reward: npt.NDArray[np.float32]  # (P, E, T)
    end: npt.NDArray[np.float32]  # (P, E, T), probability


class Rollout(NamedTuple):
    """What dreams gave; P candidates, E episodes each."""

    reward: npt.NDArray[np.float32]  # (P, E), summed
    length: npt.NDArray[np.int64]  # (P, E), steps
    ended: npt.NDArray[np.bool_]  # (P, E), whether it ended by itself, not by the number of steps
    trace: Trace | None = None


class Dream:
    """The dream of a world model.

    Args:
        memory: what is dreamt.
        initial: where it begins.
    """

    def __init__(self, memory: MDNRNN, initial: InitialZ) -> None:
        self.memory, self.initial = memory, initial
        self._weights = graph.StepWeights(*(tf.constant(array) for array in memory.merged()))
        self._residual_scale, self._bounds = tf.constant(memory.residual_scale), tf.constant(memory.bounds)
        self._compiled: dict[tuple[Policy, bool], Any] = {}

    def rollout(
        self,
        policy: Policy,
        theta: npt.ArrayLike,
        episodes: int,
        steps: int,
        seed: int | Sequence[int],
        temperature: float = TEMPERATURE,
        trace: bool = False,
    ) -> Rollout:
        """Dream E episodes with each of P controllers.

        Args:
            policy: a function of theta (P, n), z (B, Z), c (B, H), h (B, H) that gives actions (B, A)
                with TensorFlow's operations; B = P * E, candidate by candidate. Keep one function for
                all calls: each new one is compiled again.
            theta: (P, n).
            steps: a dream is cut after so many.
            seed: of all, or one for each candidate. Episode e of a candidate with seed s is the dream
                (s, e), whoever else dreams; the world v2 dreams (s, 0) after `reset(seed=s)`.
            temperature: 1 as the MDN-RNN expects; less is surer, more is stranger.
            trace: also return every step, at the price of the RAM for it.
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
        run = self._compile(policy, trace)
        table = _Table(self, theta, episodes, seeds)
        parts = []
        for at in range(0, steps, CHUNK):
            uniform, normal = table.draw(min(CHUNK, steps - at))
            result = run(
                table.theta, *table.carried, uniform, normal, np.float32(check_temperature(temperature))
            )
            table.carried = result[:6]
            parts.append(result[6:])
            if not table.drop(keep_all=trace):
                break
        reward, length, alive = table.results()
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

    def _compile(self, policy: Policy, trace: bool) -> Any:
        """The loop for a policy."""
        key = (policy, trace)
        if key not in self._compiled:
            while len(self._compiled) >= POLICIES:
                self._compiled.pop(next(iter(self._compiled)))
            config, floats = self.memory.config, tf.float32
            signature = [tf.TensorSpec([None, None], floats), tf.TensorSpec([None, config.z_size], floats)]
            signature += [tf.TensorSpec([None, config.hidden_size], floats)] * 2
            signature += [tf.TensorSpec([None], kind) for kind in (floats, tf.int32, tf.bool)]
            signature += [
                tf.TensorSpec([None, None, width], floats) for width in (config.z_size + 1, config.z_size)
            ]
            signature += [tf.TensorSpec([], floats)]

            def loop(theta: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
                return self._loop(policy, trace, theta, *given)

            self._compiled[key] = tf.function(loop, input_signature=signature)
        return self._compiled[key]

    def _loop(
        self,
        policy: Policy,
        trace: bool,
        theta: Tensor,
        z: Tensor,
        c: Tensor,
        h: Tensor,
        total: Tensor,
        length: Tensor,
        alive: Tensor,
        uniform: Tensor,
        normal: Tensor,
        temperature: Tensor,
    ) -> tuple[Tensor, ...]:
        """T steps of all rows."""
        uniform, normal = (tf.transpose(noise, (1, 0, 2)) for noise in (uniform, normal))  # (T, B, ...)
        steps, sizes = tf.shape(uniform)[0], self.memory.config
        rows = tuple(tf.TensorArray(tf.float32, steps) for _ in Trace._fields) if trace else ()

        def body(t: Tensor, carried: tuple[Tensor, ...], rows: tuple[Any, ...]) -> tuple[Any, ...]:
            z, c, h, total, length, alive = carried
            action = policy(theta, z, c, h)
            c, h, out = graph.advance(self._weights, z, action, c, h)
            chance = uniform[t]
            going, ending, end = equations.end_and_rewards(tf, out, sizes)
            ended = chance[:, -1] < end
            reward = tf.where(ended, ending, going)
            rows = tuple(r.write(t, v) for r, v in zip(rows, (z, action, reward, end), strict=False))
            total = total + tf.where(alive, reward, 0.0)
            length = length + tf.cast(alive, tf.int32)
            alive = tf.logical_and(alive, tf.logical_not(ended))
            z = graph.sample(
                sizes, out, z, self._residual_scale, chance, normal[t], temperature, self._bounds
            )
            return t + 1, (z, c, h, total, length, alive), rows

        def carry_state(t: Tensor, carried: tuple[Tensor, ...], rows: tuple[Any, ...]) -> Tensor:
            return tf.logical_and(t < steps, tf.logical_or(trace, tf.reduce_any(carried[-1])))

        start = (tf.constant(0), (z, c, h, total, length, alive), rows)
        _, carried, rows = tf.while_loop(carry_state, body, start, parallel_iterations=1)
        return (*carried, *(row.stack() for row in rows))


class _Table:
    """The dreams that are on their way, and the scores of all."""

    def __init__(
        self, dream: Dream, theta: npt.NDArray[np.float32], episodes: int, seeds: list[int]
    ) -> None:
        config = dream.memory.config
        self._size, self._episodes = config.z_size, episodes
        count = len(theta)
        places = [(seed, e) for seed in seeds for e in range(episodes)]
        self._noise = Noise.of(places, config.z_size)  # candidate by candidate
        begun = [noise.begin() for noise in self._noise]
        chance, normal = (np.array(part) for part in zip(*begun, strict=True))
        first = np.clip(dream.initial.draw(chance, normal), *dream.memory.bounds)
        known = dream.initial.recall(chance, config.hidden_size)
        self._scores = [np.zeros((count, episodes), kind) for kind in (np.float32, np.int64, np.bool_)]
        self._scores[2][:] = True
        self._candidates = np.arange(count)  # which are in the batch, filled up at its end
        rows = self._filled(self._candidates)
        z, h, c = (
            part.reshape(count, episodes, -1)[rows].reshape(len(rows) * episodes, -1)
            for part in (first, *known)
        )
        flat = [np.zeros(len(z), np.float32), np.zeros(len(z), np.int32), np.ones(len(z), np.bool_)]
        flat[2].reshape(len(rows), episodes)[len(self._candidates) :] = False
        self.carried: Sequence[Any] = [z, c, h, *flat]
        self.theta = theta[rows]

    def _filled(self, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Some of them twice, so that the rows are a multiple of `ROWS`."""
        unit = ROWS // math.gcd(ROWS, self._episodes)
        return np.resize(candidates, -(-len(candidates) // unit) * unit)

    def draw(self, steps: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The noise of the next steps, (B, T, Z + 1) uniform and (B, T, Z) normal."""
        rows, known = len(self.theta) * self._episodes, len(self._candidates) * self._episodes
        uniform = np.empty((rows, steps, self._size + 1), np.float32)
        normal = np.empty((rows, steps, self._size), np.float32)
        uniform[known:], normal[known:] = 0, 0
        firsts = self._candidates * self._episodes
        noises = [self._noise[first + e] for first in firsts for e in range(self._episodes)]
        workers = min(threads_used(), -(-known * steps // A_THREAD))
        parts = np.linspace(0, known, workers + 1).astype(int)

        def fill(begin: int, end: int) -> None:
            for row in range(begin, end):
                noises[row].draw(uniform[row], normal[row])

        if workers < 2:
            fill(0, known)
        else:
            with ThreadPoolExecutor(workers) as pool:  # numpy draws without holding Python's lock
                list(pool.map(fill, parts[:-1], parts[1:]))
        return uniform, normal

    def drop(self, keep_all: bool = False) -> bool:
        """Note the scores, let ended candidates drop out; tells whether any dream goes on."""
        count, episodes = len(self._candidates), self._episodes
        values = [
            np.asarray(part)[: count * episodes].reshape(count, episodes) for part in self.carried[3:]
        ]
        for score, value in zip(self._scores, values, strict=True):
            score[self._candidates] = value
        going = values[2].any(axis=1)
        if keep_all or not going.any() or going.sum() > WORTH * len(self.theta):
            return keep_all or bool(going.any())
        places = self._filled(np.flatnonzero(going))
        rows = (places[:, None] * episodes + np.arange(episodes)).reshape(-1)
        kept = [np.asarray(part)[rows] for part in self.carried]
        self._candidates = self._candidates[going]
        kept[5].reshape(len(places), episodes)[len(self._candidates) :] = False
        self.carried = kept
        self.theta = self.theta[places]
        return True

    def results(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Sums of rewards, lengths, and which were never ended, each (P, E)."""
        reward, length, alive = self._scores
        return reward, length, alive


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """One seed a candidate."""
    if isinstance(seed, (int, np.integer)):
        return [derive(int(seed), candidate) for candidate in range(count)]
    seeds = [int(one) for one in seed]
    if len(seeds) != count or min(seeds) < 0:
        raise ConfigError(f"seed: expected one of 0 or more, or {count} of them, got {seed!r}")
    return seeds
