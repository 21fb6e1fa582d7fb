"""Record episodes: many cars drive, each with its own policy, and their frames are written to `records/`.

With `--env ID` the episodes are of any Gymnasium environment (add -h: its settings). One process works
alone; `mpiexec -n 4 dreamduck record` spreads the same episodes over four, and leaves the same files. A
second start makes only what is missing."""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError, SimulatorError
from dreamduck.common.processes import mpi
from dreamduck.common.processes.threads import cores
from dreamduck.common.storage import sweep
from dreamduck.recordings import Episode, coverage, plan, printable, recorder, scan
from dreamduck.recordings.gym_source import BATCH, GymRecorderConfig, GymSource
from dreamduck.recordings.plan import RecorderConfig
from dreamduck.recordings.sources import ActionSpace
from dreamduck.recordings.sources.gym_environment import close as close_env

log = logging.getLogger("dreamduck.extract")
AnyConfig = RecorderConfig | GymRecorderConfig

EXAMPLES = """examples:
  dreamduck record --max-trials 20              a small run
  dreamduck record --maps loop_empty,udem1,zigzag_dists --max-trials 2000
  dreamduck record --policies expert=1,walk=1 --domain-rand
  dreamduck record --maps generated:200 --max-trials 1800 --dynamics-rand-share 0.3
  dreamduck record --simulator gym-duckietown --max-trials 4
  dreamduck record --env CarRacing-v3 --crop 0,12,0,0 --max-trials 100
  dreamduck record --env CarRacing-v3 --policy keyboard --max-trials 5
  bash dreamduck/envs/extract.bash 8 --max-trials 2000          eight processes
"""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Record what is missing, and report what the recordings cover."""
    choice = command_line.Parser(add_help=False)
    choice.add_argument("--env")
    kind: type[AnyConfig] = GymRecorderConfig
    if choice.parse_known_args(argv)[0].env is None:
        kind = RecorderConfig
    arguments = _parser(kind).parse_args(argv)
    command_line.start_logging(arguments)
    settings: AnyConfig = config.from_arguments(kind, arguments)
    worker, workers = _worker(arguments)
    share = functools.partial(_record, settings, arguments.render, workers)
    processes = getattr(arguments, "processes", 1) or cores()
    by_keyboard = isinstance(settings, GymRecorderConfig) and settings.by_keyboard
    processes = 1 if by_keyboard else processes
    with mpi.team(arguments.rank_timeout) as team:
        if team.size > 1 and workers > 1:
            raise ConfigError("worker: expected either mpiexec or --worker and --workers, got both")
        if by_keyboard and (team.size > 1 or workers > 1 or arguments.render):
            raise ConfigError("policies: expected keyboard without mpiexec, --workers and --render")
        if team.rank:
            team.serve(functools.partial(_record, settings, False, team.size))
            return 0
        if not arguments.report:
            if team.size > 1:
                team.map(
                    functools.partial(_record, settings, arguments.render, team.size), range(team.size)
                )
            elif workers == 1 and processes > 1 and not arguments.render:
                _record_apart(settings, processes)
            else:
                share(worker)
        team.release()
    if workers > 1:
        return 0  # `--report` measures the coverage when all workers are done
    return _report(settings, arguments.log)


def _parser(kind: type[AnyConfig]) -> argparse.ArgumentParser:
    parser = command_line.parser(__doc__ or "", EXAMPLES)
    config.add_arguments(parser, kind, skip=("camera_width", "camera_height"))
    if kind is GymRecorderConfig:
        parser.add_argument(
            "--processes",
            type=int,
            default=0,
            help="processes to share the work (default: one a core)",
        )
    else:
        parser.add_argument("--env", help="id of Gymnasium, to record another environment than Duckietown")
    parser.add_argument("--log", default="log", help="folder for the coverage report (default: log)")
    parser.add_argument("--report", action="store_true", help="only report on what is recorded")
    parser.add_argument("--render", action="store_true", help="show the frames of the first car")
    parser.add_argument("--worker", type=int, default=0, help="which of --workers this process is, from 0")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the episodes")
    mpi.add_arguments(parser)
    return parser


def _worker(arguments: argparse.Namespace) -> tuple[int, int]:
    if not 0 <= arguments.worker < arguments.workers:
        got = f"{arguments.worker} of {arguments.workers}"
        raise ConfigError(f"worker: expected 0 to --workers - 1, got {got}")
    if getattr(arguments, "processes", 0) < 0:
        raise ConfigError(f"processes: expected at least 1, or 0 for one a core, got {arguments.processes}")
    return arguments.worker, arguments.workers


def _record_apart(settings: AnyConfig, processes: int) -> None:
    """Record in several processes, which are started afresh."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        shares = [pool.submit(_record, settings, False, processes, worker) for worker in range(processes)]
        try:
            for one in as_completed(shares):
                one.result()
        except BrokenProcessPool as err:
            raise SimulatorError(
                "a process that recorded has ended: killed, out of memory, or a crash of the environment; "
                "what is recorded is kept, start again, with fewer --processes where memory is short"
            ) from err


