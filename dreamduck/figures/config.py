"""Settings of `dreamduck figure`, and which of them each kind of figure has."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ConfigError
from dreamduck.common.labelled_table import FRAME_HEIGHT
from dreamduck.common.video import LARGE_GIF_LIMIT, SUFFIXES
from dreamduck.simulator.environment import ANY_WEIGHTS
from dreamduck.simulator.road import RoadConfig
from dreamduck.web.share_link import MAX_TEMPERATURE

TRUE, RECONSTRUCTED, DREAMT, ERROR, MAP = PANELS = ("true", "reconstructed", "dreamt", "error", "map")
# What each kind shows without --panels.
SHOWN = {"picture": (TRUE,), "split": (TRUE, DREAMT), "strip": (TRUE, RECONSTRUCTED, DREAMT, ERROR)}
KINDS = (*SHOWN, "steering", "temperatures", "dream", "latents", "horizon")
# Options that only some kinds have; all others are for all.
ONLY = {
    "panels": tuple(SHOWN),
    "every": ("strip", "temperatures"),
    "episodes": ("horizon",),
    "temperatures": ("temperatures",),
    "temperature": (*SHOWN, "steering", "dream", "horizon"),
    "gif_limit": (*SHOWN, "steering", "temperatures", "dream", "latents"),
    "controller": (*SHOWN, "steering", "temperatures", "dream", "horizon"),
    "policy": (*SHOWN, "steering", "temperatures", "horizon"),
    "records": (*SHOWN, "temperatures", "horizon"),
    "warmup": (*SHOWN, "steering", "temperatures", "horizon"),
    "side": (*SHOWN, "steering", "temperatures", "dream", "latents"),
    "steps": (*SHOWN, "steering", "temperatures", "dream", "horizon"),
}
ROADLESS = ("dream", "latents")
PLOTS = (".png", ".svg", ".pdf")
EXPERT, CONTROLLER = POLICIES = ("expert", "controller")
FOLDER = "pictures"  # where figures go by default


@dataclasses.dataclass(frozen=True)
class FigureConfig:
    """What a figure shows, and how it is made."""

    road: RoadConfig = part(RoadConfig, start_angle=4.0)
    weights: str = option("", "folder of the world model; the one that ships by default", flags=("-w",))
    records: str = option("", "folder of recorded episodes, instead of the simulator")
    policy: str = option(EXPERT, "policy: pure pursuit, or a controller", choices=POLICIES)
    controller: str = option("", "controller file; by default the best of the largest run in ./log")
    seed: int = option(0, "seed of the drive and of the dream", low=0, high=2**31 - 1)
    steps: int = option(60, "dreamt steps", low=1, high=3000)
    warmup: int = option(10, "real frames before the dream", unit="frames", low=1, high=1000)
    temperature: float | None = option(
        None,
        "of the dream; by default what suits its kind of dynamics",
        above=0.0,
        high=MAX_TEMPERATURE,
        flags=("--temp",),
    )
    temperatures: tuple[str, ...] = option(
        (), "of dreams beside each other; by default what suits their kind of dynamics"
    )
    any_weights: bool = option(False, ANY_WEIGHTS)
    panels: tuple[str, ...] = option((), f"some of {', '.join(PANELS)}; by default what suits the kind")
    every: int = option(10, "steps between two frames of a strip", low=1)
    episodes: int = option(24, "episodes to measure errors on", low=2, high=1000)
    side: int = option(FRAME_HEIGHT, "side of a frame", unit="pixels", low=FRAME_HEIGHT, high=1080)
    gif_limit: float = option(
        LARGE_GIF_LIMIT / 1e6, "a larger GIF gets fewer frames and colours", unit="MB", above=0.0
    )
    out: str = option("", f"file to write, by default in {FOLDER}/; its suffix is the format")

    def __post_init__(self) -> None:
        check(self)
        wrong = [name for name in self.panels if name not in PANELS]
        if wrong:
            raise ConfigError(f"panels: expected some of {', '.join(PANELS)}, got {wrong[0]!r}")
        self.temperature_values(())

    def temperature_values(self, default: Sequence[float]) -> list[float]:
        """`temperatures` as numbers.

        Args:
            default: where none are given.
        Raises:
            ConfigError: one is no number, or out of range.
        """
        try:
            found = [float(value) for value in self.temperatures]
        except ValueError:
            found = []
        if len(found) < len(self.temperatures) or not all(0 < value <= MAX_TEMPERATURE for value in found):
            raise ConfigError(
                f"temperatures: expected numbers above 0 and at most {MAX_TEMPERATURE:g}, such as 0.1,0.5, "
                f"got {','.join(self.temperatures)!r}"
            )
        return found or list(default)


def output_path(kind: str, out: str) -> Path:
    """Where a figure goes.

    Args:
        kind: one of `KINDS`.
        out: as it was given; "" for the default.
    Raises:
        ConfigError: this kind of figure has no such format.
    """
    path = Path(out or f"{FOLDER}/{kind}.png")
    wanted = PLOTS if kind == "horizon" else (".png", *SUFFIXES)
    if path.suffix.lower() not in wanted:
        raise ConfigError(f"out: expected a name that ends in {', '.join(wanted)}, got {out!r}")
    return path
