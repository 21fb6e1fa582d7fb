"""How true dreams are, against recordings held out: `dreamduck evaluate-model`.

Held-out episodes are shown for ten frames and then
dreamt on with the recorded actions; what comes is compared with what really happened, and with two
baselines: the last frame stays, and the mean frame. Figures go to JSON, videos to `.mp4`: real, dream,
difference."""

from __future__ import annotations

import dataclasses
import logging
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common import command_line, config
from dreamduck.common.config import check, option
from dreamduck.common.errors import ConfigError, TrainingError
from dreamduck.common.storage import write_json
from dreamduck.common.video import write_video
from dreamduck.evaluation.open_loop import (
    Dreamt,
    EpisodeWindow,
    Frames,
    dream_on,
    end_errors,
    make_window,
    return_errors,
    z_errors,
)
from dreamduck.recordings import find_recordings, held_out, read_episode
from dreamduck.world_model import WorldModel
from dreamduck.world_model.imagination import TEMPERATURE
from dreamduck.world_model.vae import VAE

log = logging.getLogger(__name__)

VIDEO_FPS = 10
GREY = 128


@dataclasses.dataclass(frozen=True)
class OpenLoopConfig:
    """What is dreamt, and how long."""

    records: str = option("records", "folder of recorded episodes; only held-out ones are used")
    weights: str = option("", "folder of the world model; the one that ships by default", flags=("-w",))
    out: str = option("log/openloop", "folder for figures and videos")
    shown: int = option(10, "real frames before the dream", unit="frames", low=1)
    horizons: tuple[str, ...] = option(("15", "50", "100"), "lengths to compare at", unit="steps")
    dreams: int = option(8, "dreams of each episode", low=1)
    temperature: float = option(
        *(
            1.0,
            f"of the dream; 1 is the distribution as it was learned, other dreams take {TEMPERATURE}",
        ),
        above=0.0,
        flags=("--temp",),
    )
    episodes: int = option(200, "no more than so many", low=1)
    psnr_episodes: int = option(50, "of these, decoded for the PSNR", low=1, flags=("--pictures",))
    videos: int = option(4, "of these, written as videos", low=0, flags=("--films",))
    seed: int = option(0, "of the dreams", low=0)
    everything: bool = option(False, "use all episodes, for records that the model never saw at all")

    def __post_init__(self) -> None:
        check(self)
        if not self.horizons or not all(text.isdigit() and int(text) > 0 for text in self.horizons):
            raise ConfigError(f"horizons: expected integers above 0, got {','.join(self.horizons)!r}")

    @property
    def lengths(self) -> list[int]:
        """The horizons, shortest first."""
        return sorted(int(text) for text in self.horizons)


def evaluate(settings: OpenLoopConfig, command: str = "") -> dict[str, Any]:
    """Dream after held-out episodes; writes `openloop.json` and videos.

    Returns:
        What stands in the JSON.
    Raises:
        RecordError: no records. WeightsError: no weights. TrainingError: no episode is long enough.
    """
    model = WorldModel.load(settings.weights or None)
    encoder, rnn = model.vae, model.dynamics
    windows, guess = find_windows(settings, encoder)
    longest = settings.lengths[-1]
    dreamt = [
        dream_on(
            rnn, window, settings.shown, longest, settings.dreams, settings.temperature, settings.seed + i
        )
        for i, window in enumerate(command_line.progress(windows, desc="dreaming", unit="episode"))
    ]
    mean_z = encoder.encode(guess[None])[0][0]
    few = slice(settings.psnr_episodes)
    rows = psnr_rows(encoder, windows[few], dreamt[few], settings.shown, guess)
    found: dict[str, Any] = {}
    for horizon in settings.lengths:
        found[str(horizon)] = {
            "z_error": z_errors(windows, dreamt, settings.shown, horizon, mean_z),
            "psnr": _mean_psnrs(rows, horizon),
            "return": return_errors(windows, dreamt, settings.shown, horizon, settings.seed),
            "end": end_errors(windows, dreamt, settings.shown, horizon),
        }
    result = {
        "command": command,
        "config": config.to_dict(settings),
        "episodes": len(windows),
        "weights": {"vision": encoder.weights, "memory": rnn.weights},
        "dreamduck": dreamduck.__version__,
        "horizons": _rounded(found),
    }
    write_json(Path(settings.out) / "openloop.json", result)
    for number, (window, dream) in enumerate(list(zip(windows, dreamt, strict=True))[: settings.videos]):
        write_comparison(
            Path(settings.out) / f"openloop-{number}.mp4", encoder, window, dream, settings.shown
        )
    return result


