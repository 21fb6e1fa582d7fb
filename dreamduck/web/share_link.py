"""How an episode begins, and the link that replays it.

A link holds the start, every action, the temperature of every step, every changed latent, and when a dream
was put beside the road again; the worlds are deterministic, so that nothing else is needed."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import check, from_mapping, option
from dreamduck.common.errors import ConfigError

WORLDS = ("road", "seen", "dream", "split")
MAX_STEPS = 3000  # of one episode: five minutes of the road's time
MAX_TEMPERATURE = 3.0
MAX_LATENT = 10.0  # latents are roughly standard normal
MAX_LATENTS = 1024
OLD_START_ANGLE = 60.0  # [degrees], of links that do not say it
MAX_CHANGES = 5000  # latents set by hand in one episode; a link holds about as many
MAX_LINK = 60_000  # characters; a full episode with noise in every action needs about 20,000
GRID = 32767  # actions are integer multiples of 1 / GRID, so that a link carries them exactly
# Bytes of the longest link, unpacked: names; base64 of the latents; for each step an action and a count
# with its temperature, and its number where the dream was put beside the road; for each latent that was
# set its step, number and value.
MAX_UNPACKED = 1024 + 6 * MAX_LATENTS + (4 + 32 + 6) * MAX_STEPS + 48 * MAX_CHANGES


@dataclasses.dataclass(frozen=True)
class Start:
    """What an episode begins with.

    Attributes:
        z: the dream's first latents, (Z,) numbers; empty: drawn by the seed.
        warm: begin in motion: the dream from a recorded moment of straight driving, the road after the
            expert's first steps.
    """

    world: str = option("dream", "which world", choices=WORLDS)
    map_name: str = option("loop_empty", "Duckietown map, by name")
    seed: int = option(0, "of the start, of the map's traffic and of the dream", low=0, high=2**31 - 1)
    domain_rand: bool = option(False, "draw light, colours, camera and wheels by the seed")
    z: tuple[float, ...] = option((), "first latents of the dream")
    start_angle: float | None = option(
        None, "on the road, of `RoadConfig`; None: the server's", unit="degrees", low=1.0, high=180.0
    )
    warm: bool = option(False, "begin in motion")

    def __post_init__(self) -> None:
        check(self)
        if not all(_is_number(v) and abs(v) < 1e3 for v in self.z):
            raise ConfigError("z: expected finite numbers of sensible size")


@dataclasses.dataclass(frozen=True)
class Script:
    """All that is needed to replay an episode.

    Attributes:
        actions: (T, 2) float32, on the grid of `on_grid`.
        temperatures: T numbers, one a step.
        changed_latents: (moment, latent, value) of each latent that was set.
        synced: the moments at which the dream was put beside the road again.
    """

    start: Start
    actions: npt.NDArray[np.float32]
    temperatures: tuple[float, ...]
    changed_latents: tuple[tuple[int, int, float], ...] = ()
    synced: tuple[int, ...] = ()


def on_grid(action: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """An action (2,) clipped to [-1, 1] and rounded to a multiple of 1 / GRID."""
    return (np.rint(np.clip(np.asarray(action, np.float64), -1, 1) * GRID) / GRID).astype(np.float32)


def to_link(script: Script) -> str:
    """A script as letters that may stand in an address; `page/episode.js` makes the same.

    Raises:
        ConfigError: it would be longer than `from_link` takes, which needs thousands of changed latents.
    """
    start = dataclasses.asdict(script.start)
    start["z"] = base64.b64encode(np.asarray(script.start.z, "<f4").tobytes()).decode()
    runs: list[list[float]] = []
    for temperature in script.temperatures:
        if runs and runs[-1][1] == temperature:
            runs[-1][0] += 1
        else:
            runs.append([1, temperature])
    head = {"v": 1, "start": start, "temperatures": runs, "pulls": script.changed_latents}
    if script.synced:
        head["synced"] = script.synced
    whole = np.rint(script.actions.astype(np.float64) * GRID).astype("<i2")
    data = json.dumps(head, separators=(",", ":")).encode() + b"\0" + whole.tobytes()
    link = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode().rstrip("=")
    if len(link) > MAX_LINK or len(data) > MAX_UNPACKED or len(script.changed_latents) > MAX_CHANGES:
        raise ConfigError("link: too many latents were changed in this episode for a link; it can be saved")
    return link


def from_link(link: str) -> Script:
    """The script in a link.

    Raises:
        ConfigError: the link is damaged, too long, or holds a value out of range.
    """
    if len(link) > MAX_LINK:
        raise ConfigError(f"link: expected at most {MAX_LINK} characters, got {len(link)}")
    try:
        packed = base64.urlsafe_b64decode(link.encode("ascii") + b"=" * (-len(link) % 4))
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_UNPACKED)
        if unpacker.unconsumed_tail or unpacker.unused_data or not unpacker.eof:
            raise ConfigError("link: expected a whole episode, got one cut short or far too long")
        text, _, raw = data.partition(b"\0")
        head = json.loads(text)
        actions = np.frombuffer(raw, "<i2").reshape(-1, 2) / np.float64(GRID)
        return _script(head, actions.astype(np.float32))
    except ConfigError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, zlib.error, binascii.Error, RecursionError) as err:
        raise ConfigError(f"link: not one of ours, or damaged ({err}); copy it again") from err


def _script(head: Any, actions: npt.NDArray[np.float32]) -> Script:
    """A script from the parts of a link; everything is checked, since anybody may write a link."""
    if not isinstance(head, dict) or head.get("v") != 1:
        raise ConfigError("link: expected version 1; it may come from another version of dreamduck")
    if len(actions) > MAX_STEPS or not (np.abs(actions) <= 1).all():
        raise ConfigError(f"link: expected at most {MAX_STEPS} actions in [-1, 1]")
    start = {"start_angle": OLD_START_ANGLE, **head["start"]}
    z = np.frombuffer(base64.b64decode(start.pop("z")), "<f4")
    if len(z) > MAX_LATENTS or not np.isfinite(z).all():
        raise ConfigError(f"link: expected at most {MAX_LATENTS} finite latents, got {len(z)}")
    return Script(
        from_mapping(Start, {**start, "z": tuple(map(float, z))}),
        actions,
        _temperatures(head["temperatures"], len(actions)),
        _changed_latents(head["pulls"], len(actions)),
        _synced(head.get("synced", []), len(actions)),
    )


def _temperatures(runs: Any, steps: int) -> tuple[float, ...]:
    """One temperature for each step, from runs of [count, temperature]."""
    temperatures: list[float] = []
    for count, temperature in runs:
        left = steps - len(temperatures)
        if type(count) is not int or not 0 < count <= left:  # checked before anything is repeated
            raise ConfigError(f"link: expected temperatures of {steps} steps, got a count of {count!r:.20}")
        if not _is_number(temperature) or not 0 <= temperature <= MAX_TEMPERATURE:
            raise ConfigError(f"link: expected temperatures of 0 to {MAX_TEMPERATURE}")
        temperatures += [float(temperature)] * count
    if len(temperatures) != steps:
        raise ConfigError(f"link: {len(temperatures)} temperatures for {steps} actions")
    return tuple(temperatures)


def _changed_latents(rows: Any, steps: int) -> tuple[tuple[int, int, float], ...]:
    """The latents that were set, from rows of [step, latent, value]; none twice at one step."""
    if not isinstance(rows, list) or len(rows) > MAX_CHANGES:
        raise ConfigError(f"link: expected a list of at most {MAX_CHANGES} latents that were set")
    changed: dict[tuple[int, int], float] = {}
    for step, latent, value in rows:
        if type(step) is not int or type(latent) is not int or not _is_number(value):
            raise ConfigError("link: expected [step, latent, value] for each latent that was set")
        if not (0 <= step <= steps and 0 <= latent < MAX_LATENTS and abs(value) <= MAX_LATENT):
            raise ConfigError("link: a latent that was set is out of range")
        changed[step, latent] = float(value)
    if len(changed) != len(rows):
        raise ConfigError("link: a latent is set twice at one step")
    return tuple((*key, value) for key, value in changed.items())


def _synced(moments: Any, steps: int) -> tuple[int, ...]:
    """The moments at which the dream was put beside the road again, each at most once."""
    if not isinstance(moments, list) or len(moments) > steps + 1:
        raise ConfigError(f"link: expected a list of at most {steps + 1} moments")
    if any(type(moment) is not int or not 0 <= moment <= steps for moment in moments):
        raise ConfigError(f"link: expected moments of 0 to {steps}")
    return tuple(moments)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
