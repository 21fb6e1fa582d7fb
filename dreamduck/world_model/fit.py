"""The training loop of both networks: batches in; checkpoints, the best weights and their card out.

A run that was killed continues from its newest checkpoint as if it had never stopped, to the same weights
bit for bit."""

from __future__ import annotations

import abc
import dataclasses
import logging
import math
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn, Protocol

import numpy as np

import dreamduck
from dreamduck.common.backend import keras, tf
from dreamduck.common.command_line import progress
from dreamduck.common.config import to_dict
from dreamduck.common.errors import CheckpointError, TrainingError
from dreamduck.common.readers import in_words
from dreamduck.common.storage import claim, read_npz, write_npz
from dreamduck.common.training_log import TrainingLog, logbook_files
from dreamduck.world_model.trainer import Trainer
from dreamduck.world_model.weights_format import Parameters

log = logging.getLogger(__name__)


def checkpoint_of(name: str) -> str:
    """The checkpoint's file of a network ("vae", "rnn")."""
    return f"{name}.checkpoint.npz"


class TrainingSettings(Protocol):
    """Settings that the loop needs."""

    @property
    def weights(self) -> str:
        """Folder of the checkpoint."""
        ...

    @property
    def log(self) -> str:
        """Folder of the log."""
        ...

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""
        ...

    @property
    def fresh(self) -> bool:
        """Whether to start over."""
        ...

    def arithmetic(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the checkpoint's."""
        ...


@dataclasses.dataclass
class TrainingProgress:
    """Progress of a training: the next step's number, the best loss so far and its step, seconds spent."""

    step: int = 0
    best: float = math.inf
    best_step: int = 0
    seconds: float = 0.0


class Evaluation(NamedTuple):
    """Weights as they would be shipped, and their metrics on episodes held out."""

    parameters: Parameters
    metrics: dict[str, float]
    loss: float  # the least is the best


def train(fit: type[Fit], config: TrainingSettings, command: str = "") -> dict[str, Any]:
    """Train, or continue a training; leave the best weights with their card.

    Args:
        fit: which training; it is made from the settings alone.
        config: the settings.
        command: the command line, for the card.
    Returns:
        The card.
    Raises:
        RecordError: no recordings.
        SeriesError: no series, or a damaged one.
        TrainingError: too little data, or a loss that is not finite.
        CheckpointError: the checkpoint in `config.weights` is of another training.
        ConfigError: files of another run are there, and not `config.fresh`.
    """
    weights = Path(config.weights)
    outputs = [*(weights / name for name in fit.outputs), *logbook_files(config.log, fit.name)]
    with claim(fit.name, outputs, weights / checkpoint_of(fit.name), config.fresh) as resumes:
        return fit(config).run(resumes, command)  # type: ignore[call-arg]


class Fit(abc.ABC):
    """One training in progress.

    Args:
        config: the settings.
        trainer: the network and its step.
        steps: of the whole training.
        made_of: fingerprints of what it learns from; a checkpoint of others is refused.
    """

    name: ClassVar[str]  # of the network, in its files' names
    outputs: ClassVar[tuple[str, ...]]  # files in the folder of weights
    log_every: ClassVar[int]  # steps

    def __init__(
        self, config: TrainingSettings, trainer: Trainer, steps: int, made_of: Mapping[str, str]
    ) -> None:
        self.config, self.trainer, self.steps = config, trainer, steps
        self.checkpoint = Path(config.weights) / checkpoint_of(self.name)
        self.progress = TrainingProgress()
        settings = {**config.arithmetic(), **made_of}
        self._identity = ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
        self._since = time.monotonic()

    @abc.abstractmethod
    def batches(self) -> Iterator[Any]:
        """The batches from `progress.step` on."""

    @abc.abstractmethod
    def evaluates_after(self, step: int) -> bool:
        """Whether the weights are evaluated when so many steps are done, besides at the end."""

    @abc.abstractmethod
    def evaluate(self) -> Evaluation:
        """Measure the weights as they would be shipped."""

    @abc.abstractmethod
    def save_weights(self, parameters: Parameters, card: Mapping[str, Any]) -> None:
        """Write weights that are the best so far, with what is known of them."""

    @abc.abstractmethod
    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """Measure the best weights in full and write their card.

        Args:
            card: the loop's facts about the training.
        Returns:
            The whole card.
        """

    def run(self, resumes: bool, command: str) -> dict[str, Any]:
        """Train to the end.

        Args:
            resumes: continue from the checkpoint.
            command: the command line, for the card.
        Returns:
            The card.
        Raises:
            TrainingError: a loss or a weight that is not finite.
            CheckpointError: the checkpoint is damaged, or of another training.
        """
        if resumes:
            self._resume()
        else:
            self._save()  # the files below belong to this checkpoint
        config, first = self.config, self.progress.step
        with (
            TrainingLog(config.log, self.name, to_dict(config), first, fresh=config.fresh) as training_log,
            progress(total=self.steps, initial=first, desc=self.name, unit="step") as bar,
        ):
            if self.progress.step < self.steps:
                for batch in self.batches():
                    self._step(batch, training_log, bar)
                    if self.progress.step == self.steps:
                        break
        return self.finish(self._card(command))

    def _step(self, batch: Any, training_log: TrainingLog, bar: Any) -> None:
        """Learn from one batch; evaluate and save when it is time."""
        step = self.progress.step
        losses = self.trainer.train(batch, step)
        if not losses.finite:
            self.refuse()
        if step % self.log_every == 0:
            rate = self.trainer.learning_rate(step)
            training_log.write(step, **losses.metrics, learning_rate=rate)
            bar.set_postfix({k: f"{v:.3f}" for k, v in losses.metrics.items()}, refresh=False)
        bar.update()
        self.progress.step = step = step + 1
        evaluates = step == self.steps or self.evaluates_after(step)
        if evaluates:
            self._evaluate(training_log)
        if step == self.steps or self.saves_after(step):
            self._save()

    def saves_after(self, step: int) -> bool:
        """Whether a checkpoint is written when so many steps are done, besides at the end."""
        return step % self.config.checkpoint_every == 0

    def _evaluate(self, training_log: TrainingLog) -> None:
        """Evaluate; keep the weights where they are the best so far."""
        parameters, metrics, loss = self.evaluate()
        training_log.write(self.progress.step - 1, **{f"held_out/{k}": v for k, v in metrics.items()})
        training_log.draw()
        if not loss >= self.progress.best:  # also where it is no number, for want of data
            self.progress.best, self.progress.best_step = loss, self.progress.step
            steps = {"step": self.progress.step, "total_steps": self.steps}
            found = {k: v for k, v in metrics.items() if math.isfinite(v)}
            self.save_weights(parameters, {"metrics": {"held_out": found}, **steps})

    def refuse(self) -> NoReturn:
        """Stop at numbers that are not finite.

        Raises:
            TrainingError: always.
        """
        raise TrainingError(
            f"step {self.progress.step}: a loss or a weight is not finite; the checkpoint before it stays "
            f"in {self.checkpoint}; lower --learning-rate and start again with --fresh"
        )

    def _save(self) -> None:
        """Write the checkpoint, unless the state is not finite."""
        state = self.trainer.state()
        if not all(np.isfinite(array).all() for array in state.values()):
            self.refuse()
        now = time.monotonic()
        self.progress.seconds, self._since = self.progress.seconds + now - self._since, now
        for name, value in dataclasses.asdict(self.progress).items():
            state[f"position/{name}"] = np.array(value)
        state["run"] = np.array(self._identity)
        write_npz(self.checkpoint, state, compress=False)

    def _resume(self) -> None:
        """Continue from the checkpoint."""
        advice = "train into another --weights folder, or start over with --fresh"
        state = read_npz(self.checkpoint, CheckpointError, advice)
        found = str(state.get("run", ""))
        if found != self._identity:
            raise CheckpointError(
                f"{self.checkpoint}: of another training ({found}), expected {self._identity}; {advice}"
            )
        with in_words(self.checkpoint, CheckpointError, "damaged", advice):
            self.trainer.restore(state)
            names = [f"position/{name}" for name in dataclasses.asdict(self.progress)]
            state.setdefault("position/best_step", np.array(0))  # of a VAE's older checkpoint
            self.progress = TrainingProgress(*(state[name].item() for name in names))
        log.info("continuing from step %d", self.progress.step)

    def _card(self, command: str) -> dict[str, Any]:
        """The entries of every card."""
        return {
            "config": to_dict(self.config),
            "best_step": self.progress.best_step,
            "steps": self.progress.step,
            "seconds": round(self.progress.seconds, 1),
            "command": command,
            "versions": {
                "dreamduck": dreamduck.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
        }
