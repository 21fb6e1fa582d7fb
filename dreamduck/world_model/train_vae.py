"""Training the VAE from a folder of recordings to a folder of weights."""

from __future__ import annotations

import collections
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamduck.common.errors import RecordError
from dreamduck.recordings import Recordings, find_recordings, held_out, read_episode
from dreamduck.simulator.environment import ENVIRONMENT, of_recording, shared
from dreamduck.world_model import fit
from dreamduck.world_model.vae import files
from dreamduck.world_model.vae.frame_stream import FrameStream, data_fingerprint, sample_frames
from dreamduck.world_model.vae.image_grid import show
from dreamduck.world_model.vae.inference import NumpyVAE
from dreamduck.world_model.vae.layout import FloatArray, Frames
from dreamduck.world_model.vae.losses import reconstruction_loss
from dreamduck.world_model.vae.reconstruction import evaluate
from dreamduck.world_model.vae.settings import TrainingConfig
from dreamduck.world_model.vae.trainer import Trainer
from dreamduck.world_model.weights_format import Parameters

log = logging.getLogger(__name__)

CHECKPOINT = fit.checkpoint_of("vae")
TEST_FRAMES = 2048  # that each epoch is evaluated on
FINAL_FRAMES = 8192  # that the card's metrics are of


def train(config: TrainingConfig, command: str = "") -> dict[str, Any]:
    """Train the VAE; see `fit.train`."""
    return fit.train(VAEFit, config, command)


class VAEFit(fit.Fit):
    """A training of the VAE; it is evaluated after each epoch.

    Args:
        config: the settings.
    """

    name = "vae"
    outputs = (files.WEIGHTS, files.CARD)
    log_every = 20

    def __init__(self, config: TrainingConfig) -> None:
        self.settings = config
        self.recordings = find_recordings(config.records, config.limit)
        learning, self.testing = split(self.recordings)
        self.stream = FrameStream(learning, config.batch_size, config.seed, config.buffer_frames)
        planned = config.epochs * self.stream.steps_per_epoch
        steps = min(planned, config.max_steps or planned)
        self.learned_from = data_fingerprint(learning)
        super().__init__(config, Trainer(config, steps), steps, {"data": self.learned_from})
        self.test_frames = sample_frames(self.testing, TEST_FRAMES)
        log.info(
            "%d frames of %d episodes to learn from, %d episodes held out; %d steps",
            self.stream.frames, len(learning.paths), len(self.testing.paths), steps,
        )  # fmt: skip

    def batches(self) -> Iterator[Frames]:
        """The frames of one epoch after the other."""
        while True:
            yield from self.stream.batches(*divmod(self.progress.step, self.stream.steps_per_epoch))

    def evaluates_after(self, step: int) -> bool:
        """At the end of an epoch."""
        return step % self.stream.steps_per_epoch == 0

    def saves_after(self, step: int) -> bool:
        """Also at the end of an epoch."""
        return self.evaluates_after(step) or super().saves_after(step)

    def evaluate(self) -> fit.Evaluation:
        """Measure reconstructions of frames held out, and show some."""
        parameters = files.shipped(self.trainer.model.parameters())
        network = NumpyVAE(parameters)
        metrics = self._measure(network, self.test_frames)
        if not math.isfinite(metrics["loss"]):
            self.refuse()
        epoch = -(-self.progress.step // self.stream.steps_per_epoch)
        log.info("epoch %d: held-out loss %.2f, PSNR %.2f dB", epoch, metrics["loss"], metrics["psnr"])
        show(Path(self.config.log) / "vae" / f"epoch-{epoch:03d}.png", network, self.test_frames)
        return fit.Evaluation(parameters, metrics, metrics["loss"])

    def _measure(self, network: NumpyVAE, frames: Frames) -> dict[str, float]:
        def lost(error: FloatArray) -> float:
            return float(reconstruction_loss(error, self.settings.loss))

        return evaluate(network, frames, self.settings.kl_tolerance, lost)

    def save_weights(self, parameters: Parameters, card: Mapping[str, Any]) -> None:
        """Write the weights and their card."""
        files.save(self.config.weights, parameters, card)

    def finish(self, card: dict[str, Any]) -> dict[str, Any]:
        """Measure the best weights in full, also on episodes of an unseen map."""
        config = self.settings
        parameters = files.read_parameters(Path(config.weights) / files.WEIGHTS)
        network = NumpyVAE(parameters)
        frames = sample_frames(self.testing, FINAL_FRAMES)
        metrics = {"held_out": self._measure(network, frames)}
        data, environment = describe(self.recordings)
        data |= {"held_out_episodes": len(self.testing.paths), "learned_from": self.learned_from}
        if config.unseen:
            other = find_recordings(config.unseen)
            frames = sample_frames(other, FINAL_FRAMES)
            metrics["unseen"] = self._measure(network, frames)
            show(Path(config.log) / "vae" / "unseen.png", network, frames)
            data["unseen"] = describe(other)[0]
        card |= {
            "kind": "vae",
            **({ENVIRONMENT: environment} if environment else {}),
            "data": data,
            "metrics": {
                name: {k: round(v, 4) for k, v in found.items()} for name, found in metrics.items()
            },
        }
        files.save(config.weights, parameters, card)
        return files.read_card(config.weights)


def split(recordings: Recordings) -> tuple[Recordings, Recordings]:
    """The episodes to learn from, and those held out (the same one, where there is only one)."""
    out = held_out(recordings.seeds)
    if not out.any():
        log.warning("only one episode: it is learned from and evaluated on")
        return recordings, recordings
    return recordings.chosen(np.flatnonzero(~out)), recordings.chosen(np.flatnonzero(out))


def describe(recordings: Recordings) -> tuple[dict[str, Any], dict[str, Any]]:
    """The card's entries of its data: amount, maps, behaviour policies; and of its environment."""
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
