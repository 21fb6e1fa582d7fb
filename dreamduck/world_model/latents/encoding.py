"""Encodes recorded episodes as a series; every frame is read once."""

from __future__ import annotations

import collections
import itertools
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import dreamduck
from dreamduck.common.command_line import progress
from dreamduck.common.errors import RecordError, SeriesError
from dreamduck.common.storage import PathLike, claim
from dreamduck.recordings import Episode, Recordings, find_recordings, read_episode, reread
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.simulator.environment import (
    ENVIRONMENT,
    IMAGE_SETTINGS,
    differences,
    of_recording,
    one_environment,
)
from dreamduck.world_model.latents.series import Series, path_of, read_series, write_series
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.batch_encoder import SIZE, BatchEncoder
from dreamduck.world_model.vae.frame_stream import data_fingerprint
from dreamduck.world_model.vae.layout import Frames

log = logging.getLogger(__name__)

AHEAD = 4  # episodes read while others are encoded; each takes 2 MB


def make_series(
    records: PathLike, vae: VAE, where: PathLike, limit: int | None = None, fresh: bool = False
) -> Series:
    """Encode a folder of recordings and write the series, unless it exists already.

    Args:
        where: a file `*.npz`, or a folder for `series.npz`.
        limit: use only so many episodes.
        fresh: encode even if the file there is of these recordings and these weights.
    Returns:
        The series, as it is read from the file.
    Raises:
        RecordError: there are no recordings, or they changed while they were read.
        ConfigError: a file is there that is not of these recordings and weights, and not `fresh`.
    """
    recordings = find_recordings(records, limit)
    made_of = {"records": data_fingerprint(recordings), "vision": vae.weights}
    path = path_of(where)
    if not fresh and _made_of(path) == made_of:
        log.info("%s is already of these recordings and weights", path)
        return read_series(path)
    with claim("series", [path], fresh=fresh):
        write_series(path, encode(recordings, vae))
    return read_series(path)


def encode(recordings: Recordings, vae: VAE) -> Series:
    """Encode episodes, one after another.

    Raises:
        RecordError: a file changed since it was found.
    """
    rows, size = int(recordings.lengths.sum()), vae.z_size
    offsets = np.concatenate([[0], np.cumsum(recordings.lengths)]).astype(np.int64)
    mu, logvar = np.empty((2, rows, size), np.float32)
    actions = read_episode(recordings.paths[0], frames=False).action.shape[1]
    action, reward = np.empty((rows, actions), np.float32), np.empty(rows, np.float32)
    done = np.empty(rows, np.bool_)
    maps: collections.Counter[str] = collections.Counter()
    environment: tuple[str, dict[str, Any]] | None = None
    rewards = True
    encoder = BatchEncoder(vae.parameters)
    frames, held, row = np.empty((SIZE, *FRAME_SHAPE), np.uint8), 0, 0  # waiting, and where they belong
    with progress(total=rows, desc="encoding", unit="frame") as bar:
        for i, episode in enumerate(_episodes(recordings)):
            here = slice(int(offsets[i]), int(offsets[i + 1]))
            _check_episode(episode, actions, vae.card, str(recordings.paths[i]))
            action[here], reward[here], done[here] = episode.action, episode.reward, episode.done
            maps[str(episode.meta.get("map_name", "unknown"))] += 1
            rewards = rewards and episode.meta.get("rewards") is not False
            environment = one_environment(environment, str(recordings.paths[i]), episode.meta)
            for part in _parts(episode.obs, SIZE - held, SIZE):
                frames[held : held + len(part)] = part
                held += len(part)
                if held == SIZE or row + held == rows:
                    mu[row : row + held], logvar[row : row + held] = encoder(frames[:held])
                    bar.update(held)
                    row, held = row + held, 0
    meta = {
        "records": data_fingerprint(recordings),
        "vision": vae.weights,
        "maps": dict(sorted(maps.items())),
        "dreamduck": dreamduck.__version__,
        **({} if rewards else {"rewards": False}),
        **({} if environment is None else {ENVIRONMENT: environment[1]}),
    }
    seeds = np.array(recordings.seeds, dtype=np.int64)
    return Series(mu, logvar, action, reward, done, offsets, seeds, meta)


def _check_episode(episode: Episode, actions: int, card: Mapping[str, Any], name: str) -> None:
    """Refuse an episode of other actions than the first one's, or of another environment than the VAE's.

    Raises:
        RecordError: it is one.
    """
    found = episode.action.shape[1]
    if found != actions:
        raise RecordError(
            f"{name}: actions of {found} numbers, those of the first episode have {actions}; keep the "
            "recordings of each environment in a folder of its own"
        )
    wrong = differences(card.get(ENVIRONMENT) or {}, of_recording(episode.meta) or {}, IMAGE_SETTINGS)
    if wrong:
        raise RecordError(
            f"{name}: of another environment than the VAE ({'; '.join(wrong)}); name the folder of its own "
            "VAE with --weights"
        )


def _parts(frames: Frames, first: int, size: int) -> Iterator[Frames]:
    """Frames in parts: the first of up to `first`, the others of up to `size`."""
    edges = [0, *range(first, len(frames), size), len(frames)]
    return (frames[begin:end] for begin, end in itertools.pairwise(edges))


def _episodes(recordings: Recordings) -> Iterator[Episode]:
    """The episodes, the next few read ahead."""
    found = zip(recordings.paths, recordings.lengths.tolist(), strict=True)
    with ThreadPoolExecutor(1) as reader:
        coming = collections.deque(reader.submit(reread, *one) for one in itertools.islice(found, AHEAD))
        while coming:
            episode = coming.popleft().result()
            coming.extend(reader.submit(reread, *one) for one in itertools.islice(found, 1))
            yield episode


def _made_of(path: Path) -> dict[str, str]:
    """The source of the series at a path; empty where there is no complete one."""
    if not path.is_file():
        return {}
    try:
        meta = read_series(path).meta
    except SeriesError as err:
        log.warning("%s", err)
        return {}
    return {key: str(meta.get(key, "")) for key in ("records", "vision")}
