"""Configurations are frozen dataclasses; argparse is derived from them.

A field made with `option` carries its help text, unit and limits. The same class validates
keyword arguments, command-line flags and JSON, and refuses unknown keys.

A configuration may be composed of others, as fields made with `part`. Flags, keyword arguments and JSON
stay flat: the options of the parts stand beside its own."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dreamduck.common.errors import ConfigError

C = TypeVar("C")


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    flags: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its help text, unit and limits, from which argparse's flags are made.

    Args:
        low: inclusive limits.
        high: likewise.
        above: an exclusive lower limit.
        flags: further spellings on the command line, for example ("-t",).
    """
    metadata = dict(help=help, unit=unit, choices=choices, low=low, above=above, high=high, flags=flags)
    return dataclasses.field(default=default, metadata=metadata)


def part(cls: type[Any], **defaults: Any) -> Any:
    """A dataclass field that is a configuration of its own.

    Args:
        cls: its class.
        defaults: options whose default differs from that of the class.
    """
    return dataclasses.field(default_factory=lambda: from_mapping(cls, defaults))


class Option(NamedTuple):
    """One option of a configuration, of its own or of a part.

    Attributes:
        field: of the dataclass that holds it.
        kind: its plain type.
        optional: whether None is allowed.
        default: its default.
        part: the field of the part that holds it; "" if it is the configuration's own.
    """

    field: Any
    kind: Any
    optional: bool
    default: Any
    part: str


def options(cls: type[Any], skip: Iterable[str] = ()) -> dict[str, Option]:
    """Every option of a configuration class by its name, those of its parts included.

    Args:
        cls: the class.
        skip: names to leave out.
    """
    hints, skipped, found = typing.get_type_hints(cls), set(skip), {}
    for field in dataclasses.fields(cls):
        kind, optional = _kind(hints[field.name])
        default = _default(field)
        if dataclasses.is_dataclass(kind):
            for name, inner in options(typing.cast("type[Any]", kind)).items():
                found[name] = inner._replace(default=to_dict(default)[name], part=field.name)
        else:
            found[field.name] = Option(field, kind, optional, default, "")
    return {name: one for name, one in found.items() if name not in skipped}


def check(config: Any) -> None:
    """Validate every `option` of a dataclass; to be called in `__post_init__`.

    numpy's scalars become Python's, paths become strings.

    Raises:
        ConfigError: a value is of the wrong kind, not finite, not among the choices or out of its range.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, meta = getattr(config, field.name), field.metadata
        kind, optional = _kind(hints[field.name])
        if value is None and optional:
            continue
        value = plain(value, kind, paths=not meta.get("choices"))
        if not _fits(value, kind):
            raise ConfigError(f"{field.name}: expected {_name(kind)}, got {value!r}")
        if kind is tuple:
            value = _parts(field.name, value, hints[field.name])
        object.__setattr__(config, field.name, value)
        if meta.get("choices") and value not in meta["choices"]:
            raise ConfigError(
                f"{field.name}: expected one of {', '.join(map(str, meta['choices']))}, got {value!r}"
            )
        for limit, bad, text in (
            (meta.get("low"), lambda v, m: v < m, "at least"),
            (meta.get("above"), lambda v, m: v <= m, "more than"),
            (meta.get("high"), lambda v, m: v > m, "at most"),
        ):
            if limit is not None and bad(value, limit):
                unit = f" {meta['unit']}" if meta.get("unit") else ""
                raise ConfigError(f"{field.name}: expected {text} {limit}{unit}, got {value!r}")


def add_arguments(
    parser: argparse.ArgumentParser,
    cls: type,
    skip: Iterable[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Add a flag for each field of a configuration class: `map_name` becomes `--map-name`.

    The spelling with underscores is accepted too.
    """
    for name, (field, kind, optional, default, _) in options(cls, skip).items():
        default = (defaults or {}).get(name, default)
        others = field.metadata.get("flags", ())
        names = [f for f in others if not f.startswith("--")] + [f"--{field.name.replace('_', '-')}"]
        if "_" in field.name:
            names.append(f"--{field.name}")
        names += [f for f in others if f.startswith("--")]
        unit = f" [{field.metadata['unit']}]" if field.metadata.get("unit") else ""
        shown = "" if optional and default is None else f" (default: {_shown(default)})"
        text = f"{field.metadata.get('help', '')}{unit}{shown}".replace("%", "%%")
        extra: dict[str, Any] = {"dest": field.name, "default": default, "help": text}
        if kind is bool:
            parser.add_argument(*names, action=argparse.BooleanOptionalAction, **extra)
        elif kind is tuple:
            parser.add_argument(*names, type=_parse_tuple, metavar="A,B,...", **extra)
        else:
            choices = field.metadata.get("choices") or None
            parser.add_argument(*names, type=kind, choices=choices, **extra)


