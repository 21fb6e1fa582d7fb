"""The package's shape: the flow is one-way, and importing it is light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dreamduck"
# From the first to the last; each imports those before it, and none after it.
STAGES = [
    "common",
    "pretrained",
    "simulator",
    "recordings",
    "world_model.weights_format",
    "world_model.trainer",
    "world_model.fit",
    "world_model.vae",
    "world_model.latents",
    "world_model.dynamics",
    "world_model.mdn_rnn",
    "world_model.categorical",
    "world_model.ensemble",
    "world_model.legacy",
    "world_model.imagination",
    "world_model",
    "controllers",
    "search",
    "evaluation",
    "pipeline",
    "window",
    "envs",
    "wrappers",
    "rl",
    "web",
    "export",
    "figures",
    "deployment",
    "cli",
]
ENTRY_POINTS = {"registration", ""}  # ids and names by string, which lead anywhere
STANDARD = sys.stdlib_module_names
MODULE = re.compile(r"dreamduck(?:\.\w+)+")


def sources() -> dict[str, str]:
    """The source of every module of the package, by its name without `dreamduck.`."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def without_main(tree: ast.Module) -> ast.Module:
    """The module without what runs only when it is a script."""
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and "__main__" in ast.unparse(n.test))]
    return tree


def imported(text: str) -> set[str]:
    """Every dreamduck module or member that a source names, at whatever depth, without `dreamduck.`.

    Relative imports are not among them, see `relative_imports`. A module's name in a string counts as
    well: `import_module`, `__import__`, `-m`, an entry point.
    """
    tree = without_main(ast.parse(text))
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
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            found = MODULE.findall(node.value)
        names |= {name.removeprefix("dreamduck.") for name in found if name.startswith("dreamduck.")}
    return names


def relative_imports(text: str) -> list[str]:
    """Every import that begins at the module's own package; `imported` does not see them."""
    return [ast.unparse(node) for node in ast.walk(ast.parse(text)) if is_relative(node)]


def is_relative(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0
    if not isinstance(node, ast.Call) or "import" not in ast.unparse(node.func):
        return False
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return any(isinstance(one, ast.Constant) and str(one.value).startswith(".") for one in given)


def stage_of(name: str) -> str:
    """The stage of a module: the longest that its name begins with; "" for the package's own modules."""
    fits = [stage for stage in STAGES if f"{name}.".startswith(f"{stage}.")]
    return max(fits, key=len, default="")


def graph() -> dict[str, set[str]]:
    """Which modules each module imports."""
    modules = sources()
    return {
        name: {
            found
            for used in imported(text)
            for found in [used if used in modules else used.rpartition(".")[0]]
            if found in modules and found != name and found not in ENTRY_POINTS
        }
        for name, text in modules.items()
        if name not in ENTRY_POINTS
    }


def test_every_module_has_its_stage():
    assert {name for name in sources() if not stage_of(name)} <= {"", "registration", "__main__"}


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_imports_a_later_one(stage):
    modules = {name: text for name, text in sources().items() if stage_of(name) == stage}
    assert modules or stage == "cli"
    later = set(STAGES[STAGES.index(stage) + 1 :])
    for name, text in modules.items():
        reached = {used for used in imported(text) if stage_of(used) in later}
        assert not reached, f"{name} imports {reached}"


def test_no_import_is_relative():
    for name, text in sources().items():
        assert not relative_imports(text), name


@pytest.mark.parametrize(
    "text",
    [
        "from . import rl",
        "from .rl import acting",
        "from ..rl.agents import acting as a",
        "def f():\n    from .. import rl",
        "import_module('.rl', __package__)",
        "importlib.import_module(name='.rl', package='dreamduck')",
    ],
)
def test_every_relative_import_is_seen(text):
    assert len(relative_imports(text)) == 1
    assert not relative_imports("from dreamduck import rl\nimport_module('dreamduck.rl')")


def test_no_circle_of_modules():
    used = graph()
    while True:  # remove the modules that import no remaining one
        free = {name for name, others in used.items() if not others & set(used)}
        if not free:
            break
        used = {name: others - free for name, others in used.items() if name not in free}
    assert not used, f"among these modules there is a circle: {sorted(used)}"


@pytest.mark.parametrize(
    "text",
    [
        "import dreamduck.rl.agents.acting",
        "from dreamduck.rl import acting",
        "from dreamduck import rl",
        "def f():\n    import dreamduck.rl as b",
        "AGENTS = 'dreamduck.rl.agents.acting'\nimport_module(AGENTS)",
        "__import__('dreamduck.rl.agents.acting')",
        "run([sys.executable, '-m', 'dreamduck.rl.run'])",
        "run('python -m dreamduck.rl.run')",
        "name = f'dreamduck.rl.{what}'",
    ],
)
def test_every_way_to_a_module_is_seen(text):
    assert {stage_of(name) for name in imported(text)} == {"rl"}
    assert not imported('"""See dreamduck.rl."""')


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


# Between ranks of one run, mpi4py's lower-case `send`, `recv` and `isend` pickle: what they carry comes
# from this program, not from a file. They stand in one module alone.
OWN_RANKS = {"send", "recv", "isend", "irecv", "bcast", "scatter", "gather", "allgather"}
PICKLES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
}
CODE = {"eval", "exec", "compile", "__import__"}


