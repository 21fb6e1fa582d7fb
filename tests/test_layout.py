"""The package's shape: the flow is one-way, and importing it is light."""

import ast
import re
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
    "products",
    "threads",
}
STANDARD = sys.stdlib_module_names


NAMES_ABOVE = {"registration"}  # the one place where a name leads upwards
MODULE = re.compile(r"dreamduck(?:\.\w+)+")


def imported(text: str) -> set[str]:
    """The second name of every dreamduck module that a source imports, at whatever depth.

    A module's name in a string counts as well: `import_module`, `__import__`, `-m`, an entry point.
    """
    tree = ast.parse(text)
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    names = set()
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            found = MODULE.findall(node.value)
        names |= {name.split(".")[1] for name in found if name.startswith("dreamduck.")}
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_later_one(stage):
    allowed = BASE | set(STAGES[: STAGES.index(stage) + 1])
    files = list((PACKAGE / stage).rglob("*.py"))
    assert files
    for path in files:
        later = (imported(path.read_text(encoding="utf-8")) & set(STAGES + USERS)) - allowed
        assert not later, f"{path} imports {later}"


def test_base_modules_import_no_stage():
    for path in PACKAGE.glob("*.py"):
        names = imported(path.read_text(encoding="utf-8"))
        if path.stem not in NAMES_ABOVE:
            assert not names & set(STAGES + USERS), path


@pytest.mark.parametrize(
    "text",
    [
        "import dreamduck.baselines.acting",
        "from dreamduck.baselines import acting",
        "from dreamduck import baselines",
        "def f():\n    import dreamduck.baselines as b",
        "AGENTS = 'dreamduck.baselines.acting'\nimport_module(AGENTS)",
        "__import__('dreamduck.baselines.acting')",
        "run([sys.executable, '-m', 'dreamduck.baselines.run'])",
        "run('python -m dreamduck.baselines.run')",
        "name = f'dreamduck.baselines.{what}'",
    ],
)
def test_every_way_to_a_module_is_seen(text):
    assert "baselines" in imported(text)
    assert "baselines" not in imported(
        f'"""See dreamduck.baselines."""\n{text.replace("baselines", "dream")}'
    )


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


PICKLERS = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}


def opens_code(text: str) -> list[str]:
    """What in a source would run code that a file brings along."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLERS]
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            names = [alias.name for alias in node.names if not alias.name.endswith("Error")]
            found += [module] if module in PICKLERS or (module == "pickle" and names) else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if owner == "pickle" or given.get("allow_pickle", "False") != "False":
                found.append(f"{owner}.{name}")
            if (owner, name) in (("th", "load"), ("torch", "load")) and given.get("weights_only") != "True":
                found.append(f"{owner}.{name}")
    return found


def test_no_pickle_anywhere():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not opens_code(text), path
        if "mpi4py" in text:
            # Ranks of one run pickle what they tell one another; nothing of it comes from a file.
            assert path == PACKAGE / "control" / "mpi.py"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle\npickle.load(file)",
        "import pickle\npickle.Unpickler(file)",
        "from pickle import loads",
        "import dill",
        "from joblib import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "torch.load(path)",
        "th.load(path, weights_only=False)",
    ],
)
def test_what_opens_code_is_seen(text):
    assert opens_code(text)
