"""The three worlds as the page shows them: each is one of the environments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.config import replace, to_dict
from dreamduck.common.errors import ConfigError
from dreamduck.common.labelled_table import FRAME_HEIGHT
from dreamduck.controllers.policy import Controller
from dreamduck.envs.env import DuckEnv
from dreamduck.envs.realenv import RealEnv
from dreamduck.envs.rnnenv import DreamEnv
from dreamduck.recordings.episode import FRAME_SHAPE
from dreamduck.simulator.expert import Expert, ExpertConfig
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import RoadConfig, car_info, lane_progress
from dreamduck.web.page_actions import PageActions
from dreamduck.web.scenes import Frame, Images, Moment, Outcome, Scene
from dreamduck.web.share_link import Start
from dreamduck.window.policy_switch import CONTROLLER, EXPERT, Action
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import InitialZ

WIDE = (384, FRAME_HEIGHT)  # the image for people, where nothing else is shown [pixels]
SHOWN_DECIMALS = 3  # of latents that go to the page
WARM_STEPS = (
    10,
    100,
)  # of the expert on the road before an episode that begins in motion, at least and at most
IN_MOTION = 0.3, 0.05, 0.14  # [m/s] at least; [m] from the lane's centre and [rad] to it, at most


class RoadScene(Scene):
    """The road, and beside it, where `seen`, what the world model makes of it.

    Args:
        start: where and how the episode begins.
        config: the simulator and its settings; map and appearance come from `start`.
        model: looks through the camera; None: there is none.
        controller: acts on what the model sees; None: there is none.
        any_weights: take a model that learned from other settings.
    """

    env: DuckEnv | RealEnv

    def __init__(
        self,
        start: Start,
        config: RoadConfig,
        model: WorldModel | None,
        controller: Controller | None,
        any_weights: bool = False,
    ) -> None:
        angle = config.simulation.start_angle if start.start_angle is None else start.start_angle
        road = replace(
            config,
            start_angle=angle,
            map_name=start.map_name,
            domain_rand=start.domain_rand,
            camera_height=FRAME_SHAPE[0],
            camera_width=FRAME_SHAPE[1],
        )
        self.seen = start.world == "seen"
        self.quick_return = config.simulator == "native"
        env: DuckEnv | RealEnv
        if model is None:
            env = DuckEnv(**to_dict(road))
        else:
            env = RealEnv(model=model, next_z=self.seen, any_weights=any_weights, **to_dict(road))
        expert = Expert(load_map(start.map_name), ExpertConfig(steering_gain=road.steering_gain))
        policies: dict[str, Callable[[], Action]] = {}
        if controller is not None and model is not None:
            policies[CONTROLLER] = lambda: controller(env.observation)
        policies[EXPERT] = lambda: np.asarray(expert(env.state)[0], np.float32)
        super().__init__(env, dataclasses.replace(start, start_angle=angle), policies)
        env.reset(seed=start.seed)
        if start.warm and not self._drive_on():
            env.reset(seed=start.seed)

    def _drive_on(self) -> bool:
        """Let the expert drive until the car moves along its lane; gives whether the episode lasts."""
        least, most = WARM_STEPS
        speed, dist, angle = IN_MOTION
        for step in range(1, most + 1):
            _, _, terminated, _, info = self.env.step(self.policies[EXPERT]())
            if terminated:
                return False
            along = abs(info["lane_dist"]) <= dist and abs(info["lane_angle"]) <= angle
            if step >= least and info["speed"] >= speed and along:
                break
        return True

    @property
    def latents(self) -> npt.NDArray[np.float32]:
        """(Z,) what the model sees."""
        return self.env.latents if isinstance(self.env, RealEnv) else super().latents

    def decode(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """The frames of latents."""
        return self.env.model.decode(z) if isinstance(self.env, RealEnv) else super().decode(z)

    def observe_latents(self) -> None:
        """See `Scene`."""
        if isinstance(self.env, RealEnv):
            self.env.observe_latents()

    def step(self, action: Action, temperature: float) -> Outcome:
        """Take one step; the temperature is that of the prediction."""
        if isinstance(self.env, RealEnv):
            self.env.temperature = temperature
        before = self.env.state.pose[:, :2]
        outcome = super().step(action, temperature)
        after = self.env.state
        return outcome._replace(distance=float(lane_progress(after, after.pose[:, :2] - before)[0]))

    def video_frame(self, moment: Moment, square: bool = False) -> Frame:
        """The camera's image, larger than the model sees it."""
        width, height = WIDE
        return self.env.road.view("camera", height if square else width, height)

    def show(self, moment: Moment, ahead: Action) -> tuple[Images, dict[str, Any]]:
        """The camera's image; where `seen`, also the reconstruction and the prediction of this frame."""
        info = {**car_info(self.env.state), "distance": moment.distance}
        facts = {key: for_json(value) for key, value in info.items() if key != "end"}
        if not self.seen or not isinstance(self.env, RealEnv):
            return {"camera": lambda: self.video_frame(moment)}, facts
        env, decode = self.env, self.env.model.decode
        images: Images = {
            "camera": lambda: moment.frame,
            "reconstruction": lambda: decode(env.perception.z)[0],
        }
        if env.prediction is not None:
            images["predicted"] = lambda: decode(env.expected)[0]
        return images, {**facts, **model_facts(env, moment)}