def pickles(tree: ast.AST) -> list[str]:
    """Every way to run code that stands in a file, among what a module does."""
    nodes = list(ast.walk(tree))
    safe = safe_loaders(nodes)
    found = [name for node in nodes for name in imports(node) if name.split(".")[0] in PICKLES]
    uses = {n.attr for n in nodes if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "pickle"}
    if found == ["pickle"] and uses == {"UnpicklingError"}:
        found = []  # the kind of exception alone, which torch raises where it refuses
    return found + [ast.unparse(node) for node in nodes if opens_code(node, safe)]


def safe_loaders(nodes: list[ast.AST]) -> set[str]:
    """YAML's loaders that make plain values only, and the module's own names for such."""
    safe = {"SafeLoader", "CSafeLoader"}
    for node in nodes:
        if isinstance(node, ast.Assign) and "Loader" in (text := ast.unparse(node.value)):
            safe |= (
                {ast.unparse(t) for t in node.targets}
                if set(re.findall(r"\w*Loader", text)) <= safe
                else set()
            )
        if isinstance(node, ast.ClassDef) and {ast.unparse(b).split(".")[-1] for b in node.bases} & safe:
            safe.add(node.name)
    return safe


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(alias.name for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def opens_code(node: ast.AST, safe: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
    first, last = called.split(".")[0], called.split(".")[-1]
    models = called.startswith(("keras.", "tf.keras.", "tensorflow.keras.", "models.", "saving."))
    return (
        given.get("allow_pickle", "False") != "False"
        or (first in ("np", "numpy") and last == "load" and "allow_pickle" not in given)
        or (called in ("torch.load", "th.load") and given.get("weights_only") != "True")
        or (models and last in ("load_model", "model_from_json"))
        or given.get("safe_mode", "True") != "True"
        or given.get("Loader", "SafeLoader").split(".")[-1] not in safe
        or (called in ("yaml.load", "yaml.load_all") and "Loader" not in given)
        or last in ("enable_unsafe_deserialization", "unsafe_load", "full_load")
        or called in CODE
        or (last == "import_module" and bool(node.args) and "pickle" in ast.unparse(node.args[0]))
    )


def test_no_pickle_anywhere():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "compiled.py":  # numba's form of compiled code, from folders of the user alone
            continue
        assert not pickles(ast.parse(path.read_text(encoding="utf-8"))), path


def test_only_one_module_speaks_with_other_ranks():
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)}
        spoken = {c for c in calls if c.split(".")[-1] in OWN_RANKS and "world" in c.lower()}
        assert not spoken or path.name == "mpi.py", (path, spoken)


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import pickle\ntry: pickle.load(f)\nexcept pickle.UnpicklingError: pass",
        "from pickle import loads",
        "import dill as json",
        "import joblib.numpy_pickle",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "np.lib.format.read_array(f, allow_pickle=True)",
        "torch.load(path)",
        "th.load(path, weights_only=False)",
        "keras.models.load_model(path)",
        "keras.config.enable_unsafe_deserialization()",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "importlib.import_module('pickle')",
        "eval(text)",
        "exec(open(path).read())",
    ],
)
def test_each_way_to_open_a_pickle_is_seen(code):
    assert pickles(ast.parse(code))
