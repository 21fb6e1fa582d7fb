"""Settings of the gauntlet: how long, where, and how strong each perturbation is."""

from __future__ import annotations

import dataclasses

from dreamduck.common.config import check, option, part
from dreamduck.common.errors import ConfigError
from dreamduck.simulator.maps.generated import expand_map_names
from dreamduck.simulator.maps.parser import load_map

MAPS = ("loop_empty", "udem1", "small_loop")
EPISODES, SHORT_EPISODES = 100, 20
LONGEST = 2.0  # [s] of a latency


@dataclasses.dataclass(frozen=True)
class Strengths:
    """How strong the perturbations are; angles and shares are meant in both directions."""

    pitch: float = option(5.0, "camera pitched further down, or less", unit="degrees", low=0.0, high=15.0)
    height: float = option(0.15, "camera higher or lower by this share", low=0.0, high=0.9)
    roll: float = option(3.0, "camera rolled", unit="degrees", low=0.0, high=45.0)
    exposure: float = option(0.4, "frames brighter by this share, or as much darker", low=0.0, high=4.0)
    white_balance: float = option(
        0.2, "red stronger by this share and blue weaker, or the reverse", low=0.0, high=0.9
    )
    blur: float = option(
        0.01, "standard deviation of the blur, as a share of the frame's width", low=0.0, high=0.5
    )
    noise: float = option(10.0, "standard deviation of the noise, of 255", low=0.0, high=255.0)
    jpeg_quality: int = option(30, "quality of JPEG compression", low=1, high=100)
    latency: tuple[str, ...] = option(
        ("50", "100", "150", "250"), "time from a frame to its command [ms]; rounded up to 1/30 s"
    )
    rate_low: float = option(8.0, "slowest rate of frames", unit="Hz", above=0.0, high=30.0)
    rate_high: float = option(15.0, "fastest rate of frames", unit="Hz", above=0.0, high=30.0)
    dropped: float = option(0.2, "share of frames that are lost", low=0.0, high=0.95)
    gain: float = option(0.25, "both motors faster or slower by this share", low=0.0, high=0.9)
    trim: float = option(
        0.1, "one motor faster by this share and the other slower, or the reverse", low=0.0, high=0.9
    )
    weak_wheel: float = option(0.2, "one motor, left or right, slower by this share", low=0.0, high=0.9)
    push: float = option(0.03, "length of a sideways push", unit="m", low=0.0, high=0.5)
    push_interval: float = option(5.0, "mean time between two pushes", unit="s", above=0.0)

    def __post_init__(self) -> None:
        check(self)
        if self.rate_low > self.rate_high:
            raise ConfigError(
                f"rate_low: expected at most rate_high, {self.rate_high:g} Hz, got {self.rate_low:g} Hz"
            )
        if not self.latency:
            raise ConfigError("latency: expected milliseconds such as 50,100, got none")
        for value in self.latency_seconds:
            if not 0 <= value <= LONGEST:
                raise ConfigError(f"latency: expected 0 to {1000 * LONGEST:g} ms, got {1000 * value:g} ms")

    @property
    def latency_seconds(self) -> tuple[float, ...]:
        """The latencies [s]."""
        try:
            return tuple(float(value) / 1000 for value in self.latency)
        except ValueError as err:
            raise ConfigError(
                f"latency: expected milliseconds such as 50,100, got {','.join(self.latency)!r}"
            ) from err


@dataclasses.dataclass(frozen=True)
class GauntletConfig:
    """Which perturbations and maps, and how many episodes."""

    strengths: Strengths = part(Strengths)
    only: tuple[str, ...] = option((), "perturbations to try, by their keys; all by default")
    maps: tuple[str, ...] = option(MAPS, "maps to drive on")
    episodes: int = option(
        0, f"episodes for each perturbation and map; 0: {EPISODES}, or {SHORT_EPISODES} with --short", low=0
    )
    short: bool = option(False, f"{SHORT_EPISODES} episodes: ten minutes on two cores")
    seconds: float = option(60.0, "greatest length of an episode", unit="s", above=0.0, high=3600.0)
    seed: int = option(0, "seed of the episodes", low=0)
    camera_width: int = option(
        0, "width of the camera's image; 0: that of the policy's own", unit="pixels", low=0, high=1920
    )
    camera_height: int = option(0, "height, likewise", unit="pixels", low=0, high=1080)
    workers: int = option(0, "processes; 0: one for each core", low=0)
    out: str = option("gauntlet", "folder for gauntlet.json, gauntlet.md and gauntlet.png")

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "maps", expand_map_names(self.maps))
        if 0 < min(self.camera_width, self.camera_height) < 8 or (not self.camera_width) != (
            not self.camera_height
        ):
            raise ConfigError(
                "camera_width, camera_height: expected 8 pixels or more, or 0 for both, got "
                f"{self.camera_width} and {self.camera_height}"
            )
        if not self.maps:
            raise ConfigError("maps: expected a map's name or more, got none")
        for name in self.maps:
            load_map(name)  # an unknown one fails now, not after an hour

    @property
    def count(self) -> int:
        """Episodes for each perturbation and map."""
        return self.episodes or (SHORT_EPISODES if self.short else EPISODES)
