"""Run every benchmark, one process each: `python -m benchmarks [name ...]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HELPERS = {"__init__", "__main__", "common"}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; the exit code is 1 if one failed."""
    known = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in HELPERS)
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"error: no benchmark {', '.join(unknown)}; expected some of {', '.join(known)}")
        return 2
    failed = []
    for name in names or known:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
