"""Command lines that are parsed and not run."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dreamduck.cli import COMMANDS


def parse(main: Callable[[Sequence[str]], Any], arguments: Sequence[str]) -> None:
    """Let a command parse its arguments, and go no further."""

    class Parsed(Exception):
        pass

    original = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: Any) -> Any:
        original(self, *given)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(Parsed):
            main(arguments)


def main_of(name: str) -> Callable[[Sequence[str]], Any]:
    """The function behind a subcommand."""
    module, _, function = COMMANDS[name].target.partition(":")
    found: Callable[[Sequence[str]], Any] = getattr(importlib.import_module(module), function)
    return found
