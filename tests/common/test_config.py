import argparse
import dataclasses
import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest

from dreamduck.common import config
from dreamduck.common.config import option, part
from dreamduck.common.errors import ConfigError, DreamDuckError


@dataclasses.dataclass(frozen=True)
class Sample:
    map_name: str = option("loop", "the map")
    rate: float = option(0.5, "a rate", unit="1/s", above=0.0, high=1.0)
    count: int = option(3, "how many", low=1)
    fast: bool = option(False, "hurry")
    mode: str = option("a", "which", choices=("a", "b"))
    limit: float | None = option(None, "at most, 100% of it", low=0.0)
    maps: tuple[str, ...] = option(("x", "y"), "several", flags=("-m",))
    point: tuple[float, ...] = option((0.5, 2), "a place")

    def __post_init__(self):
        config.check(self)


def parse(*flags):
    parser = argparse.ArgumentParser()
    config.add_arguments(parser, Sample)
    return config.from_arguments(Sample, parser.parse_args(flags))


def test_no_flags_give_the_defaults():
    assert parse() == Sample()


def test_flags_of_every_kind():
    got = parse("--map-name", "udem1", "--rate=1", "--count", "7", "--fast", "--mode=b", "--limit", "2")
    assert got == Sample("udem1", 1.0, 7, True, "b", 2.0)
    assert parse("--no-fast").fast is False
    assert parse("-m", "p, q,").maps == ("p", "q")
    assert parse("--map_name", "udem1").map_name == "udem1"


def test_help_shows_default_and_unit():
    parser = argparse.ArgumentParser()
    config.add_arguments(parser, Sample)
    text = " ".join(parser.format_help().split())
    assert "a rate [1/s] (default: 0.5)" in text
    assert "at most, 100% of it" in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 0.0}, "rate: expected more than 0.0 1/s, got 0.0"),
        ({"rate": 1.5}, "at most 1.0"),
        ({"rate": float("nan")}, "got nan"),
        ({"count": 0}, "count: expected at least 1, got 0"),
        ({"count": True}, "count: expected an integer, got True"),
        ({"count": 2.5}, "an integer"),
        ({"map_name": 3}, "map_name: expected a string, got 3"),
        ({"mode": "c"}, "mode: expected one of a, b, got 'c'"),
        ({"limit": -1.0}, "limit: expected at least"),
        ({"limit": math.inf}, "limit: expected a finite number, got inf"),
        ({"rate": np.float32("nan")}, "rate: expected a finite number"),
        ({"rate": 10**400}, "rate: expected a finite number"),
        ({"rate": np.bool_(True)}, "rate: expected a finite number, got True"),
        ({"rate": np.int64(3)}, "rate: expected at most 1.0"),
        ({"count": np.float64(3.0)}, "count: expected an integer, got 3.0"),
        ({"count": np.array(3)}, "count: expected an integer"),
        ({"fast": np.int64(1)}, "fast: expected true or false, got 1"),
        ({"point": (1.0, math.nan)}, "point: expected a finite number in each place, got nan"),
        ({"point": (1.0, "2")}, "point: expected a finite number in each place, got '2'"),
        ({"point": [1.0]}, "point: expected tuple"),
        ({"mode": pathlib.Path("a")}, "mode: expected a string"),
        ({"maps": ("a", 3)}, "maps: expected a string in each place, got 3"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(ConfigError) as caught:
        Sample(**values)
    assert message in str(caught.value)
    assert isinstance(caught.value, DreamDuckError)
    assert isinstance(caught.value, ValueError)


def test_numpy_scalars_and_paths_become_plain():
    numbers = [np.float32(0.5), np.uint8(7), np.bool_(True), np.str_("b"), np.int64(2)]
    given: list[Any] = [
        pathlib.Path("a/b.yaml"),
        *numbers,
        (pathlib.Path("c"), np.str_("d")),
        (np.float32(0.25),),
    ]
    sample = Sample(*given)
    assert sample == Sample("a/b.yaml", 0.5, 7, True, "b", 2, ("c", "d"), (0.25,))
    kinds = [str, float, int, bool, str, int, tuple, tuple]
    assert [type(value) for value in config.to_dict(sample).values()] == kinds
    assert json.loads(json.dumps(config.to_dict(sample)))["rate"] == 0.5


def test_integers_by_themselves():
    assert config.integer("num_envs", np.int32(4), 1) == 4
    for bad in (0, True, 2.0, "3", None, np.bool_(True)):
        with pytest.raises(ConfigError, match="num_envs: expected an integer of at least 1"):
            config.integer("num_envs", bad, 1)


def test_mapping_round_trip_and_unknown_keys():
    sample = Sample(maps=("u",), limit=1.0)
    assert config.from_mapping(Sample, {**config.to_dict(sample), "maps": ["u"]}) == sample
    with pytest.raises(ConfigError, match=r"unknown speed; expected some of map_name, rate"):
        config.from_mapping(Sample, {"speed": 1})


@dataclasses.dataclass(frozen=True)
class Wheels:
    radius: float = option(0.03, "of a wheel", unit="m", above=0.0)
    names: tuple[str, ...] = option(("left", "right"), "of the wheels")

    def __post_init__(self):
        config.check(self)


@dataclasses.dataclass(frozen=True)
class Car:
    wheels: Wheels = part(Wheels, radius=0.04)
    name: str = option("duck", "of the car")

    def __post_init__(self):
        config.check(self)


@dataclasses.dataclass(frozen=True)
class Garage:
    car: Car = part(Car)
    place: int = option(1, "in the garage", low=1)


def parse_garage(*flags):
    parser = argparse.ArgumentParser()
    config.add_arguments(parser, Garage, defaults={"name": "goose"})
    return config.from_arguments(Garage, parser.parse_args(flags))


def test_options_of_parts_stand_beside_a_configurations_own():
    assert list(config.options(Garage)) == ["radius", "names", "name", "place"]
    assert list(config.options(Garage, skip=("radius",))) == ["names", "name", "place"]
    made = config.from_mapping(Garage, {"radius": 0.05, "place": 2, "names": ["a"]})
    assert made == Garage(Car(Wheels(0.05, ("a",)), "duck"), 2)
    assert config.to_dict(made) == {"radius": 0.05, "names": ("a",), "name": "duck", "place": 2}
    assert config.from_mapping(Garage, json.loads(json.dumps(config.to_dict(made)))) == made
    assert config.replace(made, name="drake") == Garage(Car(Wheels(0.05, ("a",)), "drake"), 2)


def test_defaults_of_parts_may_differ_from_those_of_their_class():
    assert Garage().car.wheels.radius == 0.04
    assert config.from_mapping(Garage, {"name": "swan"}).car == Car(Wheels(0.04), "swan")
    assert parse_garage() == Garage(Car(name="goose"))
    assert parse_garage("--radius", "0.1", "--place", "3") == Garage(Car(Wheels(0.1), "goose"), 3)


def test_errors_in_parts_name_the_option():
    with pytest.raises(ConfigError, match="radius: expected more than"):
        config.from_mapping(Garage, {"radius": 0})
    with pytest.raises(ConfigError, match=r"Garage: unknown wheel; expected some of radius, names, name"):
        config.from_mapping(Garage, {"wheel": 0})
    with pytest.raises(ConfigError, match="wheels: expected Wheels, got 3"):
        Car(wheels=3)  # type: ignore[arg-type]
