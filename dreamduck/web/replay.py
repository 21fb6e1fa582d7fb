"""An episode again, from the script in its link."""

from __future__ import annotations

import time
from collections.abc import Callable

from dreamduck.common.errors import ConfigError
from dreamduck.web.scenes import Scene
from dreamduck.web.session import Session
from dreamduck.web.share_link import Script, Start

REPLAY_LIMIT = 120.0  # [s]; a full episode takes some 15 s, or 40 s on upstream's simulator


class Cancelled(Exception):
    """A replay was stopped, because nobody waits for it any more."""


def replay(
    make: Callable[[Start], Scene],
    script: Script,
    temperature: float = 1.0,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda step, steps: None,
) -> Session:
    """Take the steps of a script again; the session stands at its beginning, ready to show it.

    Args:
        make: begins an episode.
        script: the steps.
        temperature: of the dream where the script has no steps.
        cancelled: asked at every step whether to stop.
        progress: called at every step with the steps done and all steps.

    Raises:
        ConfigError: a latent is set that this world has not, or it takes longer than REPLAY_LIMIT.
        Cancelled: it was stopped.
    """
    session = Session(make(script.start), *(script.temperatures[:1] or (temperature,)))
    deadline = time.monotonic() + REPLAY_LIMIT
    try:
        changed: dict[int, dict[int, float]] = {}
        for moment, latent, value in script.changed_latents:
            changed.setdefault(moment, {})[latent] = value
        for step in range(len(script.actions) + 1):
            if cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"link: expected an episode that is replayed in {REPLAY_LIMIT:.0f} s, and only "
                    f"{step} of {len(script.actions)} steps were; try again when the machine is less busy"
                )
            progress(step, len(script.actions))
            if step in script.synced:
                session.sync()
            if step in changed:
                session.set_latents(changed[step])
            if step < len(script.actions):
                session.temperature = script.temperatures[step]
                session.person = script.actions[step]
                if not session.advance():
                    break
        session.set_action(0, 0)
        session.seek(0)
    except BaseException:
        session.close()
        raise
    return session
