"""Training the VAE from a folder of recordings to a folder of weights.

A run that was killed goes on from its newest checkpoint as if
it had never stopped, to the same weights bit for bit."""

from __future__ import annotations

import collections
import dataclasses
import logging
import math
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.backend import keras, tf
from dreamduck.common.command_line import progress
from dreamduck.common.config import to_dict
from dreamduck.common.errors import CheckpointError, RecordError, TrainingError
from dreamduck.common.readers import in_words
from dreamduck.common.storage import claim, read_npz, write_npz
from dreamduck.common.training_log import TrainingLog, logbook_files
from dreamduck.recordings import Recordings, find_recordings, held_out, read_episode
from dreamduck.simulator.environment import ENVIRONMENT, of_recording, shared
from dreamduck.world_model.vae import files
from dreamduck.world_model.vae.frame_stream import FrameStream, data_fingerprint, sample_frames
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.pictures import show
from dreamduck.world_model.vae.reconstruction import evaluate
from dreamduck.world_model.vae.settings import TrainingConfig
from dreamduck.world_model.vae.trainer import Trainer

log = logging.getLogger(__name__)

CHECKPOINT = "vae.checkpoint.npz"
TEST_FRAMES = 2048  # what each epoch is judged by
FINAL_FRAMES = 8192  # what the card tells
LOG_EVERY = 20  # steps


@dataclasses.dataclass
class TrainingProgress:
    """Where a training stands: the next step's number, the best loss so far, seconds spent."""

    step: int = 0
    best: float = math.inf
    seconds: float = 0.0


def train(config: TrainingConfig, command: str = "") -> dict[str, Any]:
    """Train, or go on with a training, and leave the best weights with their card.

    Args:
        command: the command line, for the card.
    Returns:
        The card.
    Raises:
        RecordError: no records. TrainingError: too little data, or a loss that is not a
        number. CheckpointError: the checkpoint in `config.weights` is of another training.
        ConfigError: files of another run are there, and not `config.fresh`.
    """
    weights, folder = Path(config.weights), Path(config.log)
    outputs = [weights / files.WEIGHTS, weights / files.CARD, *logbook_files(folder, "vae")]
    with claim("vae", outputs, weights / CHECKPOINT, config.fresh) as resumes:
        return _train(config, command, resumes)


def _train(config: TrainingConfig, command: str, resumes: bool) -> dict[str, Any]:
    recordings = find_recordings(config.records, config.limit)
    learning, testing = split(recordings)
    stream = FrameStream(learning, config.batch_size, config.seed, config.buffer_frames)
    planned = config.epochs * stream.steps_per_epoch
    total = min(planned, config.max_steps or planned)
    trainer = Trainer(config, total)
    run = _Run(config, trainer, stream, testing, total)
    if resumes:
        run.resume()
    else:
        run.save()  # the files below belong to this checkpoint
    log.info(
        "%d frames of %d episodes to learn from, %d episodes held out; steps %d to %d",
        stream.frames, len(learning.paths), len(testing.paths), run.position.step, total,
    )  # fmt: skip
    with TrainingLog(config.log, "vae", to_dict(config), run.position.step, fresh=config.fresh) as logbook:
        while run.position.step < total:
            run.epoch(logbook)
    return _finish(config, run, recordings, command)


