"""A world model as the card uses it: its features, and its dreams in batches.

Every section dreams through this object alone, so that a test that replaces it replaces the model. The
steps run in numpy on all rows at once; a row's numbers depend neither on the rows beside it nor on the
number of threads, but its noise depends on its place in the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.seeding import generator
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import FloatArray, Prediction, RecurrentState
from dreamduck.world_model.dynamics.start_states import begin
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.imagination.stepper import check_temperature
from dreamduck.world_model.vae.layout import Frames

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Act = Callable[[FloatArray, FloatArray, int], npt.ArrayLike]  # (z, h, step) -> actions

KEY = 0x63617264
DECODED = 512  # frames at a time


class Context(NamedTuple):
    """Real steps before a dream; its first dreamt step starts from the last frame."""

    z: FloatArray  # (B, W, Z)
    action: FloatArray  # (B, W - 1, A), between the frames


class OpenLoop(NamedTuple):
    """S dreams after each of N real sequences, under the recorded actions; T steps."""

    z: FloatArray  # (N, S, T, Z), after each step
    h: FloatArray  # (N, S, T, H), seen together with z
    reward: FloatArray  # (N, S, T), of the step if the episode continues
    end: FloatArray  # (N, S, T), probability that the episode ends with the step
    end_reward: FloatArray  # (N, S, T), of the step if it ends the episode


class ClosedLoop(NamedTuple):
    """B dreams under a policy; T steps. Behind an end that cuts a dream all numbers are 0."""

    z: FloatArray  # (B, T, Z), before each step: what the policy sees
    h: FloatArray  # (B, T, H), likewise
    action: FloatArray  # (B, T, A)
    reward: FloatArray  # (B, T)
    end: FloatArray  # (B, T), probability
    length: IntArray  # (B,), steps up to the end that was drawn, the ending one included; T without an end
    ended: BoolArray  # (B,), whether an end was drawn


class Dreams:
    """A world model, as the card sees it.

    Args:
        model: the world model.
        temperature: of all dreams, more than 0; None for that of the kind of dynamics.
    Raises:
        ConfigError: the temperature is not more than 0.
    """

    def __init__(self, model: WorldModel, temperature: float | None = None) -> None:
        self.model, self.temperature = model, check_temperature(temperature, model.dynamics)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Z, A and H."""
        config = self.model.dynamics.config
        return config.z_size, config.action_size, config.hidden_size

    def encode(self, frames: Frames) -> FloatArray:
        """The latents of frames (N, 64, 64, 3), (N, Z)."""
        parts = range(0, max(len(frames), 1), DECODED)
        return np.concatenate([self.model.encode(frames[at : at + DECODED]) for at in parts])

    def decode(self, z: FloatArray) -> Frames:
        """The frames of latents.

        Args:
            z: (..., Z).
        Returns:
            (..., 64, 64, 3) uint8.
        """
        flat = z.reshape(-1, z.shape[-1])
        frames = np.empty((len(flat), *FRAME_SHAPE), np.uint8)
        for at in range(0, len(flat), DECODED):
            frames[at : at + DECODED] = self.model.decode(flat[at : at + DECODED])
        return frames.reshape(*z.shape[:-1], *FRAME_SHAPE)

    def features(self, z: FloatArray, action: FloatArray, perceived: bool = False) -> FloatArray:
        """[z, h] along real sequences, before each action.

        Args:
            z: (N, T, Z).
            action: (N, T, A).
            perceived: with the latents as policies see them.
        Returns:
            (N, T, Z + H).
        """
        rnn, (count, steps) = self.model.dynamics, z.shape[:2]
        state = rnn.observe(z[:, 0], rnn.start(count))
        found = np.empty((count, steps, z.shape[2] + state.h.shape[1]), np.float32)
        for t in range(steps):
            seen = rnn.perceived(z[:, t], state) if perceived else z[:, t]
            found[:, t] = np.concatenate([seen, state.h], axis=1)
            if t + 1 < steps:
                state = rnn.advance(z[:, t], action[:, t], state)
                state = rnn.observe(z[:, t + 1], state)
        return found

    def open_loop(self, z: FloatArray, action: FloatArray, steps: int, dreams: int, seed: int) -> OpenLoop:
        """Dreams after real frames, under given actions; an end does not stop them.

        Args:
            z: (N, W, Z), the real frames.
            action: (N, W - 1 + steps, A).
            steps: T, dreamt.
            dreams: S, of each sequence.
            seed: of the noise.
        """
        (count, shown), (z_size, _, hidden) = z.shape[:2], self.sizes
        start = self._warm_up(Context(z, action[:, : shown - 1]))
        state = start.repeat(dreams)
        now, random = np.repeat(z[:, -1], dreams, axis=0), generator(seed, KEY, 0)
        rows = count * dreams
        found = OpenLoop(
            *(np.empty((rows, steps, size), np.float32) for size in (z_size, hidden)),
            *(np.empty((rows, steps), np.float32) for _ in range(3)),
        )
        for t in range(steps):
            taken = np.repeat(action[:, shown - 1 + t], dreams, axis=0)
            now, state, prediction = self._step(now, taken, state, random)
            found.z[:, t], found.h[:, t] = now, state.h
            found.reward[:, t], found.end[:, t] = prediction.reward, prediction.end
            found.end_reward[:, t] = prediction.end_reward
        return OpenLoop(*(part.reshape(count, dreams, *part.shape[1:]) for part in found))

    def closed_loop(
        self,
        act: Act,
        starts: Context | int,
        steps: int,
        seed: int,
        cut: bool,
        trace: bool = True,
    ) -> ClosedLoop:
        """Dreams in which a policy drives.

        Args:
            act: the policy; it gets z (B, Z), h (B, H) and the step's number, and gives actions (B, A),
                which are clipped to [-1, 1].
            starts: real frames and actions before the dreams; or B, of the model's own start states.
            steps: T.
            seed: of the noise.
            cut: whether a drawn end stops a dream; else `length` is when it would have.
            trace: False leaves z, h and action out, each then (B, 0, ·), to save memory.
        """
        now, state = self._begin(starts, seed)
        (z_size, action_size, hidden), rows = self.sizes, len(now)
        kept = steps if trace else 0
        z, h, action = (np.zeros((rows, kept, size), np.float32) for size in (z_size, hidden, action_size))
        reward, end = np.zeros((2, rows, steps), np.float32)
        length, ended = np.full(rows, steps, np.int64), np.zeros(rows, np.bool_)
        random = generator(seed, KEY, 1)
        for t in range(steps):
            seen = self.model.dynamics.perceived(now, state) if t == 0 else now  # the first frame is real
            taken = np.clip(np.asarray(act(seen, state.h, t), np.float32), -1, 1)
            alive = ~ended | (not cut)
            if trace:
                for whole, part in ((z, now), (h, state.h), (action, taken)):
                    whole[alive, t] = part[alive]
            now, state, prediction = self._step(now, taken, state, random)
            ends = (random.random(rows, np.float32) < prediction.end) & ~ended
            gained = np.where(ends, prediction.end_reward, prediction.reward)
            reward[alive, t], end[alive, t] = gained[alive], prediction.end[alive]
            length[ends], ended = t + 1, ended | ends
            if cut and ended.all():
                break
        return ClosedLoop(z, h, action, reward, end, length, ended)

    def _begin(self, starts: Context | int, seed: int) -> tuple[FloatArray, RecurrentState]:
        """The first latents and states of dreams."""
        if isinstance(starts, Context):
            return starts.z[:, -1], self._warm_up(starts)
        rnn, initial = self.model.dynamics, self.model.start_states()
        begun = [noise.begin() for noise in Noise.of([(seed, e) for e in range(starts)], self.sizes[0])]
        uniform = np.array([first for first, _ in begun])
        normal = np.array([normal for _, normal in begun], np.float32)
        return begin(rnn, initial, uniform, normal)

    def _warm_up(self, context: Context) -> RecurrentState:
        """The state after real frames, before the action at the last one."""
        rnn = self.model.dynamics
        state = rnn.observe(context.z[:, 0], rnn.start(len(context.z)))
        for t in range(context.z.shape[1] - 1):
            state = rnn.advance(context.z[:, t], context.action[:, t], state)
            state = rnn.observe(context.z[:, t + 1], state)
        return state

    def _step(
        self, z: FloatArray, action: FloatArray, state: RecurrentState, random: np.random.Generator
    ) -> tuple[FloatArray, RecurrentState, Prediction]:
        rnn = self.model.dynamics
        uniform = random.random((len(z), rnn.config.uniform_size), np.float32)
        normal = random.standard_normal((len(z), rnn.config.normal_size), np.float32)
        return rnn.step(z, action, state, uniform, normal, self.temperature)
