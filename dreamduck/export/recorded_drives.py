"""Recorded episodes of the road for the one-file page, which has no simulator: frames and states."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dreamduck.web.session import Session
from dreamduck.web.session_factory import SessionFactory
from dreamduck.web.share_link import Start
from dreamduck.window.policy_switch import CONTROLLER, EXPERT

MAPS = ("loop_empty", "zigzag_dists", "TTIC_large_loop")  # those of them that are installed
STEPS = 120  # of a drive, at most
SIDE, QUALITY = 192, 60  # pixels of a frame, and of WebP, which takes half of what JPEG does
LAST = "recorded-end"  # the recording ended before the episode did
# Facts that a recorded episode provides: the car's true state, which the dream does not change.
FACTS = ("lane_dist", "lane_angle", "in_lane", "speed", "distance", "pose")
DIGITS = 4


def recorded_drives(factory: SessionFactory) -> tuple[dict[str, npt.NDArray[Any]], list[dict[str, Any]]]:
    """A drive on each map, by the controller, or where there is none by the expert.

    Args:
        factory: with the world model and the settings of the road.

    Returns:
        Arrays by name: `drives_z` (N, Z) of all frames, `drives_h` and `drives_c` (D, H) and (D, C) at the
        first of each drive, `drives_webp` all frames, `drives_ends` (N,) where each ends. And of each
        drive: `map_name`, `number`, `first` (its first frame), `side`, `actions`, `rewards`, `facts`,
        `end`, `policy`, `outline`.
    """
    known = factory.describe()["maps"]
    maps = [name for name in MAPS if name in known] or known[:1]
    drives: list[dict[str, Any]] = []
    frames: list[Any] = []
    arrays: dict[str, list[Any]] = {"drives_z": [], "drives_h": [], "drives_c": []}
    for number, name in enumerate(maps):
        session = Session(factory.make(Start("split", name, warm=True)))
        scene: Any = session.scene
        session.choose_policy(CONTROLLER if CONTROLLER in scene.policies else EXPERT)
        perception = scene.env.perception
        for part in ("h", "c"):
            arrays[f"drives_{part}"].append(getattr(perception.state, part)[0].copy())
        drive = {"map_name": name, "number": number, "first": len(frames), "side": SIDE}
        shown = []
        while True:
            images, facts = session.show()
            shown.append(facts)
            frames.append(_webp(images["camera"]))
            arrays["drives_z"].append(perception.z[0].copy())
            if session.at == STEPS or not session.advance():
                break
        session.close()
        drives.append({**drive, **_facts(shown), "outline": factory.outline(name)})
    ends = np.cumsum([len(frame) for frame in frames]).astype(np.float32)
    packed = {name: np.array(rows, np.float32) for name, rows in arrays.items()}
    return {**packed, "drives_ends": ends, "drives_webp": np.frombuffer(b"".join(frames), np.uint8)}, drives


def _facts(shown: list[dict[str, Any]]) -> dict[str, Any]:
    """Facts of a recorded episode for the page, one entry a step."""
    return {
        "policy": shown[0]["policy"],
        "end": shown[-1]["end"] or LAST,
        "actions": [facts["action"] for facts in shown[1:]],
        "rewards": [facts["reward"] for facts in shown],
        "facts": [{name: _rounded(facts[name]) for name in FACTS if name in facts} for facts in shown],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def _webp(frame: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).resize((SIDE, SIDE)).save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()
