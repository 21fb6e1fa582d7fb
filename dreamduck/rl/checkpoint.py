"""Where an agent comes from: a file, the newest checkpoint, or nowhere.

A file stands in for what the command line leaves open (its
world, algorithm and network), and is refused where the command line says otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamduck.common import seeding
from dreamduck.common.errors import CheckpointError
from dreamduck.rl import agent_file, env_batches
from dreamduck.rl.agent_file import Save
from dreamduck.rl.algorithms import NETWORK_KEYS
from dreamduck.rl.arguments import Flags
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import VecEnv
from dreamduck.rl.train_loop import StepCount, newest

VALUES = ("value_network", "normalize_observations", "normalize_returns", "clip_observations")


@dataclasses.dataclass(frozen=True)
class InitialAgent:
    """What an agent begins with.

    Attributes:
        save: the file that was read; None begins anew.
        checkpoint: its path, where a run is being resumed.
    """

    save: Save | None = None
    checkpoint: Path | None = None

    @property
    def card(self) -> dict[str, Any] | None:
        """The file's description; None without a file, or with one that is not ours."""
        return None if self.save is None else self.save.card

    def said(self, flags: Flags) -> dict[str, Any]:
        """What the file says of itself, as far as the flags leave it open.

        Returns:
            Some of "env", "env_kwargs", "alg", "network"; and "values", keys of 2019.
        """
        if self.card is None:
            return {"values": {}}
        plan, env = self.card["plan"], env_batches.plain(self.card["env"])
        same = flags.env is None or env_batches.plain(flags.env) == env
        said = {"env": env, "env_kwargs": self.card["env_kwargs"] if same else {}}
        values = {key: plan[key] for key in VALUES if plan.get(key) not in (None, "")}
        if flags.network in (None, plan["network"]):
            said["network"] = plan["network"]
            values |= {
                key: plan["network_options"][key] for key in NETWORK_KEYS if key in plan["network_options"]
            }
        if flags.alg is None:
            said["alg"] = plan["alg"]
        return {**said, "values": values}

    def check(self, plan: Plan, venv: VecEnv, settings: Mapping[str, Any]) -> None:
        """Refuse a file from another network, algorithm or world.

        Args:
            settings: what must not have changed where a run is resumed.
        Raises:
            CheckpointError: says what differs.
        """
        if self.save is None or self.card is None:
            return
        agent_file.check_spaces(self.save, venv.observation_space, venv.action_space)
        theirs, ours = self.card["plan"], plan.described()
        for key in ("engine", "network", "network_options"):
            if theirs[key] != ours[key]:
                flag = {"engine": "--alg"}.get(key, "--network")
                raise CheckpointError(
                    f"{self.save.path}: trained with {key} {theirs[key]!s:.200}, and this run has "
                    f"{ours[key]}; leave {flag} and its options out to take the file's"
                )
        agent_file.check_network_size(self.save, plan)
        if self.checkpoint is None:
            return
        then = self.card["training"].get("settings")
        then = dict(then) if isinstance(then, dict) else {}
        then["env"] = env_batches.plain(str(then.get("env")))
        changed = sorted(k for k in {*then, *settings} if then.get(k) != settings.get(k))
        if changed:
            raise CheckpointError(
                f"--resume: {', '.join(changed)} changed since {self.save.path}; say what was said then, "
                f"or start a new run from it with --load_path={self.save.path}"
            )

    def account(self) -> StepCount:
        """How far the training of the file was; at its beginning without one of ours."""
        if self.save is None or self.card is None:
            return StepCount()
        return StepCount.from_card(self.card, self.save.path)

    def log_sizes(self) -> dict[str, Any]:
        """How long each log file was when the checkpoint was written; empty where it does not tell."""
        sizes = {} if self.card is None else self.card["training"].get("logs")
        return sizes if isinstance(sizes, dict) else {}

    def seed(self, seed: int | None) -> int | None:
        """The run's seed; a resumed run draws other numbers than the one before drew at its start."""
        if seed is None or self.checkpoint is None:
            return seed
        return seeding.derive(seed, self.account().step)


def find(flags: Flags, load_path: str | None) -> InitialAgent:
    """Read the file that the command line names, or the newest checkpoint.

    Raises:
        CheckpointError: it is missing, damaged, or not ours where it must be.
    """
    if flags.resume:
        folder = Path(str(flags.log_path)).expanduser() / "checkpoints"
        found = newest(folder)
        if found is None:  # it was stopped before its first one
            return InitialAgent() if load_path is None else InitialAgent(agent_file.read(load_path))
        save = agent_file.read(found)
        if save.card is None:
            raise CheckpointError(f"{found}: not a checkpoint of this program")
        return InitialAgent(save, found)
    return InitialAgent() if load_path is None else InitialAgent(agent_file.read(load_path))
