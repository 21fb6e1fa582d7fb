"""Training dynamics of either kind from a series to a folder of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.storage import copy_file
from dreamduck.recordings.sources.gym_environment import of_description
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model import WorldModel, fit
from dreamduck.world_model.categorical import CategoricalDynamics, windows
from dreamduck.world_model.categorical.divergence import reconstruction_and_kl
from dreamduck.world_model.categorical.end_bias import with_true_end_rate
from dreamduck.world_model.categorical.settings import TrainingConfig as CategoricalTrainingConfig
from dreamduck.world_model.categorical.trainer import Trainer as CategoricalTrainer
from dreamduck.world_model.categorical.trainer import latent_spread
from dreamduck.world_model.dynamics import Dynamics, FloatArray
from dreamduck.world_model.dynamics_fit import DynamicsFit, LearningData
from dreamduck.world_model.latents import Series
from dreamduck.world_model.legacy.experiments import ExperimentRNN
from dreamduck.world_model.mdn_rnn import MDNRNN, batches, files
from dreamduck.world_model.mdn_rnn.layout import REWARD_AND_END
from dreamduck.world_model.mdn_rnn.prediction_metrics import Measure, negative_log_likelihood
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.trainer import Trainer, latent_range, latent_scale
from dreamduck.world_model.series_check import VAE_FILES, check_series, check_vae
from dreamduck.world_model.weights_format import Parameters, at_half_precision

CHECKPOINT = fit.checkpoint_of("rnn")
HEADS = (*REWARD_AND_END, "head_hidden/")  # of any kind, for reward and end


def train(config: TrainingConfig | CategoricalTrainingConfig, command: str = "") -> dict[str, Any]:
    """Train dynamics of the kind of the settings, and write the start states of dreams; see `fit.train`.

    Raises:
        ConfigError: what dynamics are made into would take their own place.
    """
    if config.source and Path(config.source).resolve() == Path(config.weights).resolve():
        raise ConfigError(
            f"weights: expected another folder than {config.source}, whose model is kept; name a new one"
        )
    if isinstance(config, CategoricalTrainingConfig):
        return fit.train(CategoricalFit, config, command)
    return fit.train(MDNRNNFit, config, command)


class SourcedFit(DynamicsFit):
    """A training that may begin with trained dynamics, of which some weights are kept.

    Attributes:
        settings: of the training.
        source: what it begins with, if anything.
    """

    settings: TrainingConfig | CategoricalTrainingConfig
    source: Any

    def _kept(self) -> Parameters:
        """The weights of the source that stay: its heads for reward and end, or all but these, or none."""
        found = {} if self.source is None or self.settings.start else self.source.parameters
        heads = bool(self.settings.adapt)
        return {name: array for name, array in found.items() if name.startswith(HEADS) == heads}

    @property
    def _made_of(self) -> str:
        """The source's name in the card."""
        if self.settings.start:
            return "started_from"
        return "adapted_from" if self.settings.adapt else "heads_of"

    @property
    def _fingerprints(self) -> dict[str, str]:
        """The source, besides the data."""
        return {} if self.source is None else {self._made_of: self.source.weights}

    def _range(self, bounds: FloatArray) -> FloatArray:
        """The range of the latents: of the series, and of what a model that trains on has seen before."""
        trains_on = self.settings.adapt or self.settings.start
        if self.source is None or not trains_on or "latents" not in self.source.card:
            return bounds
        low, high = self.source.bounds
        return np.stack([np.minimum(bounds[0], low), np.maximum(bounds[1], high)])

    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """See `DynamicsFit.finish`; the VAE of the source's folder comes along."""
        if self.source is not None:
            card[self._made_of] = self.source.weights
            _copy_vae(Path(str(self.settings.source)), Path(self.config.weights))
        return super().finish(card)


class MDNRNNFit(SourcedFit):
    """A training of the MDN-RNN.

    Args:
        config: the settings.
    """

    kind = MDNRNN

    def __init__(self, config: TrainingConfig) -> None:
        self.settings, data = config, LearningData(config.series, config.limit)
        series = data.series
        check_vae(series, config.series, Path(config.weights))
        self.windows = batches.plan(
            series.offsets, data.learning, config.batch_size, config.sequence, config.steps, config.seed
        )
        self.source = _source(config, series, MDNRNN) if config.source else None
        self.learns_rewards = config.adapt is None
        sizes = config.sizes(series.mu.shape[1], series.action.shape[1])
        sizes = self.source.config if self.source else sizes
        latents = latent_scale(series, data.learning, sizes.residual)
        whole = self.source is not None and (config.adapt or config.start)
        start = self.source.parameters if whole else self._kept()
        self.mdn_rnn_trainer = Trainer(config, sizes, data.scale, latents, start or None)
        bounds = self._range(latents.bounds)
        super().__init__(config, data, self.mdn_rnn_trainer, sizes, bounds, self._fingerprints)

    def batch(self, step: int) -> batches.Batch:
        """A window of each stream."""
        return batches.batch(self.data.series, self.windows, step, self.settings.sequence)

    def parameters(self) -> Parameters:
        """See `DynamicsFit.parameters`."""
        return {**files.rounded(self.mdn_rnn_trainer.parameters()), **self._kept()}

    def measure(self, dynamics: MDNRNN) -> Measure:
        """See `DynamicsFit.measure`."""
        return negative_log_likelihood

    def latent_loss(self, metrics: Mapping[str, float]) -> float:
        """The negative log-likelihood."""
        return metrics["nll"]


