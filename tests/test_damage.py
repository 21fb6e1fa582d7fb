"""Damaged files of every kind that is read: they load as they were, or are refused in one line.

A kind is `exact` where a checksum protects it. The others may load with another number in them (which no
reader can know), but raise nothing that is not ours either, and never take long."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
import signal
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamduck.common.config import to_dict
from dreamduck.common.errors import DreamDuckError
from dreamduck.common.files.archives import read_npz
from dreamduck.common.storage import write_json, write_npz
from dreamduck.common.training_log import TrainingLog, read_training_log
from dreamduck.controllers.controller_file import RunFiles, read_controller, run_of, to_card
from dreamduck.evaluation import report
from dreamduck.evaluation.final_evaluation import read_result
from dreamduck.evaluation.metrics import Measures
from dreamduck.evaluation.scoreboard import read_entries
from dreamduck.pipeline.stages import _read_stamp
from dreamduck.recordings import read_episode, scan, write_episode
from dreamduck.search import search_plot
from dreamduck.search.search import Search
from dreamduck.world_model import WorldModel, vae
from dreamduck.world_model.dynamics.start_states import InitialZ, read_initial, read_midway, write_midway
from dreamduck.world_model.latents import read_series, write_series
from dreamduck.world_model.mdn_rnn.layout import FORMAT
from tests.controllers.fakes import CONFIG, FORM, Sphere
from tests.recordings.helpers import episode, folder_of_episodes
from tests.world_model.mdn_rnn.helpers import SMALL, random_parameters, toy_series, write_mdn_rnn
from tests.world_model.vae.helpers import parameters as vision_parameters

SECONDS = 10  # for one file; what a reader takes is far below
TOKENS = [
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "null", "true", '"x"', "[]", "{}", "-1", "1.5"),
    *("9" * 5000, "1" * 300, "[" * 5000, '"\\ud800"', "0", "1e300", '{"a": [[]]}', "", ",", "[[[[1]]]]"),
]
Read = Callable[[Path], Any]


def make_record(folder: Path) -> Path:
    write_episode(folder / "7.npz", episode(3, 7, ends=True))
    return folder / "7.npz"


def make_series(folder: Path) -> Path:
    return write_series(folder, toy_series(4))


def make_dynamics(folder: Path, name: str) -> Path:
    write_mdn_rnn(folder, SMALL, random_parameters())
    return folder / name


def read_dynamics(path: Path) -> Any:
    return WorldModel.load(path.parent).dynamics.parameters


def read_vae(path: Path) -> Any:
    return vae.files.load(path.parent)[0]


def make_weights_without_fingerprint(folder: Path) -> Path:
    write_mdn_rnn(folder, SMALL, random_parameters())
    (folder / "rnn.json").unlink()
    return folder / "rnn.weights.h5"


def make_vae(folder: Path) -> Path:
    made = {name: array * 0 for name, array in vision_parameters(z_size=2).items()}
    made["enc_fc_mu/bias"][:] = (0.25, -3.0)
    vae.files.save(folder, made, {"metrics": {"psnr": 20.5}})
    return folder / "vae.weights.h5"


def make_midway(folder: Path) -> Path:
    random = np.random.default_rng(0)
    sizes = (SMALL.z_size, SMALL.z_size, SMALL.hidden_size, SMALL.hidden_size)
    write_midway(
        folder / "midway.npz", InitialZ(*(random.normal(size=(9, n)).astype(np.float32) for n in sizes))
    )
    return folder / "midway.npz"


def make_checkpoint(folder: Path) -> Path:
    arrays: dict[str, Any] = {f"weight/{name}": a for name, a in random_parameters().items()}
    arrays |= {"position/step": np.array(7), "run": np.array("batch_size=9, seed=0")}
    write_npz(folder / "rnn.checkpoint.npz", arrays, compress=False)
    return folder / "rnn.checkpoint.npz"


def search_in(folder: Path) -> Search:
    config = dataclasses.replace(CONFIG, generations=3)
    return Search(config, FORM, Sphere(), RunFiles(folder / "rnnenv.cma.2.6"))


def make_run(folder: Path, ending: str) -> Path:
    search = search_in(folder)
    search.run()
    return search.files.path(ending)


def load_state(path: Path) -> Any:
    found = search_in(path.parent)
    run = found.found
    return run.history, run.eval_log, run.best_theta, found.evolution.state()


def make_controller(folder: Path, name: str) -> Path:
    files = RunFiles(folder / "a")
    theta = np.random.default_rng(0).normal(size=FORM.size)
    files.write_theta(theta)
    files.write_card(to_card(FORM, theta, search=to_dict(CONFIG), seconds=3.5))
    return folder / name


def make_logbook(folder: Path) -> Path:
    with TrainingLog(folder, "vae", {}, tensorboard=False) as book:
        for step in range(9):
            book.write(step, loss=1 / (1 + step), held_out=math.nan)
    return folder / "vae.jsonl"


def make_json(folder: Path, value: Any) -> Path:
    write_json(folder / "a.json", value)
    return folder / "a.json"


def make_index(folder: Path) -> Path:
    scan(folder_of_episodes(folder, [2, 3]))
    return folder / ".index.json"


def load_index(path: Path) -> Any:
    found = scan(path.parent)
    return [p.name for p in found.paths]


STAMP = {"command": ["series.py", "--limit", "3"], "chain": "0123456789abcdef", "seconds": 12.5}
SUMMARY = {name: [1.5, 1.25, 1.75] for name in ("alive", "collisions", *report.MEASURES)}
ENTRY = {
    "key": {
        "row": "pure pursuit",
        "world": {"simulator": "native", "map_name": "udem1"},
        "seconds": 60.0,
        "seed": 3,
    },
    "summary": {**SUMMARY, "return": [3.5, 1.5], "episodes": 2},
    "paths": [[[0.5, 1.5], [0.75, 1.25]]],
    "episodes": [{"end": "time", "return": 2.5, **dict.fromkeys(Measures._fields, 1.5)}],
}
VERDICT = {
    "temperature": 0.3,
    "dream": {"mean": 2.5},
    "road": {"return": [3.5, 1.5], "alive": [0.5, 0.25, 0.75]},
}


def table(rows: list[dict[str, Any]]) -> str:
    return "".join(
        f"{row['temperature']:g} {row['dream']['mean']:.2f} {row['road']['return'][0]:.2f}" for row in rows
    )


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file: how a whole one is made, and how it is read."""

    make: Callable[[Path], Path]
    read: Read
    exact: bool = False
    binary: bool = True


