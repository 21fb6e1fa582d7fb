"""A controller evolved in the dream as one file, in a real Chromium: return by time.

Needs Chromium, Node.js and `make page`. It takes four minutes; `python -m
benchmarks.browser_evolution FILE` takes a file that was exported before."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import save
from dreamduck.export.evolution import SETTINGS
from dreamduck.export.static_export import main as export
from dreamduck.web.server import PAGE

SCRIPT = Path(__file__).parent / "browser" / "evolve.mjs"
COMMAND = "python -m benchmarks browser_evolution"


def main(files: list[str]) -> None:
    if shutil.which("node") is None or not (PAGE / "vendor").is_dir():
        print("not run: it needs Chromium, Node.js and `make page`")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(files[0] if files else Path(folder) / "dream.html").resolve()
        if not files:
            export([str(path)])
        command = ["node", str(SCRIPT), path.as_uri()]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        size = path.stat().st_size
    results = {**found, "megabytes": round(size / 1e6, 1), "settings": SETTINGS}
    print(json.dumps(results, indent=2))
    print(save("browser_evolution", COMMAND, results))


if __name__ == "__main__":
    main(sys.argv[1:])
