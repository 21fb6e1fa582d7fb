"""What every command line shares: logging, one-line errors, progress bars."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from dreamduck.errors import DreamDuckError

T = TypeVar("T")
USAGE = 2  # the exit code for bad input, as argparse has it


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""


def parser(description: str, epilog: str = "") -> argparse.ArgumentParser:
    """An argument parser with the verbosity flags that every command has."""
    made = argparse.ArgumentParser(description=description, epilog=epilog, formatter_class=Formatter)
    made.add_argument("-v", "--verbose", action="store_true", help="log more")
    made.add_argument("-q", "--quiet", action="store_true", help="log warnings only; no progress bar")
    return made


def start_logging(arguments: argparse.Namespace) -> None:
    """Configure the handlers; only a command line does this."""
    level = logging.INFO
    if getattr(arguments, "verbose", False):
        level = logging.DEBUG
    if getattr(arguments, "quiet", False):
        level = logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("dreamduck").setLevel(level)


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> None:
    """Run a command; an error of ours becomes one line and exit code 2, Ctrl-C exit code 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is shown as \\xNN
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(argv)
    except DreamDuckError as err:
        print(f"error: {err}", file=sys.stderr)
        code = USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = 0
    sys.exit(code or 0)


def progress(items: Iterable[T] | None = None, **settings: Any) -> Any:
    """A tqdm bar on standard error; silent where nobody watches a log at level INFO."""
    from tqdm import tqdm

    quiet = logging.getLogger("dreamduck").getEffectiveLevel() > logging.INFO
    settings.setdefault("disable", quiet)
    settings.setdefault("mininterval", 0.5 if sys.stderr.isatty() else 10.0)
    settings.setdefault("dynamic_ncols", True)
    return tqdm(items, **settings)
