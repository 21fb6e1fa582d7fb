"""A helper process of the gauntlet: it loads the policy and drives rounds.

Started by `workers.Worker`, not by people."""

from __future__ import annotations

import os
from typing import Any

from dreamduck.common import config
from dreamduck.common.processes.workers import Blob, Calls
from dreamduck.deployment.gauntlet.config import GauntletConfig
from dreamduck.deployment.gauntlet.drive import Camera, Rounds
from dreamduck.deployment.gauntlet.perturbations import Perturbation, catalogue
from dreamduck.recordings.episode import FRAME_SHAPE

Answer = tuple[dict[str, Any], Blob]


def calls() -> Calls:
    """The functions that a message can call, by name."""
    return Server().calls


class Server:
    """Keeps the policy and the simulator, and drives what a message asks for."""

    def __init__(self) -> None:
        self._rounds: Rounds | None = None
        self._rows: dict[str, Perturbation] = {}
        self.calls: Calls = {"load": self.load, "drive": self.drive}

    def load(self, folder: str, file: str, settings: dict[str, Any]) -> Answer:
        """Load the policy; files of maps, as itself, may be named from a folder on."""
        from dreamduck.deployment.policy import DeployedPolicy

        os.chdir(folder)
        made = config.from_mapping(GauntletConfig, settings)
        policy = DeployedPolicy(file)
        self._rounds = Rounds(made, policy, camera_of(policy.contract))
        self._rows = {row.key: row for row in catalogue(made.strengths)}
        return {}, b""

    def drive(self, key: str, map_name: str, number: int) -> Answer:
        """Drive one round; the measures of its episodes."""
        assert self._rounds is not None
        return {"episodes": self._rounds.drive(self._rows[key], map_name, number)}, b""


def camera_of(contract: dict[str, Any]) -> Camera:
    """The camera and the clock that a policy is made for.

    Args:
        contract: of the deployed file; its environment is that of `simulator.environment`.
    """
    environment = contract.get("environment") or {}
    usual = Camera()
    return Camera(
        bool(environment.get("distortion", usual.distortion)),
        int(environment.get("frame_skip", usual.frame_skip)),
        *reversed(environment.get("camera", FRAME_SHAPE)[:2]),
    )
