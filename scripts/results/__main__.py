"""Fill the tables, or check them."""

from __future__ import annotations

import argparse
import re
import sys

from scripts.results import __doc__ as about
from scripts.results import deployments, models, policies, simulators, trainings
from scripts.results.files import DOCS, ROOT

MODULES = (models, policies, simulators, trainings, deployments)
TABLES = {table.__name__: table for module in MODULES for table in module.TABLES}
PAGES = (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
MARK = re.compile(r"(<!-- results:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Fill the tables, or with --check say whether they are as they should be."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a table is stale")
    check = parser.parse_args().check
    for path in PAGES:
        old = path.read_text(encoding="utf-8")
        new = MARK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], old)
        if check and new != old:
            print(f"{path.relative_to(ROOT)} is stale")
            return 1
        if not check:
            path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
