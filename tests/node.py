"""JavaScript of the page in Node.js.

Without Node.js these tests are skipped; where the environment variable CI is set, they fail."""

import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from dreamduck.web.server import PAGE

needs_node = pytest.mark.skipif(
    shutil.which("node") is None and not os.environ.get("CI"), reason="Node.js is not installed"
)


def run_node(program: str, given: object) -> Any:
    """What a module prints as JSON; `given` is its standard input, `page` the folder of the page's."""
    assert shutil.which("node"), "expected Node.js (node on the PATH), found none"
    head = f"const page = {json.dumps(PAGE.as_uri())};\n"
    head += "const given = JSON.parse(await new Response(process.stdin).text());\n"
    command = ["node", "--no-warnings", "--input-type=module", "-e", head + program]
    text = json.dumps(given)
    output = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return json.loads(output)
