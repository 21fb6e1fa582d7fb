"""Inputs and outputs of dynamics: sizes, recurrent state, prediction, step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Rows = npt.NDArray[np.integer] | npt.NDArray[np.bool_] | slice
Tensor = Any


class DynamicsSizes(Protocol):
    """The sizes that the rest of the package needs; a kind's configuration has more."""

    @property
    def z_size(self) -> int:
        """Z, of the latent vector."""
        ...

    @property
    def action_size(self) -> int:
        """A, numbers in an action."""
        ...

    @property
    def hidden_size(self) -> int:
        """H, of the output of the recurrent network."""
        ...

    @property
    def cell_size(self) -> int:
        """Numbers in the other part of its state: an LSTM's cell, or a state-space model's draws."""
        ...

    @property
    def policy_cell_size(self) -> int:
        """C, how many of these policies see."""
        ...

    @property
    def uniform_size(self) -> int:
        """U, numbers in [0, 1) that a draw takes."""
        ...

    @property
    def normal_size(self) -> int:
        """N, standard normal numbers that a draw takes."""
        ...


class RecurrentState(NamedTuple):
    """The recurrent state of dynamics."""

    h: FloatArray  # (B, H), the output
    c: FloatArray  # (B, C), what else is carried

    def rows(self, rows: Rows) -> RecurrentState:
        """Some of the rows; a copy, unless `rows` is a slice."""
        return RecurrentState(self.h[rows], self.c[rows])

    def put(self, rows: Rows, other: RecurrentState) -> None:
        """Write the rows of another state over some of these."""
        self.h[rows], self.c[rows] = other

    def copy(self) -> RecurrentState:
        """A copy."""
        return RecurrentState(self.h.copy(), self.c.copy())

    def repeat(self, times: int) -> RecurrentState:
        """Each row so many times, side by side."""
        return RecurrentState(np.repeat(self.h, times, axis=0), np.repeat(self.c, times, axis=0))


class Prediction(Protocol):
    """The prediction after an action; a kind adds the distribution of the next latent."""

    @property
    def reward(self) -> FloatArray:
        """(B,), of the action, if the episode continues."""
        ...

    @property
    def end_reward(self) -> FloatArray:
        """(B,), if the episode ends with it."""
        ...

    @property
    def end(self) -> FloatArray:
        """(B,), the probability that it ends."""
        ...

    def entropy(self) -> FloatArray:
        """(B,), entropy of the prediction's classes [nats], the mean over latents or variables."""
        ...


class Step(NamedTuple):
    """One step of B dreams."""

    z: FloatArray  # (B, Z)
    state: RecurrentState
    prediction: Prediction  # from which z was drawn


class TensorStep(NamedTuple):
    """One step of B dreams in a graph."""

    z: Tensor  # (B, Z)
    h: Tensor  # (B, H)
    c: Tensor  # (B, C)
    reward: Tensor  # (B,), if the dream continues
    end_reward: Tensor  # (B,), if it ends
    end: Tensor  # (B,), probability


class GraphStep(Protocol):
    """A step for graphs: `Dynamics.step` in another array library."""

    def __call__(
        self,
        z: Tensor,
        action: Tensor,
        h: Tensor,
        c: Tensor,
        uniform: Tensor,
        normal: Tensor,
        temperature: Tensor,
    ) -> TensorStep:
        """Advance, predict and draw.

        Args:
            z: (B, Z).
            action: (B, A).
            h: (B, H).
            c: (B, C).
            uniform: (B, U), in [0, 1).
            normal: (B, N).
            temperature: a number more than 0.
        """
        ...


class GraphPerceive(Protocol):
    """`Dynamics.advance` and `Dynamics.observe` in another array library."""

    def __call__(
        self, z: Tensor, action: Tensor, h: Tensor, c: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The state, when the latents of the next frames are known.

        Args:
            z: (B, Z), of the frames before the action.
            action: (B, A).
            h: (B, H).
            c: (B, C).
            seen: (B, Z), of the frames after it.
        Returns:
            The next h and c.
        """
        ...


def joined(parts: Sequence[Any]) -> Any:
    """Concatenate rows: arrays, or tuples of arrays."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return type(parts[0])(*(joined(column) for column in zip(*parts, strict=True)))
    return np.concatenate(parts)