class DreamScene(Scene):
    """The dream.

    Args:
        start: how the dream begins.
        model: dreams.
        controller: acts on [z, c, h]; None: there is none.
        initial: where dreams begin that begin in motion.
    Raises:
        ConfigError: the first latents are not as many as the model has.
    """

    env: DreamEnv

    def __init__(
        self, start: Start, model: WorldModel, controller: Controller | None, initial: InitialZ
    ) -> None:
        env = DreamEnv(model=model)
        self.keys = PageActions(model.actions)
        if start.warm:
            env.dreams.initial = initial
        env.reset(seed=start.seed)
        if start.z:
            if len(start.z) != len(env.latents):
                raise ConfigError(
                    f"z: expected {len(env.latents)} latents, got {len(start.z)}; other weights made them"
                )
            env.latents[:] = start.z
            env.observe_latents()
        policies: Mapping[str, Callable[[], Action]] = {}
        if controller is not None:
            policies = {CONTROLLER: lambda: self.keys.pack(controller(env.observation))}
        z = tuple(map(float, env.latents))
        super().__init__(env, dataclasses.replace(start, z=z), policies)

    @property
    def error_limit(self) -> float | None:
        """See `Scene`; the error is the ensemble's disagreement."""
        return uncertainty_limit(self.env.model)

    @property
    def latents(self) -> npt.NDArray[np.float32]:
        """(Z,) what is dreamt."""
        return self.env.latents

    def decode(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """The frames of latents."""
        return self.env.model.decode(z)

    def observe_latents(self) -> None:
        """See `Scene`."""
        self.env.observe_latents()

    def step(self, action: Action, temperature: float) -> Outcome:
        """Dream one step."""
        self.env.temperature = temperature
        return super().step(self.keys.executed(action), temperature)

    def show(self, moment: Moment, ahead: Action) -> tuple[Images, dict[str, Any]]:
        """The dream, and the likeliest next frame."""

        def coming() -> Frame:
            return self.env.model.decode(self.env.expect(self.keys.unpack(ahead)[None]))[0]

        return {"dream": lambda: moment.frame, "next": coming}, model_facts(self.env, moment)


def model_facts(env: RealEnv | DreamEnv, moment: Moment) -> dict[str, Any]:
    """The world model's images and facts at this moment."""
    facts: dict[str, Any] = {
        "z": [round(float(v), SHOWN_DECIMALS) for v in env.latents],
        "changed_latents": list(moment.changed_latents),
    }
    if env.prediction is not None:
        facts["predicted_reward"] = float(env.prediction.reward[0])
        facts["end_probability"] = float(env.prediction.end[0])
        facts["entropy"] = float(env.prediction.entropy()[0])
    return facts


def uncertainty_limit(model: WorldModel) -> float | None:
    """The limit of a model's ensemble; None where it has none."""
    return model.ensemble.limit if model.ensemble else None


def latent_order(model: WorldModel) -> list[int]:
    """The latents, those first that differ most between the beginnings of episodes."""
    return [int(k) for k in np.argsort(-model.start_states().mu.std(axis=0), kind="stable")]


def for_json(value: Any) -> Any:
    """A value of `info` as JSON has it, which knows no nan."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return list(value) if isinstance(value, tuple) else value


def map_outline(name: str) -> dict[str, Any]:
    """A map seen from above, for drawing: tiles, lanes and the things that stand on it.

    Returns:
        `tile_size` [m], `width`, `height` [tiles], `tiles` (i, j, kind) of drivable ones, `lanes`
        (four points x, z [m] of each Bezier curve), `things` (kind, x, z [m]).
    """
    found = load_map(name)
    tiles = found.drivable_tiles
    return {
        "name": name,
        "tile_size": found.tile_size,
        "width": found.width,
        "height": found.height,
        "tiles": [[tile.i, tile.j, tile.kind] for tile in tiles],
        "lanes": [np.round(curve, 4).tolist() for tile in tiles for curve in tile.curves],
        "things": [[t.kind, round(float(t.pos[0]), 3), round(float(t.pos[2]), 3)] for t in found.objects],
    }
