"""README and documentation: sizes, links down to the heading, images, commands, tables, docstrings."""

import ast
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dreamduck.cli import COMMANDS
from dreamduck.evaluation.model_card.report import headlines
from dreamduck.pretrained import FOLDER
from dreamduck.rl import algorithms, arguments
from tests.parsing import main_of, parse

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
MEGABYTE, NOTEBOOK = 1_000_000, 300_000
SECTION = re.compile(r"^(\s*)(Args|Attributes|Raises):\s*$")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows; all that match where there is no git."""
    found = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        return [path for pattern in patterns for path in ROOT.rglob(pattern) if ".venv" not in path.parts]
    return [ROOT / line for line in found.stdout.splitlines() if (ROOT / line).exists()]


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        kept = re.sub(r"[^\w\- ]", "", plain.lower()).strip()
        found.add(kept.replace(" ", "-"))
    return found


def commands() -> list[tuple[str, list[str]]]:
    """Every line of a block of bash in README and docs: the page, and its words."""
    found = []
    for path in TEXTS:
        for block in re.findall(
            r"^```bash\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words:
                    found.append((name(path), words))
    return found


def subcommands() -> set[str]:
    return set(COMMANDS)


def test_readme_is_one_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 8192
    assert text.count("<!-- results:") == 1


@pytest.mark.parametrize(
    "path", [*(ROOT / "docs").rglob("*.json"), *(ROOT / "benchmarks" / "results").glob("*.json")], ids=name
)
def test_results_do_not_depend_on_a_folder_of_the_machine(path):
    assert re.findall(r'"/\w[^"]*', path.read_text(encoding="utf-8")) == []


def test_the_documented_card_has_every_headline():
    card = json.loads((ROOT / "docs" / "card" / "shipped.json").read_text(encoding="utf-8"))
    assert [title for title, found in headlines(card).items() if found is None] == []


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"https?://|mailto:", target):
            continue
        where, _, heading = target.partition("#")
        file = (path.parent / where).resolve() if where else path
        assert file.exists(), target
        if heading:
            assert heading in anchors(file), target


def test_every_page_is_in_the_navigation():
    class Loader(yaml.SafeLoader):
        """mkdocs.yml may hold tags of mkdocs' own."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    listed: list[str] = []

    def walk(entry: object) -> None:
        if isinstance(entry, str):
            listed.append(entry)
        for part in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
            walk(part)

    walk(config["nav"])
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


@pytest.mark.parametrize("path", tracked("*.png", "*.gif", "*.jpg", "*.svg"), ids=name)
def test_pictures_are_small(path):
    assert path.stat().st_size < MEGABYTE


def test_pictures_are_shown_somewhere():
    shown = "".join(path.read_text(encoding="utf-8") for path in TEXTS)
    for path in tracked("media/*.png", "media/*.gif"):
        assert f"media/{path.name}" in shown, path


@pytest.mark.parametrize("path", tracked("*.ipynb"), ids=name)
def test_notebooks_are_small(path):
    assert path.stat().st_size < NOTEBOOK
    json.loads(path.read_text(encoding="utf-8"))


def test_commands_are_there():
    known, targets = (
        subcommands(),
        set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)),
    )
    seen = set()
    for page, words in commands():
        while words and (
            words[0] == "mpiexec" or words[0].startswith("-") or words[0].isdigit() or "," in words[0]
        ):
            words = words[1:]  # the launcher and its flags
        if words[0] == "dreamduck":
            assert words[1] in known, (page, words)
        elif words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= targets, (page, words)
        elif words[0] in ("python", "bash") and words[1].endswith((".py", ".bash")):
            assert (ROOT / words[1]).exists(), (page, words)
        elif words[:2] == ["python", "-m"]:
            module = words[2]
            assert importlib.util.find_spec(module) or module.startswith("benchmarks."), (page, words)
        else:
            continue
        seen.add(page)
    assert "README.md" in seen


def own_commands() -> list[tuple[str, list[str]]]:
    """Every command line of ours in README and docs, without what stands before `dreamduck`."""
    found: list[tuple[str, list[str]]] = []
    shell: dict[str, str] = {}  # variables of the pages
    for page, words in commands():
        variable, _, value = words[0].partition("=")
        if variable.isupper() and value:
            shell[f"${variable}"], words = value, shlex.split(value)
        elif words[0] == "eval":
            before, *rest = shlex.split(words[1])
            words = [*shlex.split(shell[before]), *rest]
        elif words[0] == "mpiexec":
            words = words[words.index("dreamduck") :]
        elif words[:3] == ["python", "-m", "baselines.run"]:
            words = ["dreamduck", "rl", *words[3:]]
        if words[0] == "dreamduck":
            found.append((page, words[1:]))
    return found


@pytest.mark.parametrize(
    ("page", "words"), own_commands(), ids=lambda one: one if isinstance(one, str) else " ".join(one)[:60]
)
def test_command_lines_parse(page, words, tmp_path, monkeypatch):
    """Every flag is one of the command, and takes the value that is given."""
    monkeypatch.chdir(tmp_path)
    command, *rest = words
    if command == "rl":  # unknown flags are keys of the algorithm
        flags, keys, _ = arguments.parse(rest)
        algorithm = algorithms.find(flags.alg or "ppo2")
        algorithms.check_keys(algorithm, keys, {})
        return
    if "--adapt" in rest:  # the model is read, for the flags of its kind
        rest[rest.index("--adapt") + 1] = str(FOLDER)
    parse(main_of(command), rest)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_names_in_a_text_exist(path):
    """Subcommands, targets of make, scripts and modules in the text itself."""
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for subcommand in re.findall(r"`dreamduck ([a-z][a-z-]*)", text):
        assert subcommand in subcommands(), subcommand
    for target in re.findall(r"`make ([a-z][a-z-]*)`", text):
        assert target in targets, target
    for script in re.findall(
        r"`(?:python |bash )?((?:dreamduck/envs|scripts|examples)/[\w./]+\.(?:py|ipynb|bash))", text
    ):
        assert (ROOT / script).exists(), script
    for module in re.findall(r"python -m (benchmarks\.\w+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_workflows_call_targets_that_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    files = [ROOT / ".ci" / "run", *(ROOT / ".github" / "workflows").glob("*.yml")]
    for path in files:
        for target in re.findall(r"make ([a-z-]+)", path.read_text(encoding="utf-8")):
            assert target in targets, (path, target)


def test_tables_are_up_to_date():
    command = [sys.executable, "-m", "scripts.results", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}; run `make results`"


def test_changelog_and_citation_name_the_same_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", changelog, re.MULTILINE)
    assert newest
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], str(citation["date-released"])) == newest.groups()


def sections(docstring: str) -> list[str]:
    """The first lines of all entries of Args, Attributes and Raises."""
    lines, found, at = docstring.splitlines(), [], 0
    while at < len(lines):
        head = SECTION.match(lines[at])
        at += 1
        indent = None
        while head and at < len(lines) and (not lines[at].strip() or lines[at].startswith(head[1] + " ")):
            depth = len(lines[at]) - len(lines[at].lstrip())
            indent = depth if indent is None else indent
            if lines[at].strip() and depth == indent:
                found.append(lines[at].strip())
            at += 1
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "dreamduck").rglob("*.py")), ids=name)
def test_docstrings_have_one_entry_a_line(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for entry in sections(ast.get_docstring(node) or ""):
            assert re.match(r"\*{0,2}\w+: ", entry), f"{node.name}: {entry}"
            body = entry.split(": ", 1)[1]
            assert not re.search(r"\. [A-Z]\w*Error: ", body), f"{node.name}: {entry}"