class CategoricalFit(SourcedFit):
    """A training of the categorical state-space model.

    Args:
        config: the settings.
    """

    kind = CategoricalDynamics
    settings: CategoricalTrainingConfig

    def __init__(self, config: CategoricalTrainingConfig) -> None:
        data = LearningData(config.series, config.limit)
        series = data.series
        check_vae(series, config.series, Path(config.weights))
        config = config.for_environment(of_description(series.meta.get(ENVIRONMENT) or {}) is None)
        self.settings = config
        self.windows = windows.plan(
            series.offsets, data.learning, config.batch_size, config.sequence, config.steps, config.seed
        )
        self.source = _source(config, series, CategoricalDynamics) if config.source else None
        self.learns_rewards = config.adapt is None
        sizes = config.sizes(series.mu.shape[1], series.action.shape[1])
        sizes, start = (self.source.config, self.source.parameters) if self.source else (sizes, None)
        spread = latent_spread(series, data.learning)
        self.at_rest = windows.at_rest(series, data.learning, spread)
        self.categorical_trainer = CategoricalTrainer(config, sizes, data.scale, spread, start)
        bounds = self._range(latent_range(series, data.learning))
        super().__init__(config, data, self.categorical_trainer, sizes, bounds, self._fingerprints)

    def batch(self, step: int) -> batches.Batch:
        """Windows, and standing cars."""
        found = batches.batch(self.data.series, self.windows, step, self.settings.sequence)
        config = self.settings
        return windows.standing(found, self.data.series, self.at_rest, config.standing, config.seed, step)

    def parameters(self) -> Parameters:
        """See `DynamicsFit.parameters`."""
        return {**at_half_precision(self.categorical_trainer.parameters()), **self._kept()}

    def measure(self, dynamics: CategoricalDynamics) -> Measure:
        """See `DynamicsFit.measure`."""
        return reconstruction_and_kl(dynamics)

    def adjust(self, dynamics: CategoricalDynamics, episodes: npt.NDArray[np.int64]) -> CategoricalDynamics:
        """See `DynamicsFit.adjust`: the end's bias is calibrated; an adapted model keeps its heads."""
        if not self.learns_rewards:
            return dynamics
        return with_true_end_rate(dynamics, self.data.series, episodes.tolist())

    def latent_loss(self, metrics: Mapping[str, float]) -> float:
        """Half the squared error, summed over the latents, and the divergence."""
        return 0.5 * metrics["reconstruction"] * self.sizes.z_size + metrics["kl"]


def _source(
    config: TrainingConfig | CategoricalTrainingConfig, series: Series, kind: type[Dynamics]
) -> Any:
    """The dynamics that the training begins with.

    Args:
        config: the settings.
        series: to learn from.
        kind: that is expected.
    Raises:
        ConfigError: the settings ask for another form.
        WeightsError: there is none, or the series is of other latents or actions, or of another VAE.
    """
    folder = Path(str(config.source))
    found = WorldModel.load(folder).dynamics
    if not isinstance(found, kind):
        raise WeightsError(
            f"{folder}: expected dynamics of the kind {kind.kind!r}, got {found.kind!r}; give --dynamics "
            f"{found.kind}"
        )
    if isinstance(found, ExperimentRNN):
        raise WeightsError(
            f"{folder}: expected dynamics that take actions as they are, got those of 2018 of {found.env}, "
            "which are for dreams and controllers alone; train new ones with dreamduck train-rnn"
        )
    sizes: Any = found.config
    config.check_sizes(sizes, str(folder))
    check_series(series, config.series, folder, found)
    return found


def _copy_vae(source: Path, folder: Path) -> None:
    """Copy the VAE that belongs to the dynamics beside the adapted weights, unless there is one already."""
    if not any((folder / name).exists() for name in VAE_FILES):
        for name in VAE_FILES:
            if (source / name).is_file():
                copy_file(source / name, folder / name)
