"""Training the memory from a series to a folder of weights.

A run that was killed goes on from its newest checkpoint as if it had
never stopped, to the same weights bit for bit."""

from __future__ import annotations

import dataclasses
import logging
import math
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.backend import keras, tf
from dreamduck.common.command_line import progress
from dreamduck.common.config import to_dict
from dreamduck.common.errors import CheckpointError, ConfigError, TrainingError, WeightsError
from dreamduck.common.readers import in_words
from dreamduck.common.storage import claim, fingerprint, read_npz, replacing, write_npz
from dreamduck.common.training_log import TrainingLog, logbook_files
from dreamduck.simulator.environment import ENVIRONMENT
from dreamduck.world_model.latents import Series, read_series
from dreamduck.world_model.mdn_rnn import batches, files, load
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED, REWARD_AND_END, Parameters
from dreamduck.world_model.mdn_rnn.prediction_metrics import one_step_metrics
from dreamduck.world_model.mdn_rnn.settings import TrainingConfig
from dreamduck.world_model.mdn_rnn.start_states import InitialZ, find_midway, write_initial, write_midway
from dreamduck.world_model.mdn_rnn.step import MDNRNN
from dreamduck.world_model.mdn_rnn.trainer import Losses, Trainer, latent_scale, reward_scale
from dreamduck.world_model.vae import files as vision_files

log = logging.getLogger(__name__)

CHECKPOINT = "rnn.checkpoint.npz"
LOG_EVERY = 10  # steps
VISION_FILES = (vision_files.WEIGHTS, vision_files.CARD)
TEST_STEPS = 20_000  # what each look judges by; the card's figures are of all held-out episodes


@dataclasses.dataclass
class TrainingProgress:
    """Where a training stands: the next step's number, the best loss so far and its step, seconds spent."""

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    seconds: float = 0.0


def train(config: TrainingConfig, command: str = "") -> dict[str, Any]:
    """Train, or go on with a training, and leave the best weights with their card and `initial_z.json`.

    Args:
        command: the command line, for the card.
    Returns:
        The card.
    Raises:
        SeriesError: no series, or a damaged one. TrainingError: a loss that is not a number.
        CheckpointError: the checkpoint in `config.weights` is of another training.
        ConfigError: files of another run are there, and not `config.fresh`.
    """
    weights = Path(config.weights)
    if config.heads_only and Path(config.heads_only).resolve() == weights.resolve():
        raise ConfigError(
            f"weights: expected another folder than {config.heads_only}, whose memory is kept; "
            "name a new one"
        )
    outputs = [weights / name for name in (files.WEIGHTS, files.CARD, files.INITIAL, files.MIDWAY)]
    outputs += logbook_files(config.log, "rnn")
    with claim("rnn", outputs, weights / CHECKPOINT, config.fresh) as resumes:
        return _train(config, command, resumes)


def _train(config: TrainingConfig, command: str, resumes: bool) -> dict[str, Any]:
    run = _Run(config, read_series(config.series))
    if resumes:
        run.resume()
    else:
        run.save()  # the files below belong to this checkpoint
    log.info(
        "%d steps of %d episodes to learn from, %d episodes held out; batches %d to %d",
        int(run.series.lengths[run.learning].sum()), len(run.learning), len(run.testing),
        run.position.step, config.steps,
    )  # fmt: skip
    with (
        TrainingLog(config.log, "rnn", to_dict(config), run.position.step, fresh=config.fresh) as logbook,
        progress(total=config.steps, initial=run.position.step, desc="memory") as bar,
    ):
        while run.position.step < config.steps:
            run.step(logbook, bar)
    return run.finish(command)


