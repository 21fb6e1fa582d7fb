"""The stages that every pipeline has: record, train the VAE, encode, train the dynamics; evolve."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dreamduck.common import config
from dreamduck.common.config import option
from dreamduck.common.errors import ConfigError
from dreamduck.common.storage import read_json
from dreamduck.evaluation.lane_probe import FILE as LANE_PROBE
from dreamduck.pipeline.stages import Stage
from dreamduck.search.recipe import RecipeConfig
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.model import ENSEMBLE
from dreamduck.world_model.vae.layout import LOSSES, PYRAMID


@dataclasses.dataclass(frozen=True)
class TrainingConfig(RecipeConfig):
    """The settings that every pipeline has."""

    episodes: int = option(3600, "episodes to record", low=2)
    frames: int = option(150, "longest recorded episode", low=2)
    vae_epochs: int = option(2, "epochs of the VAE", low=1)
    vae_steps: int = option(22_000, "steps of the VAE at most; 0 for all", low=0)
    vae_batch: int = option(32, "frames in a step of the VAE", low=1)
    vae_loss: str = option(PYRAMID, "loss of the VAE's reconstructions", choices=LOSSES)
    kl_tolerance: float = option(2.0, "KL divergence of the VAE that is not penalised", low=0.0)
    rnn_steps: int | None = option(
        None,
        "training steps of the dynamics; the default depends on their kind",
        low=1,
        flags=("--memory-steps", "--memory_steps"),
    )
    temperature: float | None = option(None, "temperature of dreams (default: that of a search)", above=0.0)
    score_episodes: int = option(100, "episodes to score by", low=1)


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where a pipeline keeps its files.

    Attributes:
        root: the folder of all of them.
        model: that of the world model; by default "weights" in it.
    """

    root: Path
    model: Path | None = None

    @property
    def records(self) -> Path:
        """Of recorded episodes."""
        return self.root / "records"

    @property
    def weights(self) -> Path:
        """Of the world model."""
        return self.model or self.root / "weights"

    @property
    def series(self) -> Path:
        """Of encoded episodes."""
        return self.root / "series"

    @property
    def log(self) -> Path:
        """Of metrics and controllers."""
        return self.root / "log"

    @property
    def card(self) -> Path:
        """Of the evaluation card."""
        return self.root / "card"

    @property
    def vae(self) -> Path:
        """The file of the VAE."""
        return self.weights / "vae.weights.h5"

    @property
    def rnn(self) -> Path:
        """The file of the dynamics."""
        return self.weights / "rnn.weights.h5"

    @property
    def ensemble(self) -> Path:
        """The file of the ensemble."""
        return self.weights / ENSEMBLE

    @property
    def lane_probe(self) -> Path:
        """The file of the probe of the lane position."""
        return self.weights / LANE_PROBE


def check_features(features: str, kind: str) -> None:
    """Refuse features of a controller that dynamics of a kind do not have.

    Raises:
        ConfigError: they are the cell of an LSTM, and there is none.
    """
    if "c" in features and kind == CategoricalDynamics.kind:
        raise ConfigError(f"features: expected z or zh with {kind} dynamics, got {features}")


def check_recordings(folder: Path, name: str, settings: Any, names: Iterable[str]) -> None:
    """Refuse a second start with other recordings: what was trained on the first ones could not resume.

    Args:
        folder: of the pipeline.
        name: of its report, beside which the settings of the first start are.
        settings: of this start.
        names: of the settings that decide what is recorded.
    Raises:
        ConfigError: one of them differs.
    """
    path = folder / f"{name}.config.json"
    if not path.exists() or not any((folder / "records").glob("*.npz")):
        return
    before = read_json(path, ConfigError, "delete it to start with any settings")
    given = json.loads(json.dumps(config.to_dict(settings)))
    wrong = [
        f"{n}: expected {before[n]}, got {given[n]}" for n in names if before.get(n, given[n]) != given[n]
    ]
    if wrong:
        raise ConfigError(
            f"{folder}: has recordings of other settings ({'; '.join(wrong)}); give these, or another "
            "--folder"
        )


def training_stages(
    folders: Folders,
    settings: TrainingConfig,
    record: Sequence[str],
    vae: Sequence[str] = (),
    rnn: Sequence[str] = (),
) -> list[Stage]:
    """The commands from recordings to a world model, in their order.

    Args:
        folders: where everything goes.
        settings: of the stages.
        record: further flags of the recording: the environment.
        vae: further flags of the training of the VAE.
        rnn: further flags of the training of the dynamics.
    """
    records, weights, log = (str(path) for path in (folders.records, folders.weights, folders.log))
    recording = [
        *("extract.py", "--records", records, "--log", log, *record),
        *("--max-trials", str(settings.episodes), "--max-frames", str(settings.frames)),
        *settings.seed_flags,
    ]
    train_vae = [
        *("vae_train.py", "--records", records, "--weights", weights, "--log", log),
        *("--epochs", str(settings.vae_epochs)),
        *(("--max-steps", str(settings.vae_steps)) if settings.vae_steps else ()),
        *("--batch-size", str(settings.vae_batch)),
        *("--learning-rate", "0.001", "--schedule", "cosine"),
        # The default is left out, so that folders from before this setting continue where they were.
        *(("--loss", settings.vae_loss) if settings.vae_loss != PYRAMID else ()),
        *("--kl-tolerance", str(settings.kl_tolerance), *settings.seed_flags, *vae),
    ]
    encode = ["series.py", "--records", records, "--weights", weights, "--series", str(folders.series)]
    train_rnn = [
        *("rnn_train.py", "--series", str(folders.series), "--weights", weights, "--log", log),
        *(("--steps", str(settings.rnn_steps)) if settings.rnn_steps else ()),
        *(*settings.seed_flags, *rnn),
    ]
    return [
        Stage("record", tuple(recording), (), (folders.records,)),
        Stage("vae", tuple(train_vae), (), (folders.vae,)),
        Stage("series", tuple(encode), (folders.vae,), (folders.series,)),
        Stage("rnn", tuple(train_rnn), (folders.vae,), (folders.rnn,)),
    ]


def search_stage(
    folders: Folders, settings: TrainingConfig, name: str = "evolve", start: Path | None = None
) -> Stage:
    """The search in the dream.

    Args:
        folders: where everything goes.
        settings: of the search.
        name: of the stage; other searches than "evolve" write to a folder of that name in the log.
        start: the controller that it begins with.
    """
    log = folders.log if name == "evolve" else folders.log / name
    command = settings.command(folders.weights, log, settings.temperature, start)
    inputs = (folders.rnn,) if start is None else (folders.rnn, start)
    return Stage(name, tuple(command), inputs, (settings.best(log),))


def card_stage(folders: Folders, *flags: str) -> Stage:
    """The evaluation card of the world model.

    Args:
        folders: where everything goes.
        flags: of the evaluation.
    """
    command = ["dreamduck", "evaluate-model", "--weights", str(folders.weights)]
    command += ["--out", str(folders.card), "--short", *flags]
    return Stage("card", tuple(command), (folders.rnn,), (folders.card / "model.json",))


def show(stages: Sequence[Stage]) -> None:
    """Print the commands."""
    for stage in stages:
        print(f"{stage.name}: {shlex.join(stage.argv)}")
