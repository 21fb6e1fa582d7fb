"""Training the MDN-RNN from a series to a folder of weights."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.errors import ConfigError, WeightsError
from dreamduck.common.storage import fingerprint, replacing
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model import WorldModel, fit
from dreamduck.world_model.dynamics.start_states import (
    INITIAL_FILE,
    MIDWAY_FILE,
    InitialZ,
    find_midway,
    write_initial,
    write_midway,
)
from dreamduck.world_model.latents import Series, read_series
from dreamduck.world_model.mdn_rnn import batches, files
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED, REWARD_AND_END
from dreamduck.world_model.mdn_rnn.prediction_metrics import one_step_metrics
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.step import MDNRNN
from dreamduck.world_model.mdn_rnn.trainer import Trainer, latent_scale, reward_scale
from dreamduck.world_model.vae import files as vae_files
from dreamduck.world_model.weights_format import Parameters

log = logging.getLogger(__name__)

CHECKPOINT = fit.checkpoint_of("rnn")
VAE_FILES = (vae_files.WEIGHTS, vae_files.CARD)
TEST_STEPS = 20_000  # of each evaluation; the card's metrics are of all held-out episodes


def train(config: TrainingConfig, command: str = "") -> dict[str, Any]:
    """Train the MDN-RNN, and leave also where dreams begin; see `fit.train`.

    Raises:
        ConfigError: the heads of an MDN-RNN would be trained in its own folder.
    """
    if config.heads_only and Path(config.heads_only).resolve() == Path(config.weights).resolve():
        raise ConfigError(
            f"weights: expected another folder than {config.heads_only}, whose MDN-RNN is kept; "
            "name a new one"
        )
    return fit.train(MDNRNNFit, config, command)


class MDNRNNFit(fit.Fit):
    """A training of the MDN-RNN.

    Args:
        config: the settings.
    """

    name = "rnn"
    outputs = (files.WEIGHTS, files.CARD, INITIAL_FILE, MIDWAY_FILE)
    log_every = 10

    def __init__(self, config: TrainingConfig) -> None:
        self.settings, self.series = config, (series := read_series(config.series))
        learning, testing = batches.split(series)
        self.learning, self.testing = learning[: config.limit], testing[: config.limit]
        self.windows = batches.plan(
            series.offsets, self.learning, config.batch_size, config.sequence, config.steps, config.seed
        )
        self.scale = reward_scale(series, self.learning)
        self.source = _source(config, series) if config.heads_only else None
        sizes = config.sizes(series.mu.shape[1], series.action.shape[1])
        self.sizes = self.source.config if self.source else sizes
        self.latents = latent_scale(series, self.learning, self.sizes.residual)
        self.mdn_rnn_trainer = Trainer(config, self.sizes, self.scale, self.latents, self._frozen())
        made_of = {"data": series.fingerprint}
        if self.source is not None:
            made_of["heads_of"] = self.source.weights
        super().__init__(config, self.mdn_rnn_trainer, config.steps, made_of)
        kept = np.cumsum(series.lengths[self.testing]) <= TEST_STEPS
        self.quick = self.testing[: max(1, int(kept.sum()))]
        log.info(
            "%d steps of %d episodes to learn from, %d episodes held out; %d batches",
            int(series.lengths[self.learning].sum()), len(self.learning), len(self.testing), config.steps,
        )  # fmt: skip

    def _frozen(self) -> Parameters | None:
        """The weights that are kept, where only the heads for reward and end are trained."""
        if self.source is None:
            return None
        found = self.source.parameters
        return {name: array for name, array in found.items() if not name.startswith(REWARD_AND_END)}

    def batches(self) -> Iterator[batches.Batch]:
        """Windows of the series."""
        while True:
            yield batches.batch(self.series, self.windows, self.progress.step, self.settings.sequence)

    def evaluates_after(self, step: int) -> bool:
        """As often as the settings say."""
        return step % self.settings.evaluate_every == 0

    def evaluate(self) -> fit.Evaluation:
        """Measure predictions of the next step on episodes held out."""
        parameters = {**files.rounded(self.mdn_rnn_trainer.parameters()), **(self._frozen() or {})}
        try:
            dynamics = MDNRNN(parameters, self.sizes)
        except WeightsError:
            self.refuse()
        metrics = one_step_metrics(dynamics, self.series, self.quick.tolist())
        loss = metrics["nll"] + metrics["end_cross_entropy"]
        if math.isfinite(metrics["reward_error"]):
            loss += self.settings.reward_weight * metrics["reward_error"]
        log.info(
            "step %d: held-out nll %.4f, reward correlation %.3f, end AUC %.3f",
            self.progress.step, metrics["nll"], metrics["reward_correlation"], metrics["end_auc"],
        )  # fmt: skip
        return fit.Evaluation(parameters, metrics, loss)

    def save_weights(self, parameters: Parameters, card: Mapping[str, Any]) -> None:
        """Write the weights and their card."""
        files.save(self.config.weights, parameters, self.sizes, {**card, **self._world()})

    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """Measure the best weights at length; write their card and where dreams begin."""
        folder = Path(self.config.weights)
        parameters = files.read_parameters(folder / files.WEIGHTS, self.sizes)
        dynamics = MDNRNN(parameters, self.sizes, self._world())
        metrics = one_step_metrics(dynamics, self.series, self.testing.tolist())
        held_out = {k: round(v, 5) if math.isfinite(v) else None for k, v in metrics.items()}
        card |= {"data": self._describe(), **self._world(), "metrics": {"held_out": held_out}}
        if self.source is not None:
            card["heads_of"] = self.source.weights
            _copy_vae(Path(str(self.settings.heads_only)), folder)
        files.save(folder, parameters, self.sizes, card)
        first = self.series.offsets[:-1][self.learning]
        write_initial(folder / INITIAL_FILE, InitialZ(self.series.mu[first], self.series.logvar[first]))
        write_midway(folder / MIDWAY_FILE, find_midway(dynamics, self.series, self.learning.tolist()))
        return files.read_card(folder)

    def _world(self) -> dict[str, Any]:
        """What a dream needs of the card: the range of the latents, and the environment's settings."""
        low, high = (np.round(part.astype(float), 4).tolist() for part in self.latents.bounds)
        environment = self.series.meta.get(ENVIRONMENT)
        known = {} if environment is None else {ENVIRONMENT: environment}
        return {"latents": {"low": low, "high": high}, **known}

    def _describe(self) -> dict[str, Any]:
        lengths = self.series.lengths
        mean, spread = (part.tolist() for part in self.scale)
        return {
            "fingerprint": self.series.fingerprint,
            "episodes": len(self.learning),
            "held_out_episodes": len(self.testing),
            "steps": int(lengths[self.learning].sum()),
            "ends": int(self.series.done[self.series.offsets[1:][self.learning] - 1].sum()),
            "reward": {
                name: {"mean": mean[i], "spread": spread[i]}
                for name, i in (("step", ALIVE), ("end", ENDED))
            },
        }


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
