import importlib.metadata
import os
import re
from pathlib import Path

from packaging.requirements import Requirement

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


def test_readme_names_files_that_are_there():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"(?:python|bash) ((?:dreamduck|scripts|examples)/[\w./]+)", text):
        assert (ROOT / path).exists(), path
    for path, place in re.findall(r"\]\(((?:media|docs)/[^)#]+)#?([^)]*)\)", text):
        assert (ROOT / path).exists(), path
        if place:
            headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.MULTILINE)
            assert place in [heading.lower().replace(" ", "-") for heading in headings], (path, place)
