"""The world model of one tab: what it sees, what it remembers, what it expects."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.controllers.policy import Controller
from dreamduck.envs.rnnenv import load_memory, observation_space
from dreamduck.web.session import Action, Frame
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination.noise import Noise
from dreamduck.world_model.mdn_rnn import MDNRNN, InitialZ, LSTMState, Prediction
from dreamduck.world_model.mdn_rnn.mixture import Mixture
from dreamduck.world_model.vae import VAE

Floats = npt.NDArray[np.float32]
SHOWN_DECIMALS = 3  # of latents that go to the page


@dataclasses.dataclass(frozen=True)
class Model:
    """A world model, loaded once and shared; it holds no state of any drive."""

    vision: VAE
    memory: MDNRNN
    initial: InitialZ

    @property
    def z_size(self) -> int:
        """Latents."""
        return self.memory.config.z_size

    @property
    def hidden_size(self) -> int:
        """Units of the memory."""
        return self.memory.config.hidden_size

    def latent_order(self) -> list[int]:
        """The latents, those first that differ most between the beginnings of episodes."""
        return [int(k) for k in np.argsort(-self.initial.mu.std(axis=0), kind="stable")]


def load_model(folder: Path) -> Model:
    """The world model in a folder.

    Raises:
        WeightsError: a part is missing or damaged, or they do not fit each other.
    """
    encoder, rnn = WorldModel.load(folder).vae, load_memory(folder)
    observation_space(rnn)  # refuses a memory of other actions
    return Model(encoder, rnn, WorldModel.load(folder).start_states())


@dataclasses.dataclass(frozen=True)
class ModelState:
    """Everything a mind holds at a moment; never changed.

    Attributes:
        z: (Z,) what is seen, or dreamt.
        state: of the memory, before this moment's action.
        foreseen: (Z,) what was expected to be seen now; None at the beginning.
        prediction: from which `foreseen` was drawn.
        pulled: latents that were pulled at this moment.
    """

    z: Floats
    state: LSTMState
    foreseen: Floats | None = None
    prediction: Prediction | None = None
    pulled: tuple[int, ...] = ()


class ModelSession:
    """Looks, remembers, expects; for one drive.

    Args:
        model: shared.
        controller: drives from [z, c, h]; None: nobody does.
        seed: of what it draws.
    """

    def __init__(self, model: Model, controller: Controller | None, seed: int) -> None:
        self.model = model
        self.controller = controller
        self._noise = Noise(seed, 0, model.z_size)
        self._drawn: list[tuple[Floats, Floats]] = []
        self.thought = ModelState(np.zeros(model.z_size, np.float32), model.memory.start())
        self._decoded: tuple[Floats | None, Frame] = (None, np.zeros((64, 64, 3), np.uint8))

    def begin(self, z: Floats) -> None:
        """Forget everything, and see `z` (Z,)."""
        self.thought = ModelState(z, self.model.memory.start())

    def first(self) -> Floats:
        """A first latent (Z,), drawn by the seed as the recorded ones are spread."""
        return np.clip(self.model.initial.draw(*self._noise.begin()), *self.model.memory.bounds)

    def chance(self, step: int) -> tuple[Floats, Floats]:
        """What chance says at a step, counted from 1: (Z + 1,) uniform and (Z,) normal.

        The numbers are those of `DreamDuck-v2`; the last uniform one decides whether the dream ends.
        """
        while len(self._drawn) < step:
            size = self.model.z_size
            uniform, normal = np.empty((1, size + 1), np.float32), np.empty((1, size), np.float32)
            self._noise.draw(uniform, normal)
            self._drawn.append((uniform[0], normal[0]))
        return self._drawn[step - 1]

    def see(self, frame: Frame) -> Floats:
        """What the VAE sees in a frame, (Z,)."""
        return self.model.vision.encode(frame[None])[0][0]

    def foresee(self, action: Action, step: int, temperature: float) -> ModelState:
        """What is expected after an action, as if it were then seen.

        Args:
            step: number of the action, from 1; together with the seed it decides what is drawn.
            temperature: 0 is the likeliest.
        """
        z = self.thought.z[None]
        state = self.model.memory.advance(z, action[None], self.thought.state)
        prediction = self.model.memory.predict(z, state)
        uniform, normal = self.chance(step)
        drawn = self.model.memory.draw(prediction.mixture, uniform[None, :-1], normal[None], temperature)[0]
        return ModelState(drawn, state, drawn, prediction)

    def act(self) -> Action:
        """What the controller does now.

        Raises:
            ConfigError: there is no controller.
        """
        if self.controller is None:
            raise ConfigError("driver: expected a controller; name one with --controller")
        h, c = self.thought.state
        return self.controller(np.concatenate([self.thought.z, c[0], h[0]]))

    def pull(self, latent: int, value: float) -> None:
        """Set one latent.

        Raises:
            ConfigError: no such latent.
        """
        if not 0 <= latent < self.model.z_size:
            raise ConfigError(f"latent: expected 0 to {self.model.z_size - 1}, got {latent}")
        z = self.thought.z.copy()
        z[latent] = value
        pulled = tuple(dict.fromkeys((*self.thought.pulled, latent)))
        self.thought = dataclasses.replace(self.thought, z=z, pulled=pulled)

    def picture(self, z: Floats | None = None) -> Frame:
        """The picture of latents (Z,), by default those of this moment, (64, 64, 3)."""
        if z is not None:
            return self.model.vision.decode(z[None])[0]
        if self._decoded[0] is not self.thought.z:
            self._decoded = self.thought.z, self.model.vision.decode(self.thought.z[None])[0]
        return self._decoded[1]

    def facts(self) -> dict[str, Any]:
        """What the page tells of this moment."""
        told: dict[str, Any] = {
            "z": [round(float(v), SHOWN_DECIMALS) for v in self.thought.z],
            "pulled": list(self.thought.pulled),
        }
        if self.thought.prediction is not None:
            prediction = self.thought.prediction
            told["predicted_reward"] = float(prediction.reward[0])
            told["end_probability"] = float(prediction.end[0])
            told["entropy"] = entropy(prediction.mixture)
        return told


def entropy(mixture: Mixture) -> float:
    """How undecided the mixture is between its Gaussians [nats], the mean over the latents."""
    return float(-(np.exp(mixture.logmix) * mixture.logmix).sum(axis=1).mean())
