"""An environment in which an episode has begun, and its moments, as the page needs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ConfigError
from dreamduck.envs.base import SingleEnv
from dreamduck.recordings.sources import DRIVING
from dreamduck.web.page_actions import PageActions
from dreamduck.web.share_link import Start
from dreamduck.web.trust import Trust
from dreamduck.window.policy_switch import PERSON, Action

Frame = npt.NDArray[np.uint8]
Images = dict[str, Callable[[], Frame]]  # made when they are called


class Outcome(NamedTuple):
    """The result of one step.

    Attributes:
        reward: of the step; in the dream, the predicted one.
        end: "" while the episode continues, otherwise why it ended.
        distance: [m] along the lane; 0 in the dream.
        error: of the dream's step, see `Scene.error_limit`; None where it is not known.
    """

    reward: float
    end: str = ""
    distance: float = 0.0
    error: float | None = None


@dataclasses.dataclass
class Moment:
    """A point in an episode.

    Attributes:
        state: of the scene.
        frame: (64, 64, 3) uint8.
        action: of the step that led here; without meaning for the first.
        temperature: likewise.
        outcome: likewise.
        total: sum of rewards up to here.
        distance: [m] along the lane up to here.
        changed_latents: latents that were set here, and to what.
        unchanged: the state before any was set; None where none was.
        synced: whether the dream was put beside the road here.
        trust: until when the dream was true, up to here.
    """

    state: Any
    frame: Frame
    action: Action
    temperature: float
    outcome: Outcome
    total: float = 0.0
    distance: float = 0.0
    changed_latents: dict[int, float] = dataclasses.field(default_factory=dict)
    unchanged: Any = None
    synced: bool = False
    trust: Trust = dataclasses.field(default_factory=Trust)


class Scene:
    """An environment in which an episode has just begun.

    Args:
        env: the environment.
        start: what the episode began with.
        policies: what each policy but the person does now, by the policy's name.

    Attributes:
        keys: the actions, as the page has them.
        quick_return: whether returning to a moment takes less than driving there again.
        insets: images that the page shows small; on a busy machine they are shown more rarely.
    """

    keys = PageActions(DRIVING)
    quick_return = True
    insets: tuple[str, ...] = ("reconstruction", "predicted", "next")

    def __init__(self, env: SingleEnv, start: Start, policies: Mapping[str, Callable[[], Action]]) -> None:
        self.env, self.start, self.policies = env, start, policies

    @property
    def policy_names(self) -> tuple[str, ...]:
        """The policies that there are here."""
        return (PERSON, *self.policies)

    @property
    def latents(self) -> npt.NDArray[np.float32]:
        """(Z,) the latents of this moment, to be changed in place; empty where there is no world model."""
        return np.zeros(0, np.float32)

    @property
    def error_limit(self) -> float | None:
        """The greatest error at which the dream counts as true, see `Trust`; None where it is not known."""
        return None

    def get_state(self) -> Any:
        """A snapshot of this moment."""
        return self.env.get_state()

    def set_state(self, state: Any) -> None:
        """Return to the moment of a snapshot."""
        self.env.set_state(state)

    def sync(self) -> None:
        """Put the dream beside the road again.

        Raises:
            ConfigError: this world has not both.
        """
        raise ConfigError("sync: expected the road and the dream beside each other")

    def decode(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """The frames (N, 64, 64, 3) of latents (N, Z); only where there are latents."""
        raise NotImplementedError

    def observe_latents(self) -> None:
        """Continue as if a frame with the latents were seen, after they were changed."""

    def step(self, action: Action, temperature: float) -> Outcome:
        """Take one step.

        Args:
            action: (2,) in [-1, 1], throttle and steering.
            temperature: of the dream, or of the prediction.
        """
        _, reward, _, _, info = self.env.step(action)
        return Outcome(reward, info["end"], error=info.get("uncertainty"))

    def video_frame(self, moment: Moment, square: bool = False) -> Frame:
        """The image of this moment in videos.

        Args:
            moment: at which the environment stands.
            square: as wide as high.
        """
        return moment.frame

    def show(self, moment: Moment, ahead: Action) -> tuple[Images, dict[str, Any]]:
        """Images, each made only when it is wanted, and facts of this moment for people.

        Args:
            moment: at which the environment stands.
            ahead: (2,) the current action, for the dream's next frame.
        """
        return {"camera": lambda: moment.frame}, {}
