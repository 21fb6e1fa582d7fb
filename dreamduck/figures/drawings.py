"""The kinds of figures, each as an image and as a video."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dreamduck.common.labelled_table import Labels, labelled_table
from dreamduck.evaluation.model_card.dreams import Dreams
from dreamduck.figures.config import DREAMT, ERROR, MAP, SHOWN, TRUE, FigureConfig
from dreamduck.figures.real_drive import Commanded, RealDrive, drive, enlarge
from dreamduck.figures.scene import Scene, check_length, dream_after
from dreamduck.figures.source import Source
from dreamduck.simulator.base import Frames
from dreamduck.web.latent_names import latent_names
from dreamduck.web.warm_start import any_starts, warm_starts
from dreamduck.world_model.imagination import stepper

# [throttle, steering]
COMMANDS = {"left": (0.4, 0.5), "straight on": (0.4, 0.0), "right": (0.4, -0.5), "reverse": (-0.4, 0.0)}
LATENT_ROWS, LATENT_VALUES = 6, (-3.0, 0.0, 3.0)
SAME_ACTIONS = "The dream takes the actions of the true drive."
Table = list[list[Frames]]


class Drawing(NamedTuple):
    """A figure before it is written.

    Attributes:
        frame: one of the video, by its number.
        frames: of the video.
        still: one image that shows everything.
        text: what it shows, in a sentence or two.
        steps: that were dreamt.
    """

    frame: Callable[[int], Frames]
    frames: int
    still: Callable[[], Frames]
    text: str
    steps: int


def _scene(source: Source, dreams: Dreams, config: FigureConfig, real: RealDrive) -> Scene:
    return Scene(dreams, real, config.warmup, source.step_time, config.seed)


def panels(source: Source, dreams: Dreams, config: FigureConfig, kind: str) -> Drawing:
    """Panels beside each other: `picture` and `split`."""
    names = config.panels or SHOWN[kind]
    scene = _scene(source, dreams, config, source.drive(MAP in names))
    dreamt = not {DREAMT, ERROR}.isdisjoint(names)

    def frame(step: int) -> Frames:
        row = [scene.panel(name, step) for name in names]
        return labelled_table([row], Labels([""], [scene.label(name, step) for name in names]))

    return Drawing(
        frame,
        len(scene),
        lambda: frame(len(scene) - 1),
        f"From left to right: {', '.join(names)}. {SAME_ACTIONS if dreamt else ''}".strip(),
        len(scene) - config.warmup if dreamt else 0,
    )


def strip(source: Source, dreams: Dreams, config: FigureConfig) -> Drawing:
    """Panels below each other, every n steps from the last frame that was seen."""
    names = config.panels or SHOWN["strip"]
    scene = _scene(source, dreams, config, source.drive(MAP in names))
    check_length(len(scene), config.warmup)
    moments = range(config.warmup - 1, len(scene), config.every)
    rows = [[scene.panel(name, step) for step in moments] for name in names]
    columns = [f"{scene.dreamt_seconds(step):.1f} s" for step in moments]
    text = f"From above: {', '.join(names)}. The dream begins at 0.0 s. {SAME_ACTIONS}"
    return _by_column(rows, Labels(names, columns), text, len(scene) - config.warmup)


def temperatures(source: Source, dreams: Dreams, config: FigureConfig) -> Drawing:
    """The same drive dreamt at several temperatures."""
    real, values = source.drive(), config.temperature_values(dreams.model.dynamics.shown_temperatures)
    check_length(len(real.actions), config.warmup)
    scenes = [_scene(source, Dreams(dreams.model, value), config, real) for value in values]
    labels = [TRUE, *(f"temperature {value:g}" for value in values)]

    def row(step: int) -> list[Frames]:
        return [real.images[step], *(scene.panel(DREAMT, step) for scene in scenes)]

    def frame(step: int) -> Frames:
        seconds = max(scenes[0].dreamt_seconds(step), 0)
        return labelled_table([row(step)], Labels([""], [f"{TRUE}, {seconds:.1f} s", *labels[1:]]))

    def still() -> Frames:
        moments = range(config.warmup - 1, len(real.actions), config.every)
        columns = [f"{scenes[0].dreamt_seconds(step):.1f} s" for step in moments]
        return labelled_table(list(zip(*map(row, moments), strict=True)), Labels(labels, columns))

    text = f"The true drive, and dreams of it at several temperatures. {SAME_ACTIONS}"
    return Drawing(frame, len(real.actions), still, text, len(real.actions) - config.warmup)


def steering(source: Source, dreams: Dreams, config: FigureConfig) -> Drawing:
    """Several actions from one moment, in the simulator and in the dream."""
    reals, dreamt = [], []
    for action in COMMANDS.values():
        policy = Commanded(source.policy(), action, config.warmup - 1)
        real = drive(policy, config.road, [config.seed], config.warmup + config.steps, config.side)[0]
        check_length(len(real.actions), config.warmup)
        given = np.tile(np.array(action, np.float32), (config.steps, 1))
        actions = np.concatenate([real.actions[: config.warmup - 1], given])
        z = dream_after(dreams, dreams.encode(real.frames), actions, config.warmup, config.seed)
        reals.append(real)
        dreamt.append(dreams.decode(z))

    def frame(number: int) -> Frames:
        step = config.warmup - 1 + number
        columns = [
            f"{name}, {number * source.step_time:.1f} s"
            + ("" if step < len(real.images) else " (off the road)")
            for name, real in zip(COMMANDS, reals, strict=True)
        ]
        true = [real.images[min(step, len(real.images) - 1)] for real in reals]
        below = [enlarge(frames[step], config.side) for frames in dreamt]
        return labelled_table([true, below], Labels([TRUE, DREAMT], columns))

    text = f"{', '.join(COMMANDS)}: actions from one moment, above in the simulator, below in the dream."
    return Drawing(frame, config.steps + 1, lambda: frame(config.steps), text, config.steps)


def dream(source: Source, dreams: Dreams, config: FigureConfig) -> Drawing:
    """A controller that drives in the dream alone."""
    controller = source.controller()
    live = stepper.Dreams(dreams.model.dynamics, warm_starts(dreams.model), temperature=dreams.temperature)
    live.reset([config.seed])
    latents = [live.z[0].copy()]
    for _ in range(config.steps):
        if live.step(np.atleast_2d(controller(live.observation[0]))).ended[0]:
            break
        latents.append(live.z[0].copy())
    decoded = dreams.decode(np.array(latents))

    def frame(step: int) -> Frames:
        label = f"{DREAMT}, {step * source.step_time:.1f} s"
        return labelled_table([[enlarge(decoded[step], config.side)]], Labels([""], [label]))

    steps = len(latents) - 1
    text = "A controller drives in the dream; there is no simulator."
    return Drawing(frame, steps + 1, lambda: frame(steps), text, steps)


def latents(source: Source, dreams: Dreams, config: FigureConfig) -> Drawing:
    """Frames with single latents changed from low to high."""
    names = latent_names(dreams.model, source.probe)
    order = np.argsort(-dreams.model.start_states().mu.std(axis=0), kind="stable")
    shown = [int(latent) for latent in order if names[latent]][:LATENT_ROWS] or [int(order[0])]
    mu = any_starts(dreams.model).mu
    z = np.tile(mu[config.seed % len(mu)], (len(shown), len(LATENT_VALUES), 1))
    for row, latent in enumerate(shown):
        z[row, :, latent] = LATENT_VALUES
    rows = [[enlarge(frame, config.side) for frame in row] for row in dreams.decode(z)]
    labels = [f"{latent}: {names[latent]}".rstrip(": ") for latent in shown]
    text = "Single latents of one frame at -3, 0 and +3, named by what they change."
    return _by_column(rows, Labels(labels, [f"{value:g}" for value in LATENT_VALUES]), text, 0)


def _by_column(rows: Table, labels: Labels, text: str, steps: int) -> Drawing:
    """A video in which one column after the other appears."""
    count = len(labels.columns)

    def frame(last: int) -> Frames:
        return labelled_table([_up_to(row, last) for row in rows], labels)

    return Drawing(frame, count, lambda: frame(count - 1), text, steps)


def _up_to(row: Sequence[Frames], last: int) -> list[Frames | None]:
    return [frame if column <= last else None for column, frame in enumerate(row)]


DRAWINGS: dict[str, Callable[[Source, Dreams, FigureConfig], Drawing]] = {
    "picture": functools.partial(panels, kind="picture"),
    "split": functools.partial(panels, kind="split"),
    "strip": strip,
    "steering": steering,
    "temperatures": temperatures,
    "dream": dream,
    "latents": latents,
}
