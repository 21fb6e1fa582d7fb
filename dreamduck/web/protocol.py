"""The messages between the page and the server.

The page sends JSON, one object a message, with its `type`; what is not described here is refused. The
server answers in JSON, and sends each moment as one binary message, so that images and numbers
belong together."""

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
from dreamduck.web.episode_images import FORMS, IMAGE
from dreamduck.web.session import POLICIES, REPLAY
from dreamduck.web.share_link import MAX_LATENT, MAX_LINK, MAX_STEPS, MAX_TEMPERATURE, Start
from dreamduck.window.policy_switch import PERSON

Frame = npt.NDArray[np.uint8]

IMAGE_BYTES = 64 * 64 * 3  # an image to dream from comes as plain RGB; the browser makes it so
MAX_MESSAGE = MAX_LINK + 1024  # bytes; whatever is longer closes the connection
MAX_PACE = 60.0
CHOSEN = tuple(policy for policy in POLICIES if policy != REPLAY)  # what an episode can begin with
RAW_PIXELS = 64 * 64  # larger images go as JPEG
VIEWED = {"low": -3.0, "middle": 0.0, "high": 3.0}  # values of a latent whose images are shown


@dataclasses.dataclass(frozen=True)
class Message:
    """A message from the page."""

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True)
class Begin(Message):
    """Begin an episode; `image`: dream from the image that was sent before."""

    world: str = option("dream", "which world")
    map_name: str = option("loop_empty", "Duckietown map")
    seed: int = option(0, "of everything", low=0, high=2**31 - 1)
    domain_rand: bool = option(False, "random appearance")
    temperature: float | None = option(None, "of the dream", low=0.0, high=MAX_TEMPERATURE)
    policy: str = option(PERSON, "the policy, where the world has it; otherwise the person", choices=CHOSEN)
    run: bool = option(False, "whether it runs at once")
    image: bool = option(False, "dream from the image that was sent before")
    record: str = option("", "dream from a frame of this recording")
    frame: int = option(0, "which frame of the recording", low=0, high=10**6)
    warm: bool = option(False, "begin in motion")

    def start(self, z: tuple[float, ...] = ()) -> Start:
        """What the worlds need of it."""
        return Start(self.world, self.map_name, self.seed, self.domain_rand, z, warm=self.warm and not z)


@dataclasses.dataclass(frozen=True)
class SetAction(Message):
    """The action of the person, until the next."""

    throttle: float = option(0.0, "forward", low=-1.0, high=1.0)
    steering: float = option(0.0, "to the left", low=-1.0, high=1.0)


@dataclasses.dataclass(frozen=True)
class SetPolicy(Message):
    """The policy, from the next step on."""

    policy: str = option(PERSON, "which", choices=POLICIES)


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
class SetInView(Message):
    """Whether the tab is in view; images are made only then."""

    on: bool = option(True, "whether it is in view")


@dataclasses.dataclass(frozen=True)
class SetPace(Message):
    """Steps a second."""

    rate: float = option(10.0, "steps a second", low=1.0, high=MAX_PACE)


@dataclasses.dataclass(frozen=True)
class SetTemperature(Message):
    """The dream's temperature."""

    value: float = option(1.0, "temperature", low=0.0, high=MAX_TEMPERATURE)


@dataclasses.dataclass(frozen=True)
class SetLatent(Message):
    """Set one latent of this moment."""

    latent: int = option(0, "which", low=0, high=10_000)
    value: float = option(0.0, "to what", low=-MAX_LATENT, high=MAX_LATENT)


@dataclasses.dataclass(frozen=True)
class SetLatents(Message):
    """Set all latents of this moment."""

    values: tuple[float, ...] = option((), f"to what, each within {MAX_LATENT}")


@dataclasses.dataclass(frozen=True)
class ResetLatents(Message):
    """Give the latents of this moment their own values again."""


@dataclasses.dataclass(frozen=True)
class ViewLatent(Message):
    """Ask for the images of this moment with one latent at each of `VIEWED` values."""

    latent: int = option(0, "which", low=0, high=10_000)


