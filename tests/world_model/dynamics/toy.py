"""Dynamics of a second kind, small and untrained: what any kind may do that an MDN-RNN does not.

Its recurrent state is [h, s]: h deterministic, s a one-hot vector for each of G variables, so that the two
have different sizes; a draw takes G uniform numbers and no normal ones; rewards and ends depend on what was
drawn; frames change the state when they are seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dreamduck.common.config import from_mapping, to_dict
from dreamduck.common.seeding import generator
from dreamduck.common.storage import write_json
from dreamduck.world_model.dynamics import (
    Dynamics,
    DynamicsSizes,
    FloatArray,
    GraphPerceive,
    GraphStep,
    RecurrentState,
    Step,
    TensorStep,
)
from dreamduck.world_model.mdn_rnn import files

SPREAD = 0.7


@dataclasses.dataclass(frozen=True)
class ToySizes:
    """The sizes of toy dynamics."""

    z_size: int = 4
    action_size: int = 2
    hidden_size: int = 6
    variables: int = 3
    classes: int = 5
    normal_size: int = 0

    @property
    def cell_size(self) -> int:
        """Numbers in s."""
        return self.variables * self.classes

    @property
    def policy_cell_size(self) -> int:
        """Policies see s."""
        return self.cell_size

    @property
    def uniform_size(self) -> int:
        """One for each variable."""
        return self.variables


class ToyPrediction(NamedTuple):
    """What follows an action."""

    logits: FloatArray  # (B, G * K)
    reward: FloatArray
    end_reward: FloatArray
    end: FloatArray

    def entropy(self) -> FloatArray:
        """Not that of the logits, but one number a row."""
        return self.logits.std(axis=1)


class ToyDynamics(Dynamics):
    """Random weights from the card's seed."""

    kind = "toy"
    config: ToySizes

    def __init__(self, config: ToySizes, card: Mapping[str, Any]) -> None:
        random, sizes = generator(int(card["seed"])), config
        inputs = sizes.hidden_size + sizes.cell_size + sizes.action_size
        read = sizes.hidden_size + sizes.cell_size
        shapes = {
            "core": (inputs, sizes.hidden_size),
            "prior": (sizes.hidden_size, sizes.cell_size),
            "posterior": (sizes.hidden_size + sizes.z_size, sizes.cell_size),
            "latents": (read, sizes.z_size),
            "heads": (read, 3),
        }
        made = {name: random.normal(0, SPREAD, shape).astype(np.float32) for name, shape in shapes.items()}
        super().__init__(made, config, card, f"toy {card['seed']}")

    @classmethod
    def load(cls, folder: Path) -> ToyDynamics:
        """From the card alone."""
        card = files.read_card(folder)
        return cls(from_mapping(ToySizes, card["sizes"]), card)

    @classmethod
    def sizes_of(cls, card: Mapping[str, Any], source: str) -> DynamicsSizes:
        """The settings as the card has them."""
        return from_mapping(ToySizes, card["sizes"])

    @property
    def multiply_adds(self) -> int:
        """Of all matrices but the posterior's."""
        return sum(array.size for name, array in self.parameters.items() if name != "posterior")

    def untrained(self, seed: int) -> ToyDynamics:
        """Others."""
        return ToyDynamics(self.config, {"seed": seed})

    def save(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Write the card."""
        whole = {**card, "seed": self.card["seed"], "kind": self.kind, "sizes": to_dict(self.config)}
        write_json(folder / files.CARD, whole)

    def observe(self, z: FloatArray, state: RecurrentState) -> RecurrentState:
        """s becomes what is likeliest when h and the frame are known."""
        logits = np.concatenate([state.h, z], axis=1) @ self.parameters["posterior"]
        return RecurrentState(state.h, self._choose(np, logits, None, 1.0))

    def advance(self, z: FloatArray, action: Any, state: RecurrentState) -> RecurrentState:
        """Only h moves."""
        return RecurrentState(
            self._core(np, self.parameters, np.asarray(action, np.float32), *state), state.c.copy()
        )

    def predict(self, z: FloatArray, state: RecurrentState) -> ToyPrediction:
        """Rewards and ends of the s before."""
        logits = state.h @ self.parameters["prior"]
        return ToyPrediction(logits, *self._heads(np, self.parameters, *state)[1:])

    def draw(
        self, prediction: Any, state: RecurrentState, uniform: Any, normal: Any, temperature: float
    ) -> Step:
        """s, and all that it decides."""
        s = self._choose(np, prediction.logits, uniform if temperature else None, temperature or 1.0)
        z, *heads = self._heads(np, self.parameters, state.h, s)
        return Step(z, RecurrentState(state.h, s), ToyPrediction(prediction.logits, *heads))

    def graph_step(self, xp: Any) -> GraphStep:
        """The same."""
        arrays = {name: xp.constant(array) for name, array in self.parameters.items()}

        def step(z: Any, action: Any, h: Any, c: Any, uniform: Any, normal: Any, temperature: Any) -> Any:
            h = self._core(xp, arrays, action, h, c)
            s = self._choose(xp, xp.matmul(h, arrays["prior"]), uniform, temperature)
            z, *heads = self._heads(xp, arrays, h, s)
            return TensorStep(z, h, s, *heads)

        return step

    def graph_perceive(self, xp: Any) -> GraphPerceive:
        """`advance` and `observe`."""
        arrays = {name: xp.constant(array) for name, array in self.parameters.items()}

        def perceive(z: Any, action: Any, h: Any, c: Any, seen: Any) -> Any:
            h = self._core(xp, arrays, action, h, c)
            logits = xp.matmul(xp.concat([h, seen], 1), arrays["posterior"])
            best = xp.argmax(xp.reshape(logits, (-1, self.config.variables, self.config.classes)), 2)
            return h, xp.reshape(xp.one_hot(best, self.config.classes), xp.shape(c))

        return perceive

    def _core(self, xp: Any, arrays: Any, action: Any, h: Any, c: Any) -> Any:
        return xp.tanh(xp.matmul(xp.concat([h, c, action], 1), arrays["core"]))

    def _heads(self, xp: Any, arrays: Any, h: Any, c: Any) -> tuple[Any, ...]:
        seen = xp.concat([h, c], 1)
        heads = xp.matmul(seen, arrays["heads"])
        end = 0.5 + 0.5 * xp.tanh(heads[:, 2] - 3.0)
        return xp.tanh(xp.matmul(seen, arrays["latents"])), heads[:, 0], heads[:, 1], end

    def _choose(self, xp: Any, logits: Any, uniform: Any, temperature: Any) -> Any:
        """One class of each variable; the likeliest without uniform numbers."""
        count, columns = self.config.classes, []
        for g in range(self.config.variables):
            weights = [xp.exp(logits[:, g * count + k] / temperature) for k in range(count)]
            if uniform is None:
                best = np.stack(weights, 1).argmax(axis=1)
                columns += [(best == k).astype(np.float32) for k in range(count)]
                continue
            point, below = uniform[:, g] * sum(weights[1:], weights[0]), 0.0 * weights[0]
            for k, weight in enumerate(weights):
                inside = xp.where(point >= below, 1.0, 0.0)
                if k < count - 1:
                    inside = inside * xp.where(point < below + weight, 1.0, 0.0)
                columns.append(xp.where(inside > 0.5, xp.ones_like(weight), xp.zeros_like(weight)))
                below = below + weight
        return xp.stack(columns, 1)
