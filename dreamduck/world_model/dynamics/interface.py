"""The interface of all dynamics: the next latent, the reward and the end, from a latent and an action.

On real frames: `start`, then `observe` a latent and `advance` by an action, in turn. In a dream: `step`,
which advances, predicts, draws. `graph_step` is the same step in a graph, for compiled dreams."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.kernels.products import in_blocks
from dreamduck.world_model.dynamics.dynamics_files import DynamicsFiles
from dreamduck.world_model.dynamics.state import (
    DynamicsSizes,
    FloatArray,
    GraphPerceive,
    GraphStep,
    Prediction,
    RecurrentState,
    Step,
    joined,
)

Z_LIMIT = 50.0  # no latent is drawn beyond it, where it is not known what training saw


class Dynamics(abc.ABC):
    """Trained dynamics, step by step, for B cars at once.

    Args:
        parameters: the weights, by name.
        config: the sizes.
        card: what is known about the weights.
        weights: their fingerprint.
    Raises:
        WeightsError: the card's range of latents is none.

    Attributes:
        files: of this kind.
        kind: as a card names it.
        temperature: the default of a dream: where it is most accurate, see docs/pipeline.md.
        search_temperature: likewise, of dreams that controllers are evolved in.
        search_steps: of such a dream at most, where nothing else is said; see docs/control.md.
        shown_temperatures: that figures show beside each other.
        parameters: the weights, by name.
        bounds: (2, Z), the range of each latent that training saw, which no dream leaves.
    """

    files: ClassVar[DynamicsFiles[Any]]
    kind: ClassVar[str]
    temperature: ClassVar[float] = 1.0
    search_temperature: ClassVar[float] = 1.0
    search_steps: ClassVar[int] = 100
    shown_temperatures: ClassVar[tuple[float, ...]] = (0.5, 1.0, 1.5)
    parameters: dict[str, FloatArray]

    def __init__(
        self,
        parameters: dict[str, FloatArray],
        config: Any,
        card: Mapping[str, Any] | None = None,
        weights: str = "",
    ) -> None:
        self.parameters = parameters
        self.config: DynamicsSizes = config
        self.card = dict(card or {})
        self.weights = weights
        self.bounds = latent_bounds(self.card, config.z_size)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The dynamics in a folder.

        Raises:
            WeightsError: a file is missing or damaged, or the card is of other weights.
        """
        return cls(*cls.files.load(folder))

    @classmethod
    def sizes_of(cls, card: Mapping[str, Any], source: str) -> DynamicsSizes:
        """See `DynamicsFiles.config_of`."""
        found: DynamicsSizes = cls.files.config_of(card, source)
        return found

    @abc.abstractmethod
    def untrained(self, seed: int) -> Self:
        """Others of the same sizes, with first weights."""

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write the weights, and a card for them."""
        self.files.save(folder, self.parameters, self.config, card)

    @property
    @abc.abstractmethod
    def multiply_adds(self) -> int:
        """Multiply-adds of one step of one dream."""

    @property
    def lacks(self) -> str:
        """The missing predictions, for a message: "" where they predict rewards and ends."""
        return ""

    def start(self, count: int = 1) -> RecurrentState:
        """The state before the first frame of `count` episodes: zeros."""
        sizes = self.config
        return RecurrentState(
            np.zeros((count, sizes.hidden_size), np.float32), np.zeros((count, sizes.cell_size), np.float32)
        )

    def observe(self, z: FloatArray, state: RecurrentState) -> RecurrentState:
        """The state, when the latents of frames are known; it stays as it is, unless a kind says otherwise.

        Args:
            z: (B, Z), of the frames that follow the action of the last `advance`, or that begin episodes.
            state: of `start` or `advance`.
        """
        return state

    def perceived(self, z: FloatArray, state: RecurrentState) -> FloatArray:
        """The latents of frames as policies see them: as they are, unless a kind says otherwise.

        Args:
            z: (B, Z), of the frames.
            state: of `observe`.
        """
        return z

    def features(self, z: FloatArray, state: RecurrentState) -> FloatArray:
        """The observations of policies: [z, c, h], (B, Z + C + H).

        Args:
            z: (B, Z), of a dream, or `perceived`.
            state: that belongs to it.
        """
        return np.concatenate([z, state.c[:, : self.config.policy_cell_size], state.h], axis=1)

    @abc.abstractmethod
    def advance(self, z: FloatArray, action: npt.ArrayLike, state: RecurrentState) -> RecurrentState:
        """The state after an action.

        Args:
            z: (B, Z), of the frames before it.
            action: (B, A).
            state: of `observe`, or of a dream.
        """

    @abc.abstractmethod
    def predict(self, z: FloatArray, state: RecurrentState) -> Prediction:
        """The prediction, after `advance`.

        Args:
            z: (B, Z), the latent that `advance` took in.
            state: which it gave.
        """

    @abc.abstractmethod
    def draw(
        self,
        prediction: Any,
        state: RecurrentState,
        uniform: FloatArray,
        normal: FloatArray,
        temperature: float,
    ) -> Step:
        """The next latents of dreams, within what training saw, and the state that belongs to them.

        Args:
            prediction: of `predict`.
            state: of `advance`.
            uniform: (B, U), in [0, 1).
            normal: (B, N), standard normal.
            temperature: 1 as the dynamics expect; 0 draws the likeliest.
        Returns:
            Also the prediction, where a kind's rewards and ends depend on what was drawn, with those.
        """

    @abc.abstractmethod
    def graph_step(self, xp: Any) -> GraphStep:
        """`step` in another array library, with these weights.

        Args:
            xp: the library, for example `tensorflow`.
        """

    @abc.abstractmethod
    def graph_perceive(self, xp: Any) -> GraphPerceive:
        """`advance` and `observe` in another array library, with these weights.

        Args:
            xp: the library, for example `tensorflow`.
        """

    def step(
        self,
        z: FloatArray,
        action: npt.ArrayLike,
        state: RecurrentState,
        uniform: FloatArray,
        normal: FloatArray,
        temperature: float,
    ) -> Step:
        """One step of B dreams: `advance`, `predict`, `draw`; many dreams in blocks."""
        action = np.asarray(action, np.float32)

        def block(rows: slice) -> Step:
            carried = self.advance(z[rows], action[rows], state.rows(rows))
            prediction = self.predict(z[rows], carried)
            return self.draw(prediction, carried, uniform[rows], normal[rows], temperature)

        if len(z) == 1:
            return block(slice(None))
        found: Step = joined(in_blocks(block, len(z), self.multiply_adds))
        return found

    def likeliest(self, z: FloatArray, action: npt.ArrayLike, state: RecurrentState) -> FloatArray:
        """The latents (B, Z) that most likely follow; see `advance`."""
        uniform = np.zeros((len(z), self.config.uniform_size), np.float32)
        normal = np.zeros((len(z), self.config.normal_size), np.float32)
        return self.step(z, action, state, uniform, normal, 0.0).z


def latent_bounds(card: Mapping[str, Any], z_size: int) -> FloatArray:
    """The range of each latent in a card, (2, Z); a wide one where it has none.

    Raises:
        WeightsError: the card's entry is no range.
    """
    entry = card.get("latents")
    if entry is None:
        return np.repeat(np.array([[-Z_LIMIT], [Z_LIMIT]], np.float32), z_size, axis=1)
    try:
        found = np.array([entry["low"], entry["high"]], np.float32)
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise WeightsError(f"the dynamics' card: latents: expected 'low' and 'high' ({err})") from err
    if found.shape != (2, z_size) or not np.isfinite(found).all() or (found[0] > found[1]).any():
        raise WeightsError(
            f"the dynamics' card: latents: expected {z_size} finite numbers 'low', and as many 'high' "
            "that are not less; train it again with dreamduck train-rnn"
        )
    return found
