"""The processes that share a gauntlet's rounds; the result does not depend on how many there are."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dreamduck.common import config
from dreamduck.common.processes.threads import cores
from dreamduck.common.processes.workers import Worker
from dreamduck.deployment.gauntlet.config import GauntletConfig

MODULE = "dreamduck.deployment.gauntlet.worker"
LOAD_LIMIT, DRIVE_LIMIT = 300.0, 3600.0  # [s] for an answer


class Task(NamedTuple):
    """One round: the unit of work."""

    key: str
    map_name: str
    number: int


class Team:
    """Helper processes, each with the policy and a simulator of its own.

    Args:
        file: the deployed file.
        settings: of the gauntlet.
    Raises:
        DreamDuckError: as `DeployedPolicy`, where the file cannot be used.
    """

    def __init__(self, file: str, settings: GauntletConfig) -> None:
        remedy = "give the same command again"
        count = settings.workers or cores()
        self._workers = [Worker(MODULE, f"gauntlet worker {number + 1}", remedy) for number in range(count)]
        try:
            for worker in self._workers:
                worker.send("load", os.getcwd(), file, config.to_dict(settings), limit=LOAD_LIMIT)
            for worker in self._workers:
                worker.receive()
        except BaseException:
            self.close()
            raise

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, list[dict[str, Any]]]]:
        """Drive all rounds; gives each with its episodes when both it and all before it are done."""
        free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        for worker in self._workers:
            free.put(worker)

        def drive(task: Task) -> list[dict[str, Any]]:
            worker = free.get()
            try:
                worker.send("drive", *task, limit=DRIVE_LIMIT)
                episodes: list[dict[str, Any]] = worker.receive()[0]["episodes"]
                return episodes
            finally:
                free.put(worker)

        with ThreadPoolExecutor(len(self._workers), "gauntlet") as threads:
            waiting = [threads.submit(drive, task) for task in tasks]
            try:
                for task, answer in zip(tasks, waiting, strict=True):
                    yield task, answer.result()
            except BaseException:  # Ctrl-C, or a round that failed: wait for no other
                threads.shutdown(wait=False, cancel_futures=True)
                for worker in self._workers:
                    worker.process.kill()
                raise

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()
