"""Run a controller: `dreamduck evaluate realenv render log/rnnenv.cma.16.2.json`.

With `norender` it drives 100 episodes and prints their mean and
standard deviation; with `render` one episode in a window, or into a video with --video. Without a
file the controller's parameters are random."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dreamduck.common import command_line, config
from dreamduck.common.errors import ConfigError
from dreamduck.controllers.evaluator import EvalBatch, summarize
from dreamduck.controllers.factory import (
    ENVS,
    ROAD_FIELDS,
    FormConfig,
    WorldConfig,
    add_strict,
    check_flags,
    load_controller,
    make_evaluator,
    model_actions,
    model_sizes,
    perception_maker,
)
from dreamduck.controllers.policy import Controller, random_theta
from dreamduck.envs.base import stopped
from dreamduck.recordings.sources import DRIVING

IDS = {"env": "DreamDuck-v0", "realenv": "DreamDuck-v1", "rnnenv": "DreamDuck-v2"}
ROAD_SETTINGS = tuple(sorted(ROAD_FIELDS - {"camera_width", "camera_height"}))
EPILOG = """\
examples:
  dreamduck evaluate rnnenv norender log/rnnenv.cma.16.2.json
  dreamduck evaluate realenv render log/rnnenv.cma.16.2.json 7 --video drive.mp4
  dreamduck evaluate realenv render              random parameters"""


def build_parser() -> argparse.ArgumentParser:
    """The command line: the four positional arguments of 2019, and the settings of the world."""
    parser = command_line.parser("Run a controller in one of the three worlds.", EPILOG)
    parser.add_argument(
        "env", choices=tuple(IDS), help="the simulator, the simulator seen through the model, or the dream"
    )
    parser.add_argument("mode", choices=("render", "norender"), help="show one episode, or evaluate many")
    parser.add_argument("controller", nargs="?", help="a controller file (default: random parameters)")
    parser.add_argument("seed", nargs="?", type=int, help="seed of the episodes (default: drawn)")
    parser.add_argument("--episodes", type=int, default=100, help="episodes of norender (default: 100)")
    parser.add_argument(
        "--max-steps", type=int, default=1000, help="greatest length of an episode (default: 1000)"
    )
    parser.add_argument("--video", help="for render: write this video instead of opening a window")
    add_strict(parser)
    config.add_arguments(parser.add_argument_group("random controller"), FormConfig)  # type: ignore[arg-type]
    config.add_arguments(parser.add_argument_group("world"), WorldConfig)  # type: ignore[arg-type]
    return parser


def choose_controller(arguments: argparse.Namespace, world: WorldConfig, seed: int) -> Controller:
    """The controller of the file, or a random one.

    Raises:
        ControllerError: the file is damaged or does not fit the world model.
    """
    sizes = model_sizes(world.model.folder)
    if arguments.controller:
        return load_controller(arguments.controller, world.model.folder, arguments.strict)
    actions = model_actions(world.model.folder)
    form = config.from_arguments(FormConfig, arguments).form(*sizes, actions=actions)
    return Controller(form, random_theta(form, np.random.default_rng(seed)))


def evaluate_many(
    env: str, world: WorldConfig, controller: Controller, seed: int, episodes: int, steps: int
) -> None:
    """Drive many episodes at once; print each return, their mean and standard deviation."""
    evaluator = make_evaluator(env, world, controller.form)
    scores = evaluator(EvalBatch(controller.theta[None], (seed,), episodes, steps))
    for episode in range(episodes):
        reward, length = scores.reward[0, episode], scores.length[0, episode]
        print(f"iteration {episode} reward {reward:.4f} timesteps {length}")
    found = summarize(scores)
    print(f"seed {seed} average_reward {found.mean:.4f} stdev {found.std:.4f}")
    print(f"average steps taken {found.length:.2f} episodes {found.episodes}")


def make_env(env: str, world: WorldConfig, render_mode: str, steps: int) -> Any:
    """The Gym world, with the same settings; episodes of other environments end after so many steps."""
    import gymnasium

    settings: dict[str, Any]
    if model_actions(world.model.folder) != DRIVING:  # the environment is the card's
        settings = {"weights": str(world.model.folder), "max_episode_steps": steps}
        if env == "rnnenv":
            settings["temperature"] = world.model.temperature
        return gymnasium.make(IDS[env], render_mode=render_mode, disable_env_checker=True, **settings)
    names = ROAD_SETTINGS if env != "rnnenv" else ()
    road = config.to_dict(world.road)
    settings = {name: road[name] for name in names}
    if env == "env":
        settings.update(camera_width=road["camera_width"], camera_height=road["camera_height"])
    else:
        settings.update(weights=str(world.model.folder), temperature=world.model.temperature)
    if env == "realenv":
        settings.update(any_weights=world.any_weights)
    return gymnasium.make(IDS[env], render_mode=render_mode, disable_env_checker=True, **settings)


def make_policy(env: str, world: WorldConfig, controller: Controller) -> Callable[[Any], Any]:
    """From an observation of the world to an action; frames are seen through the world model."""
    actions = model_actions(world.model.folder)
    if actions != DRIVING:
        return lambda observation: actions.decode(controller(observation)[np.newaxis])[0]
    if env != "env":
        return controller
    height, width, _ = world.road.simulation.frame_shape
    if (height, width) != (64, 64):
        raise ConfigError(f"camera: a controller sees 64x64, got {width}x{height}")
    perception = perception_maker(world)(1)
    last: list[Any] = []

    def policy(frame: Any) -> Any:
        frames = np.asarray(frame)[None]
        seen = perception.step(frames, last.pop()) if last else perception.reset(frames)
        actions = controller(seen)
        last.append(actions)
        return actions[0]

    return policy


def show(
    env: str, world: WorldConfig, controller: Controller, seed: int, steps: int, video: str | None
) -> None:
    """Drive one episode in a window, until it ends or the window is closed, or into a video."""
    policy = make_policy(env, world, controller)
    gym = make_env(env, world, "rgb_array" if video else "human", steps)
    frames, total, taken = [], 0.0, 0
    try:
        observation, _ = gym.reset(seed=seed)
        for _ in range(steps):
            if video:
                frames.append(np.asarray(gym.render()))
            observation, reward, terminated, truncated, _ = gym.step(policy(observation))
            total, taken = total + float(reward), taken + 1
            if terminated or truncated or stopped(gym):
                break
    finally:
        gym.close()
    if video:
        from dreamduck.common.video import write_video

        write_video(video, frames, fps=gym.unwrapped.metadata["render_fps"])
    print(f"terminal reward {total:.4f} average steps taken {taken}")


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate many episodes, or show one."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    said = config.given(parser, arguments, argv)
    check_flags(arguments.env, said)
    if arguments.mode == "render":
        config.refuse(said & {"episodes"}, "with render, which shows one")
    else:
        config.refuse(said & {"video"}, "with norender")
    if arguments.controller:
        config.refuse(said & {"features", "hidden"}, "with a controller's file, which says its form")
    else:
        config.refuse(said & {"strict"}, "without a controller's file")
    if arguments.episodes < 1 or arguments.max_steps < 1:
        raise ConfigError("episodes, max-steps: expected 1 or more")
    world = config.from_arguments(WorldConfig, arguments)
    if model_actions(world.model.folder) != DRIVING:
        config.refuse(said & ROAD_FIELDS, "with a model of another environment than Duckietown's")
        arguments.env = "realenv" if arguments.env == "env" else arguments.env
    if arguments.env not in ENVS:
        raise ConfigError(f"env: expected one of {', '.join(ENVS)}, got {arguments.env!r}")
    seed = int(np.random.default_rng().integers(10000)) if arguments.seed is None else arguments.seed
    if seed < 0:
        raise ConfigError(f"seed: expected 0 or more, got {seed}")
    controller = choose_controller(arguments, world, seed)
    print(f"model size {controller.form.size} ({controller.form})")
    if arguments.mode == "norender":
        evaluate_many(arguments.env, world, controller, seed, arguments.episodes, arguments.max_steps)
    else:
        show(arguments.env, world, controller, seed, arguments.max_steps, arguments.video)
