"""A trained world model: the loader of its folder, and its five methods."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.readers import PathLike, begins_with, fingerprint
from dreamduck.pretrained import FOLDER
from dreamduck.recordings.sources import DRIVING, ActionSpace
from dreamduck.recordings.sources.gym_environment import GymEnvironment, of_description
from dreamduck.simulator.environment import ENVIRONMENT, FRAMES, check_environment
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model.card import Card
from dreamduck.world_model.dynamics import FIRST, MIDWAY, Dynamics, DynamicsSizes, FloatArray, InitialZ
from dreamduck.world_model.dynamics.start_states import (
    INITIAL_FILE,
    MIDWAY_FILE,
    read_initial,
    read_midway,
)
from dreamduck.world_model.ensemble import Ensemble
from dreamduck.world_model.ensemble.heads import FORMAT as ENSEMBLE_FORMAT
from dreamduck.world_model.ensemble.heads import MAKE as MAKE_ENSEMBLE
from dreamduck.world_model.imagination.stepper import DreamState, start_dreams, step_dreams
from dreamduck.world_model.kinds import kind_of
from dreamduck.world_model.legacy import experiments
from dreamduck.world_model.legacy.rnn_json import is_legacy
from dreamduck.world_model.legacy.vae_json import read_legacy as read_legacy_vae
from dreamduck.world_model.mdn_rnn import MDNRNN, files
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae import files as vae_files
from dreamduck.world_model.vae.layout import Frames

if TYPE_CHECKING:
    from dreamduck.world_model.imagination.rollout import Dream, Rollout


log = logging.getLogger(__name__)

ENSEMBLE = ENSEMBLE_FORMAT.weights


class WorldModel:
    """The world model in a folder: a VAE, dynamics, and start states of dreams.

    Each part is read at its first use, so that a folder with the VAE alone is enough for users who
    need no more.

    Args:
        folder: that holds `vae.weights.h5` and `rnn.weights.h5` with their cards `vae.json` and
            `rnn.json`, or these two in the form of 2019; `initial_z.json`, `midway.npz`; and, where its
            uncertainty is known, `ensemble.weights.h5` with its card. Or the folder of an experiment of
            World Models (`carracing`, `doomrnn`), as it was published.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)
        self._initial: dict[str, InitialZ] = {}
        self._dreams: dict[str, Dream] = {}

    @classmethod
    def load(cls, folder: PathLike | None = None) -> WorldModel:
        """The world model in a folder.

        Args:
            folder: None stands for the one that comes with the package.
        """
        return cls(FOLDER if folder is None else folder)

    @functools.cached_property
    def vae(self) -> VAE:
        """The VAE: `vae.weights.h5` with its card, or else a `vae.json` of 2019.

        Raises:
            WeightsError: there is none, or it is damaged.
        """
        card = experiments.find(self.folder, vae_files.CARD)
        if not (self.folder / vae_files.WEIGHTS).exists() and begins_with(card, b"["):
            return VAE(read_legacy_vae(card), weights=fingerprint(card))
        return VAE(*vae_files.load(self.folder))

    @functools.cached_property
    def dynamics(self) -> Dynamics:
        """The dynamics: `rnn.weights.h5` with its card, which names the kind, or an `rnn.json` of 2019.

        Raises:
            WeightsError: there are none, they are damaged, or of an unknown kind.
        """
        if not self._has_legacy_rnn:
            return self._kind.load(self.folder)
        return self._legacy_rnn

    @functools.cached_property
    def ensemble(self) -> Ensemble | None:
        """The ensemble for the uncertainty of these dynamics; None where none was trained for them.

        Raises:
            WeightsError: its files are damaged.
        """
        if not (self.folder / ENSEMBLE).is_file():
            return None
        found = Ensemble.load(self.folder)
        if found.dynamics == self.dynamics.weights:
            return found
        log.warning("%s: made for other dynamics, and not used; %s", self.folder / ENSEMBLE, MAKE_ENSEMBLE)
        return None

    @property
    def sizes(self) -> DynamicsSizes:
        """The sizes of the dynamics; their weights are not read for them.

        Raises:
            WeightsError: there is no card, or it is damaged.
        """
        if self._has_legacy_rnn:
            return self._legacy_rnn.config
        return self._kind.sizes_of(files.read_card(self.folder), str(self.folder / files.CARD))

    @functools.cached_property
    def environment(self) -> dict[str, Any]:
        """The description of the environment, from the dynamics' card alone; empty where it is unknown.

        Raises:
            WeightsError: there is no card, or it is damaged.
        """
        return self._of_rnn_card(ENVIRONMENT)

    @property
    def training(self) -> dict[str, Any]:
        """The settings that the dynamics were trained with, from their card alone; empty where unknown.

        Raises:
            WeightsError: there is no card, or it is damaged.
        """
        return self._of_rnn_card("config")

    @property
    def continued_from(self) -> str | None:
        """The fingerprint of the dynamics whose training these continue; None where there are none."""
        found = self._rnn_card.get("adapted_from") or self._rnn_card.get("started_from")
        return found if isinstance(found, str) else None

    @property
    def _rnn_card(self) -> Mapping[str, Any]:
        return self._legacy_rnn.card if self._has_legacy_rnn else files.read_card(self.folder)

    def _of_rnn_card(self, name: str) -> dict[str, Any]:
        found = self._rnn_card.get(name)
        return dict(found) if isinstance(found, dict) else {}

    @property
    def actions(self) -> ActionSpace:
        """The action space of the environment that it learned from.

        Raises:
            WeightsError: the card has no action space, or one that does not fit the dynamics.
        """
        found, size = ActionSpace.of_environment(self.environment), self.sizes.action_size
        if found is None and size == DRIVING.size:
            return DRIVING
        if found is None or found.size != size:
            got = "none" if found is None else f"one of {found.size}"
            raise WeightsError(
                f"{self.folder}: dynamics of actions of {size} numbers, expected {DRIVING.size} (throttle "
                f"and steering) or an action space in the card, got {got}; they can be stepped "
                "(dreamduck.world_model.mdn_rnn), but not driven here"
            )
        return found

    @property
    def gym_environment(self) -> GymEnvironment | None:
        """The Gymnasium environment that it learned from; None where that is Duckietown."""
        return of_description(self.environment)

    def check_environment(self, config: RoadConfig, any_weights: bool = False) -> None:
        """Refuse settings of the road that one of the networks did not learn from.

        Args:
            config: of the road.
            any_weights: accept them nevertheless.
        Raises:
            ConfigError: the settings differ; says which, and what to do.
            WeightsError: a network is missing or damaged.
        """
        source = str(self.folder)
        check_environment(self.dynamics.card, config, source, any_weights)
        check_environment(self.vae.card, config, source, any_weights, only=FRAMES)

    @property
    def kind(self) -> str:
        """Of the dynamics; their weights are not read for it.

        Raises:
            WeightsError: there is no card, or it is damaged.
        """
        return self._dynamics_class.kind

    @property
    def temperature(self) -> float:
        """The default of dreams; see `Dynamics`."""
        return self._dynamics_class.temperature

    @property
    def search_temperature(self) -> float:
        """Likewise, of dreams that controllers are evolved in."""
        return self._dynamics_class.search_temperature

    @property
    def search_steps(self) -> int:
        """Likewise, of such a dream at most."""
        return self._dynamics_class.search_steps

    @property
    def card(self) -> Card:
        """The cards of both networks.

        Raises:
            WeightsError: one of them is missing or damaged.
        """
        vae, dynamics = self.vae, self.dynamics
        fingerprints = {"vae": vae.weights, "rnn": dynamics.weights}
        return Card(dynamics.config, fingerprints, vae.card, dynamics.card)

    def start_states(self, beginning: str = FIRST) -> InitialZ:
        """Where dreams begin.

        Args:
            beginning: "first", as recorded episodes do (`initial_z.json`), or "midway" (`midway.npz`).
        Raises:
            WeightsError: the file is missing, damaged or of another size.
        """
        if beginning not in self._initial:
            self._initial[beginning] = self._read_start_states(beginning)
        return self._initial[beginning]

    def _read_start_states(self, beginning: str) -> InitialZ:
        sizes = self.sizes
        if beginning == MIDWAY:
            path = self.folder / MIDWAY_FILE
            if not path.exists():
                raise WeightsError(
                    f"{path}: no such file; write it with dreamduck train-rnn, or give --beginning first"
                )
            return read_midway(path, sizes)
        path = experiments.find(self.folder, INITIAL_FILE)
        initial = read_initial(path)
        if initial.mu.shape[1] != sizes.z_size:
            raise WeightsError(
                f"{path}: latents of {initial.mu.shape[1]} numbers, expected {sizes.z_size}; "
                "write it again with dreamduck train-rnn"
            )
        return initial

    def encode(self, frames: npt.ArrayLike) -> FloatArray:
        """The latents of frames: the means, without noise.

        Args:
            frames: (N, 64, 64, 3) uint8, RGB.
        Returns:
            (N, Z) float32.
        Raises:
            FrameError: another shape or type.
        """
        return self.vae.encode(frames)[0]

    def decode(self, z: npt.ArrayLike) -> Frames:
        """The frames that latents stand for.

        Args:
            z: (N, Z).
        Returns:
            (N, 64, 64, 3) uint8, RGB.
        Raises:
            FrameError: another shape, or a number that is not finite.
        """
        return self.vae.decode(z)

    def start(self, seeds: Sequence[int], beginning: str = FIRST) -> DreamState:
        """Begin N dreams.

        Args:
            seeds: N of them; each determines all random draws of its dream.
            beginning: see `start_states`.
        """
        return start_dreams(self.dynamics, self.start_states(beginning), seeds)

    def step(
        self, state: DreamState, actions: npt.ArrayLike, temperature: float | None = None
    ) -> tuple[DreamState, FloatArray, npt.NDArray[np.bool_]]:
        """One step of N dreams.

        Args:
            state: of `start` or of the step before; it stays as it is.
            actions: (N, A).
            temperature: more than 0; 1 as the model predicts, 0.5 less random; None: that of its kind.
        Returns:
            The next state; rewards (N,); which dreams ended (N,).
        Raises:
            ConfigError: a temperature that is not more than 0.
        """
        state, found = step_dreams(self.dynamics, state, actions, temperature)
        return state, found.reward, found.ended

    def uncertainty(self, state: DreamState) -> FloatArray:
        """The uncertainty of the last step of N dreams, (N,), see `Ensemble`.

        Args:
            state: of `step`.
        Raises:
            WeightsError: there is no ensemble for these dynamics.
        """
        if self.ensemble is None:
            raise WeightsError(f"{self.folder}: expected {ENSEMBLE}, got none; {MAKE_ENSEMBLE}")
        return self.ensemble.uncertainty(state.h)

    def dream(
        self,
        policy: Callable[..., Any],
        theta: npt.ArrayLike,
        episodes: int = 1,
        steps: int = 1000,
        seed: int | Sequence[int] = 0,
        beginning: str = FIRST,
        **options: Any,
    ) -> Rollout:
        """Whole episodes of P controllers in one compiled call; loads TensorFlow.

        Args:
            policy: see `Dream.rollout`, as all that follows.
            theta: (P, n).
            episodes: E, of each controller.
            steps: a dream is cut after so many.
            seed: of all, or one for each controller.
            beginning: see `start_states`.
            **options: `temperature`, `trace`, `pessimism`.
        Returns:
            Rewards, lengths and ends, each (P, E).
        """
        return self.compiled_dream(beginning).rollout(policy, theta, episodes, steps, seed, **options)

    def compiled_dream(self, beginning: str = FIRST) -> Dream:
        """The engine of `dream`; one object, which keeps its compiled code; loads TensorFlow."""
        from dreamduck.world_model.imagination.rollout import Dream

        if beginning not in self._dreams:
            self._dreams[beginning] = Dream(self.dynamics, self.start_states(beginning), self.ensemble)
        return self._dreams[beginning]

    @property
    def _dynamics_class(self) -> type[Dynamics]:
        return MDNRNN if self._has_legacy_rnn else self._kind

    @property
    def _kind(self) -> type[Dynamics]:
        return kind_of(files.read_card(self.folder), str(self.folder / files.CARD))

    @property
    def _has_legacy_rnn(self) -> bool:
        card = experiments.find(self.folder, files.CARD)
        return not (self.folder / files.WEIGHTS).exists() and is_legacy(card)

    @functools.cached_property
    def _legacy_rnn(self) -> MDNRNN:
        """An MDN-RNN of 2019; its number of Gaussians follows from the first latents, if it has any."""
        initial = experiments.find(self.folder, INITIAL_FILE)
        z_size = read_initial(initial).mu.shape[1] if initial.exists() else None
        return experiments.load_legacy(experiments.find(self.folder, files.CARD), z_size)
