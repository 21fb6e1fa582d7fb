"""YAML as map files use it, read within limits.

PyYAML's own loader lets a few hundred bytes stand for gigabytes (merge keys in each other), recurses as
deep as the text does, and raises whatever its constructors raise. Here the parser's events become plain
lists, mappings, strings, numbers, booleans and None in one pass; each element is counted, and again where
a merge key copies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from dreamduck.common.errors import MapError
from dreamduck.simulator.maps.assets import read_file

# Duckietown's largest map has 36,000 bytes, 4,300 elements and a depth of 6; one of 10,000 tiles and 2,000
# objects, the largest that is accepted, stays below these too.
MAX_BYTES, MAX_ELEMENTS, MAX_DEPTH = 1_000_000, 100_000, 20
MAX_NUMBER = 100  # characters of a number
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is there
PREFIX = "tag:yaml.org,2002:"
MERGE = f"{PREFIX}merge"
SEQUENCE_TAGS, MAPPING_TAGS = (None, "!", f"{PREFIX}seq"), (None, "!", f"{PREFIX}map")
_OPEN = object()  # what an anchor stands for until its list or mapping is complete


def read_yaml(path: Any) -> Any:
    """What a YAML file says.

    Args:
        path: of the file, a `Path`.
    Returns:
        Lists, mappings, strings, numbers, booleans and None. Dates and binary data stay strings.
    Raises:
        MapError: it is no file, no YAML, or larger than a map can be; names the file and the line.
    """
    try:
        text = read_file(path, MAX_BYTES).decode("utf-8")
        loader = LOADER(text)
        try:
            return _Reader(loader).document()
        finally:
            loader.dispose()
    except MapError:
        raise
    except _Refused as err:
        raise MapError(f"{path}: {err}; correct the file") from err
    except (ValueError, yaml.YAMLError) as err:
        where = " ".join(str(err).split())
        raise MapError(f"{path}: expected a map in YAML ({where:.300}); correct the file") from err


class _Refused(Exception):
    """What is wrong, and in which line."""


class _Reader:
    """Makes values of a parser's events.

    Args:
        loader: one of PyYAML's.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._anchors: dict[str, Any] = {}
        self._left = MAX_ELEMENTS

    def document(self) -> Any:
        """The one document of the file; None if it is empty."""
        take, check = self._loader.get_event, self._loader.check_event
        take()
        if check(yaml.StreamEndEvent):
            return None
        take()
        value = self._value(take(), 1)
        take()
        if not check(yaml.StreamEndEvent):
            raise self._refused(take(), "expected one document, got a second")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        """The value that begins with this event."""
        self._count(event, 1)
        if isinstance(event, yaml.AliasEvent):
            value = self._anchors.get(str(event.anchor), self)
            if value is self:
                raise self._refused(event, f"expected &{event.anchor:.40} before its alias, found none")
            if value is _OPEN:
                raise self._refused(event, f"expected a value, got *{event.anchor:.40}, which holds itself")
            return value
        if event.anchor:
            self._anchors[event.anchor] = _OPEN
        if depth > MAX_DEPTH:
            raise self._refused(
                event, f"expected at most {MAX_DEPTH} levels of lists and mappings, got more"
            )
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, self._tag(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(event, depth)
        else:
            value = self._mapping(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _sequence(self, event: Any, depth: int) -> list[Any]:
        if event.tag not in SEQUENCE_TAGS:
            raise self._refused(event, f"expected a plain list, got the tag {event.tag:.40}")
        values = []
        while not isinstance(item := self._loader.get_event(), yaml.SequenceEndEvent):
            values.append(self._value(item, depth + 1))
        return values

    def _mapping(self, event: Any, depth: int) -> dict[Any, Any]:
        """A mapping; what it merges stands before its own entries, as PyYAML has it."""
        if event.tag not in MAPPING_TAGS:
            raise self._refused(event, f"expected a plain mapping, got the tag {event.tag:.40}")
        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        while not isinstance(item := self._loader.get_event(), yaml.MappingEndEvent):
            merges = isinstance(item, yaml.ScalarEvent) and self._tag(item) == MERGE
            key = None if merges else self._value(item, depth + 1)
            if isinstance(key, (list, dict)):
                raise self._refused(item, "expected a string or number as a key, got a list or mapping")
            value = self._value(self._loader.get_event(), depth + 1)
            if merges:
                self._merge(item, value, merged)
            else:
                own[key] = value
        return merged | own

    def _merge(self, event: Any, value: Any, merged: dict[Any, Any]) -> None:
        """Add a mapping, or several of which the first has precedence, to what is merged so far."""
        sources = value if isinstance(value, list) else [value]
        for source in reversed(sources):
            if not isinstance(source, dict):
                raise self._refused(event, "expected a mapping, or a list of mappings, after <<")
            self._count(event, len(source))
            merged.update(source)

    def _tag(self, event: Any) -> str:
        """The tag of a scalar: its own, or the one that its text has by YAML's rules."""
        if event.tag not in (None, "!"):
            return str(event.tag)
        return str(self._loader.resolve(yaml.ScalarNode, event.value, event.implicit))

    def _scalar(self, event: Any, tag: str) -> Any:
        kind, text = tag.removeprefix(PREFIX), event.value
        if kind in ("str", "value", "timestamp", "binary", "merge"):
            return text
        construct: Mapping[str, Callable[[Any], Any]] = {
            "null": self._loader.construct_yaml_null,
            "bool": self._loader.construct_yaml_bool,
            "int": self._loader.construct_yaml_int,
            "float": self._loader.construct_yaml_float,
        }
        if kind not in construct or not tag.startswith(PREFIX):
            raise self._refused(event, f"expected a string, number or boolean, got the tag {tag:.40}")
        if len(text) > MAX_NUMBER:
            raise self._refused(
                event,
                f"expected a number of at most {MAX_NUMBER} characters, got {text:.20}... ({len(text)})",
            )
        try:
            return construct[kind](yaml.ScalarNode(tag, text))
        except (ValueError, LookupError, ArithmeticError) as err:
            raise self._refused(event, f"expected a value of the kind {kind}, got {text!r:.60}") from err

    def _count(self, event: Any, more: int) -> None:
        self._left -= more
        if self._left < 0:
            raise self._refused(event, f"expected at most {MAX_ELEMENTS} elements, got more")

    def _refused(self, event: Any, what: str) -> _Refused:
        return _Refused(f"line {event.start_mark.line + 1}: {what}")
