"""Training dynamics of either kind from a series to a folder of weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.storage import fingerprint, replacing
from dreamduck.world_model import WorldModel, fit
from dreamduck.world_model.categorical import CategoricalDynamics, windows
from dreamduck.world_model.categorical.divergence import reconstruction_and_kl
from dreamduck.world_model.categorical.settings import TrainingConfig as CategoricalTrainingConfig
from dreamduck.world_model.categorical.trainer import Trainer as CategoricalTrainer
from dreamduck.world_model.categorical.trainer import latent_spread
from dreamduck.world_model.dynamics_fit import DynamicsFit, LearningData
from dreamduck.world_model.latents import Series
from dreamduck.world_model.mdn_rnn import MDNRNN, batches, files
from dreamduck.world_model.mdn_rnn.layout import REWARD_AND_END
from dreamduck.world_model.mdn_rnn.prediction_metrics import Measure, negative_log_likelihood
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.trainer import Trainer, latent_range, latent_scale
from dreamduck.world_model.vae import files as vae_files
from dreamduck.world_model.weights_format import Parameters, at_half_precision

CHECKPOINT = fit.checkpoint_of("rnn")
VAE_FILES = (vae_files.WEIGHTS, vae_files.CARD)


def train(config: TrainingConfig | CategoricalTrainingConfig, command: str = "") -> dict[str, Any]:
    """Train dynamics of the kind that the settings are of, and leave where dreams begin; see `fit.train`.

    Raises:
        ConfigError: the heads of an MDN-RNN would be trained in its own folder.
    """
    if isinstance(config, CategoricalTrainingConfig):
        return fit.train(CategoricalFit, config, command)
    if config.heads_only and Path(config.heads_only).resolve() == Path(config.weights).resolve():
        raise ConfigError(
            f"weights: expected another folder than {config.heads_only}, whose MDN-RNN is kept; "
            "name a new one"
        )
    return fit.train(MDNRNNFit, config, command)


class MDNRNNFit(DynamicsFit):
    """A training of the MDN-RNN.

    Args:
        config: the settings.
    """

    kind = MDNRNN

    def __init__(self, config: TrainingConfig) -> None:
        self.settings, data = config, LearningData(config.series, config.limit)
        series = data.series
        self.windows = batches.plan(
            series.offsets, data.learning, config.batch_size, config.sequence, config.steps, config.seed
        )
        self.source = _source(config, series) if config.heads_only else None
        sizes = config.sizes(series.mu.shape[1], series.action.shape[1])
        sizes = self.source.config if self.source else sizes
        latents = latent_scale(series, data.learning, sizes.residual)
        self.mdn_rnn_trainer = Trainer(config, sizes, data.scale, latents, self._frozen())
        made_of = {} if self.source is None else {"heads_of": self.source.weights}
        super().__init__(config, data, self.mdn_rnn_trainer, sizes, latents.bounds, made_of)

    def _frozen(self) -> Parameters | None:
        """The weights that are kept, where only the heads for reward and end are trained."""
        if self.source is None:
            return None
        found = self.source.parameters
        return {name: array for name, array in found.items() if not name.startswith(REWARD_AND_END)}

    def batch(self, step: int) -> batches.Batch:
        """A window of each stream."""
        return batches.batch(self.data.series, self.windows, step, self.settings.sequence)

    def parameters(self) -> Parameters:
        """See `DynamicsFit.parameters`."""
        return {**files.rounded(self.mdn_rnn_trainer.parameters()), **(self._frozen() or {})}

    def measure(self, dynamics: MDNRNN) -> Measure:
        """See `DynamicsFit.measure`."""
        return negative_log_likelihood

    def latent_loss(self, metrics: Mapping[str, float]) -> float:
        """The negative log-likelihood."""
        return metrics["nll"]

    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """See `DynamicsFit.finish`; the VAE of a folder whose heads are trained comes along."""
        if self.source is not None:
            card["heads_of"] = self.source.weights
            _copy_vae(Path(str(self.settings.heads_only)), Path(self.config.weights))
        return super().finish(card)


class CategoricalFit(DynamicsFit):
    """A training of the categorical state-space model.

    Args:
        config: the settings.
    """

    kind = CategoricalDynamics

    def __init__(self, config: CategoricalTrainingConfig) -> None:
        self.settings, data = config, LearningData(config.series, config.limit)
        series = data.series
        self.windows = windows.plan(
            series.offsets, data.learning, config.batch_size, config.sequence, config.steps, config.seed
        )
        sizes = config.sizes(series.mu.shape[1], series.action.shape[1])
        spread = latent_spread(series, data.learning)
        self.at_rest = windows.at_rest(series, data.learning, spread)
        self.categorical_trainer = CategoricalTrainer(config, sizes, data.scale, spread)
        bounds = latent_range(series, data.learning)
        super().__init__(config, data, self.categorical_trainer, sizes, bounds)

    def batch(self, step: int) -> batches.Batch:
        """Windows, and standing cars."""
        found = batches.batch(self.data.series, self.windows, step, self.settings.sequence)
        config = self.settings
        return windows.standing(found, self.data.series, self.at_rest, config.standing, config.seed, step)

    def parameters(self) -> Parameters:
        """See `DynamicsFit.parameters`."""
        return at_half_precision(self.categorical_trainer.parameters())

    def measure(self, dynamics: CategoricalDynamics) -> Measure:
        """See `DynamicsFit.measure`."""
        return reconstruction_and_kl(dynamics)

    def latent_loss(self, metrics: Mapping[str, float]) -> float:
        """Half the squared error, summed over the latents, and the divergence."""
        return 0.5 * metrics["reconstruction"] * self.sizes.z_size + metrics["kl"]


def _source(config: TrainingConfig, series: Series) -> MDNRNN:
    """The MDN-RNN whose heads are trained.

    Raises:
        ConfigError: the settings ask for another form.
        WeightsError: there is none, or the series is of other latents or actions, or of another VAE.
    """
    folder = Path(str(config.heads_only))
    found = WorldModel.load(folder).dynamics
    if not isinstance(found, MDNRNN):
        raise WeightsError(f"{folder}: expected an MDN-RNN, got dynamics of the kind {found.kind!r}")
    vae = next((folder / n for n in VAE_FILES if (folder / n).is_file()), None)
    if vae is not None and series.meta.get("vision", fingerprint(vae)) != fingerprint(vae):
        raise WeightsError(
            f"{config.series}: expected latents of the VAE in {vae}, got those of another one; make the "
            f"series with series.py --weights {folder}"
        )
    config.check_sizes(found.config, str(folder))
    sizes = found.config
    for here, need, have in (
        ("latents", sizes.z_size, series.mu.shape[1]),
        ("actions", sizes.action_size, series.action.shape[1]),
    ):
        if have != need:
            raise WeightsError(
                f"{folder}: an MDN-RNN for {here} of {need} numbers, but the series has {here} of {have}; "
                "make the series with the VAE that belongs to the MDN-RNN"
            )
    return found


def _copy_vae(source: Path, folder: Path) -> None:
    """Put the VAE that belongs to an MDN-RNN beside its new heads, unless there is one already."""
    if not any((folder / name).exists() for name in VAE_FILES):
        for name in VAE_FILES:
            if (source / name).is_file():
                with replacing(folder / name) as temporary:
                    shutil.copyfile(source / name, temporary)
