"""Every flag of the stages from recordings to the dynamics has the effect that its help describes.

Each table names all flags of its command, so that a new one needs an entry. Trainings run eagerly here:
compiling would take most of the time."""

import argparse
import contextlib
import io
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.cli import encode as series
from dreamduck.cli import record as extract
from dreamduck.cli import train_networks
from dreamduck.common.backend import tf
from dreamduck.common.errors import CheckpointError, ConfigError, RecordError
from dreamduck.common.processes import mpi
from dreamduck.common.storage import write_npz
from dreamduck.common.training_log import TrainingLog, read_training_log
from dreamduck.recordings import read_episode
from dreamduck.simulator.road import Road
from dreamduck.world_model import WorldModel, fit, train_rnn, train_vae
from dreamduck.world_model.categorical import CategoricalConfig as CategoricalSizes
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.latents import read_series
from dreamduck.world_model.mdn_rnn import MDNRNNConfig
from dreamduck.world_model.vae import files as vision_files
from tests.recordings.helpers import folder_of_episodes
from tests.recordings.sources.worlds import MODULE
from tests.world_model.categorical.helpers import random_parameters as categorical_parameters
from tests.world_model.mdn_rnn.helpers import random_parameters, write_mdn_rnn, write_toy
from tests.world_model.vae.helpers import parameters


def flags_of(main) -> set[str]:
    """The long flags that a command takes, without those that all have."""
    found: list[argparse.ArgumentParser] = []

    class Stop(Exception):
        pass

    def parse(self, *_):
        found.append(self)
        raise Stop

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Stop):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse)
        main([])
    actions = [action for action in found[0]._actions if action.dest not in ("help", "verbose", "quiet")]
    return {action.dest for action in actions}


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(TrainingLog, "draw", lambda self: None)  # curves take longer than these trainings
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


