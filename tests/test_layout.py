"""The package's shape: the flow is one-way, and importing it is light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dreamduck"
STAGES = ["simulator", "recordings", "vision", "series", "memory", "dream", "control"]
USERS = ["envs", "drive", "baselines"]  # on top: may use every stage
BASE = {
    "errors",
    "config",
    "seeding",
    "storage",
    "cli",
    "logbook",
    "backend",
    "pretrained",
    "registration",
    "video",
    "pipe",
    "workers",
    "threads",
}
STANDARD = sys.stdlib_module_names


def imported(path: Path) -> set[str]:
    """The second name of every dreamduck module that a file imports, at whatever depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        names |= {name.split(".")[1] for name in found if name.startswith("dreamduck.")}
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_later_one(stage):
    allowed = BASE | set(STAGES[: STAGES.index(stage) + 1])
    files = list((PACKAGE / stage).rglob("*.py"))
    assert files
    for path in files:
        later = (imported(path) & set(STAGES + USERS)) - allowed
        assert not later, f"{path} imports {later}"


def test_base_modules_import_no_stage():
    for path in PACKAGE.glob("*.py"):
        assert not imported(path) & set(STAGES + USERS), path


def test_only_the_backend_imports_tensorflow_and_keras():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "backend.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not {n.split(".")[0] for n in names} & {"tensorflow", "keras"}, path


def test_scripts_shadow_no_module():
    """A script run by path puts its folder first on the path."""
    names = {path.stem for path in (PACKAGE / "envs").glob("*.py")} - {"__init__"}
    assert not names & STANDARD
    assert not names & {"gym", "gymnasium", "numpy", "keras", "cma", "pyglet", "tensorflow", "baselines"}


def test_import_is_light():
    code = (
        "import sys, dreamduck, gymnasium\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'numba', 'gym_duckietown', 'pyglet', 'mpi4py', 'gym',"
        " 'matplotlib', 'stable_baselines3', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert {'DreamDuck-v0', 'DreamDuck-v1', 'DreamDuck-v2'} <= set(gymnasium.registry)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_pickle_anywhere():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "compiled.py":  # numba's form of compiled code, from folders of the user alone
            assert "pickle.load" not in text, path
        assert "allow_pickle=True" not in text, path
