"""YAML as map files use it, read by PyYAML within limits.

PyYAML's loader lets a few hundred bytes stand for gigabytes (merge keys in each other) and recurses as deep
as the text does. So the parser's events are counted first, those of an alias as often as it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.resolver import Resolver

from dreamduck.common.errors import MapError
from dreamduck.common.readers import read_text

try:  # ten times faster, where libyaml is there
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]

# Duckietown's largest map has 36,000 bytes, 4,300 elements and a depth of 6; one of 10,000 tiles and 2,000
# objects, the largest that is accepted, stays below these too.
MAX_BYTES, MAX_ELEMENTS, MAX_DEPTH = 1_000_000, 100_000, 20
MAX_NUMBER = 100  # characters of a number
REMEDY = "correct the path, or the file"
STRING = "tag:yaml.org,2002:str"


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Args:
        path: of the file.
    Returns:
        What `yaml.safe_load` makes of it.
    Raises:
        MapError: it is no file, no YAML, or larger than a map can be; names the file and the line.
    """
    try:
        text = read_text(path, MapError, REMEDY, MAX_BYTES)
        _check(text)
        return yaml.load(text, Loader=SafeLoader)
    except MapError:
        raise
    except (ValueError, LookupError, ArithmeticError, TypeError, yaml.YAMLError) as err:
        where = " ".join(str(err).split())
        raise MapError(f"{path}: expected a map in YAML ({where:.300}); correct the file") from err


def _check(text: str) -> None:
    """Refuse what would take more memory or time than a map can.

    Raises:
        ValueError: says what, and in which line.
    """
    count = 0
    opened: list[tuple[str | None, int]] = []  # lists and mappings: anchor, and the count before
    sizes: dict[str | None, int] = {}
    for event in yaml.parse(text, Loader=SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = count - before
        if not isinstance(event, yaml.NodeEvent):
            continue
        assert event.start_mark is not None
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in opened):
                raise ValueError(f"{line}: expected a value, got *{event.anchor:.40}, which holds itself")
            count += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, count))
        elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_NUMBER:
            tag = event.tag or Resolver().resolve(yaml.ScalarNode, event.value, event.implicit)
            if tag != STRING:
                raise ValueError(f"{line}: expected a number of at most {MAX_NUMBER} characters, got more")
        count += 1
        if count > MAX_ELEMENTS:
            raise ValueError(f"{line}: expected at most {MAX_ELEMENTS} elements, got more")
        if len(opened) > MAX_DEPTH:
            raise ValueError(f"{line}: expected at most {MAX_DEPTH} levels of lists and mappings, got more")
