"""The ids of the three worlds, for Gymnasium and for legacy gym."""

from __future__ import annotations

MAX_EPISODE_STEPS = 1000
ENTRY_POINTS = {
    "DreamDuck-v0": "dreamduck.envs.env:DuckEnv",
    "DreamDuck-v1": "dreamduck.envs.realenv:RealEnv",
    "DreamDuck-v2": "dreamduck.envs.rnnenv:DreamEnv",
}
VECTOR_ENTRY_POINTS = {
    "DreamDuck-v0": "dreamduck.envs.vector:DuckVectorEnv",
    "DreamDuck-v2": "dreamduck.envs.vector:DreamVectorEnv",
}


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
