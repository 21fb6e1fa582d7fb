"""Make the pictures of README and docs again, from the running system with the weights that ship.

    python scripts/media.py [--controller FILE] [--map-name loop_empty] [--seed 0]

Writes to `media/`, each under 1 MB: `controller.gif` (an evolved controller in the simulator: camera, VAE
reconstruction, map from above), `dream.gif` (the same controller in the dream), `drive.gif` (pure pursuit:
camera and map), `real_and_dream.gif` (the same actions in the simulator and in the dream, from the tenth
frame on), `worlds.png` (camera, VAE and dream at three moments), and `v0.png`, `v1.png`, `v2.png` (one
frame of each environment), and `media.json` (the settings that they were made with)."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import gymnasium
import numpy as np
from PIL import Image

import dreamduck  # noqa: F401  (registers the worlds)
from dreamduck.common.config import replace
from dreamduck.common.storage import write_json
from dreamduck.common.video import side_by_side
from dreamduck.controllers.evaluator import ControllerPolicy, Policy
from dreamduck.controllers.policy import Controller
from dreamduck.evaluation.policies import PurePursuit
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.base import FloatArray, Frames
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.road import Road, RoadConfig
from dreamduck.window.policy_switch import NO_CONTROLLER, find_controller
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.imagination.perception import Perception
from dreamduck.world_model.imagination.stepper import Dreams

ROOT = Path(__file__).resolve().parent.parent
MEDIA = ROOT / "media"
SIDE = 128  # pixels of a panel
STEPS = 70
COLORS = 128  # of a GIF: with more, or with dithering, it is larger than 1 MB
MOMENT = 30  # the step of the pictures of the three worlds
START_ANGLE = 4.0  # [degrees]; the car starts along the lane
WARM_UP = 10  # real frames before a dream takes over
FPS = 10


def write_gif(name: str, frames: Iterable[Frames]) -> None:
    """Write a GIF that loops, with one palette for all frames."""
    kept = list(frames)
    sample = Image.fromarray(np.concatenate(kept[:: max(1, len(kept) // 16)]))
    palette = sample.quantize(COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in kept]
    images[0].save(MEDIA / name, save_all=True, append_images=images[1:], duration=1000 // FPS, loop=0)


def enlarge(frame: Frames) -> Frames:
    """A frame as a panel, (SIDE, SIDE, 3)."""
    return np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def drive(driver: Policy, config: RoadConfig, seed: int) -> tuple[list[Frames], list[Frames], FloatArray]:
    """A drive on the road: what the camera saw, the map from above, and the actions (T, 2)."""
    road = Road(config)
    state = road.reset([seed])
    driver.start([seed])
    seen, above, actions = [], [], []
    for _ in range(STEPS):
        seen.append(road.frames()[0].copy())
        above.append(road.view("top_down", SIDE, SIDE))
        actions.append(np.asarray(driver.act(state, road.frames()))[0])
        step = road.step(actions[-1][np.newaxis])
        state = step.state
        if step.terminated[0]:
            break
    road.close()
    return seen, above, np.array(actions)


def dream_along(seen: list[Frames], actions: FloatArray, temperature: float, seed: int) -> list[Frames]:
    """The same drive, dreamt with the same actions once the first frames have been seen."""
    model = WorldModel.load(FOLDER)
    perception = Perception(model.vae, model.dynamics)
    perception.reset(seen[0][np.newaxis])
    for frame, action in zip(seen[1:WARM_UP], actions, strict=False):
        perception.step(frame[np.newaxis], action[np.newaxis])
    dreams = Dreams(model.dynamics, model.start_states(), temperature=temperature)
    dreams.reset([seed])
    dreams.z = perception.z.copy()
    dreams.state = RecurrentState(perception.state.h.copy(), perception.state.c.copy())
    latents = [dreams.z[0]]
    for action in actions[WARM_UP - 1 : -1]:
        dreams.step(action[np.newaxis])
        latents.append(dreams.z[0])
    return [*seen[: WARM_UP - 1], *model.vae.decode(np.array(latents))]


def dream_alone(controller: Controller, temperature: float, seed: int) -> list[Frames]:
    """The controller in the dream."""
    env = gymnasium.make("DreamDuck-v2", temperature=temperature, render_mode="rgb_array")
    eyes = WorldModel.load(FOLDER).vae
    observation, _ = env.reset(seed=seed)
    latents = []
    for _ in range(STEPS):
        latents.append(observation[: eyes.z_size])
        observation, _, terminated, truncated, _ = env.step(controller(observation))
        if terminated or truncated:
            break
    env.close()
    return list(eyes.decode(np.array(latents)))


def worlds(seen: list[Frames], dreamt: list[Frames]) -> Frames:
    """Camera, VAE and dream beside each other, at three moments."""
    eyes = WorldModel.load(FOLDER).vae
    rows = []
    for moment in (WARM_UP, len(seen) // 2, len(seen) - 1):
        again = eyes.decode(eyes.encode(seen[moment][np.newaxis])[0])[0]
        rows.append(side_by_side([enlarge(frame) for frame in (seen[moment], again, dreamt[moment])]))
    return np.concatenate(rows)


def main() -> None:
    """Make every picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--controller", default="", help="default: the best in ./log or the package")
    parser.add_argument("--map-name", default="loop_empty")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--temp",
        type=float,
        default=WorldModel.load(FOLDER).temperature,
        help="temperature of the dreams",
    )
    arguments = parser.parse_args()
    controller = find_controller(arguments.controller, FOLDER)
    if controller is None:
        parser.error(NO_CONTROLLER)
    road = replace(RoadConfig(), map_name=arguments.map_name, start_angle=START_ANGLE)
    expert = PurePursuit(load_map(road.simulation.map_name), road.steering_gain)
    seen, above, actions = drive(expert, road, arguments.seed)
    dreamt = dream_along(seen, actions, arguments.temp, arguments.seed)
    eyes = WorldModel.load(FOLDER).vae
    pupil = ControllerPolicy(
        controller.form, controller.theta, Perception(eyes, WorldModel.load(FOLDER).dynamics)
    )
    looked, track, _ = drive(pupil, road, arguments.seed)
    alone = dream_alone(controller, arguments.temp, arguments.seed)
    MEDIA.mkdir(exist_ok=True)
    write_gif("drive.gif", (side_by_side([enlarge(a), b]) for a, b in zip(seen, above, strict=True)))
    again = eyes.decode(eyes.encode(np.array(looked))[0])
    trios = zip(looked, again, track, strict=True)
    write_gif("controller.gif", (side_by_side([enlarge(a), enlarge(b), c]) for a, b, c in trios))
    write_gif("dream.gif", map(enlarge, alone))
    pairs = zip(seen, dreamt, strict=True)
    write_gif("real_and_dream.gif", (side_by_side([enlarge(a), enlarge(b)]) for a, b in pairs))
    Image.fromarray(worlds(seen, dreamt)).save(MEDIA / "worlds.png")
    moment = min(MOMENT, len(looked) - 1, len(alone) - 1)
    for name, frame in (("v0", looked[moment]), ("v1", again[moment]), ("v2", alone[moment])):
        Image.fromarray(enlarge(frame)).save(MEDIA / f"{name}.png")
    settings = {
        "command": shlex.join(["scripts/media.py", *sys.argv[1:]]),
        "temperature": arguments.temp,
        "seed": arguments.seed,
        "start_angle": START_ANGLE,
        "map_name": arguments.map_name,
        "fps": FPS,
        "steps": {
            "drive": len(seen),
            "real_and_dream": len(seen),
            "controller": len(looked),
            "dream": len(alone),
        },
        "weights": {"vae": eyes.weights, "rnn": WorldModel.load(FOLDER).dynamics.weights},
    }
    write_json(MEDIA / "media.json", settings)
    print(
        f"steps: pure pursuit {len(seen)}, controller {len(looked)}, in the dream {len(alone)}; in {MEDIA}"
    )


if __name__ == "__main__":
    main()
