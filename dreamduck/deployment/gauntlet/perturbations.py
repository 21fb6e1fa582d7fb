"""The catalogue of perturbations: the conditions of each episode in a row of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dreamduck.common.errors import ConfigError
from dreamduck.deployment.gauntlet.config import Strengths

BEST_JPEG = 95  # quality, above which JPEG changes nothing that is seen
CLEAN = "clean"


class Conditions(NamedTuple):
    """What disturbs one episode; the defaults disturb nothing.

    Attributes:
        fish_eye: whether the lens distorts, where the policy's own camera has none.
        domain_rand: whether light, colours, camera and wheels are drawn at random.
        dynamics_rand: whether the motors' gain, trim and delay are.
        pitch: of the camera [degrees], further down.
        height: of the camera, times its own.
        roll: of the camera [degrees], clockwise.
        exposure: factor of all colours.
        red: factor of red; blue is divided by it.
        blur: standard deviation, as a share of the frame's width.
        noise: standard deviation, of 255.
        jpeg_quality: 0 for none.
        latency: [s] from a frame to its command.
        left: factor of the left motor's speed.
        right: likewise.
        push: [m] sideways, at random times.
        irregular: whether frames come at an irregular rate and some are lost.
    """

    fish_eye: bool = False
    domain_rand: bool = False
    dynamics_rand: bool = False
    pitch: float = 0.0
    height: float = 1.0
    roll: float = 0.0
    exposure: float = 1.0
    red: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg_quality: int = 0
    latency: float = 0.0
    left: float = 1.0
    right: float = 1.0
    push: float = 0.0
    irregular: bool = False


class Perturbation(NamedTuple):
    """One row of the table.

    Attributes:
        key: its name on the command line and in JSON.
        label: its name in the table.
        draw: the conditions of an episode, from the episode's generator.
    """

    key: str
    label: str
    draw: Callable[[np.random.Generator], Conditions]


def catalogue(strengths: Strengths, only: Sequence[str] = ()) -> list[Perturbation]:
    """All perturbations of these strengths, the clean drive first.

    Args:
        strengths: of each.
        only: keys of those that are wanted; the clean drive comes along.
    Raises:
        ConfigError: there is none of such a key.
    """
    rows = [
        Perturbation(CLEAN, "clean", lambda rng: Conditions()),
        *_camera(strengths),
        *_time(strengths),
        *_car(strengths),
        Perturbation("domain-rand", "domain randomisation", lambda rng: Conditions(domain_rand=True)),
        Perturbation("dynamics-rand", "random dynamics", lambda rng: Conditions(dynamics_rand=True)),
        Perturbation("all-drawn", "all, strengths drawn", lambda rng: everything(strengths, rng, False)),
        Perturbation("all-full", "all, full strengths", lambda rng: everything(strengths, rng, True)),
    ]
    keys = [row.key for row in rows]
    for key in only:
        if key not in keys:
            raise ConfigError(f"only: expected some of {', '.join(keys)}, got {key!r}")
    return [row for row in rows if not only or row.key in (CLEAN, *only)]


def _camera(s: Strengths) -> list[Perturbation]:
    return [
        Perturbation("fish-eye", "fish-eye lens", lambda rng: Conditions(fish_eye=True)),
        Perturbation(
            "jpeg", f"JPEG quality {s.jpeg_quality}", lambda rng: Conditions(jpeg_quality=s.jpeg_quality)
        ),
        Perturbation(
            "exposure",
            f"exposure ±{100 * s.exposure:.0f}%, white balance ±{100 * s.white_balance:.0f}%",
            lambda rng: Conditions(
                exposure=(1 + s.exposure) ** _sign(rng), red=(1 + s.white_balance) ** _sign(rng)
            ),
        ),
        Perturbation(
            "blur-noise",
            f"blur {100 * s.blur:g}% of the width, noise {s.noise:g}/255",
            lambda rng: Conditions(blur=s.blur, noise=s.noise),
        ),
        *_both("pitch", f"camera pitch {{}}{s.pitch:g}°", lambda sign: Conditions(pitch=sign * s.pitch)),
        *_both(
            "height",
            f"camera height {{}}{100 * s.height:.0f}%",
            lambda sign: Conditions(height=1 + sign * s.height),
        ),
        *_both("roll", f"camera roll {{}}{s.roll:g}°", lambda sign: Conditions(roll=sign * s.roll)),
    ]


def _time(s: Strengths) -> list[Perturbation]:
    def late(seconds: float) -> Perturbation:
        shown = f"{1000 * seconds:g}"
        return Perturbation(
            f"latency-{shown}", f"latency {shown} ms", lambda rng: Conditions(latency=seconds)
        )

    rate = f"{s.rate_low:g} to {s.rate_high:g} Hz, {100 * s.dropped:.0f}% of frames lost"
    return [
        *(late(seconds) for seconds in s.latency_seconds),
        Perturbation("rate", rate, lambda rng: Conditions(irregular=True)),
    ]


def _car(s: Strengths) -> list[Perturbation]:
    def weaker(rng: np.random.Generator) -> Conditions:
        weak = 1 - s.weak_wheel
        return Conditions(left=weak) if _sign(rng) < 0 else Conditions(right=weak)

    return [
        *_both(
            "gain",
            f"motor gain {{}}{100 * s.gain:.0f}%",
            lambda sign: Conditions(left=1 + sign * s.gain, right=1 + sign * s.gain),
        ),
        *_both(
            "trim",
            f"motor trim {{}}{s.trim:g}",
            lambda sign: Conditions(left=1 - sign * s.trim, right=1 + sign * s.trim),
        ),
        Perturbation("weak-wheel", f"one wheel {100 * s.weak_wheel:.0f}% weaker", weaker),
        Perturbation(
            "push", f"pushes of {100 * s.push:g} cm sideways", lambda rng: Conditions(push=s.push)
        ),
    ]


def _both(key: str, label: str, made: Callable[[int], Conditions]) -> list[Perturbation]:
    """A perturbation in one direction, and in the other."""
    return [
        Perturbation(f"{key}+", label.format("+"), lambda rng: made(1)),
        Perturbation(f"{key}-", label.format("−"), lambda rng: made(-1)),
    ]


def everything(strengths: Strengths, rng: np.random.Generator, full: bool) -> Conditions:
    """All perturbations at once.

    Args:
        strengths: the greatest of each.
        rng: of the episode.
        full: the greatest strengths, in directions that are drawn; else strengths are drawn evenly, from
            nothing to the greatest.
    """
    s = strengths

    def some(most: float) -> float:
        return most if full else most * float(rng.uniform())

    def signed(most: float) -> float:
        return _sign(rng) * some(most)

    gain, trim, weak = 1 + signed(s.gain), signed(s.trim), 1 - some(s.weak_wheel)
    weak_left = _sign(rng) < 0
    return Conditions(
        fish_eye=full or _sign(rng) > 0,
        domain_rand=True,
        dynamics_rand=True,
        pitch=signed(s.pitch),
        height=1 + signed(s.height),
        roll=signed(s.roll),
        exposure=(1 + some(s.exposure)) ** _sign(rng),
        red=(1 + some(s.white_balance)) ** _sign(rng),
        blur=some(s.blur),
        noise=some(s.noise),
        jpeg_quality=BEST_JPEG - round(some(max(BEST_JPEG - s.jpeg_quality, 0))),
        latency=some(max(s.latency_seconds)),
        left=gain * (1 - trim) * (weak if weak_left else 1.0),
        right=gain * (1 + trim) * (1.0 if weak_left else weak),
        push=some(s.push),
        irregular=True,
    )


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.uniform() < 0.5 else -1