def find_windows(settings: OpenLoopConfig, encoder: VAE) -> tuple[list[EpisodeWindow], Frames]:
    """The episodes to dream after, and the mean frame of the others (of all, if all are used).

    Raises:
        RecordError: no records. TrainingError: no episode is long enough.
    """
    recordings = find_recordings(settings.records)
    out = held_out(recordings.seeds)
    if settings.everything or not out.any():
        out = np.ones(len(recordings.paths), np.bool_)
    enough = out & (recordings.lengths > settings.shown)
    if not enough.any():
        raise TrainingError(
            f"{settings.records}: expected held-out episodes of more than {settings.shown} frames, got "
            "none; record more, or give --everything for records that the model never saw"
        )
    chosen = recordings.chosen(np.flatnonzero(enough)[: settings.episodes].tolist())
    windows, frames = [], settings.shown + settings.lengths[-1]  # no more are compared
    for path in command_line.progress(chosen.paths, desc="encoding", unit="episode"):
        episode = read_episode(path)
        windows.append(make_window(episode, encoder.encode(episode.obs[:frames])[0]))
    others = recordings.chosen(
        (np.flatnonzero(~out) if (~out).any() else np.arange(len(out)))[:100].tolist()
    )
    means = [read_episode(path).obs[::10].mean(axis=0) for path in others.paths]
    return windows, np.rint(np.mean(means, axis=0)).astype(np.uint8)


def psnr_rows(
    encoder: VAE, windows: Sequence[EpisodeWindow], dreamt: Sequence[Dreamt], shown: int, guess: Frames
) -> list[dict[str, Any]]:
    """PSNR [dB] against each real frame after those that were shown, an episode a row.

    Returns:
        dream: a single dream, decoded. reconstruction: what the VAE makes of the real frames, which no
        dream can beat. last_frame, mean_frame: the baselines. Each (n,).
    """
    rows = []
    for window, dream in zip(
        windows, command_line.progress(dreamt, desc="comparing", unit="episode"), strict=True
    ):
        real = window.frames[shown : shown + dream.z.shape[1]]
        found = {
            "dream": encoder.decode(dream.z[0, : len(real)]),
            "reconstruction": encoder.decode(window.z[shown : shown + len(real)]),
            "last_frame": window.frames[shown - 1][None],
            "mean_frame": guess[None],
        }
        rows.append({name: _psnr(real, frames) for name, frames in found.items()})
    return rows


def _mean_psnrs(rows: list[dict[str, Any]], horizon: int) -> dict[str, float]:
    """The means over the first `horizon` dreamt frames."""
    return {name: float(np.concatenate([row[name][:horizon] for row in rows]).mean()) for name in rows[0]}


def _psnr(real: Frames, frames: Frames) -> Any:
    """Of each frame [dB]."""
    error = ((real.astype(np.float32) - frames) ** 2).mean(axis=(1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(error, 1e-2))


def write_comparison(path: Path, encoder: VAE, window: EpisodeWindow, dream: Dreamt, shown: int) -> None:
    """A video of three rows: real, dream, difference; the first frames are those that were shown."""
    count = min(len(window.frames), shown + dream.z.shape[1])
    real = window.frames[:count]
    dreamt = np.concatenate([real[:shown], encoder.decode(dream.z[0, : count - shown])])
    difference = np.clip(GREY + (dreamt.astype(np.int16) - real) // 2, 0, 255).astype(np.uint8)
    write_video(path, list(np.concatenate([real, dreamt, difference], axis=1)), VIDEO_FPS, scale=4)


def _rounded(value: Any) -> Any:
    """Figures to five digits, None where there is no number."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return float(f"{value:.5g}") if math.isfinite(value) else None


def table(result: dict[str, Any]) -> str:
    """The figures as lines for a terminal."""
    lines = [f"{result['episodes']} episodes"]
    for horizon, found in result["horizons"].items():
        z, psnr, gain, end = (found[name] for name in ("z_error", "psnr", "return", "end"))
        lines += [
            f"{horizon} steps:",
            f"  z error       dream {z['dream']}, mean of dreams {z['dream_mean']}, "
            f"last frame {z['last_frame']}, mean frame {z['mean_frame']}",
            f"  PSNR [dB]     dream {psnr['dream']}, last frame {psnr['last_frame']}, "
            f"mean frame {psnr['mean_frame']}, at best {psnr['reconstruction']}",
            f"  return        correlation {gain['correlation']}, error {gain['error']}, "
            f"bias {gain['bias']}, spread of the true ones {gain['spread']}",
            f"  end           AUC {end['auc']}, ended {end['ended']}, expected {end['expected']}, "
            f"foreseen {end['foreseen']}, false alarms {end['false_alarms']}, "
            f"time error {end['time_error']} of {end['time_spread']} steps",
        ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int | None:
    """Evaluate, and print the figures."""
    parser = command_line.parser(
        __doc__ or "", "example:\n  dreamduck evaluate-model --records records --out openloop"
    )
    config.add_arguments(parser, OpenLoopConfig)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    settings = config.from_arguments(OpenLoopConfig, arguments)
    given = sys.argv[1:] if argv is None else list(argv)
    result = evaluate(settings, shlex.join(["dreamduck", "evaluate-model", *given]))
    print(table(result))
    print(f"written to {settings.out}")
    return 0