class _Run:
    """One training on its way."""

    def __init__(self, config: TrainingConfig, series: Series) -> None:
        self.config, self.series = config, series
        learning, testing = batches.split(series)
        self.learning, self.testing = learning[: config.limit], testing[: config.limit]
        self.places = batches.plan(
            series.offsets, self.learning, config.batch_size, config.sequence, config.steps, config.seed
        )
        self.scale = reward_scale(series, self.learning)
        self.source = _source(config, series) if config.heads_only else None
        sizes = config.sizes(series.mu.shape[1], series.action.shape[1])
        self.sizes = self.source.config if self.source else sizes
        latents = latent_scale(series, self.learning, self.sizes.residual)
        self.trainer = Trainer(config, self.sizes, self.scale, latents, self._frozen())
        self.checkpoint = Path(config.weights) / CHECKPOINT
        self.position = TrainingProgress()
        kept = np.cumsum(series.lengths[self.testing]) <= TEST_STEPS
        self.quick = self.testing[: max(1, int(kept.sum()))]
        self._since = time.monotonic()

    def _frozen(self) -> Parameters | None:
        """The weights that are kept, where only the heads for reward and end are trained."""
        if self.source is None:
            return None
        found = self.source.parameters
        return {name: array for name, array in found.items() if not name.startswith(REWARD_AND_END)}

    def step(self, logbook: TrainingLog, bar: Any) -> None:
        """Learn from one batch; judge and save when it is time."""
        position, config = self.position, self.config
        batch = batches.batch(self.series, self.places, position.step, config.sequence)
        losses = self.trainer.train(batch, position.step)
        if not losses.finite:
            self._refuse(f"the losses are {tuple(losses)}")
        if position.step % LOG_EVERY == 0:
            self._log(logbook, losses)
            bar.set_postfix(nll=f"{losses.nll:.3f}", refresh=False)
        bar.update()
        position.step += 1
        last = position.step == config.steps
        if last or position.step % config.evaluate_every == 0:
            self._judge(logbook)
        if last or position.step % config.checkpoint_every == 0:
            self.save()

    def _log(self, logbook: TrainingLog, losses: Losses) -> None:
        step = self.position.step
        logbook.write(step, **losses._asdict(), learning_rate=self.trainer.learning_rate(step))

    def _judge(self, logbook: TrainingLog) -> None:
        """Measure the weights as they would be shipped; keep them where they are the best so far."""
        parameters = {**files.rounded(self.trainer.parameters()), **(self._frozen() or {})}
        try:
            memory = MDNRNN(parameters, self.sizes)
        except WeightsError:
            self._refuse("the weights are not finite")
        metrics = one_step_metrics(memory, self.series, self.quick.tolist())
        loss = metrics["nll"] + metrics["end_cross_entropy"]
        if math.isfinite(metrics["reward_error"]):
            loss += self.config.reward_weight * metrics["reward_error"]
        logbook.write(self.position.step - 1, **{f"held_out/{k}": v for k, v in metrics.items()})
        logbook.draw()
        log.info(
            "step %d: held-out nll %.4f, reward correlation %.3f, end AUC %.3f",
            self.position.step, metrics["nll"], metrics["reward_correlation"], metrics["end_auc"],
        )  # fmt: skip
        if not loss >= self.position.best:  # also where it is no number, for want of data
            self.position.best, self.position.best_step = loss, self.position.step
            steps = {"step": self.position.step, "total_steps": self.config.steps}
            found = {k: v for k, v in metrics.items() if math.isfinite(v)}
            card = {"metrics": {"held_out": found}, **steps, **self._world()}
            files.save(self.config.weights, parameters, self.sizes, card)

    def _refuse(self, what: str) -> None:
        raise TrainingError(
            f"step {self.position.step}: {what}; the checkpoint before it stays in {self.checkpoint}; "
            "lower --learning-rate and start again with --fresh"
        )

    def save(self) -> None:
        """Write the checkpoint, unless the weights are spoilt."""
        state = self.trainer.state()
        if not all(np.isfinite(array).all() for array in state.values()):
            self._refuse("the weights are not finite")
        now = time.monotonic()
        self.position.seconds, self._since = self.position.seconds + now - self._since, now
        for name, value in dataclasses.asdict(self.position).items():
            state[f"position/{name}"] = np.array(value)
        state["run"] = np.array(self._identity())
        write_npz(self.checkpoint, state, compress=False)

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises:
            CheckpointError: it is damaged, or of another training.
        """
        advice = "train into another --weights folder, or start anew with --fresh"
        state = read_npz(self.checkpoint, CheckpointError, advice)
        if str(state.get("run", "")) != self._identity():
            raise CheckpointError(
                f"{self.checkpoint}: of another training ({state.get('run', '')}), "
                f"expected {self._identity()}; {advice}"
            )
        with in_words(self.checkpoint, CheckpointError, "damaged", advice):
            self.trainer.restore(state)
            fields = {name: state[f"position/{name}"].item() for name in dataclasses.asdict(self.position)}
            self.position = TrainingProgress(**fields)
        log.info("going on from step %d", self.position.step)

    def _identity(self) -> str:
        settings = {**self.config.arithmetic(), "data": self.series.fingerprint}
        if self.source is not None:
            settings["heads_of"] = self.source.weights
        return ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))

    def finish(self, command: str) -> dict[str, Any]:
        """Measure the best weights at length; write their card and where dreams begin."""
        folder = self.config.weights
        parameters = files.read_parameters(Path(folder) / files.WEIGHTS, self.sizes)
        memory = MDNRNN(parameters, self.sizes, self._world())
        metrics = one_step_metrics(memory, self.series, self.testing.tolist())
        card: dict[str, Any] = {
            "config": to_dict(self.config),
            "data": self._describe(),
            **self._world(),
            "best_step": self.position.best_step,
            "steps": self.position.step,
            "seconds": round(self.position.seconds, 1),
            "metrics": {
                "held_out": {k: round(v, 5) if math.isfinite(v) else None for k, v in metrics.items()}
            },
            "command": command,
            "versions": {
                "dreamduck": dreamduck.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
        }
        if self.source is not None:
            card["heads_of"] = self.source.weights
            _copy_vision(str(self.config.heads_only), folder)
        files.save(folder, parameters, self.sizes, card)
        first = self.series.offsets[:-1][self.learning]
        initial = InitialZ(self.series.mu[first], self.series.logvar[first])
        write_initial(Path(folder) / files.INITIAL, initial)
        write_midway(Path(folder) / files.MIDWAY, find_midway(memory, self.series, self.learning.tolist()))
        return files.read_card(folder)

    def _world(self) -> dict[str, Any]:
        """What a dream needs of the card: the range of the latents, and the environment's settings."""
        low, high = (np.round(part.astype(float), 4).tolist() for part in self.trainer.latents.bounds)
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
    """The memory whose heads are trained.

    Raises:
        ConfigError: the settings ask for another form.
        WeightsError: there is none, or the series is of other latents or actions, or of another VAE.
    """
    folder = Path(str(config.heads_only))
    found = load(folder)
    vae = next((folder / n for n in VISION_FILES if (folder / n).is_file()), None)
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
                f"{folder}: a memory for {here} of {need} numbers, but the series has {here} of {have}; "
                "make the series with the VAE that belongs to the memory"
            )
    return found


def _copy_vision(source: str, folder: str) -> None:
    """Put the VAE that belongs to a memory beside its new heads, unless there is one already."""
    if not any((Path(folder) / name).exists() for name in VISION_FILES):
        for name in VISION_FILES:
            if (Path(source) / name).is_file():
                with replacing(Path(folder) / name) as temporary:
                    shutil.copyfile(Path(source) / name, temporary)
