"""The native camera's frames against gym-duckietown's, from random poses anywhere on the road.

`python -m benchmarks.frames` prints a table and writes results/frames.json: mean absolute difference of the
colours (0 to 255), and structural similarity (scikit-image, each frame by itself). `--images FOLDER`
keeps the worst frames: ours, upstream's, and four times their difference, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.metrics import structural_similarity

from benchmarks.common import save
from dreamduck.common.command_line import progress
from dreamduck.simulator.base import FloatArray, Frames, SimulatorConfig
from dreamduck.simulator.gym_duckietown.client import UpstreamSimulator
from dreamduck.simulator.maps.map import Map
from dreamduck.simulator.native import NativeSimulator
from dreamduck.simulator.render.camera import Camera

MAPS = (
    "loop_empty",
    "loop_obstacles",
    "loop_pedestrians",
    "loop_dyn_duckiebots",
    "udem1",
    "zigzag_dists",
    "4way",
    "regress_4way_adam",
    "ETHZ_autolab_technical_track",
    "robotarium2",
)
SETTINGS: tuple[dict[str, Any], ...] = (
    {"camera_width": 64, "camera_height": 64},
    {"camera_width": 160, "camera_height": 120},
    {"camera_width": 64, "camera_height": 64, "domain_rand": True},
    {"camera_width": 160, "camera_height": 120, "distortion": True},
)
POSES_A_RESET = 10
PAUSE = 20  # steps before the frames, so that moving objects are under way


class Comparison(NamedTuple):
    """Frames of both, (N, H, W, 3), and how alike each pair is, (N,)."""

    ours: Frames
    theirs: Frames
    difference: FloatArray
    similarity: FloatArray


def random_poses(map: Map, count: int, seed: int) -> FloatArray:
    """(count, 3) x [m], z [m], heading [rad]: anywhere on a drivable tile, looking anywhere."""
    rng = np.random.default_rng(seed)
    tiles = rng.choice([(tile.i, tile.j) for tile in map.drivable_tiles], count)
    places = (tiles + rng.random((count, 2))) * map.tile_size
    return np.concatenate([places, rng.uniform(0, 2 * np.pi, (count, 1))], axis=1)


def compare(config: SimulatorConfig, count: int, seed: int = 0) -> Comparison:
    """Draw `count` frames with both.

    Args:
        config: map, size and other settings of the frames.
        seed: of poses and episodes.
    """
    native, upstream = NativeSimulator(config, threads=1), UpstreamSimulator(config)
    try:
        camera = Camera(native.map, config.camera_width, config.camera_height, config.distortion)
        poses = random_poses(native.map, count, seed)
        ours = np.zeros((count, config.camera_height, config.camera_width, 3), dtype=np.uint8)
        theirs = np.zeros_like(ours)
        for k, pose in enumerate(poses):
            if k % POSES_A_RESET == 0:
                for simulator in (native, upstream):
                    simulator.reset([seed + k])
                    for _ in range(PAUSE):
                        simulator.step(np.zeros((1, 2)))
            upstream.place(pose)
            theirs[k] = upstream.frames()[0]
            camera.render(pose[None], native.appearance, native.moving, native.signals, ours[k : k + 1])
    finally:
        upstream.close()
        native.close()
    difference = np.abs(ours.astype(np.int64) - theirs).mean(axis=(1, 2, 3))
    pairs = zip(ours, theirs, strict=True)
    similarity = np.array([structural_similarity(a, b, channel_axis=2) for a, b in pairs])
    return Comparison(ours, theirs, difference, similarity)


def side_by_side(ours: Frames, theirs: Frames, path: Path, enlarged: int = 4) -> None:
    """Write an image: ours, theirs, and four times their difference."""
    apart = np.abs(ours.astype(np.int64) - theirs) * 4
    row = np.concatenate([ours, theirs, np.minimum(apart, 255).astype(np.uint8)], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = row.shape[1] * enlarged, row.shape[0] * enlarged
    Image.fromarray(row).resize(size, Image.Resampling.NEAREST).save(path)


def figures(compared: Comparison) -> dict[str, float]:
    """Means, and the worst frames."""

    def rounded(value: npt.ArrayLike) -> float:
        return round(float(np.asarray(value)), 4)

    return {
        "frames": len(compared.difference),
        "difference": rounded(compared.difference.mean()),
        "difference_95": rounded(np.percentile(compared.difference, 95)),
        "difference_worst": rounded(compared.difference.max()),
        "similarity": rounded(compared.similarity.mean()),
        "similarity_5": rounded(np.percentile(compared.similarity, 5)),
        "similarity_worst": rounded(compared.similarity.min()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--maps", nargs="+", default=MAPS)
    parser.add_argument("--poses", type=int, default=50, help="poses a map and setting (default: 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path, help="folder for the worst frame of each map and setting")
    given = parser.parse_args(arguments)
    results = {}
    jobs = [(name, setting) for setting in SETTINGS for name in given.maps]
    for name, setting in progress(jobs, desc="maps"):
        compared = compare(SimulatorConfig(map_name=name, **setting), given.poses, given.seed)
        size = f"{setting['camera_width']}x{setting['camera_height']}"
        key = " ".join([name, size, *(word for word in ("domain_rand", "distortion") if word in setting)])
        results[key] = figures(compared)
        if given.images:
            worst = int(compared.similarity.argmin())
            path = given.images / f"{key.replace(' ', '_')}.png"
            side_by_side(compared.ours[worst], compared.theirs[worst], path)
    print(f"{'':48}     difference         similarity")
    print(f"{'':48} mean   95%  worst  mean    5%   worst")
    for key, row in results.items():
        far = "{difference:5.2f} {difference_95:5.2f} {difference_worst:5.2f}".format(**row)
        near = "{similarity:6.4f} {similarity_5:6.4f} {similarity_worst:6.4f}".format(**row)
        print(f"{key:48} {far} {near}")
    command = f"python -m benchmarks.frames --poses {given.poses} --seed {given.seed}"
    print(f"wrote {save('frames', command, results)}")


if __name__ == "__main__":
    main()
