"""Series: every frame encoded once, the file whole or refused."""

import dataclasses
import io
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dreamduck.envs
from dreamduck.cli import encode as encode_command
from dreamduck.common.config import replace
from dreamduck.common.errors import ConfigError, RecordError, SeriesError
from dreamduck.recordings import read_episode, scan, write_episode
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.latents import encoding, read_series, write_series
from dreamduck.world_model.latents.encoding import encode, make_series
from dreamduck.world_model.vae import VAE, batch_encoder, files
from tests.recordings.helpers import episode, folder_of_episodes
from tests.world_model.vae.helpers import parameters

SCRIPT = Path(dreamduck.envs.__file__).parent / "series.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Records of four episodes, one of which truly ends, and a VAE."""
    made = tmp_path_factory.mktemp("series")
    folder_of_episodes(made / "records", [5, 11, 3])
    write_episode(made / "records" / "12.npz", episode(9, 12, ends=True))
    (made / "records" / "7.npz").write_bytes(b"half a file")
    files.save(made / "weights", parameters(z_size=6), {})
    return made


@pytest.fixture(scope="module")
def path(folder) -> Path:
    make_series(folder / "records", WorldModel.load(folder / "weights").vae, folder / "series")
    return folder / "series" / "series.npz"


def test_every_frame_is_encoded_in_its_place(folder, path):
    series, vae = read_series(path), WorldModel.load(folder / "weights").vae
    assert series.seeds.tolist() == [0, 1, 2, 12]
    assert series.lengths.tolist() == [5, 11, 3, 9]
    assert (len(series), series.z_size) == (4, 6)
    for i, seed in enumerate(series.seeds):
        recorded, rows = read_episode(folder / "records" / f"{seed}.npz"), series.rows(i)
        mu, logvar = vae.encode(recorded.obs)
        np.testing.assert_allclose(series.mu[rows], mu, atol=1e-5)
        np.testing.assert_allclose(series.logvar[rows], logvar, atol=1e-5)
        for name in ("action", "reward", "done"):
            np.testing.assert_array_equal(getattr(series, name)[rows], getattr(recorded, name))
    assert np.flatnonzero(series.done).tolist() == [27]
    assert series.meta["vision"] == vae.weights
    assert series.meta["maps"] == {"loop_empty": 4}


def test_other_episodes_beside_it_change_no_episode(folder, path):
    series = read_series(path)
    alone = encode(scan(folder / "records").chosen([1]), WorldModel.load(folder / "weights").vae)
    np.testing.assert_array_equal(alone.mu, series.mu[series.rows(1)])


def test_the_environment_travels_with_the_latents(folder, tmp_path):
    vae = WorldModel.load(folder / "weights").vae
    environments = [describe(replace(RoadConfig(), frame_skip=skip)) for skip in (4, 4, 6)]
    write_episode(tmp_path / "1.npz", episode(5, 1))  # an old one, without its environment
    for seed, one in enumerate(environments[:2], start=2):
        write_episode(tmp_path / f"{seed}.npz", episode(5, seed, environment=one))
    made = make_series(tmp_path, vae, tmp_path / "out")
    assert made.meta["environment"] == environments[0]
    write_episode(tmp_path / "9.npz", episode(5, 9, environment=environments[2]))
    with pytest.raises(RecordError, match=r"9\.npz: .* than .*2\.npz .frame_skip: expected 4, got 6"):
        make_series(tmp_path, vae, tmp_path / "other")


@pytest.mark.parametrize("size", [1, 4, 5, 28, 100])
def test_batches_end_where_they_may(folder, path, monkeypatch, size):
    monkeypatch.setattr(batch_encoder, "SIZE", size)
    monkeypatch.setattr(encoding, "SIZE", size)
    again = encode(scan(folder / "records"), WorldModel.load(folder / "weights").vae)
    np.testing.assert_allclose(again.mu, read_series(path).mu, atol=1e-5)
    np.testing.assert_allclose(again.logvar, read_series(path).logvar, atol=1e-5)


def test_a_series_that_lies_there_is_kept(folder, path):
    before = path.stat().st_mtime_ns
    vae = WorldModel.load(folder / "weights").vae
    make_series(folder / "records", vae, path)
    assert path.stat().st_mtime_ns == before
    same = read_series(path).fingerprint
    make_series(folder / "records", vae, folder / "series", fresh=True)
    assert path.stat().st_mtime_ns != before
    assert read_series(path).fingerprint == same


def test_a_series_of_other_weights_or_records_is_replaced_with_fresh_only(folder, tmp_path):
    vae = WorldModel.load(folder / "weights").vae
    first = make_series(folder / "records", vae, tmp_path)
    other_vae = VAE(parameters(6, seed=9), weights="other")
    for given in ({"vae": vae, "limit": 2}, {"vae": other_vae}):
        with pytest.raises(ConfigError, match=r"series\.npz: .*another folder, or give --fresh"):
            make_series(folder / "records", where=tmp_path, **given)
        assert read_series(tmp_path).fingerprint == first.fingerprint
    fewer = make_series(folder / "records", vae, tmp_path, limit=2, fresh=True)
    assert fewer.seeds.tolist() == [0, 1]
    other = make_series(folder / "records", other_vae, tmp_path, fresh=True)
    assert len(other) == len(first)
    assert not np.array_equal(other.mu, first.mu)


