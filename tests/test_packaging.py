import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from dreamduck.registration import foreign_baselines

ROOT = Path(__file__).parent.parent
LEGACY = "[gym.envs] __root__ = dreamduck.registration:register_legacy"
NAMED = {"gym", "duckietown-gym-daffy", "numpy", "cma", "pyglet", "mpi4py"}


def canonical(requirement: str) -> Requirement:
    found = Requirement(requirement)
    found.name = re.sub(r"[-_.]+", "-", found.name).lower()
    return found


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def packages_of(extra: str) -> list[str]:
    """The requirements of an extra, those of extras that it names among them."""
    found = []
    for line in project()["optional-dependencies"][extra]:
        parts = Requirement(line).extras if line.startswith("dreamduck[") else []
        found += [text for part in parts for text in packages_of(part)] if parts else [line]
    return found


def test_the_list_of_requirements_is_the_projects():
    listed = lines(ROOT / "dreamduck" / "envs" / "requirements.txt")
    wanted = {*project()["dependencies"], *packages_of("all")}
    assert {str(canonical(line)) for line in listed} == {str(canonical(line)) for line in wanted}
    assert {canonical(line).name for line in listed} >= NAMED
    assert lines(ROOT / "requirements.txt") == ["-c constraints.txt", "-r dreamduck/envs/requirements.txt"]


def test_the_notebooks_import_no_more_than_their_extra_brings():
    named = [*project()["dependencies"], *packages_of("notebook")]
    brought = {Requirement(line).name.lower() for line in named}
    for path in (ROOT / "examples" / "tour.ipynb", ROOT / "dreamduck" / "envs" / "vae_test.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        imported = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
        assert imported - {"dreamduck"} <= brought, path.name
    assert "tensorflow" in brought  # compiled dreams


def test_every_requirement_has_an_exact_version_that_fits():
    pins = {}
    for line in lines(ROOT / "constraints.txt"):
        name, version = line.split("==")
        pins[canonical(name).name] = version
    for text in {*project()["dependencies"], *packages_of("all")}:
        requirement = canonical(text)
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(pins.get(requirement.name, "")), requirement


def test_the_base_install_is_small():
    names = {canonical(line).name for line in project()["dependencies"]}
    assert names == {
        *("gymnasium", "h5py", "numba", "numpy", "pillow", "pyyaml", "threadpoolctl", "tqdm"),
    }


def test_scripts_are_executable():
    for path in (ROOT / ".ci" / "run", ROOT / "scripts" / "setup", ROOT / "scripts" / "test_slim"):
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
        (points,) = (name for name in names if name.endswith("entry_points.txt"))
        entry_points = archive.read(points).decode()
        lines = re.findall("Requires-Dist: (.*)", archive.read(metadata).decode())
    needs = {canonical(line).name for line in lines}
    shim = {"baselines/__init__.py", "baselines/run.py"}
    assert {name for name in names if name.startswith("baselines/")} == shim
    package = ROOT / "dreamduck"
    sources = {f"dreamduck/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    assert sources <= names
    assert {
        "dreamduck/py.typed",
        "dreamduck/export/loader.html",
        "dreamduck/deployment/submission/Dockerfile",
        "dreamduck/deployment/submission/submission.yaml",
        "dreamduck/web/page/index.html",
        "dreamduck/pretrained/rnn.json",
    } <= names
    assert {canonical(line).name for line in [*project()["dependencies"], *packages_of("all")]} <= needs
    ships = "dreamduck/pretrained/"
    assert {f"{ships}controllers/rnnenv.cma.32.64.best.json", f"{ships}vae.weights.h5"} <= names
    assert any(name.startswith(f"{ships}agents/") for name in names)
    assert "dreamduck/envs/requirements.txt" in names
    assert entry_points.split() == [
        "[console_scripts]",
        "dreamduck",
        "=",
        "dreamduck.cli:main",
        *LEGACY.split(),
    ]


def test_an_installed_wheel_runs_the_command_of_2019(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import dreamduck, baselines; print(dreamduck.__file__, baselines.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    commands = [sys.executable, "-c", code], [sys.executable, "-m", "baselines.run", "--alg=ppo3"]
    found, refused = (
        subprocess.run(c, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        for c in commands
    )
    assert all(path.startswith(str(tmp_path / "site")) for path in found.stdout.split()), found.stderr
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: alg: expected one of ppo2")


def test_there_is_one_copy_of_the_code():
    assert sorted(path.name for path in (ROOT / "baselines").glob("*.py")) == ["__init__.py", "run.py"]
    assert len((ROOT / "baselines" / "run.py").read_text().splitlines()) < 12


@pytest.mark.parametrize("name", ["baselines.run", "dreamduck.rl.run"])
def test_another_package_of_the_name_is_reported(tmp_path, name):
    """OpenAI's package comes first on the path and imports gym; a warning names our program."""
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
