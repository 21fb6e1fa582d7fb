"""Names of latents by what they change: the car's pose, by the probe's slope, or a part of the image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.evaluation.lane_probe import LaneProbe
from dreamduck.world_model import WorldModel

ROWS = 8  # recorded frames over which slopes are averaged
LEAST = (0.01, np.radians(1.5))  # [m], [rad] a unit; less is no change of place
PLACES = ("moves the car {:.0f} cm {}", "turns the car {:.0f}° {}")  # of one unit more
SPAN = 2.0  # units either side of the mean, for images
LEAST_GREY = 2.0  # mean change of a part's grey levels
PARTS = {
    "the sky": np.s_[:, :20, :],
    "the road ahead": np.s_[:, 20:36, 16:48],
    "the left side": np.s_[:, 20:, :24],
    "the right side": np.s_[:, 20:, 40:],
    "the ground before the car": np.s_[:, 36:, 16:48],
}


OTHER_PARTS = {
    "the top": np.s_[:, :22, :],
    "the middle": np.s_[:, 22:42, 21:43],
    "the left": np.s_[:, 22:42, :21],
    "the right": np.s_[:, 22:42, 43:],
    "the bottom": np.s_[:, 42:, :],
}  # of images of other environments than Duckietown


def latent_names(model: WorldModel, probe: LaneProbe | None) -> list[str]:
    """What each of the Z latents changes most, in a few words; "" for little.

    Args:
        model: the world model.
        probe: of the lane position; None: images alone are compared.
    """
    mu = model.start_states().mu
    names = [""] * mu.shape[1] if probe is None else _places(mu, probe)
    nameless = [latent for latent, name in enumerate(names) if not name]
    for latent, name in zip(nameless, _pictures(mu, model, nameless), strict=True):
        names[latent] = name
    return names


def _places(mu: npt.NDArray[np.float32], probe: LaneProbe) -> list[str]:
    """What the probe says of one unit more of each latent, averaged over recorded frames."""
    z = mu[np.linspace(0, len(mu) - 1, min(len(mu), ROWS)).astype(int)]
    size = z.shape[1]
    more = z[None] + np.eye(size, dtype=np.float32)[:, None] * 0.5  # (Z, N, Z)
    less = more - np.eye(size, dtype=np.float32)[:, None]
    read = [probe.read(side.reshape(-1, size)).reshape(size, len(z), -1) for side in (more, less)]
    slopes = (read[0] - read[1]).mean(axis=1)  # (Z, 2)
    strength = np.abs(slopes) / np.array(LEAST)
    names = []
    for slope, strong in zip(slopes, strength, strict=True):
        quantity = int(strong.argmax())
        shown = 100 * slope[0] if quantity == 0 else np.degrees(slope[1])
        name = PLACES[quantity].format(abs(shown), "right" if shown > 0 else "left")
        names.append(name if strong[quantity] >= 1 else "")
    return names


def _pictures(mu: npt.NDArray[np.float32], model: WorldModel, latents: list[int]) -> list[str]:
    """The part of the image that each of these latents changes most."""
    if not latents:
        return []
    steps = SPAN * np.eye(mu.shape[1], dtype=np.float32)[latents]
    mean = mu.mean(axis=0)
    frames = model.decode(np.concatenate([mean + steps, mean - steps])).astype(np.float32).mean(axis=3)
    change = np.abs(frames[: len(latents)] - frames[len(latents) :])
    found = PARTS if model.gym_environment is None else OTHER_PARTS
    parts = np.stack([change[part].mean(axis=(1, 2)) for part in found.values()])  # (P, Z)
    names = list(found)
    return [
        f"changes {names[k]}" if most >= LEAST_GREY else ""
        for k, most in zip(parts.argmax(0), parts.max(0), strict=True)
    ]
