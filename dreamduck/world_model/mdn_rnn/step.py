"""One step of the MDN-RNN, in numpy and compiled products.

For one car this is quicker than any graph (`benchmarks/dream.py`
measures it), and it runs inside anybody's session, or beside OpenGL, where TensorFlow cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.kernels.products import Product
from dreamduck.world_model.mdn_rnn import equations
from dreamduck.world_model.mdn_rnn.layout import (
    FloatArray,
    MDNRNNConfig,
    Parameters,
    check_parameters,
)
from dreamduck.world_model.mdn_rnn.mixture import Z_LIMIT, Mixture, log_softmax, sample


class LSTMState(NamedTuple):
    """What the MDN-RNN carries from step to step."""

    h: FloatArray  # (B, H), the LSTM's output
    c: FloatArray  # (B, H), its cell


class Prediction(NamedTuple):
    """What follows the action just taken."""

    mixture: Mixture  # of the next latent
    reward: FloatArray  # (B,), of this action, if the episode goes on
    end_reward: FloatArray  # (B,), if the episode ends with it
    end: FloatArray  # (B,), probability that it ends


class MDNRNN:
    """A trained MDN-RNN, step by step, for B cars at once.

    Args:
        parameters: as `layout.shapes` names them.
        config: its sizes.
        card: what is known about the weights.
        weights: their fingerprint.
    Raises:
        WeightsError: the parameters do not fit the sizes, or the card's range of latents is none.

    Attributes:
        bounds: (2, Z), the range of each latent that training saw, which no dream leaves.
    """

    def __init__(
        self,
        parameters: Parameters,
        config: MDNRNNConfig,
        card: dict[str, Any] | None = None,
        weights: str = "",
    ) -> None:
        self.config = config
        self.card = card or {}
        self.weights = weights
        self.bounds = latent_bounds(self.card, config)
        self.parameters = p = check_parameters(parameters, config)
        gates, gates_bias, heads, heads_bias = self.merged()
        self._gates, self._heads = Product(gates, gates_bias), Product(heads, heads_bias)
        self.residual_scale = p.get("head_share/kernel", np.zeros(config.z_size, np.float32))

    @property
    def begins(self) -> bool:
        """Whether the action's last number says that an episode begins, as in 2019's Doom memory."""
        return bool(self.card.get("begins", False))

    @property
    def lacks(self) -> str:
        """What it does not predict, for a message: "" where it predicts rewards and ends."""
        if self.card.get("form") != "2019":
            return ""
        return "no rewards" if self.begins else "neither rewards nor ends"

    def merged(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """The weights as one step uses them: gates (Z + A + H, 4H), halved but for the candidate's, their
        bias, all heads side by side (H, 3KZ + 3), their bias.
        """
        p, halves = self.parameters, equations.gate_halves(self.config.hidden_size)
        heads = ("head_mixture", "head_reward", "head_end")
        return (
            np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]]) * halves,
            p["core/bias"] * halves,
            np.concatenate([p[f"{head}/kernel"] for head in heads], axis=1),
            np.concatenate([p[f"{head}/bias"] for head in heads]),
        )

    def start(self, count: int = 1) -> LSTMState:
        """The state at the beginning of `count` episodes: zeros."""
        shape = (count, self.config.hidden_size)
        return LSTMState(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def advance(self, z: FloatArray, action: npt.ArrayLike, state: LSTMState) -> LSTMState:
        """Take in what was seen and done.

        Args:
            z: (B, Z).
            action: (B, A).
        """
        inputs = np.concatenate([z, np.asarray(action, dtype=np.float32), state.h], axis=1)
        gates = self._gates(inputs)
        np.tanh(gates, out=gates)
        return LSTMState(*equations.cell(np, gates, state.c))

    def predict(self, z: FloatArray, state: LSTMState) -> Prediction:
        """What follows, after `advance`.

        Args:
            z: (B, Z), the latent that `advance` took in.
        """
        config = self.config
        out = self._heads(state.h)
        width = config.mixture_size
        parts = out[:, :width].reshape(-1, 3, config.mixtures, config.z_size)
        mix_mu = parts[:, 1] + (self.residual_scale * z)[:, None] if config.residual else parts[:, 1]
        mixture = Mixture(log_softmax(parts[:, 0]), mix_mu, parts[:, 2])
        return Prediction(mixture, *equations.end_and_rewards(np, out, config))

    def draw(
        self, mixture: Mixture, uniform: FloatArray, normal: FloatArray, temperature: float
    ) -> FloatArray:
        """The next latent, (B, Z), within what training saw; see `mixture.sample`."""
        return sample(mixture, uniform, normal, temperature, self.bounds)


def latent_bounds(card: Mapping[str, Any], config: MDNRNNConfig) -> FloatArray:
    """The range of each latent that a card tells, (2, Z); a wide one where it tells none.

    Raises:
        WeightsError: what it tells is no range.
    """
    told = card.get("latents")
    if told is None:
        return np.repeat(np.array([[-Z_LIMIT], [Z_LIMIT]], np.float32), config.z_size, axis=1)
    try:
        found = np.array([told["low"], told["high"]], np.float32)
    except (KeyError, TypeError, ValueError, OverflowError) as err:
        raise WeightsError(f"the memory's card: latents: expected 'low' and 'high' ({err})") from err
    if found.shape != (2, config.z_size) or not np.isfinite(found).all() or (found[0] > found[1]).any():
        raise WeightsError(
            f"the memory's card: latents: expected {config.z_size} finite numbers 'low', and as many "
            "'high' that are not less; train it again with rnn_train.py"
        )
    return found
