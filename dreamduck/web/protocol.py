"""What the page and the server say to each other.

The page speaks JSON, one object a message, `type` first among
its keys; nothing that is not described here is let through. The server answers in JSON, and tells
each moment in one binary message, so that its pictures and its numbers always belong together."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.common.config import check, from_mapping, option
from dreamduck.common.errors import MessageError
from dreamduck.web.session import DRIVERS, REPLAY
from dreamduck.web.share_link import MAX_LINK, MAX_PULL, MAX_STEPS, MAX_TEMPERATURE, Start
from dreamduck.window.policy_switch import PERSON
from dreamduck.world_model.imagination import TEMPERATURE

Frame = npt.NDArray[np.uint8]

PICTURE_BYTES = 64 * 64 * 3  # a picture to dream from comes as plain RGB; the browser makes it so
MAX_MESSAGE = MAX_LINK + 1024  # bytes; whatever is longer closes the connection
MAX_PACE = 60.0
CHOSEN = tuple(driver for driver in DRIVERS if driver != REPLAY)  # who can be asked to drive from the start
RAW_PIXELS = 64 * 64  # larger pictures go as JPEG


@dataclasses.dataclass(frozen=True)
class Message:
    """A message from the page."""

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class Begin(Message):
    """Begin a drive; `picture`: dream from the picture that was sent before."""

    world: str = option("dream", "which world")
    map_name: str = option("loop_empty", "Duckietown map")
    seed: int = option(0, "of everything", low=0, high=2**31 - 1)
    domain_rand: bool = option(False, "random looks")
    temperature: float = option(TEMPERATURE, "of the dream", low=0.0, high=MAX_TEMPERATURE)
    driver: str = option(PERSON, "who drives, where that one can; otherwise the person", choices=CHOSEN)
    run: bool = option(False, "whether it runs at once")
    picture: bool = option(False, "dream from the picture that was sent before")
    record: str = option("", "dream from a frame of this recording")
    frame: int = option(0, "which frame of the recording", low=0, high=10**6)

    def start(self, z: tuple[float, ...] = ()) -> Start:
        """What the worlds need of it."""
        return Start(self.world, self.map_name, self.seed, self.domain_rand, z)


@dataclasses.dataclass(frozen=True)
class Hold(Message):
    """What the person holds."""

    throttle: float = option(0.0, "forward", low=-1.0, high=1.0)
    steering: float = option(0.0, "to the left", low=-1.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class Driver(Message):
    """Who drives."""

    driver: str = option("person", "who", choices=DRIVERS)


@dataclasses.dataclass(frozen=True)
class Run(Message):
    """Run, or pause."""

    on: bool = option(True, "whether it runs")


@dataclasses.dataclass(frozen=True)
class Step(Message):
    """One step, and pause."""


@dataclasses.dataclass(frozen=True)
class Seek(Message):
    """Pause, and go to a moment."""

    step: int = option(0, "which", low=0, high=MAX_STEPS)


@dataclasses.dataclass(frozen=True)
class Pace(Message):
    """Steps a second."""

    rate: float = option(10.0, "steps a second", low=1.0, high=MAX_PACE)


@dataclasses.dataclass(frozen=True)
class Temperature(Message):
    """The dream's temperature."""

    value: float = option(TEMPERATURE, "temperature", low=0.0, high=MAX_TEMPERATURE)


@dataclasses.dataclass(frozen=True)
class Pull(Message):
    """Set one latent."""

    latent: int = option(0, "which", low=0, high=10_000)
    value: float = option(0.0, "to what", low=-MAX_PULL, high=MAX_PULL)


@dataclasses.dataclass(frozen=True)
class Save(Message):
    """Save what was driven: an episode and a film."""


@dataclasses.dataclass(frozen=True)
class Link(Message):
    """Ask for a link to what was driven; `tag` comes back with the answer."""

    tag: str = option("", "comes back")


@dataclasses.dataclass(frozen=True)
class Again(Message):
    """Drive what a link holds; `resume`: stand at one of its moments, to go on from there."""

    link: str = option("", "of to_link")
    resume: bool = option(False, "stand at `step`, paused, instead of showing the whole")
    step: int = option(MAX_STEPS, "where to stand; beyond the end means there", low=0, high=MAX_STEPS)
    driver: str = option(PERSON, "who drives after it, where that one can", choices=CHOSEN)


@dataclasses.dataclass(frozen=True)
class Records(Message):
    """Ask which recordings there are."""


@dataclasses.dataclass(frozen=True)
class Peek(Message):
    """Ask for one frame of a recording."""

    record: str = option("", "which")
    frame: int = option(0, "which frame", low=0, high=10**6)


MESSAGES: dict[str, type[Message]] = {
    "begin": Begin,
    "hold": Hold,
    "driver": Driver,
    "run": Run,
    "step": Step,
    "seek": Seek,
    "pace": Pace,
    "temperature": Temperature,
    "pull": Pull,
    "save": Save,
    "link": Link,
    "again": Again,
    "records": Records,
    "peek": Peek,
}


def parse(text: str) -> Message:
    """A message from the page.

    Raises:
        MessageError: it is not JSON, or of no kind described here.
        ConfigError: a value is missing its range.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise MessageError(f"message: expected JSON ({err})") from err
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise MessageError('message: expected an object with a "type"')
    cls = MESSAGES.get(value.pop("type"))
    if cls is None:
        raise MessageError(f"message: expected a type of {', '.join(MESSAGES)}")
    return from_mapping(cls, value)


def picture(data: bytes) -> Frame:
    """The frame (64, 64, 3) in a binary message from the page.

    Raises:
        MessageError: it is not 64 x 64 pixels of RGB.
    """
    if len(data) != PICTURE_BYTES:
        raise MessageError(f"picture: expected {PICTURE_BYTES} bytes (64 x 64, RGB), got {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(64, 64, 3)


def to_json(value: Mapping[str, Any]) -> str:
    """A message to the page; browsers know no NaN, so there must be none."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def pack(facts: Mapping[str, Any], pictures: Mapping[str, Frame]) -> bytes:
    """One moment as a binary message: length of the header, header, pictures.

    The header is `facts` and `pictures`, a list of name, width, height, coding ("rgb" or "jpeg")
    and number of bytes; the header's length is 4 bytes, low byte first.
    """
    listed, parts = [], []
    for name, frame in pictures.items():
        height, width = frame.shape[:2]
        coding = "rgb" if width * height <= RAW_PIXELS else "jpeg"
        data = np.ascontiguousarray(frame).tobytes() if coding == "rgb" else _jpeg(frame)
        listed.append([name, width, height, coding, len(data)])
        parts.append(data)
    header = to_json({**facts, "pictures": listed}).encode()
    return b"".join([struct.pack("<I", len(header)), header, *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The header and the coded pictures of a packed moment; for tests and for scripts that listen."""
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    pictures, at = {}, 4 + length
    for name, _, _, _, size in header["pictures"]:
        pictures[name] = message[at : at + size]
        at += size
    return header, pictures


def _jpeg(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
