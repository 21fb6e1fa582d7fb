"""The contract of a deployed policy: what goes in, what comes out, what it was made from.

It stands in the ONNX file itself, and beside it as `contract.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dreamduck.common import extras
from dreamduck.common.errors import PolicyError
from dreamduck.common.readers import parse_json
from dreamduck.simulator.robot import CAMERA_FOV

METADATA = "dreamduck_contract"  # the key in the ONNX file
FORMAT, VERSION = "dreamduck-policy", 1
KINDS: dict[str, type] = {
    "format": str,
    "rate": float,
    "state_size": int,
    "calibration": list,
    "camera": dict,
}


def describe(
    environment: Mapping[str, Any],
    facts: Mapping[str, Any],
    fingerprints: Mapping[str, str],
    state_size: int,
    opset: int,
    wheels: Any,
) -> dict[str, Any]:
    """A contract.

    Args:
        environment: what a step means, see `simulator.environment.describe`.
        facts: what is known of the policy's training.
        fingerprints: of its files.
        state_size: S.
        opset: of ONNX.
        wheels: a `policy_graph.WheelConfig`.
    """
    height, width, _ = environment["camera"]
    numbers = dataclasses.asdict(wheels)
    return {
        "format": FORMAT,
        "version": VERSION,
        "opset": opset,
        "rate": round(1 / environment["step_time"], 6),
        "state_size": state_size,
        "inputs": {
            "frame": {"shape": ["N", "H", "W", 3], "type": "uint8", "colour_order": "RGB", "size": "any"},
            "state": {"shape": ["N", state_size], "type": "float32", "first": "zeros"},
            "calibration": {"shape": [2], "type": "float32", "meaning": ["gain", "trim"], "optional": True},
        },
        "outputs": {
            "duty": {
                "shape": ["N", 2], "type": "float32", "meaning": ["left wheel", "right wheel"],
                "unit": "duty cycle", "low": -wheels.duty_limit, "high": wheels.duty_limit,
            },
            "action": {
                "shape": ["N", 2], "type": "float32", "low": -1, "high": 1,
                "meaning": ["throttle, forward is positive", "steering, left is positive"],
            },
            "state_next": {"shape": ["N", state_size], "type": "float32"},
        },
        "camera": {
            "crop": f"the greatest centre of the aspect {width}:{height}",
            "resize": "area average, rounded to bytes, halves to even",
            "height": height,
            "width": width,
            "vertical_field_of_view": {"value": CAMERA_FOV, "unit": "degrees"},
            "distortion": bool(environment["distortion"]),
        },
        "calibration": [numbers.pop("gain"), numbers.pop("trim")],
        "wheels": {**numbers, "steering_gain": environment["steering_gain"]},
        "environment": dict(environment),
        "policy": dict(facts),
        "fingerprints": dict(fingerprints),
        "versions": extras.versions(("onnx", "numpy")),
        "gauntlet": None,
    }  # fmt: skip


def parse(text: str | None, source: str) -> dict[str, Any]:
    """The contract that an ONNX file holds.

    Args:
        text: under `METADATA`; None where there is none.
        source: the file, for messages.
    Raises:
        PolicyError: there is none, or it is damaged.
    """
    remedy = "write one with dreamduck deploy"
    if text is None:
        raise PolicyError(
            f"{source}: expected a policy of dreamduck deploy, got an ONNX file without its "
            f"contract; {remedy}"
        )
    found = parse_json(text, source, PolicyError, remedy)
    wrong = not isinstance(found, dict) or found.get("format") != FORMAT or found.get("version") != VERSION
    if wrong or not all(isinstance(found.get(name), kind) for name, kind in KINDS.items()):
        raise PolicyError(f"{source}: its contract is damaged, or of another version; {remedy}")
    checked: dict[str, Any] = found
    return checked
