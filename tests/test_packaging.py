import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dreamduck.registration import foreign_baselines

ROOT = Path(__file__).parent.parent
NAMED = {"gym", "duckietown-gym-daffy", "numpy", "cma", "pyglet", "mpi4py"}


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def required() -> list[Requirement]:
    return [Requirement(line) for line in lines(ROOT / "requirements.txt") if not line.startswith("-")]


def test_there_is_one_list_of_requirements():
    (line,) = lines(ROOT / "dreamduck" / "envs" / "requirements.txt")
    flag, path = line.split()
    assert flag == "-r"
    assert (ROOT / "dreamduck" / "envs" / path).resolve() == ROOT / "requirements.txt"
    assert {r.name.lower() for r in required()} >= NAMED


def test_every_requirement_has_an_exact_version_that_fits():
    pins = {}
    for line in lines(ROOT / "constraints.txt"):
        name, version = line.split("==")
        pins[re.sub(r"[-_.]+", "-", name).lower()] = version
    for requirement in required():
        if requirement.marker is None or requirement.marker.evaluate():
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert requirement.specifier.contains(pins[name]), requirement


def test_what_is_installed_says_what_it_needs():
    told = {Requirement(text).name.lower() for text in importlib.metadata.requires("dreamduck") or []}
    assert {r.name.lower() for r in required()} <= told


def test_scripts_are_executable():
    for path in (ROOT / ".ci" / "run", ROOT / "scripts" / "setup"):
        assert os.access(path, os.X_OK), path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from the source distribution as `python -m build` does it."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode != 0:
        pytest.skip("the files of the repository are listed by git")
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("docs/", "media/", "tests/", "benchmarks/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "-o", str(folder), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(folder.glob("*.whl"))


def test_a_wheel_has_what_it_needs_and_no_more(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        lines = re.findall("Requires-Dist: (.*)", archive.read(metadata).decode())
    needs = {Requirement(line).name.lower() for line in lines}
    shim = {"baselines/__init__.py", "baselines/run.py"}
    assert {name for name in names if name.startswith("baselines/")} == shim
    package = ROOT / "dreamduck"
    sources = {f"dreamduck/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    assert sources <= names
    assert {
        "dreamduck/py.typed",
        "dreamduck/web/page/index.html",
        "dreamduck/pretrained/rnn.json",
    } <= names
    assert {requirement.name.lower() for requirement in required()} <= needs
    # It names a file of the repository, which an installed package does not have.
    assert "dreamduck/envs/requirements.txt" not in names


def test_an_installed_wheel_runs_the_command_of_2019(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import dreamduck, baselines; print(dreamduck.__file__, baselines.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    told = [sys.executable, "-c", code], [sys.executable, "-m", "baselines.run", "--alg=ppo3"]
    found, refused = (
        subprocess.run(c, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        for c in told
    )
    assert all(path.startswith(str(tmp_path / "site")) for path in found.stdout.split()), found.stderr
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: alg: expected one of ppo2")


def test_there_is_one_copy_of_the_code():
    assert sorted(path.name for path in (ROOT / "baselines").glob("*.py")) == ["__init__.py", "run.py"]
    assert len((ROOT / "baselines" / "run.py").read_text().splitlines()) < 12


@pytest.mark.parametrize("name", ["baselines.run", "dreamduck.rl.run"])
def test_another_package_of_the_name_is_told(tmp_path, name):
    """OpenAI's package comes first on the path and imports gym; ours is said to be another program."""
    package = tmp_path / "baselines"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "run.py").write_text("import gym\nprint('another program')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", name, "--alg=ppo3"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if name == "baselines.run":
        assert done.stdout == "another program\n"
        wanted = f"{package / 'run.py'} is not DreamDuck's program; that is `python -m dreamduck.rl.run`"
        assert wanted in done.stderr
    else:
        assert f"`python -m baselines.run` is the program in {package / 'run.py'} here" in done.stderr
        assert "error: alg: expected one of ppo2" in done.stderr


def test_our_own_command_is_not_foreign():
    assert foreign_baselines() is None