@dataclasses.dataclass(frozen=True)
class Sync(Message):
    """Put the dream beside the road again."""


@dataclasses.dataclass(frozen=True)
class Save(Message):
    """Save the episode: a recording and a video."""


@dataclasses.dataclass(frozen=True)
class Export(Message):
    """Write the episode for people: this moment, a film strip, or a video."""

    form: str = option(IMAGE, "what is written", choices=FORMS)
    images: tuple[str, ...] = option((), "which images; none: all of this world")
    every: int = option(5, "steps between two moments of a strip", low=1, high=MAX_STEPS)


@dataclasses.dataclass(frozen=True)
class MakeLink(Message):
    """Ask for a link to this episode; `tag` comes back with the answer."""

    tag: str = option("", "comes back")


@dataclasses.dataclass(frozen=True)
class OpenLink(Message):
    """Replay the episode in a link; `resume`: stand at one of its moments, to drive from there."""

    link: str = option("", "of to_link")
    resume: bool = option(False, "stand at `step`, paused, instead of showing the whole")
    step: int = option(MAX_STEPS, "where to stand; beyond the end means there", low=0, high=MAX_STEPS)
    policy: str = option(PERSON, "the policy after it, where the world has it", choices=CHOSEN)


@dataclasses.dataclass(frozen=True)
class ListRecords(Message):
    """Ask which recordings there are."""


@dataclasses.dataclass(frozen=True)
class GetFrame(Message):
    """Ask for one frame of a recording."""

    record: str = option("", "which recording")
    frame: int = option(0, "which frame", low=0, high=10**6)


MESSAGES: dict[str, type[Message]] = {
    "begin": Begin,
    "action": SetAction,
    "policy": SetPolicy,
    "run": Run,
    "step": Step,
    "seek": Seek,
    "pace": SetPace,
    "in_view": SetInView,
    "temperature": SetTemperature,
    "latent": SetLatent,
    "latents": SetLatents,
    "reset_latents": ResetLatents,
    "view_latent": ViewLatent,
    "sync": Sync,
    "save": Save,
    "export": Export,
    "link": MakeLink,
    "open_link": OpenLink,
    "records": ListRecords,
    "record_frame": GetFrame,
}


def parse(text: str) -> Message:
    """A message from the page.

    Raises:
        MessageError: it is not JSON, or of no kind described here.
        ConfigError: a value is out of its range.
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


def image(data: bytes) -> Frame:
    """The frame (64, 64, 3) in a binary message from the page.

    Raises:
        MessageError: it is not 64 x 64 pixels of RGB.
    """
    if len(data) != IMAGE_BYTES:
        raise MessageError(f"image: expected {IMAGE_BYTES} bytes (64 x 64, RGB), got {len(data)}")
    return np.frombuffer(data, np.uint8).reshape(64, 64, 3)


def to_json(value: Mapping[str, Any]) -> str:
    """A message to the page; browsers know no NaN, so there must be none."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def pack(facts: Mapping[str, Any], images: Mapping[str, Frame]) -> bytes:
    """One moment as a binary message: length of the header, header, images.

    The header is `facts` and `images`, a list of name, width, height, coding ("rgb" or "jpeg")
    and number of bytes; the header's length is 4 bytes, low byte first.
    """
    listed, parts = [], []
    for name, frame in images.items():
        height, width = frame.shape[:2]
        coding = "rgb" if width * height <= RAW_PIXELS else "jpeg"
        data = np.ascontiguousarray(frame).tobytes() if coding == "rgb" else _jpeg(frame)
        listed.append([name, width, height, coding, len(data)])
        parts.append(data)
    header = to_json({**facts, "images": listed}).encode()
    return b"".join([struct.pack("<I", len(header)), header, *parts])


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The header and the coded images of a packed moment; for tests and for other clients."""
    (length,) = struct.unpack_from("<I", message)
    header = json.loads(message[4 : 4 + length])
    images, at = {}, 4 + length
    for name, _, _, _, size in header["images"]:
        images[name] = message[at : at + size]
        at += size
    return header, images


def _jpeg(frame: Frame) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
