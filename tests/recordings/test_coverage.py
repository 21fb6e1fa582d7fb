"""The report on what recordings cover."""

import dataclasses
import json

import numpy as np
from PIL import Image

from dreamduck.recordings import coverage, scan, write_episode
from tests.recordings.helpers import episode


def drives(folder, count, change):
    """Episodes of 100 steps whose telemetry and actions `change` fills in."""
    for seed in range(count):
        made = episode(100, seed)
        random = np.random.default_rng(seed)
        telemetry = np.zeros((100, 8), np.float32)
        values = change(random)
        for column, name in enumerate(("lane_dist", "lane_angle", "speed")):
            telemetry[:, column] = values[name]
        telemetry[:, 6], telemetry[:, 7] = values["tile"]
        action = np.stack([np.full(100, 0.5), values["steering"]], axis=1).astype(np.float32)
        end = values["end"]
        done = made.done.copy()
        done[-1] = end != "time"
        meta = {**made.meta, "end": end, "policy": "walk"}
        write_episode(
            folder / f"{seed}.npz",
            dataclasses.replace(made, telemetry=telemetry, action=action, done=done, meta=meta),
        )
    return coverage.measure(scan(folder))


def test_a_wide_mix_needs_nothing_but_more(tmp_path):
    def change(random):
        return {
            "lane_dist": random.uniform(-0.3, 0.3, 100),
            "lane_angle": random.uniform(-1, 1, 100),
            "speed": random.uniform(0, 0.6, 100),
            "steering": random.uniform(-1, 1, 100),
            "tile": ((1, 1) if random.random() < 0.5 else (2, 1)),  # a curve and a straight of loop_empty
            "end": "off-road" if random.random() < 0.4 else "time",
        }

    found = drives(tmp_path, 30, change)
    assert (found.episodes, found.frames) == (30, 3000)
    assert [w for w in found.warnings if "frames, expected" not in w] == []
    assert len(found.warnings) == 1
    assert sum(found.histograms["speed"]) == 3000
    assert sum(found.tiles.values()) == 3000
    assert sum(found.endings.values()) == 30
    assert found.maps == {"loop_empty": 30}


def test_what_is_missing_is_reported(tmp_path):
    def change(random):
        return {
            "lane_dist": np.zeros(100),
            "lane_angle": np.zeros(100),
            "speed": np.full(100, 0.3),
            "steering": np.full(100, 0.5),
            "tile": (2, 1),
            "end": "time",
        }

    found = drives(tmp_path, 5, change)
    text = " ".join(found.warnings)
    for name in ("beside the lane", "askew", "slow", "fast", "steering right", "curves", "ends"):
        assert name in text
    assert "steering left:" not in text


def test_the_report_is_written(tmp_path):
    folder = tmp_path / "records"
    for seed in range(3):
        write_episode(folder / f"{seed}.npz", episode(10, seed, ends=seed == 1))
    found = coverage.measure(scan(folder))
    picture = coverage.report(tmp_path / "log", found)
    with Image.open(picture) as image:
        assert image.width > 800
    written = json.loads((tmp_path / "log" / "coverage.json").read_text())
    assert written["frames"] == 30
    assert written["endings"] == {"ended": 1, "time": 2}
    assert written["warnings"] == list(found.warnings)


def test_no_recordings_and_unknown_maps_are_no_error(tmp_path):
    assert coverage.measure(scan(tmp_path)).frames == 0
    coverage.report(tmp_path / "log", coverage.measure(scan(tmp_path)))
    write_episode(tmp_path / "0.npz", episode(4, map_name="nowhere"))
    write_episode(tmp_path / "1.npz", dataclasses.replace(episode(4), telemetry=None))
    found = coverage.measure(scan(tmp_path))
    assert (found.frames, found.tiles) == (8, {})


def test_odd_labels_spoil_no_image(tmp_path):
    """Names that a font or a formula would stumble over, far too many of them, telemetry from nowhere."""
    hostile = ["$\\bad$ \ue000", "m" * 20_000, "\n\x1b[31m", {"a": 1}, None, *range(60)]
    for seed, name in enumerate(hostile):
        made = episode(4, seed, map_name=name, policy=name, end=name)
        telemetry = np.full((4, 8), [1e38, np.nan, -np.inf, 0, 0, 0, 3e38, -1e30], np.float32)
        write_episode(tmp_path / f"{seed}.npz", dataclasses.replace(made, telemetry=telemetry))
    found = coverage.measure(scan(tmp_path))
    assert found.episodes == len(hostile)
    assert all(name.isprintable() and len(name) <= coverage.LABEL_LENGTH for name in found.maps)
    with Image.open(coverage.report(tmp_path / "log", found)) as image:
        assert image.width > 800
