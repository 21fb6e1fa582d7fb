"""The scenarios of the browser's tests are all known to them; no browser is needed."""

from tests.node import needs_node, run_node
from tests.web.test_browser import GALLERY, NAMES, ONE_FILE, OTHER, SCENARIOS, WRONG

KEYS = """
const begin = given.indexOf("const scenarios = {");
const end = given.indexOf("\\n};\\n", begin);
const scenarios = new Function(given.slice(begin, end) + "}; return scenarios;")();
console.log(JSON.stringify(Object.keys(scenarios)));
"""


@needs_node
def test_every_scenario_is_played():
    """The names that `test_browser.py` finds are the keys that JavaScript knows."""
    keys = run_node(KEYS, SCENARIOS.read_text(encoding="utf-8"))
    assert keys == NAMES
    assert {GALLERY, OTHER, WRONG} < set(keys)
    assert set(ONE_FILE) < set(keys)
