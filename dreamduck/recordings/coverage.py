"""Coverage of recordings: whether they hold the states and actions that a world model must learn."""

from __future__ import annotations

import collections
import dataclasses
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import MapError, RecordError
from dreamduck.common.plot import figure
from dreamduck.common.storage import PathLike, sweep, write_json
from dreamduck.recordings.episode import TELEMETRY, Episode, read_episode
from dreamduck.recordings.folder import Recordings
from dreamduck.simulator.environment import ENVIRONMENT, OWN, is_own
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import HALF_LANE

log = logging.getLogger(__name__)

NAME = "coverage"
# quantity: lowest and highest edge of its histogram, and its unit
RANGES = {
    "lane_dist": (-0.4, 0.4, "m"),
    "lane_angle": (-np.pi, np.pi, "rad"),
    "speed": (-0.4, 0.8, "m/s"),
    "throttle": (-1.0, 1.0, ""),
    "steering": (-1.0, 1.0, ""),
}
BINS = 40
LABEL_LENGTH = 60  # characters
SHOWN_LENGTH = 24  # of them stand beside a bar
MAX_BARS = 30  # of a chart
CURVES = ("curve_left", "curve_right")
CUT = ("time", "truncated")  # endings that are not terminations


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Counts of a folder of recordings.

    Attributes:
        episodes: how many.
        frames: likewise.
        histograms: for each of `RANGES`, frames in each bin; the outermost bins take what lies outside.
        tiles: frames on each kind of tile.
        endings: episodes by how they ended.
        maps: episodes of each.
        policies: likewise.
        shares: the figures that the warnings go by, in [0, 1].
        warnings: what is missing, in words; empty where the data is good enough.
    """

    episodes: int
    frames: int
    histograms: dict[str, list[int]]
    tiles: dict[str, int]
    endings: dict[str, int]
    maps: dict[str, int]
    policies: dict[str, int]
    shares: dict[str, float]
    warnings: tuple[str, ...]


def measure(recordings: Recordings) -> Coverage:
    """Count what the recordings hold; frames themselves are not read."""
    columns: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in RANGES}
    counts = {name: collections.Counter[str]() for name in ("tiles", "endings", "maps", "policies")}
    frames = 0
    for path in recordings.paths:
        try:
            episode = read_episode(path, frames=False)
        except RecordError as err:
            log.warning("skipped %s", err)
            continue
        frames += len(episode)
        _count(episode, columns, counts)
    joined = {name: np.concatenate(parts or [np.empty(0, np.float32)]) for name, parts in columns.items()}
    shares = _shares(joined, counts)
    return Coverage(
        episodes=sum(counts["endings"].values()),
        frames=frames,
        histograms={name: _histogram(name, values) for name, values in joined.items()},
        **{name: dict(sorted(found.items())) for name, found in counts.items()},
        shares={name: round(share, 4) for name, share in shares.items()},
        warnings=tuple(_warnings(frames, shares, bool(columns["throttle"]) or not frames)),
    )


def report(folder: PathLike, coverage: Coverage) -> Path:
    """Write `coverage.json` and `coverage.png` into a folder; returns the image's path."""
    edges = {name: [low, high] for name, (low, high, _) in RANGES.items()}
    sweep(folder)
    write_json(Path(folder) / f"{NAME}.json", {**dataclasses.asdict(coverage), "ranges": edges})
    image = Path(folder) / f"{NAME}.png"
    _draw(image, coverage)
    return image


def _count(
    episode: Episode,
    columns: dict[str, list[npt.NDArray[np.float32]]],
    counts: dict[str, collections.Counter[str]],
) -> None:
    """Add one episode."""
    end = episode.meta.get("end") or ("ended" if episode.done[-1] else "time")
    counts["endings"][_label(end)] += 1
    counts["maps"][_label(episode.meta.get("map_name", "unknown"))] += 1
    counts["policies"][_label(episode.meta.get("policy", "unknown"))] += 1
    if _drives(episode):
        columns["throttle"].append(episode.action[:, 0])
        columns["steering"].append(episode.action[:, 1])
    if episode.telemetry is not None:
        for name in ("lane_dist", "lane_angle", "speed"):
            columns[name].append(episode.telemetry[:, TELEMETRY.index(name)])
        counts["tiles"].update(_tile_kinds(episode))


def _drives(episode: Episode) -> bool:
    """Whether it is an episode of Duckietown."""
    environment = episode.meta.get(ENVIRONMENT)
    return episode.action.shape[1] == 2 and (
        not isinstance(environment, dict) or is_own(str(environment.get("id", OWN)))
    )


def _label(value: object) -> str:
    """What a file says of itself, as a short string that any terminal and any font can show."""
    return ascii(str(value))[1:-1][:LABEL_LENGTH]


