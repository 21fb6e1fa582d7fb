"""References by name to later stages: the three worlds, and the reader of agents' files.

This is the only place where an earlier stage names a later one; all other modules import earlier stages."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

MAX_EPISODE_STEPS = 1000
ENTRY_POINTS = {
    "DreamDuck-v0": "dreamduck.envs.env:DuckEnv",
    "DreamDuck-v1": "dreamduck.envs.gymenv:make_real",
    "DreamDuck-v2": "dreamduck.envs.rnnenv:DreamEnv",
}
VECTOR_ENTRY_POINTS = {
    "DreamDuck-v0": "dreamduck.envs.env:DuckVectorEnv",
    "DreamDuck-v1": "dreamduck.envs.gymenv:make_real_vector",
    "DreamDuck-v2": "dreamduck.envs.rnnenv:DreamVectorEnv",
}
LEGACY_ENTRY_POINT = "dreamduck.envs.legacy:LegacyEnv"
AGENTS = "dreamduck.rl.agents.acting"


def agents() -> Any:
    """The module that reads agents' files: `about(path)` and `AgentPolicy(path)`; it loads PyTorch."""
    return importlib.import_module(AGENTS)


OWN_COMMAND = "python -m dreamduck.rl.run"


def foreign_baselines() -> str | None:
    """The program that `python -m baselines.run` starts, where it is not ours: OpenAI's has the same name.

    Returns:
        Its file; None where it is ours, or where there is none.
    """
    try:
        found = importlib.util.find_spec("baselines")
        folder = None if found is None or found.origin is None else Path(found.origin).parent
        program = None if folder is None else folder / "run.py"
        foreign = program is not None and b"dreamduck" not in program.read_bytes()[:4096]
    except (ImportError, OSError, ValueError):  # half of a package, or one that replaced its own entry
        return None
    return str(program) if foreign else None


def register() -> None:
    """Register the worlds with Gymnasium; doing it twice is harmless."""
    import gymnasium

    for name, entry_point in ENTRY_POINTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point=entry_point,
                vector_entry_point=VECTOR_ENTRY_POINTS.get(name),
                max_episode_steps=MAX_EPISODE_STEPS,
            )
    for name in ENTRY_POINTS:
        gymnasium.spec(name).version = None  # or `make` says that v0 is out of date, and v2 better


def register_legacy() -> None:
    """Register the worlds with legacy gym; `import gym` calls this by the entry point in setup.py.

    gym's environment checker is switched off: it uses `numpy.bool8`, which numpy 2 no longer has.
    OpenAI's `python -m baselines.run` imports gym: if that program runs instead of ours, a warning says so.
    """
    other = foreign_baselines() if "baselines" in sys.modules else None
    if other is not None:
        log.warning("%s is not DreamDuck's program; that is `%s`", other, OWN_COMMAND)
    from gym.envs.registration import register, registry, spec

    for name in ENTRY_POINTS:
        if name not in registry:
            register(
                id=name,
                entry_point=LEGACY_ENTRY_POINT,
                kwargs={"world_id": name},
                max_episode_steps=MAX_EPISODE_STEPS,
                disable_env_checker=True,
            )
    for name in ENTRY_POINTS:
        spec(name).version = None