KINDS: dict[str, Kind] = {
    "record": Kind(make_record, read_episode, exact=True),
    "series": Kind(make_series, lambda path: dataclasses.replace(read_series(path), fingerprint=""), True),
    "weights": Kind(lambda f: make_dynamics(f, "rnn.weights.h5"), read_dynamics, True),
    "weights alone": Kind(make_weights_without_fingerprint, lambda path: FORMAT.read(path, SMALL, SMALL)),
    "vae": Kind(make_vae, read_vae, exact=True),
    "midway": Kind(
        make_midway, lambda path: read_midway(path, SMALL)._asdict(), True
    ),
    "checkpoint": Kind(make_checkpoint, read_npz, exact=True),
    "state": Kind(lambda folder: make_run(folder, ".state.npz"), load_state, exact=True),
    "card": Kind(lambda f: make_dynamics(f, "rnn.json"), read_dynamics, True, False),
    "vae card": Kind(
        lambda folder: make_vae(folder).with_name("vae.json"), read_vae,
        True, False,
    ),
    "initial": Kind(lambda f: make_dynamics(f, "initial_z.json"), read_initial, binary=False),
    "controller": Kind(
        lambda f: make_controller(f, "a.json"), lambda p: read_controller(p, 3, 4).theta, binary=False
    ),
    "controller card": Kind(
        lambda f: make_controller(f, "a.card.json"),
        lambda p: read_controller(p.with_name("a.json"), 3, 4).theta, True, False,
    ),
    "history": Kind(
        lambda f: make_run(f, ".hist.json"), lambda p: search_plot.read_history(run_of(p)),
        binary=False,
    ),
    "evaluations": Kind(
        lambda f: make_run(f, ".hist_best.json"),
        lambda p: search_plot.read_evaluations(run_of(p)),
        binary=False,
    ),
    "logbook": Kind(make_logbook, read_training_log, binary=False),
    "stamp": Kind(lambda folder: make_json(folder, STAMP), _read_stamp, binary=False),
    "scores": Kind(lambda folder: make_json(folder, {"entries": [ENTRY]}), read_entries, binary=False),
    "verdict": Kind(
        lambda folder: make_json(folder, VERDICT), lambda path: read_result(path, table), binary=False
    ),
    "index": Kind(make_index, load_index, exact=True, binary=False),
}  # fmt: skip