class Run:
    """The files and the output of a command."""

    def __init__(self, folder: Path, main, given: dict[str, object]) -> None:
        flags = []
        for name, value in given.items():
            flag = f"--{name.replace('_', '-')}"
            flags += (
                [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [f"{flag}={value}"]
            )
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.chdir(folder):
            self.code = main(flags)
        self.folder, self.said = folder, said.getvalue()
        self.written, self.cars, self.shown = 0, list[int](), list[Any]()
        self.waits, self.processes = list[float](), list[int]()

    def json(self, name: str):
        return json.loads((self.folder / name).read_text())

    def rows(self, name: str):
        return read_training_log(self.folder / name)

    def arrays(self, name: str):
        with np.load(self.folder / name) as archive:
            return {n: archive[n] for n in archive.files if n.startswith("weight/")}


def differ(one: Run, other: Run, name: str) -> bool:
    a, b = one.arrays(name), other.arrays(name)
    return any(not np.array_equal(a[n], b[n]) for n in a)


# --- vae_train.py

VAENetwork = {"epochs": 1, "batch_size": 9, "z_size": 3, "max_steps": 3}
VAE_FLAGS = {
    "records": ("other", lambda run, base: run.json("weights/vae.json")["data"]["episodes"] == 5),
    "weights": ("w2", lambda run, base: (run.folder / "w2/vae.weights.h5").is_file()),
    "log": ("l2", lambda run, base: (run.folder / "l2/vae/epoch-001.png").is_file()),
    "unseen": ("other", lambda run, base: "unseen: PSNR" in run.said and "unseen" not in base.said),
    "epochs": (2, lambda run, base: run.json("weights/vae.json")["steps"] == 16),
    "max_steps": (2, lambda run, base: run.json("weights/vae.json")["steps"] == 2),
    "batch_size": (8, lambda run, base: differ(run, base, "weights/vae.checkpoint.npz")),
    "learning_rate": (0.003, lambda run, base: {r["learning_rate"] for r in lrs(run)} == {0.003}),
    "schedule": ("cosine", lambda run, base: lrs(run)[-1]["learning_rate"] < 0.00005),
    "kl_tolerance": (40.0, lambda run, base: lrs(run)[0]["divergence"] == pytest.approx(120)),
    "precision": ("bfloat16", lambda run, base: differ(run, base, "weights/vae.checkpoint.npz")),
    "network": ("2019", lambda run, base: run.json("weights/vae.json")["network"] == "2019"),
    "loss": ("squared", lambda run, base: lrs(run)[0]["reconstruction"] < lrs(base)[0]["reconstruction"]),
    "z_size": (5, lambda run, base: run.json("weights/vae.json")["z_size"] == 5),
    "seed": (4, lambda run, base: differ(run, base, "weights/vae.checkpoint.npz")),
    "limit": (5, lambda run, base: run.json("weights/vae.json")["data"]["episodes"] == 5),
    "checkpoint_every": (1, lambda run, base: run.written == base.written + 2),
    "buffer_frames": (9, lambda run, base: differ(run, base, "weights/vae.checkpoint.npz")),
    "fresh": (True, lambda run, base: run.json("weights/vae.json")["config"]["fresh"]),
}


def lrs(run):
    return [row for row in run.rows("log/vae.jsonl") if "learning_rate" in row]


def count_writes(monkeypatch):
    """A list that grows by an element for each checkpoint that is written."""
    written: list[int] = []

    def counted(*arguments, **settings):
        written.append(1)
        write_npz(*arguments, **settings)

    monkeypatch.setattr(fit, "write_npz", counted)
    return written


@pytest.fixture
def vae_run(tmp_path, eager, monkeypatch):
    folder_of_episodes(tmp_path / "records", [12] * 8)
    folder_of_episodes(tmp_path / "other", [10] * 5)
    monkeypatch.setattr(train_vae.VAEFit, "log_every", 1)
    written = count_writes(monkeypatch)

    def run(name, **changes):
        folder = tmp_path / f"run-{name}"
        if not folder.exists():
            folder.mkdir()
            for part in ("records", "other"):
                (folder / part).symlink_to(tmp_path / part)
        written.clear()
        made = Run(folder, train_networks.train_vae, {**VAENetwork, **changes})
        made.written = len(written)
        return made

    return run


def test_all_flags_of_vae_train(vae_run):
    assert set(VAE_FLAGS) == flags_of(train_networks.train_vae)
    base = vae_run("base")
    again = vae_run("again")
    assert not differ(base, again, "weights/vae.checkpoint.npz")
    for name, (value, has_effect) in VAE_FLAGS.items():
        changes = {name: value}
        if name == "epochs":
            changes["max_steps"] = 100
        if name == "fresh":  # without it, another training there is refused
            vae_run(name, seed=1)
            with pytest.raises(CheckpointError, match="--fresh"):
                vae_run(name)
        assert has_effect(vae_run(name, **changes), base), name


# --- rnn_train.py

RNN = {
    "steps": 4, "batch_size": 6, "sequence": 5, "hidden_size": 5, "mixtures": 2, "evaluate_every": 2,
    "checkpoint_every": 4,
}  # fmt: skip
CHECKPOINT = "weights/rnn.checkpoint.npz"
RNN_FLAGS = {
    "series": ("other", lambda run, base: trained_on(run) < trained_on(base) < 60),
    "weights": ("w2", lambda run, base: (run.folder / "w2/midway.npz").is_file()),
    "log": ("l2", lambda run, base: (run.folder / "l2/rnn.jsonl").is_file()),
    "steps": (3, lambda run, base: run.json("weights/rnn.json")["steps"] == 3),
    "batch_size": (7, lambda run, base: differ(run, base, CHECKPOINT)),
    "sequence": (6, lambda run, base: differ(run, base, CHECKPOINT)),
    "learning_rate": (0.3, lambda run, base: run.rows("log/rnn.jsonl")[0]["learning_rate"] == 0.3 / 50),
    "grad_clip": (0.01, lambda run, base: differ(run, base, CHECKPOINT)),
    "end_weight": (
        40.0,
        lambda run, base: end_bias(base) - end_bias(run) == pytest.approx(math.log(4), abs=0.1),
    ),
    "reward_weight": (9.0, lambda run, base: differ(run, base, CHECKPOINT)),
    "scheduled_sampling": (1.0, lambda run, base: differ(run, base, CHECKPOINT)),
    "hidden_size": (4, lambda run, base: run.json("weights/rnn.json")["sizes"]["hidden_size"] == 4),
    "mixtures": (3, lambda run, base: run.json("weights/rnn.json")["sizes"]["mixtures"] == 3),
    "residual": (False, lambda run, base: run.json("weights/rnn.json")["sizes"]["residual"] is False),
    "seed": (3, lambda run, base: differ(run, base, CHECKPOINT)),
    "limit": (7, lambda run, base: run.json("weights/rnn.json")["data"]["episodes"] == 7),
    "evaluate_every": (1, lambda run, base: looks(run) == looks(base) + 2),
    "checkpoint_every": (1, lambda run, base: run.written == base.written + 3),
    "heads_only": ("old", lambda run, base: run.json("weights/rnn.json")["sizes"]["hidden_size"] == 6),
    "adapt": ("old", lambda run, base: "adapted_from" in run.json("weights/rnn.json")),
    "start": ("old", lambda run, base: "started_from" in run.json("weights/rnn.json")),
    "fresh": (True, lambda run, base: run.json("weights/rnn.json")["config"]["fresh"]),
    "dynamics": ("categorical", lambda run, base: rnn_size(run, "classes") == 16),
}
OF_MDN_RNN = ("mixtures", "residual", "scheduled_sampling", "heads_only")
CATEGORICAL = {"dynamics": "categorical", "variables": 3, "classes": 4, "units": 6}
CATEGORICAL_FLAGS = {k: v for k, v in RNN_FLAGS.items() if k not in OF_MDN_RNN} | {
    "dynamics": ("mdn-rnn", lambda run, base: run.json("weights/rnn.json")["kind"] == "mdn-rnn"),
    "learning_rate": (0.3, lambda run, base: run.rows("log/rnn.jsonl")[0]["learning_rate"] == 0.3 / 100),
    "adapt": ("old2", lambda run, base: "adapted_from" in run.json("weights/rnn.json")),
    "start": ("old2", lambda run, base: "started_from" in run.json("weights/rnn.json")),
    "noise_level": (4.0, lambda run, base: differ(run, base, CHECKPOINT)),
    "prior_rows": (1.0, lambda run, base: differ(run, base, CHECKPOINT)),
    "precision": ("bfloat16", lambda run, base: differ(run, base, CHECKPOINT)),
    "standing_rows": (0.5, lambda run, base: differ(run, base, CHECKPOINT)),
    "variables": (2, lambda run, base: rnn_size(run, "variables") == 2),
    "classes": (3, lambda run, base: rnn_size(run, "classes") == 3),
    "units": (7, lambda run, base: rnn_size(run, "units") == 7),
}


def rnn_size(run, name):
    return run.json("weights/rnn.json")["sizes"].get(name)


def end_bias(run):
    """An end counts so many times in the loss; the weights to be used take that off again."""
    return float(WorldModel.load(run.folder / "weights").dynamics.parameters["head_end/bias"][0])


def trained_on(run):
    return run.json("weights/rnn.json")["data"]["episodes"]


def looks(run):
    return sum("held_out/end_rate" in row for row in run.rows("log/rnn.jsonl"))


@pytest.fixture
def rnn_run(tmp_path, eager, monkeypatch):
    write_toy(tmp_path / "series")
    write_toy(tmp_path / "other", 25)
    sizes = MDNRNNConfig(4, 2, 6, 3, True)
    write_mdn_rnn(tmp_path / "old", sizes, random_parameters(sizes))
    of_states = CategoricalSizes(4, 2, 6, 3, 4, 6)
    CategoricalDynamics(categorical_parameters(of_states), of_states).save(tmp_path / "old2", {})
    monkeypatch.setattr(train_rnn.MDNRNNFit, "log_every", 1)
    written = count_writes(monkeypatch)

    def run(name, **changes):
        folder = tmp_path / f"run-{name}"
        if not folder.exists():
            folder.mkdir()
            for part in ("series", "other", "old", "old2"):
                (folder / part).symlink_to(tmp_path / part)
        given = {**RNN, **changes}
        if name in ("heads_only", "adapt", "start"):
            given = {k: v for k, v in given.items() if k not in ("hidden_size", "mixtures")}
        if given.get("dynamics") == "categorical":
            given.pop("mixtures", None)
        elif "dynamics" in given:
            given = {k: v for k, v in given.items() if k not in CATEGORICAL or k == "dynamics"}
        written.clear()
        made = Run(folder, train_networks.train_rnn, given)
        made.written = len(written)
        return made

    return run


def of_mdn_rnn(argv=None):
    return train_networks.train_rnn(argv or ["--dynamics", "mdn-rnn"])


def of_categorical(argv=None):
    return train_networks.train_rnn(argv or ["--dynamics", "categorical"])


@pytest.mark.parametrize(
    ("command", "always", "effects"),
    [(of_mdn_rnn, {"dynamics": "mdn-rnn"}, RNN_FLAGS), (of_categorical, CATEGORICAL, CATEGORICAL_FLAGS)],
)
def test_all_flags_of_rnn_train(rnn_run, command, always, effects):
    assert set(effects) == flags_of(command)
    base = rnn_run("base", **always)
    assert not differ(base, rnn_run("again", **always), CHECKPOINT)
    for name, (value, has_effect) in effects.items():
        if name == "fresh":
            rnn_run(name, **{**always, "seed": 1})
            with pytest.raises(CheckpointError, match="--fresh"):
                rnn_run(name, **always)
        assert has_effect(rnn_run(name, **{**always, name: value}), base), name


# --- series.py


def test_all_flags_of_series(tmp_path):
    folder_of_episodes(tmp_path / "records", [4, 6, 5])
    folder_of_episodes(tmp_path / "other", [3])
    vision_files.save(tmp_path / "weights", parameters(3), {})
    vision_files.save(tmp_path / "w2", parameters(4), {})
    base = Run(tmp_path, series.main, {})
    assert "15 frames of 3 episodes, z 3" in base.said
    effects = {
        "records": ("other", "3 frames of 1 episodes, z 3"),
        "weights": ("w2", "15 frames of 3 episodes, z 4"),
        "series": ("elsewhere.npz", "15 frames of 3 episodes, z 3"),
        "limit": (2, "10 frames of 2 episodes, z 3"),
        "fresh": (True, "15 frames of 3 episodes, z 3"),
    }
    assert set(effects) == flags_of(series.main)
    for name, (value, said) in effects.items():
        where = {} if name in ("series", "fresh") else {"series": f"to-{name}"}
        made = tmp_path / "series" / "series.npz"
        before = made.stat().st_ino
        assert said in Run(tmp_path, series.main, {name: value, **where}).said
        assert (made.stat().st_ino != before) == (name == "fresh")
    assert len(read_series(tmp_path / "elsewhere.npz")) == 3


# --- extract.py

EXTRACT = {"max_trials": 3, "max_frames": 8, "min_frames": 4, "batch": 2}


def meta(run, number=0, folder="records"):
    return read_episode(run.folder / folder / f"{number}.npz").meta


def recorded(run, folder="records"):
    return sorted(int(path.stem) for path in (run.folder / folder).glob("*.npz"))


def frames_differ(run, base):
    return not np.array_equal(
        read_episode(run.folder / "records/0.npz").obs[:2],
        read_episode(base.folder / "records/0.npz").obs[:2],
    )


def rewards(run):
    return read_episode(run.folder / "records/0.npz").reward


EXTRACT_FLAGS = {
    "env": ("NoSuch-v0", SystemExit),  # with it the flags are others, see `GYM_EXTRACT_FLAGS`
    "map_name": ("small_loop", lambda run, base: meta(run)["map_name"] == "small_loop"),
    "domain_rand": (True, frames_differ),
    "dynamics_rand": (True, lambda run, base: all("dynamics" in meta(run, i) for i in range(3))),
    "distortion": (True, frames_differ),
    "domain_rand_share": (1.0, frames_differ),
    "dynamics_rand_share": (1.0, lambda run, base: all("dynamics" in meta(run, i) for i in range(3))),
    "distortion_share": (1.0, frames_differ),
    "frame_skip": (7, frames_differ),
    "start_angle": (2.0, frames_differ),
    "simulator": ("nowhere", SystemExit),
    "reward": ("simulator", lambda run, base: not np.array_equal(rewards(run), rewards(base))),
    "steering_gain": (0.2, lambda run, base: meta(run)["recorder"]["steering_gain"] == 0.2),
    "records": ("r2", lambda run, base: recorded(run, "r2") == [0, 1, 2]),
    "maps": ("udem1,small_loop", lambda run, base: meta(run, 1)["map_name"] == "small_loop"),
    "max_trials": (2, lambda run, base: recorded(run) == [0, 1]),
    "max_frames": (5, lambda run, base: len(rewards(run)) <= 5),
    "min_frames": (7, lambda run, base: meta(run)["recorder"]["min_frames"] == 7),
    "full_episode": (True, lambda run, base: len(rewards(run)) > 8),
    "policies": ("crash=1", lambda run, base: {meta(run, i)["policy"] for i in range(3)} == {"crash"}),
    "any_start": (0.0, frames_differ),
    "seed": (2, lambda run, base: recorded(run) == [2_000_000, 2_000_001, 2_000_002]),
    "batch": (1, lambda run, base: run.cars == [1] and base.cars == [2]),
    "log": ("l2", lambda run, base: (run.folder / "l2/coverage.json").is_file()),
    "report": (True, lambda run, base: recorded(run) == []),
    "render": (True, lambda run, base: run.shown),
    "worker": (1, ConfigError),
    "workers": (2, lambda run, base: recorded(run) == [0]),
    "rank_timeout": (60.0, lambda run, base: (run.waits, base.waits) == ([60.0], [30.0])),
}


GYM = {"env": f"{MODULE}:Dot-v3", "max_trials": 3, "max_frames": 30, "processes": 1}
GYM_EXTRACT_FLAGS = {
    "env": (f"{MODULE}:DotBox-v0", lambda run, base: meta(run)["environment"]["id"] == "DotBox-v0"),
    "env_args": ('{"form": "gray"}', frames_differ),
    "pixels": ("render", lambda run, base: meta(run)["environment"]["pixels"] == "render"),
    "crop": ("9,0,0,0", frames_differ),
    "frame_skip": (3, lambda run, base: rewards(run)[0] > 2 > rewards(base)[0]),
    "records": ("r2", lambda run, base: recorded(run, "r2") == [0, 1, 2]),
    "max_trials": (2, lambda run, base: recorded(run) == [0, 1]),
    "max_frames": (5, lambda run, base: len(rewards(run)) <= 5),
    "min_frames": (7, lambda run, base: meta(run)["recorder"]["min_frames"] == 7),
    "policies": ("repeat=1", lambda run, base: {meta(run, i)["policy"] for i in range(3)} == {"repeat"}),
    "seed": (2, lambda run, base: recorded(run) == [2_000_000, 2_000_001, 2_000_002]),
    "log": ("l2", lambda run, base: (run.folder / "l2/coverage.json").is_file()),
    "report": (True, lambda run, base: recorded(run) == []),
    "render": (True, lambda run, base: run.shown),
    "worker": (1, ConfigError),
    "workers": (2, lambda run, base: recorded(run) == [0]),
    "rank_timeout": (60.0, lambda run, base: (run.waits, base.waits) == ([60.0], [30.0])),
    "processes": (
        2,
        lambda run, base: (run.processes, base.processes, recorded(run)) == ([2], [], [0, 1, 2]),
    ),
}


def note_calls(monkeypatch, module, name) -> list[tuple[Any, ...]]:
    """A list that grows by the arguments of each call of a function."""
    calls: list[tuple[Any, ...]] = []
    plain = getattr(module, name)

    def noted(*arguments):
        calls.append(arguments)
        return plain(*arguments)

    monkeypatch.setattr(module, name, noted)
    return calls


def test_all_flags_of_extract_with_another_environment(tmp_path, monkeypatch):
    teams, apart = (
        note_calls(monkeypatch, mpi, "team"),
        note_calls(monkeypatch, extract, "_record_apart"),
    )

    def run(name: str, **changes: object) -> Run:
        shown: list[Any] = []
        monkeypatch.setattr(extract, "_window", lambda: (shown.append, lambda: None))
        teams.clear()
        apart.clear()
        made = Run(tmp_path / name, extract.main, {**GYM, **changes})
        made.shown = shown
        made.waits, made.processes = [each[0] for each in teams], [each[1] for each in apart]
        return made

    for name in ("base", *GYM_EXTRACT_FLAGS):
        (tmp_path / name).mkdir()
    assert set(GYM_EXTRACT_FLAGS) == flags_of(lambda argv: extract.main(["--env=X"]))
    base = run("base")
    for name, (value, effect) in GYM_EXTRACT_FLAGS.items():
        if effect is ConfigError:
            with pytest.raises(ConfigError):
                run(name, **{name: value})
        else:
            assert effect(run(name, **{name: value}), base), name


@pytest.fixture
def extract_run(tmp_path, monkeypatch):
    cars: list[int] = []
    shown: list[Any] = []
    plain = Road

    def road(config, num_cars, **settings):
        cars.append(num_cars)
        return plain(config, num_cars, **settings)

    monkeypatch.setattr("dreamduck.recordings.road_source.Road", road)
    monkeypatch.setattr(extract, "_window", lambda: (shown.append, lambda: None))
    teams = note_calls(monkeypatch, mpi, "team")  # of effect under mpiexec

    def run(name, **changes):
        cars.clear()
        shown.clear()
        teams.clear()
        (tmp_path / f"run-{name}").mkdir()
        made = Run(tmp_path / f"run-{name}", extract.main, {**EXTRACT, **changes})
        made.cars, made.shown, made.waits = list(cars), list(shown), [each[0] for each in teams]
        return made

    return run


def test_all_flags_of_extract(extract_run):
    assert set(EXTRACT_FLAGS) == flags_of(extract.main)
    base = extract_run("base")
    assert recorded(base) == [0, 1, 2]
    for name, (value, effect) in EXTRACT_FLAGS.items():
        if isinstance(effect, type):
            with pytest.raises(effect):
                extract_run(name, **{name: value})
            continue
        changes = {name: value, **({"any_start": 0.0} if name == "start_angle" else {})}
        if name == "full_episode":
            changes["max_trials"] = 1
        run = extract_run(name, **changes)
        if name == "start_angle":
            base_of = extract_run("no-start", any_start=0.0)
            assert effect(run, base_of), name
        else:
            assert effect(run, base), name


# --- flags of all commands


@pytest.mark.parametrize(("flag", "level"), [("-q", logging.WARNING), ("-v", logging.DEBUG)])
def test_quiet_and_verbose(tmp_path, flag, level):
    ours = logging.getLogger("dreamduck")
    before = ours.level
    try:
        with contextlib.chdir(tmp_path), pytest.raises(RecordError):
            train_networks.train_vae([flag])
        assert ours.level == level
    finally:
        ours.setLevel(before)
