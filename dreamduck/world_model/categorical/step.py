"""One step of the categorical state-space model, in numpy and compiled products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.products import Product
from dreamduck.world_model.categorical import equations
from dreamduck.world_model.categorical.files import FILES
from dreamduck.world_model.categorical.layout import (
    FORMAT,
    KIND,
    CategoricalConfig,
    dense_sizes,
    initial_parameters,
)
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
from dreamduck.world_model.weights_format import Parameters


class CategoricalPrediction(NamedTuple):
    """The prediction after an action."""

    probabilities: FloatArray  # (B, variables, classes), of the next s
    reward: FloatArray  # (B,), of this action, if the episode continues
    end_reward: FloatArray  # (B,), if the episode ends with it
    end: FloatArray  # (B,), probability that it ends

    def entropy(self) -> FloatArray:
        """(B,), of the variables, a mean over them [nats]."""
        p = self.probabilities
        return np.asarray(-(p * np.log(p)).sum(axis=2).mean(axis=1), np.float32)


class CategoricalDynamics(Dynamics):
    """A trained categorical state-space model, step by step, for B cars at once; its `c` is s.

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
    config: CategoricalConfig

    def __init__(
        self,
        parameters: Parameters,
        config: CategoricalConfig,
        card: Mapping[str, Any] | None = None,
        weights: str = "",
    ) -> None:
        super().__init__(FORMAT.check(parameters, config, "weights"), config, card, weights)
        self._dense = self._layers(Product)

    def _layers(self, product: Callable[[FloatArray, FloatArray | None], Any]) -> dict[str, Any]:
        """The layers as the equations take them."""
        return {name: product(*weights) for name, weights in self.layer_weights().items()}

    def layer_weights(self) -> dict[str, tuple[FloatArray, FloatArray | None]]:
        """Kernel and bias of every layer, by the equations' names."""
        p = self.parameters
        core: dict[str, tuple[FloatArray, FloatArray | None]] = {
            "core": (p["core/kernel"], p["core/bias"][0]),
            "core_state": (p["core/recurrent_kernel"], p["core/bias"][1]),
        }
        dense = {n: (p[f"{n}/kernel"], p.get(f"{n}/bias")) for n in dense_sizes(self.config)}
        return core | dense

    def untrained(self, seed: int) -> Self:
        """See `Dynamics.untrained`."""
        return type(self)(initial_parameters(self.config, seed), self.config)

    @property
    def multiply_adds(self) -> int:
        """See `Dynamics.multiply_adds`: all kernels but the posterior's."""
        kernels = {name: array for name, array in self.parameters.items() if name.endswith("kernel")}
        return sum(array.size for name, array in kernels.items() if not name.startswith("posterior"))

    def observe(self, z: FloatArray, state: RecurrentState) -> RecurrentState:
        """See `Dynamics.observe`: s becomes the likeliest classes, without a draw."""
        return RecurrentState(state.h, likeliest(self.posterior(z, state)))

    def perceived(self, z: FloatArray, state: RecurrentState) -> FloatArray:
        """See `Dynamics.perceived`: what s decodes to, as in a dream.

        A policy that learned in the dream would take the details that s leaves out for something else."""
        return self.decode(state)

    def posterior(self, z: FloatArray, state: RecurrentState) -> FloatArray:
        """The probabilities of s (B, variables, classes), when the latents of frames are known."""
        seen = np.concatenate([z, np.zeros((len(z), 1), np.float32)], axis=1)
        logits = equations.posterior(np, self._dense, state.h, seen)
        return np.asarray(equations.probabilities(np, logits, self.config))

    def decode(self, state: RecurrentState) -> FloatArray:
        """The latents (B, Z) of states, within what training saw."""
        return np.clip(equations.decode(np, self._dense, state.h, state.c), *self.bounds)

    def advance(self, z: FloatArray, action: npt.ArrayLike, state: RecurrentState) -> RecurrentState:
        """See `Dynamics.advance`; the state has seen z already, and s stays what it was."""
        given = np.asarray(action, dtype=np.float32)
        return RecurrentState(equations.advance(np, self._dense, given, state.h, state.c), state.c.copy())

    def predict(self, z: FloatArray, state: RecurrentState) -> CategoricalPrediction:
        """See `Dynamics.predict`."""
        logits = equations.prior(np, self._dense, state.h)
        return CategoricalPrediction(
            equations.probabilities(np, logits, self.config),
            *equations.end_and_rewards(np, self._dense, state.h),
        )

    def draw(
        self,
        prediction: CategoricalPrediction,
        state: RecurrentState,
        uniform: FloatArray,
        normal: FloatArray,
        temperature: float,
    ) -> Step:
        """See `Dynamics.draw`; state and prediction stay as they are."""
        likely = prediction.probabilities
        s = equations.draw(np, likely, uniform, temperature) if temperature > 0 else likeliest(likely)
        drawn = RecurrentState(state.h, s)
        return Step(self.decode(drawn), drawn, prediction)

    def _graph_layers(self, xp: Any) -> dict[str, Any]:
        """The layers as the equations take them, in another array library."""

        def product(kernel: FloatArray, bias: FloatArray | None) -> Callable[[Any], Any]:
            weights, shift = xp.constant(kernel), 0.0 if bias is None else xp.constant(bias)
            return lambda x: xp.matmul(x, weights) + shift

        return self._layers(product)

    def graph_perceive(self, xp: Any) -> GraphPerceive:
        """See `Dynamics.graph_perceive`."""
        config, dense = self.config, self._graph_layers(xp)

        def perceive(z: Any, action: Any, h: Any, c: Any, seen: Any) -> tuple[Any, Any]:
            h = equations.advance(xp, dense, action, h, c)
            logits = equations.posterior(xp, dense, h, xp.concat([seen, 0.0 * seen[:, :1]], 1))
            best = xp.argmax(equations.probabilities(xp, logits, config), 2)
            return h, xp.reshape(xp.one_hot(best, config.classes), xp.shape(c))

        return perceive

    def graph_step(self, xp: Any) -> GraphStep:
        """See `Dynamics.graph_step`."""
        config, bounds, dense = self.config, xp.constant(self.bounds), self._graph_layers(xp)

        def step(
            z: Any, action: Any, h: Any, c: Any, uniform: Any, normal: Any, temperature: Any
        ) -> TensorStep:
            h = equations.advance(xp, dense, action, h, c)
            likely = equations.probabilities(xp, equations.prior(xp, dense, h), config)
            s = equations.draw(xp, likely, uniform, temperature)
            z = xp.minimum(xp.maximum(equations.decode(xp, dense, h, s), bounds[0]), bounds[1])
            return TensorStep(z, h, s, *equations.end_and_rewards(xp, dense, h))

        return step


def likeliest(probabilities: FloatArray) -> FloatArray:
    """The likeliest class of each variable: one-hot vectors side by side, (B, S)."""
    count, variables, classes = probabilities.shape
    found = np.eye(classes, dtype=np.float32)[probabilities.argmax(axis=2)]
    return found.reshape(count, variables * classes)