class _Run:
    """One training on its way."""

    def __init__(
        self, config: TrainingConfig, trainer: Trainer, stream: FrameStream, testing: Recordings, total: int
    ) -> None:
        self.config, self.trainer, self.stream, self.total = config, trainer, stream, total
        self.testing = testing
        self.test_frames = sample_frames(testing, TEST_FRAMES)
        self.checkpoint = Path(config.weights) / CHECKPOINT
        self.data = data_fingerprint(stream.recordings)
        self.position = TrainingProgress()
        self._since = time.monotonic()

    def epoch(self, logbook: TrainingLog) -> None:
        """Train to the end of the epoch or of the training, judge the weights, keep them."""
        position, per_epoch = self.position, self.stream.steps_per_epoch
        number, start = divmod(position.step, per_epoch)
        last = min(self.total, (number + 1) * per_epoch)
        batches = self.stream.batches(number, start)
        bar = progress(total=per_epoch, initial=start, desc=f"epoch {number + 1}/{self.config.epochs}")
        with bar:
            for frames in batches:
                reconstruction, divergence, finite = self.trainer.train(frames, position.step)
                self._check(finite)
                if position.step % LOG_EVERY == 0:
                    self._log(logbook, reconstruction, divergence)
                    bar.set_postfix(loss=f"{reconstruction + divergence:.1f}", refresh=False)
                bar.update()
                position.step += 1
                if position.step == last:
                    break
                if position.step % self.config.checkpoint_every == 0:
                    self.save()
        self._judge(logbook, number)
        self.save()

    def _log(self, logbook: TrainingLog, reconstruction: float, divergence: float) -> None:
        logbook.write(
            self.position.step,
            loss=reconstruction + divergence,
            reconstruction=reconstruction,
            divergence=divergence,
            learning_rate=self.trainer.learning_rate(self.position.step),
        )

    def _judge(self, logbook: TrainingLog, number: int) -> None:
        """Measure the weights as they would be shipped; keep them where they are the best so far."""
        parameters = files.shipped(self.trainer.model.parameters())
        network = NumpyVAE(parameters)
        metrics = evaluate(network, self.test_frames, self.config.kl_tolerance)
        self._check(math.isfinite(metrics["loss"]))
        logbook.write(self.position.step - 1, **{f"held_out/{k}": v for k, v in metrics.items()})
        logbook.draw()
        log.info("epoch %d: held-out loss %.2f, PSNR %.2f dB", number + 1, metrics["loss"], metrics["psnr"])
        show(Path(self.config.log) / "vae" / f"epoch-{number + 1:03d}.png", network, self.test_frames)
        if metrics["loss"] < self.position.best:
            self.position.best = metrics["loss"]
            steps = {"step": self.position.step, "total_steps": self.total}
            files.save(self.config.weights, parameters, {"metrics": {"held_out": metrics}, **steps})

    def _check(self, finite: bool) -> None:
        if finite:
            return
        raise TrainingError(
            f"step {self.position.step}: the loss or a weight is not finite; "
            f"the checkpoint before it stays in {self.checkpoint}; "
            "lower --learning-rate and start again with --fresh"
        )

    def save(self) -> None:
        """Write the checkpoint, unless the state is spoilt."""
        state = self.trainer.state()
        self._check(all(np.isfinite(array).all() for array in state.values()))
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
        found, expected = str(state.get("run", "")), self._identity()
        if found != expected:
            raise CheckpointError(
                f"{self.checkpoint}: of another training ({found}), expected {expected}; {advice}"
            )
        with in_words(self.checkpoint, CheckpointError, "damaged", advice):
            self.trainer.restore(state)
            self.position = TrainingProgress(
                int(state["position/step"]), float(state["position/best"]), float(state["position/seconds"])
            )
        log.info("going on from step %d", self.position.step)

    def _identity(self) -> str:
        settings = {**self.config.arithmetic(), "data": self.data}
        return ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))


def split(recordings: Recordings) -> tuple[Recordings, Recordings]:
    """The episodes to learn from, and those held out (the same one, where there is only one)."""
    out = held_out(recordings.seeds)
    if not out.any():
        log.warning("only one episode: it is learned from and judged by")
        return recordings, recordings
    return recordings.chosen(np.flatnonzero(~out)), recordings.chosen(np.flatnonzero(out))


def _finish(config: TrainingConfig, run: _Run, recordings: Recordings, command: str) -> dict[str, Any]:
    """Measure the best weights at length and write the card."""
    parameters = files.read_parameters(Path(config.weights) / files.WEIGHTS)
    known = files.read_card(config.weights)  # of the best epoch, or of a run that came this far before
    network = NumpyVAE(parameters)
    metrics = {"held_out": evaluate(network, sample_frames(run.testing, FINAL_FRAMES), config.kl_tolerance)}
    unseen: dict[str, Any] = {}
    if config.unseen:
        other = find_recordings(config.unseen)
        frames = sample_frames(other, FINAL_FRAMES)
        metrics["unseen"] = evaluate(network, frames, config.kl_tolerance)
        show(Path(config.log) / "vae" / "unseen.png", network, frames)
        unseen = {"unseen": describe(other)[0]}
    data, environment = describe(recordings)
    card = {
        "kind": "vae",
        **({ENVIRONMENT: environment} if environment else {}),
        "config": to_dict(config),
        "data": {
            **data,
            "held_out_episodes": len(run.testing.paths),
            "learned_from": run.data,
            **unseen,
        },
        "best_step": known.get("step", known.get("best_step", run.position.step)),
        "steps": run.position.step,
        "seconds": round(run.position.seconds, 1),
        "metrics": {name: {k: round(v, 4) for k, v in found.items()} for name, found in metrics.items()},
        "command": command,
        "versions": {
            "dreamduck": dreamduck.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    files.save(config.weights, parameters, card)
    return files.read_card(config.weights)


def describe(recordings: Recordings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a card tells of its data: how much, from which maps, driven by whom; and of its environment."""
    environments: list[dict[str, Any] | None] = []
    counts: dict[str, collections.Counter[str]] = {}
    for path in recordings.paths:
        try:
            meta = read_episode(path, frames=False).meta
        except RecordError as err:  # after all that training
            log.warning("%s; the card leaves it out", err)
            continue
        environments.append(of_recording(meta))
        for key in ("map_name", "policy", "simulator", "domain_rand"):
            counts.setdefault(key, collections.Counter())[str(meta.get(key, "unknown"))] += 1
    data = {
        "episodes": len(recordings.paths),
        "frames": int(recordings.lengths.sum()),
        "fingerprint": data_fingerprint(recordings),
        **{key: dict(sorted(found.items())) for key, found in counts.items()},
    }
    return data, shared(environments)