def given(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, argv: Sequence[str] | None
) -> set[str]:
    """The names of the flags that a command line gives, rather than leaves to the default.

    Args:
        arguments: as the parser has parsed them.
        argv: the words; those of the process where it is None.
    """
    unset = object()
    blank = {name: unset for name, value in vars(arguments).items() if not isinstance(value, list)}
    parsed = parser.parse_args(argv, argparse.Namespace(**blank))
    return {name for name, value in vars(parsed).items() if value not in (unset, None, [])}


def refuse(said: Iterable[str], why: str) -> None:
    """Refuse flags that would have no effect.

    Args:
        said: their names.
        why: where they have none, for example "in the dream".
    Raises:
        ConfigError: there is one or more.
    """
    names = sorted(said)
    if names:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise ConfigError(f"{flags}: of no effect {why}; leave it out")


def from_arguments(cls: type[C], arguments: argparse.Namespace) -> C:
    """The configuration that parsed flags describe; fields without a flag keep their default."""
    given = vars(arguments)
    return from_mapping(cls, {name: given[name] for name in options(cls) if name in given})


def from_mapping(cls: type[C], values: Mapping[str, Any]) -> C:
    """The configuration in a JSON object or in keyword arguments.

    Raises:
        ConfigError: an unknown key, or a bad value.
    """
    known = options(cls)
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"{cls.__name__}: unknown {', '.join(unknown)}; expected some of {', '.join(known)}"
        )
    own: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        made = tuple(value) if known[name].kind is tuple and isinstance(value, list) else value
        target = parts.setdefault(known[name].part, {}) if known[name].part else own
        target[name] = made
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    for name, given in parts.items():
        default = _default(fields[name])
        own[name] = from_mapping(type(default), {**to_dict(default), **given})
    return cls(**own)


def replace(config: C, **changes: Any) -> C:
    """The same configuration with other values of some options, its own or those of its parts.

    Raises:
        ConfigError: an unknown option, or a bad value.
    """
    return from_mapping(type(config), {**to_dict(config), **changes})


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The differences between two settings as a message; "" where they are equal."""
    names = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    return ", ".join(f"{name} (then {then.get(name)}, now {now.get(name)})" for name in names)


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as a JSON object, the options of its parts beside its own."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        found |= to_dict(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return found


def flags(config: Any, skip: Iterable[str] = ()) -> list[str]:
    """The command-line flags of the settings that differ from the defaults.

    Args:
        config: the settings.
        skip: names to leave out.
    """
    found, given = [], to_dict(config)
    for name, known in options(type(config), skip).items():
        value, flag = given[name], name.replace("_", "-")
        if value == known.default:
            continue
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            found += [f"--{flag}", _shown(value)]
    return found


def _kind(hint: Any) -> tuple[Any, bool]:
    """The plain type behind a hint, and whether None is allowed."""
    arguments = [a for a in typing.get_args(hint) if a is not type(None)]
    optional = type(None) in typing.get_args(hint)
    if optional and len(arguments) == 1:
        hint = arguments[0]
    return typing.get_origin(hint) or hint, optional


def plain(value: Any, kind: Any, paths: bool = True) -> Any:
    """A numpy scalar as the Python number that it stands for, and a path as a string.

    Args:
        kind: what is expected; numbers and booleans are not converted to each other.
        paths: whether a path may stand for a string.
    """
    if isinstance(value, np.generic) and kind in (bool, int, float, str):
        value = value.item()
    if kind is str and paths and isinstance(value, os.PathLike):
        value = os.fspath(value)
    return value


def integer(name: str, value: Any, low: int) -> int:
    """An integer that is no option of a configuration, for example a number of environments.

    Raises:
        ConfigError: it is none, or less than `low`.
    """
    found = plain(value, int)
    if not _fits(found, int) or found < low:
        raise ConfigError(f"{name}: expected an integer of at least {low}, got {value!r}")
    return int(found)


def _parts(name: str, values: tuple[Any, ...], hint: Any) -> tuple[Any, ...]:
    """The parts of a tuple, each of the kind in `tuple[kind, ...]`."""
    kind = next(iter(typing.get_args(hint)), object)
    values = tuple(plain(value, kind) for value in values)
    for value in values:
        if not _fits(value, kind):
            raise ConfigError(f"{name}: expected {_name(kind)} in each place, got {value!r:.200}")
    return values


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        try:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        except OverflowError:  # an integer beyond all floats
            return False
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def _name(kind: Any) -> str:
    words = {float: "a finite number", int: "an integer", str: "a string", bool: "true or false"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parse_tuple(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
