"""One episode: an environment, the policies that may act in it, and every moment so far.

Nothing here knows of browsers. Any moment can be returned to; driving from there drops the later ones."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.recordings.sources.arrow_keys import from_keys
from dreamduck.web.scenes import Frame, Moment, Outcome, Scene
from dreamduck.web.share_link import GRID, MAX_LATENT, MAX_STEPS, Script, on_grid
from dreamduck.web.trust import Trust
from dreamduck.window.policy_switch import CONTROLLER, EXPERT, PERSON, Action

REPLAY = "replay"  # the recorded steps are shown again
POLICIES = (PERSON, CONTROLLER, EXPERT, REPLAY)


class Session:
    """An episode that is being driven.

    Args:
        scene: just begun.
        temperature: of the dream, at first.
    """

    def __init__(self, scene: Scene, temperature: float = 1.0) -> None:
        self.scene = scene
        self.temperature = temperature
        self.policy = PERSON
        self._before_replay = PERSON
        self._unsent = 0  # the first moment that `changes` has not given as it is now
        self.person: Action = scene.keys.pack(from_keys(scene.keys.space, 0, 0))  # the action of the person
        self.moments = [Moment(*self._here(), self.person, temperature, Outcome(0.0))]
        self.at = 0

    @property
    def now(self) -> Moment:
        """The moment that is shown."""
        return self.moments[self.at]

    @property
    def over(self) -> bool:
        """Whether no step can be taken from here."""
        if self.policy == REPLAY:
            return self.at >= len(self.moments) - 1
        return bool(self.now.outcome.end) or self.at >= MAX_STEPS

    def choose_policy(self, policy: str) -> None:
        """Let another policy drive.

        Raises:
            ConfigError: this world has no policy of that name.
        """
        known = (*self.scene.policy_names, REPLAY)
        if policy not in known:
            raise ConfigError(f"policy: expected one of {', '.join(known)}, got {policy!r:.40}")
        if policy == REPLAY and self.policy != REPLAY:
            self._before_replay = self.policy
        self.policy = policy

    def end_replay(self) -> None:
        """Return to the policy from before the replay."""
        if self.policy == REPLAY:
            self.policy = self._before_replay

    def set_action(self, throttle: float, steering: float) -> None:
        """Set the action of the person, by throttle and steering in [-1, 1]."""
        self.person = self.scene.keys.pack(from_keys(self.scene.keys.space, throttle, steering))

    def advance(self) -> bool:
        """Take one step from this moment; later ones are dropped.

        With the policy REPLAY, go to the next moment instead, and drop nothing.

        Returns:
            Whether there was a step to take.
        """
        if self.over:
            return False
        if self.policy == REPLAY:
            self.seek(self.at + 1)
            return True
        action = self.action()
        del self.moments[self.at + 1 :]
        outcome = self.scene.step(action, self.temperature)
        total, distance = self.now.total + outcome.reward, self.now.distance + outcome.distance
        limit, trust = self.scene.error_limit, self.now.trust
        if limit is not None and outcome.error is not None:
            trust = trust.after(outcome.error, limit)
        here = self._here()
        self.moments.append(Moment(*here, action, self.temperature, outcome, total, distance, trust=trust))
        self.at += 1
        self._unsent = min(self._unsent, self.at)
        return True

    def seek(self, step: int) -> None:
        """Go to a moment of this episode; one outside it means the nearest."""
        target = min(max(step, 0), len(self.moments) - 1)
        self.at = target
        self.scene.set_state(self.now.state)

    def visit(self, steps: Iterable[int]) -> Generator[Moment, None, None]:
        """Stand at moments of this episode one after the other; after the last, where it stood before."""
        before = self.at
        try:
            for step in steps:
                self.seek(step)
                yield self.now
        finally:
            self.seek(before)

    def following(self) -> Action:
        """The action that was taken at this moment; at the last one, what the policy does."""
        return self.moments[self.at + 1].action if self.at + 1 < len(self.moments) else self.action()

    def set_latents(self, values: Mapping[int, float]) -> None:
        """Set latents of this moment; later moments are dropped, since they no longer follow.

        Args:
            values: of the latents that are set, by their numbers.

        Raises:
            ConfigError: no such latent, or a value out of range.
        """
        latents = self.scene.latents
        for latent, value in values.items():
            self._check_latent(latent)
            if not abs(value) <= MAX_LATENT:
                raise ConfigError(f"latent: expected -{MAX_LATENT} to {MAX_LATENT}, got {value}")
        if self.now.unchanged is None:
            self.now.unchanged = self.now.state
        for latent, value in values.items():
            latents[latent] = value
            self.now.changed_latents[latent] = float(latents[latent])
        self.scene.observe_latents()
        self._changed()

    def reset_latents(self) -> None:
        """Give the latents of this moment the values that they had before any was set."""
        if self.now.unchanged is None:
            return
        self.scene.set_state(self.now.unchanged)
        self.now.unchanged = None
        self.now.changed_latents.clear()
        self._changed()

    def view_latent(self, latent: int, values: Mapping[str, float]) -> dict[str, Frame]:
        """This moment with one latent at some values; nothing changes.

        Args:
            latent: which.
            values: by the names that the images get.

        Raises:
            ConfigError: no such latent.
        """
        self._check_latent(latent)
        z = np.tile(self.scene.latents, (len(values), 1))
        z[:, latent] = list(values.values())
        return dict(zip(values, self.scene.decode(z), strict=True))

    def _check_latent(self, latent: int) -> None:
        count = len(self.scene.latents)
        if not count:
            raise ConfigError("latent: expected a world whose latents can be set, as in the dream")
        if not 0 <= latent < count:
            raise ConfigError(f"latent: expected 0 to {count - 1}, got {latent}")

    def sync(self) -> None:
        """Put the dream beside the road again, at this moment; later ones are dropped.

        Raises:
            ConfigError: this world has not both.
        """
        self.scene.sync()
        self.now.synced, self.now.trust = True, Trust()
        self._changed()

    def changes(self) -> tuple[int, list[list[Any]]]:
        """What has changed since the last call.

        Returns:
            The first moment that changed, and all moments from there on: throttle and steering (integer
            multiples of 1 / GRID) and temperature of the step that led there, [latent, value] of every
            latent that was set here, and whether the dream was put beside the road here.
        """
        first, self._unsent = self._unsent, len(self.moments)
        rows = []
        for moment in self.moments[first:]:
            action = np.rint(moment.action.astype(np.float64) * GRID).astype(int).tolist()
            changed = [list(item) for item in moment.changed_latents.items()]
            rows.append([*action, moment.temperature, changed, moment.synced])
        return first, rows

    def actions(self) -> npt.NDArray[np.float32]:
        """The actions that led to this moment, (at, 2)."""
        taken = [moment.action for moment in self.moments[1 : self.at + 1]]
        return np.array(taken, np.float32).reshape(-1, 2)

    def show(self, in_view: bool = True, insets: bool = True) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Images and facts of this moment.

        Args:
            in_view: whether anyone sees them; otherwise there are no images.
            insets: whether the small ones are made; otherwise the facts name them as `kept`.
        """
        makers, facts = self.scene.show(self.now, self.action())
        kept = [] if insets else [name for name in makers if name in self.scene.insets]
        images = {name: make() for name, make in makers.items() if in_view and name not in kept}
        outcome = self.now.outcome
        known = {
            "step": self.at,
            "length": len(self.moments) - 1,
            "policy": self.policy,
            "action": self.scene.keys.shown(self.now.action),
            "reward": outcome.reward,
            "total": self.now.total,
            "end": outcome.end or ("full" if self.at >= MAX_STEPS else ""),
            "temperature": self.temperature,
            "kept": kept,
        }
        if self.scene.error_limit is not None:
            known["true_until"] = self.now.trust.until
        return images, {**known, **facts}

    def script(self) -> Script:
        """All that is needed to replay this episode up to this moment."""
        upto = self.moments[: self.at + 1]
        changed = [
            (step, *item) for step, moment in enumerate(upto) for item in moment.changed_latents.items()
        ]
        temperatures = tuple(moment.temperature for moment in upto[1:])
        synced = tuple(step for step, moment in enumerate(upto) if moment.synced)
        return Script(self.scene.start, self.actions(), temperatures, tuple(changed), synced)

    def close(self) -> None:
        """Close the environment."""
        self.scene.env.close()

    def _here(self) -> tuple[Any, Frame]:
        """How to return to where the scene is now, and what is seen there."""
        return self.scene.get_state(), self.scene.env.frame()

    def _changed(self) -> None:
        """Drop the moments after this one, which was changed by hand."""
        del self.moments[self.at + 1 :]
        self.now.state, self.now.frame = self._here()
        self._unsent = min(self._unsent, self.at)

    def action(self) -> Action:
        """What the policy does at this moment."""
        if self.policy == PERSON:
            return self.person
        if self.policy == REPLAY:
            return self.moments[min(self.at + 1, len(self.moments) - 1)].action
        return on_grid(self.scene.policies[self.policy]())
