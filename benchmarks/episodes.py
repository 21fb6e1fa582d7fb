"""Disk, memory and time of an episode, from which the figures of a million episodes are computed.

    python -m benchmarks.episodes [--episodes 48]

Records episodes with the defaults of `dreamduck record` on two maps, checks the folder twice (the second
time from its index), encodes them with the VAE that ships, and reads a series. Writes
`benchmarks/results/episodes.json`; its figures for a million episodes are these times their number."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import process_memory, save
from dreamduck.common.storage import read_json, write_json
from dreamduck.recordings import find_recordings, recorder
from dreamduck.recordings.folder import INDEX
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.latents.series import Series, read_series, write_series

MILLION = 1_000_000
INDEXED = 100_000  # entries of the index that is timed
ROWS = 240_000  # steps of the series that is read: 126 MB


def record(folder: Path, episodes: int) -> dict[str, float]:
    """Record; the rate, and the size on disk."""
    config = RecorderConfig(records=str(folder), maps=("loop_empty", "zigzag_dists"), max_trials=episodes)
    begin = time.perf_counter()
    frames = sum(len(episode) for episode in recorder.record(config, range(episodes)))
    spent = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in folder.glob("*.npz"))
    return {
        "frames of an episode": frames / episodes,
        "bytes of an episode": size / episodes,
        "seconds to record an episode": spent / episodes,
    }


def check(folder: Path, episodes: int) -> dict[str, float]:
    """Check the folder as every stage does: first reading each file, then from the index."""
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        find_recordings(folder)
        times.append((time.perf_counter() - begin) / episodes)
    index = read_json(folder / INDEX)
    many = {f"{episode}.npz": next(iter(index.values())) for episode in range(INDEXED)}
    path = folder / ".many.json"
    begin = time.perf_counter()
    write_json(path, many, indent=None)
    read_json(path)
    return {
        "seconds to check an episode": times[0],
        "seconds to check it again": times[1],
        "bytes of its entry in the index": path.stat().st_size / INDEXED,
        "seconds to write and read its entry": (time.perf_counter() - begin) / INDEXED,
    }


def encode(folder: Path) -> dict[str, float]:
    """Encode all frames with the VAE that ships, after a first batch that compiles."""
    from dreamduck.pretrained import FOLDER
    from dreamduck.world_model.latents.encoding import encode as encode_series

    recordings, model = find_recordings(folder), WorldModel.load(FOLDER).vae
    encode_series(recordings.chosen([0]), model)
    begin = time.perf_counter()
    series = encode_series(recordings, model)
    spent = time.perf_counter() - begin
    size = sum(getattr(series, name).nbytes for name in ("mu", "logvar", "action", "reward", "done"))
    return {
        "bytes of a step in a series": size / len(series.mu),
        "seconds to encode a step": spent / len(series.mu),
    }


def read(path: str) -> None:
    """Read a series; print how much the process grew by it, in bytes."""
    before = process_memory("VmHWM")
    read_series(path)
    print(1024 * (process_memory("VmHWM") - before))


def memory(folder: Path) -> dict[str, float]:
    """Memory that reading a series takes at its peak, for each byte of it, in a process of its own."""
    random = np.random.default_rng(0)
    mu, logvar = random.normal(size=(2, ROWS, 64)).astype(np.float32)
    lengths = np.arange(0, ROWS + 1, 120, dtype=np.int64)
    series = Series(
        *(
            mu,
            logvar,
            np.zeros((ROWS, 2), np.float32),
            np.zeros(ROWS, np.float32),
            np.zeros(ROWS, np.bool_),
        ),
        *(lengths, np.arange(len(lengths) - 1, dtype=np.int64)),
    )
    path = write_series(folder / "series.npz", series)
    command = [sys.executable, "-m", "benchmarks.episodes", "--read", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"bytes of memory for each byte of a series": int(done.stdout) / path.stat().st_size}


def million(found: dict[str, float]) -> dict[str, float]:
    """The same for a million episodes; nothing of it is measured."""
    steps = MILLION * found["frames of an episode"]
    series = steps * found["bytes of a step in a series"]
    return {
        "steps": steps,
        "recordings [GB]": MILLION * found["bytes of an episode"] / 1e9,
        "index [MB]": MILLION * found["bytes of its entry in the index"] / 1e6,
        "series [GB]": series / 1e9,
        "memory to read the series [GB]": series * found["bytes of memory for each byte of a series"] / 1e9,
        "recording [h]": MILLION * found["seconds to record an episode"] / 3600,
        "first check of the folder [h]": MILLION * found["seconds to check an episode"] / 3600,
        "each later check [min]": MILLION * found["seconds to check it again"] / 60,
        "encoding [h]": steps * found["seconds to encode a step"] / 3600,
        "episodes whose series fits in 16 GB": 16e9
        / (series / MILLION * found["bytes of memory for each byte of a series"]),
    }


def main() -> None:
    """Measure, compute, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=48, help="to record (default: 48)")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "records"
        folder.mkdir()
        record(folder, 4)  # compiles
        for path in folder.glob("*.npz"):
            path.unlink()
        found |= record(folder, arguments.episodes)
        found |= check(folder, arguments.episodes)
        found |= encode(folder)
        found |= memory(Path(name))
    results: dict[str, Any] = {"measured": found, "computed for a million episodes": million(found)}
    print(json.dumps(results, indent=1))
    print(save("episodes", f"python -m benchmarks.episodes --episodes {arguments.episodes}", results))


if __name__ == "__main__":
    main()
