"""The demo's image and report: its own world model beside the one that ships, on recorded episodes.

Called by demo.py with its folder: reads `records/` and `weights/`, writes `demo.png` and `report.json`,
and prints metrics of both models. Each model sees the first frames of episodes that the demo held out
from training, then dreams on with the recorded actions, at the default temperature."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.plot import figure
from dreamduck.common.storage import write_json
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.evaluation.model_card.sections.realism import gray, sharpness
from dreamduck.pretrained import FOLDER
from dreamduck.recordings import Episode, find_recordings, held_out, read_episode
from dreamduck.world_model import WorldModel
from dreamduck.world_model.vae.reconstruction import psnr

COLUMNS = 8
EVERY = 5  # steps between two images
SHOWN = 10  # real frames before the dream
STEPS = COLUMNS * EVERY  # of the dream; four seconds
EPISODES = 12
LEAST, MOST = 0.5, 2.0  # of the contrast and the sharpness of decoded frames, that a dream may have

Frames = npt.NDArray[np.uint8]


class Look(NamedTuple):
    """Reconstructions and dreams of one episode, STEPS frames each."""

    real: Frames
    decoded: Frames
    dreamt: Frames
    last: Frames  # the last frame that was shown, decoded: the dream of a car that stands still


def contrast(frames: Frames) -> float:
    """Standard deviation of the brightness within a frame, mean over frames, (N, H, W, 3)."""
    return float(gray(frames).std(axis=(1, 2)).mean())


def look(weights: Path, episodes: list[Episode]) -> list[Look]:
    """Reconstruct frames, and dream."""
    dreams = Dreams(WorldModel.load(weights))
    z = np.stack([dreams.model.encode(episode.obs[: SHOWN + STEPS]) for episode in episodes])
    action = np.stack([episode.action[: SHOWN + STEPS - 1] for episode in episodes])
    dreamt = dreams.open_loop(z[:, :SHOWN], action, STEPS, dreams=1, seed=0).z[:, 0]
    last = np.repeat(z[:, SHOWN - 1 : SHOWN], STEPS, axis=1)
    decoded = zip(*(dreams.decode(part) for part in (z[:, SHOWN:], dreamt, last)), strict=True)
    return [
        Look(episode.obs[SHOWN : SHOWN + STEPS], *parts)
        for episode, parts in zip(episodes, decoded, strict=True)
    ]


def measure(looks: list[Look]) -> dict[str, float]:
    """Metrics of a world model.

    Returns:
        decoded_psnr, dream_psnr, standing_psnr: of decoded frames, of the dream, and of the last frame that
            was shown, each against the real frames [dB].
        contrast, sharpness: of the dream, as a share of those of the decoded frames.
    """
    real, decoded, dreamt, last = (np.concatenate(parts) for parts in zip(*looks, strict=True))
    return {
        "decoded_psnr": round(psnr(real, decoded), 2),
        "dream_psnr": round(psnr(real, dreamt), 2),
        "standing_psnr": round(psnr(real, last), 2),
        "contrast": round(contrast(dreamt) / contrast(decoded), 3),
        "sharpness": round(float(sharpness(dreamt).mean() / sharpness(decoded).mean()), 3),
    }


def check(report: dict[str, dict[str, float]]) -> None:
    """Hold the contrast and the sharpness of each dream to those of the decoded frames.

    Args:
        report: what `measure` gives, for each world model.
    Raises:
        SystemExit: a dream has less than `LEAST` or more than `MOST` of either.
    """
    for name, found in report.items():
        for what in ("contrast", "sharpness"):
            if not LEAST <= found[what] <= MOST:
                raise SystemExit(
                    f"error: {name} model: expected dreams with {LEAST:.0%} to {MOST:.0%} of the {what} of "
                    f"decoded frames, got {found[what]:.0%}; train longer, with --minutes"
                )


def choose(records: Path) -> list[Episode]:
    """Held-out episodes that are long enough, those that the expert drove first."""
    recordings = find_recordings(records)
    out = held_out(recordings.seeds)
    enough = recordings.lengths >= SHOWN + STEPS
    wanted = enough & out if (enough & out).any() else enough
    if not wanted.any():
        raise SystemExit(f"error: {records}: no episode of {SHOWN + STEPS} steps; record longer ones")
    found = [read_episode(recordings.paths[i]) for i in np.flatnonzero(wanted)]
    return sorted(found, key=lambda episode: episode.meta.get("policy") != "expert")[:EPISODES]


def draw(path: Path, rows: dict[str, Frames]) -> None:
    """Write the image: a row each, EVERY steps between two columns."""
    with figure(path, 1.3 * COLUMNS + 1, 1.35 * len(rows), dpi=90) as drawn:
        axes = drawn.subplots(len(rows), COLUMNS)
        for line, (name, frames) in zip(axes, rows.items(), strict=True):
            for column, axis in enumerate(line):
                axis.imshow(frames[(column + 1) * EVERY - 1])
                axis.set(xticks=[], yticks=[])
            line[0].set_ylabel(name, rotation="horizontal", ha="right", va="center")
        for column, axis in enumerate(axes[0]):
            axis.set_title(f"{(column + 1) * EVERY / 10:g} s", fontsize="small")


def main(folder: Path) -> None:
    """Draw `demo.png`, write `report.json`, and print it."""
    episodes = choose(folder / "records")
    looks = {"demo": look(folder / "weights", episodes), "shipped": look(FOLDER, episodes)}
    rows = {"camera": looks["demo"][0].real}
    for name, found in looks.items():
        rows[f"{name}: decoded"] = found[0].decoded
        rows[f"{name}: dream"] = found[0].dreamt
    draw(folder / "demo.png", rows)
    report = {name: measure(found) for name, found in looks.items()}
    temperature = WorldModel.load(folder / "weights").temperature
    write_json(folder / "report.json", {"temperature": temperature, "episodes": len(episodes), **report})
    print(f"{len(episodes)} held-out episodes, dreams of {STEPS / 10:g} s at temperature {temperature:g}:")
    for name, said in report.items():
        print(
            f"{name} model: decoded frames {said['decoded_psnr']:.1f} dB, "
            f"dream {said['dream_psnr']:.1f} dB (no motion: {said['standing_psnr']:.1f} dB), "
            f"{said['contrast']:.0%} of the contrast and {said['sharpness']:.0%} of the sharpness "
            "of decoded frames"
        )
    check(report)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