def _record(settings: AnyConfig, render: bool, workers: int, worker: int) -> int:
    """Record one worker's share; returns the number of frames."""
    sweep(settings.records)
    episodes = plan.missing(settings, plan.share(settings, worker, workers))
    log.info("worker %d of %d: %d episodes to record", worker + 1, workers, len(episodes))
    watch, close = _window() if render else (None, lambda: None)
    frames = 0
    try:
        hidden: dict[str, Any] = {"disable": True} if worker else {}  # one bar is enough
        with command_line.progress(total=len(episodes), desc="episodes", **hidden) as bar:
            for episode in _made(settings, episodes, watch, workers):
                frames += len(episode)
                bar.update()
                bar.set_postfix(frames=frames, refresh=False)
    finally:
        close()
    return frames


def _made(settings: AnyConfig, episodes: Sequence[int], watch: Any, workers: int) -> Iterator[Episode]:
    """The episodes, as they are recorded."""
    if isinstance(settings, RecorderConfig):
        # More threads would only slow one another down.
        alone = workers > 1 and settings.road.simulator == "native"
        return recorder.record(settings, episodes, watch, **({"threads": 1} if alone else {}))
    if not episodes:
        return iter(())
    if settings.by_keyboard:
        return _made_by_person(settings, episodes)
    source = GymSource(settings, min(BATCH, len(episodes)))
    return recorder.record_from(source, settings, episodes, watch)


def _made_by_person(settings: GymRecorderConfig, episodes: Sequence[int]) -> Iterator[Episode]:
    """Episodes driven by keyboard, until all are recorded or escape is pressed."""
    from dreamduck.window.keyboard_policy import KeyboardPolicy, RecordingStopped
    from dreamduck.window.window import check_display

    check_display()
    environment, described = settings.inspected
    env = environment.make()
    keys: Mapping[Any, Any] = getattr(env.unwrapped, "get_keys_to_action", dict)()
    policy = KeyboardPolicy(
        ActionSpace.of_environment(described) or env.actions, 1 / described["step_time"], keys
    )
    close_env(env, environment.id)
    try:
        yield from recorder.record_from(GymSource(settings, 1, policy), settings, episodes)
    except RecordingStopped:
        log.info("stopped; the unfinished episode is not saved")
    finally:
        policy.close()


def _window() -> tuple[Callable[[Any], None], Callable[[], None]]:
    """A function that shows a frame in a window, and one that closes the window."""
    from dreamduck.window.window import Window

    window = Window("extract.py")

    def watch(frame: Any) -> None:
        window.show(frame)

    return watch, window.close


def _report(settings: AnyConfig, folder: str) -> int:
    """Print what the recordings cover, and how many files were skipped."""
    Path(settings.records).mkdir(parents=True, exist_ok=True)
    found = scan(settings.records, functools.partial(command_line.progress, desc="checking", unit="file"))
    for path, reason in found.skipped:
        log.warning("skipped %s: %s", printable(path), reason)
    measured = coverage.measure(found)
    image = coverage.report(folder, measured)
    print(f"{measured.frames} frames in {measured.episodes} episodes in {settings.records}; {image}")
    if found.skipped:
        print(f"{len(found.skipped)} files skipped")
    for warning in measured.warnings:
        print(f"warning: {warning}")
    return 0
