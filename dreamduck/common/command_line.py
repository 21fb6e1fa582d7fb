"""What every command line shares: logging, one-line errors, progress bars."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from dreamduck.common.errors import DreamDuckError
from dreamduck.common.extras import needed
from dreamduck.common.processes.launcher import parents
from dreamduck.common.processes.workers import end_with_parent

T = TypeVar("T")
SPACE = "free some space and give the same command again"
REMEDIES = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose another file or folder, or change its permissions",
    errno.EPERM: "choose another file or folder, or change its permissions",
    errno.EMFILE: "too many files are open in this process; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.ENOTDIR: "a file stands where a folder is expected; choose another path",
    errno.EISDIR: "a folder stands where a file is expected; choose another path",
    errno.EEXIST: "a file stands where a folder is expected; choose another path",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "the path leads to a link to itself; choose another",
    errno.EADDRINUSE: "choose another port",
    errno.ENOMEM: "close other programs",
}
RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
RANK_WAIT = 2.0  # [s] for the first rank to end
USAGE = 2  # the exit code for bad input, as argparse has it


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions and examples."""


class Parser(argparse.ArgumentParser):
    """An argument parser that also completes what is typed in a shell, by argcomplete."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; where the shell asks for completions, answer and exit."""
        self.complete()
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line, without argparse's usage, which fills a screen; exit."""
        self.exit(USAGE, f"error: {message}; `{self.prog} -h` lists the flags\n")

    def complete(self) -> None:
        """Answer a shell that asks for completions, and exit."""
        if completes():
            with needed("completion"):
                import argcomplete
            argcomplete.autocomplete(self)


def completes() -> bool:
    """Whether a shell started this process to complete a line that is not finished."""
    return "_ARGCOMPLETE" in os.environ


def parser(description: str, epilog: str = "") -> Parser:
    """An argument parser with the verbosity flags that every command has."""
    made = Parser(description=description, epilog=epilog, formatter_class=Formatter)
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


def explain(err: OSError) -> str:
    """An error of the operating system, on one line: which file, what is wrong, what to do."""
    reason = " ".join(str(err.strerror or err).split())
    where = f"{err.filename}: " if err.filename is not None else ""
    remedy = REMEDIES.get(err.errno or 0)
    return f"{where}{reason}{f'; {remedy}' if remedy else ''}"


def run(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> None:
    """Run a command.

    An error of ours, or of the operating system (a full disk, a folder that cannot be written), becomes
    one line and exit code 2, Ctrl-C exit code 130.
    """
    end_with_parent()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is shown as \\xNN
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # or the interpreter flushes at exit, where its exception cannot be caught
    except DreamDuckError as err:
        _say(f"error: {err}")
        code = USAGE
    except KeyboardInterrupt:
        _say("interrupted")
        code = 130
    except BrokenPipeError:
        code = 0  # the reader of the output, for example `head`, has closed it
        _drop_output()
    except OSError as err:
        if err.errno is None:  # of a library, which says nothing about the system
            raise
        _say(f"error: {explain(err)}")
        code = USAGE
        _drop_output()
    except MemoryError as err:
        reason = " ".join(str(err).split())
        _say(f"error: not enough memory{f' ({reason})' if reason else ''}; close other programs")
        code = USAGE
    sys.exit(code or 0)


def _say(text: str) -> None:
    """Print a line on standard error, if there is one.

    Under `mpiexec` all ranks may fail in the same way; then only the first one prints.
    """
    for name in RANK_VARIABLES:
        if os.environ.get(name, "0") != "0":
            time.sleep(RANK_WAIT)
            if not _sibling_with(f"{name}=0"):
                return
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def _sibling_with(word: str) -> bool:
    """Whether a process with the same parent has a word such as "PMI_RANK=0" in its environment."""
    for process, parent in parents().items():
        with contextlib.suppress(OSError):
            given = Path(f"/proc/{process}/environ").read_bytes() if parent == os.getppid() else b""
            if word.encode() in given.split(b"\0"):
                return True
    return False


def _drop_output() -> None:
    """Redirect standard output to the null device, so that its buffer raises nothing at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def search_here() -> None:
    """Find modules that a command line or a card names in the working folder too."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def progress(items: Iterable[T] | None = None, **settings: Any) -> Any:
    """A tqdm bar on standard error; off where the log level is above INFO."""
    from tqdm import tqdm

    quiet = logging.getLogger("dreamduck").getEffectiveLevel() > logging.INFO
    settings.setdefault("disable", quiet)
    settings.setdefault("mininterval", 0.5 if sys.stderr.isatty() else 10.0)
    settings.setdefault("dynamic_ncols", True)
    return tqdm(items, **settings)