def _tile_kinds(episode: Episode) -> collections.Counter[str]:
    """Frames on each kind of tile; nothing where the map is not available."""
    assert episode.telemetry is not None
    places = episode.telemetry[:, [TELEMETRY.index("tile_i"), TELEMETRY.index("tile_j")]]
    found: collections.Counter[str] = collections.Counter()
    try:
        road = load_map(str(episode.meta.get("map_name")))
    except MapError:
        return found
    known = np.abs(places).max(axis=1) < 2**31  # also false where it is no number
    tiles, numbers = np.unique(places[known].astype(int), axis=0, return_counts=True)
    for (i, j), number in zip(tiles, numbers, strict=True):
        tile = road.tile(int(i), int(j))
        found[tile.kind if tile else "none"] += int(number)
    return found


def _histogram(name: str, values: npt.NDArray[np.float32]) -> list[int]:
    low, high, _ = RANGES[name]
    inside = np.clip(values[np.isfinite(values)], low, high)
    return [int(n) for n in np.histogram(inside, BINS, (low, high))[0]]


def _shares(
    values: dict[str, npt.NDArray[np.float32]], counts: dict[str, collections.Counter[str]]
) -> dict[str, float]:
    """The figures that the warnings go by."""

    def share(mask: npt.NDArray[np.bool_]) -> float:
        return float(mask.mean()) if len(mask) else 0.0

    tiles, endings = counts["tiles"], counts["endings"]
    ended = sum(number for end, number in endings.items() if end not in CUT)
    return {
        "beside the lane": share(~(np.abs(values["lane_dist"]) <= HALF_LANE)),
        "in the lane": share(np.abs(values["lane_dist"]) <= HALF_LANE),
        "askew": share(np.abs(values["lane_angle"]) > 0.4),
        "slow": share(np.abs(values["speed"]) < 0.1),
        "fast": share(values["speed"] > 0.35),
        "steering left": share(values["steering"] > 0.2),
        "steering right": share(values["steering"] < -0.2),
        "on curves": sum(tiles[kind] for kind in CURVES) / max(sum(tiles.values()), 1),
        "episodes that end": ended / max(sum(endings.values()), 1),
    }


# figure: at least this share, and what a lower share means
MIN_SHARES = {
    "beside the lane": (0.05, "the model will not know what the road looks like from beside the lane"),
    "in the lane": (0.20, "the model will hardly know ordinary driving"),
    "askew": (0.08, "the model will not know what turning away from the lane looks like"),
    "slow": (0.02, "the model will not know standing and starting"),
    "fast": (0.05, "the model will not know speed"),
    "steering left": (0.08, "the model will not learn what steering left does"),
    "steering right": (0.08, "the model will not learn what steering right does"),
    "on curves": (0.10, "the model will not know curves"),
    "episodes that end": (0.10, "the model will not learn when an episode ends"),
}
MAX_ENDED = 0.85
MIN_FRAMES = 20_000


def _warnings(frames: int, shares: dict[str, float], drives: bool) -> list[str]:
    """What is missing, and its consequence; only few checks apply to other environments than Duckietown."""
    found = []
    if frames < MIN_FRAMES:
        found.append(f"{frames} frames, expected {MIN_FRAMES} or more: good for trials only")
    if not drives:
        return found
    for name, (least, meaning) in MIN_SHARES.items():
        if shares[name] < least:
            found.append(f"{name}: {shares[name]:.1%}, expected {least:.0%} or more; {meaning}")
    if shares["episodes that end"] > MAX_ENDED:
        found.append(
            f"episodes that end: {shares['episodes that end']:.1%}, expected {MAX_ENDED:.0%} or less; "
            "the model will expect every episode to end soon"
        )
    return found


def _draw(path: Path, coverage: Coverage) -> None:
    """The image: five histograms and four bar charts."""
    with figure(path, 13, 10, dpi=80) as drawn:
        axes = drawn.subplots(3, 3).ravel()
        for axis, (name, (low, high, unit)) in zip(axes, RANGES.items(), strict=False):
            edges = np.linspace(low, high, BINS + 1)
            axis.stairs(coverage.histograms[name], edges, fill=True, color="tab:blue")
            axis.set_title(name.replace("_", " ") + (f" [{unit}]" if unit else ""))
            axis.set_yticks([])
        bars: dict[str, dict[str, int]] = {
            "frames on kinds of tile": coverage.tiles,
            "how episodes end": coverage.endings,
            "episodes by map": coverage.maps,
            "episodes by policy": coverage.policies,
        }
        for axis, (title, found) in zip(axes[len(RANGES) :], bars.items(), strict=True):
            shown = dict(sorted(sorted(found.items(), key=lambda item: -item[1])[:MAX_BARS]))
            axis.barh(range(len(shown)), list(shown.values()), color="tab:orange")
            axis.set_yticks(range(len(shown)), [name[-SHOWN_LENGTH:] for name in shown], parse_math=False)
            axis.set_title(title if len(shown) == len(found) else f"{title}, the first {len(shown)}")
        warnings = "\n".join(coverage.warnings) or "nothing is missing"
        drawn.suptitle(f"{coverage.frames} frames in {coverage.episodes} episodes\n{warnings}", fontsize=10)
