"""One step of the MDN-RNN, in numpy and compiled products.

For one car this is quicker than any graph (`benchmarks/dream.py`
measures it), and it runs inside any TensorFlow session, or beside OpenGL, where TensorFlow cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.products import Product
from dreamduck.world_model.dynamics import (
    Dynamics,
    DynamicsFiles,
    FloatArray,
    GraphPerceive,
    GraphStep,
    RecurrentState,
    Step,
    TensorStep,
)
from dreamduck.world_model.mdn_rnn import equations
from dreamduck.world_model.mdn_rnn.files import FILES
from dreamduck.world_model.mdn_rnn.layout import KIND, MDNRNNConfig, check_parameters, initial_parameters
from dreamduck.world_model.mdn_rnn.mixture import Mixture, entropy, log_softmax, sample
from dreamduck.world_model.weights_format import Parameters


class Prediction(NamedTuple):
    """The prediction after an action."""

    mixture: Mixture  # of the next latent
    reward: FloatArray  # (B,), of this action, if the episode continues
    end_reward: FloatArray  # (B,), if the episode ends with it
    end: FloatArray  # (B,), probability that it ends

    def entropy(self) -> FloatArray:
        """(B,), see `mixture.entropy`."""
        return entropy(self.mixture)


class MDNRNN(Dynamics):
    """A trained MDN-RNN, step by step, for B cars at once.

    Args:
        parameters: as `layout.shapes` names them.
        config: its sizes.
        card: what is known about the weights.
        weights: their fingerprint.
    Raises:
        WeightsError: the parameters do not fit the sizes, or the card's range of latents is none.
    """

    files: ClassVar[DynamicsFiles[Any]] = FILES
    kind: ClassVar[str] = KIND
    temperature: ClassVar[float] = 0.1
    search_temperature: ClassVar[float] = 0.3
    search_steps: ClassVar[int] = 40  # a longer dream is not true any more
    shown_temperatures: ClassVar[tuple[float, ...]] = (0.1, 0.5, 1.0)
    config: MDNRNNConfig

    def __init__(
        self,
        parameters: Parameters,
        config: MDNRNNConfig,
        card: Mapping[str, Any] | None = None,
        weights: str = "",
    ) -> None:
        p = check_parameters(parameters, config)
        super().__init__(p, config, card, weights)
        merged = self.merged()
        self._gates = Product(merged.gates, merged.gates_bias)
        self._heads = Product(merged.heads, merged.heads_bias)
        self.residual_scale = p.get("head_share/kernel", np.zeros(config.z_size, np.float32))

    def untrained(self, seed: int) -> Self:
        """See `Dynamics.untrained`."""
        return type(self)(initial_parameters(self.config, seed), self.config)

    @property
    def multiply_adds(self) -> int:
        """See `Dynamics.multiply_adds`: the gates' and the heads'."""
        return self._gates.multiply_adds + self._heads.multiply_adds

    @property
    def lacks(self) -> str:
        """The missing predictions, for a message: "" where it predicts rewards and ends."""
        return "neither rewards nor ends" if self.card.get("form") == "2019" else ""

    def merged(self) -> equations.StepWeights:
        """The weights as one step uses them."""
        p, halves = self.parameters, equations.gate_halves(self.config.hidden_size)
        heads = ("head_mixture", "head_reward", "head_end")
        return equations.StepWeights(
            np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]]) * halves,
            p["core/bias"] * halves,
            np.concatenate([p[f"{head}/kernel"] for head in heads], axis=1),
            np.concatenate([p[f"{head}/bias"] for head in heads]),
        )

    def inputs(self, xp: Any, action: Any, h: Any) -> Any:
        """The input for an action: the action itself, unless the weights are of another form.

        Args:
            xp: the array library.
            action: (B, A).
            h: (B, H), before.
        """
        return action

    def advance(self, z: FloatArray, action: npt.ArrayLike, state: RecurrentState) -> RecurrentState:
        """See `Dynamics.advance`."""
        taken = self.inputs(np, np.asarray(action, dtype=np.float32), state.h)
        inputs = np.concatenate([z, taken, state.h], axis=1)
        gates = self._gates(inputs)
        np.tanh(gates, out=gates)
        return RecurrentState(*equations.cell(np, gates, state.c))

    def predict(self, z: FloatArray, state: RecurrentState) -> Prediction:
        """See `Dynamics.predict`."""
        config = self.config
        out = self._heads(state.h)
        width = config.mixture_size
        parts = out[:, :width].reshape(-1, 3, config.mixtures, config.z_size)
        mix_mu = parts[:, 1] + (self.residual_scale * z)[:, None] if config.residual else parts[:, 1]
        mixture = Mixture(log_softmax(parts[:, 0]), mix_mu, parts[:, 2])
        return Prediction(mixture, *equations.end_and_rewards(np, out, config))

    def draw(
        self,
        prediction: Prediction,
        state: RecurrentState,
        uniform: FloatArray,
        normal: FloatArray,
        temperature: float,
    ) -> Step:
        """See `Dynamics.draw`; state and prediction stay as they are."""
        z = sample(prediction.mixture, uniform, normal, temperature, self.bounds)
        return Step(z, state, prediction)

    def _graph_weights(self, xp: Any) -> equations.StepWeights:
        """The weights as one step uses them, in another array library."""
        return equations.StepWeights(*(xp.constant(array) for array in self.merged()))

    def graph_perceive(self, xp: Any) -> GraphPerceive:
        """See `Dynamics.graph_perceive`."""
        weights = self._graph_weights(xp)

        def perceive(z: Any, action: Any, h: Any, c: Any, seen: Any) -> tuple[Any, Any]:
            return equations.advance(xp, weights, z, self.inputs(xp, action, h), h, c)[:2]

        return perceive

    def graph_step(self, xp: Any) -> GraphStep:
        """See `Dynamics.graph_step`."""
        weights = self._graph_weights(xp)
        residual_scale, bounds = xp.constant(self.residual_scale), xp.constant(self.bounds)
        config = self.config

        def step(
            z: Any, action: Any, h: Any, c: Any, uniform: Any, normal: Any, temperature: Any
        ) -> TensorStep:
            h, c, out = equations.advance(xp, weights, z, self.inputs(xp, action, h), h, c)
            heads = equations.end_and_rewards(xp, out, config)
            z = equations.draw_from_heads(
                xp, config, out, z, residual_scale, uniform, normal, temperature, bounds
            )
            return TensorStep(z, h, c, *heads)

        return step