def mutate(data: bytes, random: np.random.Generator, binary: bool) -> bytes:
    """One change of a file's bytes, as disks, networks and people make them."""
    size = len(data)
    if size == 0:
        return bytes(random.integers(0, 256, 5, np.uint8))
    at = int(random.integers(size))
    # the beginning and the end of a file say how to read the rest
    if random.random() < 0.4:
        at = int(random.choice([min(at % 200, size - 1), max(size - 1 - at % 200, 0)]))
    length = int(random.integers(1, 40))
    choice = int(random.integers(9 if binary else 12))
    if choice <= 1:
        changed = bytearray(data)
        changed[at] ^= 1 << int(random.integers(8))
        return bytes(changed)
    if choice == 2:
        return data[:at]
    if choice == 3:
        return data + data
    if choice == 4:
        return data[:at] + data[at : at + length] + data[at:]
    if choice == 5:
        return data[:at] + data[at + length :]
    if choice == 6:
        return data[:at] + bytes(random.integers(0, 256, length, np.uint8)) + data[at + length :]
    if choice == 7:
        return data[:at] + bytes([int(random.choice([0, 255]))]) * length + data[at + length :]
    if choice == 8:
        return data[at:]
    tokens = list(re.finditer(rb'-?\d[\d.e+-]*|"[^"]*"|null|true|false|[\[\]{},:]', data))
    if not tokens:
        return b""
    token = tokens[int(random.integers(len(tokens)))]
    return data[: token.start()] + str(random.choice(TOKENS)).encode() + data[token.end() :]


def mutate_member(data: Path, random: np.random.Generator) -> None:
    """Change an array's header or numbers in an archive whose checksums fit again."""
    with zipfile.ZipFile(data) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        kind = archive.infolist()[0].compress_type
    name = str(random.choice(sorted(members)))
    content = members[name]
    header = 10 + int.from_bytes(content[8:10], "little")
    if random.random() < 0.6:
        members[name] = mutate(content[:header], random, binary=False) + content[header:]
    else:
        members[name] = content[:header] + mutate(content[header:], random, binary=True)
    with zipfile.ZipFile(data, "w", kind) as archive:
        for member, text in members.items():
            archive.writestr(member, text)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail if it takes longer."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def same(one: Any, other: Any) -> bool:
    """Whether two things that were read are the same."""
    if dataclasses.is_dataclass(one) and dataclasses.is_dataclass(other):
        return same(vars(one), vars(other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        if type(one) is not type(other):
            return False
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def try_one(kind: Kind, path: Path, whole: Any, exact: bool) -> None:
    try:
        with within(SECONDS):
            found = kind.read(path)
    except DreamDuckError as err:
        text = str(err)
        assert "\n" not in text
        assert len(text) < 1500
        return
    assert not exact or same(whole, found)


def damage(kind: Kind, folder: Path, count: int, seed: int) -> None:
    """Try `count` damaged files; a failure leaves the file and names it."""
    made = folder / "whole"
    made.mkdir()
    path = kind.make(made)
    data, whole = path.read_bytes(), kind.read(path)
    for number in range(count):
        random = np.random.default_rng([seed, number, zlib.crc32(path.name.encode())])
        exact = kind.exact
        path.write_bytes(data)
        if path.suffix == ".npz" and random.random() < 0.3:
            exact = False  # its checksums are right
            mutate_member(path, random)
        else:
            changed = data
            for _ in range(int(random.integers(1, 3))):
                changed = mutate(changed, random, kind.binary)
            path.write_bytes(changed)
        kept = folder / f"damaged-{number}{path.suffix}"
        shutil.copyfile(path, kept)
        try:
            try_one(kind, path, whole, exact)
        except Exception as err:
            raise AssertionError(f"{kept}: {type(err).__name__}: {err}") from err
        kept.unlink()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", KINDS)
def test_damaged_files(tmp_path, name):
    damage(KINDS[name], tmp_path, 8 if "vae" in name else 60, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", KINDS)
def test_thousands_of_damaged_files(tmp_path, name):
    damage(KINDS[name], tmp_path, 200 if "vae" in name else 4000, seed=1)


def test_the_harness_sees_what_it_looks_for(tmp_path):
    """A reader that trusts its file fails here."""
    kind = Kind(lambda folder: make_json(folder, STAMP), lambda path: json.loads(path.read_text()))
    with pytest.raises(AssertionError, match=r"JSONDecodeError|UnicodeDecodeError"):
        damage(kind, tmp_path, 40, seed=0)
    (tmp_path / "again").mkdir()

    def trust(path: Path) -> Any:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    trusting = Kind(make_series, trust, exact=True)
    with pytest.raises(AssertionError):
        damage(trusting, tmp_path / "again", 60, seed=0)