def test_a_file_that_is_no_series_is_replaced_with_fresh_only(folder, tmp_path):
    (tmp_path / "series.npz").write_bytes(b"half a file")
    vae = WorldModel.load(folder / "weights").vae
    with pytest.raises(ConfigError, match="--fresh"):
        make_series(folder / "records", vae, tmp_path)
    assert (tmp_path / "series.npz").read_bytes() == b"half a file"
    assert len(make_series(folder / "records", vae, tmp_path, fresh=True)) == 4


def test_the_error_without_recordings_names_the_command(folder, tmp_path):
    with pytest.raises(RecordError, match=r"dreamduck record"):
        make_series(tmp_path / "records", WorldModel.load(folder / "weights").vae, tmp_path)


def damaged(path: Path, name: str, array: np.ndarray) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype == object)
    members[f"{name}.npy"] = stream.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


BAD: dict[str, tuple[str, np.ndarray]] = {
    "mu of another kind": ("mu", np.zeros((28, 6), np.int64)),
    "mu too short": ("mu", np.zeros((27, 6), np.float32)),
    "logvar of another size": ("logvar", np.zeros((28, 5), np.float32)),
    "nan": ("reward", np.full(28, np.nan, np.float32)),
    "offsets that fall": ("offsets", np.array([0, 9, 3, 20, 28])),
    "offsets that do not end": ("offsets", np.array([0, 5, 16, 19, 27])),
    "an empty episode": ("offsets", np.array([0, 5, 5, 19, 28])),
    "no offsets": ("offsets", np.array([0])),
    "seeds too many": ("seeds", np.arange(5)),
    "done in the middle": ("done", np.arange(28) == 2),
    "meta is a list": ("meta", np.array("[]")),
    "meta is no JSON": ("meta", np.array("{")),
    "a pickle": ("mu", np.array([{}], dtype=object)),
}


@pytest.mark.parametrize("damage", BAD)
def test_damaged_series_are_refused(path, tmp_path, damage):
    copy = tmp_path / "series.npz"
    copy.write_bytes(path.read_bytes())
    damaged(copy, *BAD[damage])
    with pytest.raises(SeriesError, match=r"series\.npz: .*write it again"):
        read_series(copy)


@pytest.mark.parametrize("part", [0, 0.3, 0.9])
def test_files_cut_short_are_refused(path, tmp_path, part):
    data = path.read_bytes()
    (tmp_path / "series.npz").write_bytes(data[: int(part * len(data))])
    with pytest.raises(SeriesError, match=r"series\.npz"):
        read_series(tmp_path)


def test_a_header_that_claims_terabytes_takes_no_memory(path, tmp_path):
    copy = tmp_path / "series.npz"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w") as changed:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "mu.npy":
                data = data.replace(b"(28, 6), }      ", b"(280000000000, 6), }")[:128] + data[128:]
            changed.writestr(name, data)
    with pytest.raises(SeriesError, match="mu"):
        read_series(copy)


def test_the_error_without_a_series_names_the_command(tmp_path):
    with pytest.raises(SeriesError, match=r"no such file; write it again with dreamduck encode"):
        read_series(tmp_path)


def test_only_the_standard_form_is_written(path, tmp_path):
    series = read_series(path)
    with pytest.raises(SeriesError, match="offsets"):
        write_series(tmp_path, dataclasses.replace(series, offsets=series.offsets[:-1]))
    assert not list(tmp_path.iterdir())


def test_the_script_killed_and_started_again_leaves_the_same_file(folder, path, tmp_path):
    command = [sys.executable, str(SCRIPT), "-q", "--records", str(folder / "records")]
    command += ["--weights", str(folder / "weights"), "--series", str(tmp_path)]
    killed = (
        "import os, signal, sys\n"
        "from dreamduck.common import storage\n"
        "storage.os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n"  # all is written
        "from dreamduck.cli import encode\n"
        "encode.main(sys.argv[1:])"
    )
    process = subprocess.run([sys.executable, "-c", killed, *command[2:]], capture_output=True)
    assert process.returncode == -signal.SIGKILL
    left = tmp_path / "series.npz"
    assert not left.exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "28 frames of 4 episodes, z 6, 1 true ends" in done.stdout
    assert left.read_bytes() == path.read_bytes()
    assert "7.npz" in done.stderr  # named, skipped, not fatal


def test_the_script_reports_errors_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        encode_command.main(["--limit", "0"])
    assert "at least 1" in capsys.readouterr().err
