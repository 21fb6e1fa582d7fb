"""What each latent changes: the place of the car, by the slope of the probe, or a part of the image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dreamduck.web.lane_probe import LaneProbe
from dreamduck.world_model import WorldModel

ROWS = 32  # recorded frames over which slopes are averaged
LEAST = (0.01, np.radians(1.5))  # [m], [rad] a unit; less is no change of place
UNITS = ("moves the car {:+.0f} cm a unit", "turns the car {:+.0f}° a unit")  # positive to the right
SPAN = 2.0  # units either side of the mean, for pictures
LEAST_GREY = 2.0  # mean change of a part's grey levels
PARTS = {
    "the sky": np.s_[:, :20, :],
    "the road ahead": np.s_[:, 20:36, 16:48],
    "the left": np.s_[:, 20:, :24],
    "the right": np.s_[:, 20:, 40:],
    "the ground before the car": np.s_[:, 36:, 16:48],
}


def latent_names(model: WorldModel, probe: LaneProbe | None) -> list[str]:
    """What each of the Z latents changes most, in a few words; "" for little.

    Args:
        model: the world model.
        probe: of the lane position; None: pictures alone are compared.
    """
    mu = model.start_states().mu
    places = [""] * mu.shape[1] if probe is None else _places(mu, probe)
    pictures = _pictures(mu, model)
    return [place or picture for place, picture in zip(places, pictures, strict=True)]


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
        names.append(UNITS[quantity].format(shown) if strong[quantity] >= 1 else "")
    return names


def _pictures(mu: npt.NDArray[np.float32], model: WorldModel) -> list[str]:
    """The part of the picture that each latent changes most."""
    mean, size = mu.mean(axis=0), mu.shape[1]
    steps = SPAN * np.eye(size, dtype=np.float32)
    frames = model.decode(np.concatenate([mean + steps, mean - steps])).astype(np.float32).mean(axis=3)
    change = np.abs(frames[:size] - frames[size:])
    parts = np.stack([change[part].mean(axis=(1, 2)) for part in PARTS.values()])  # (P, Z)
    names = list(PARTS)
    return [
        names[k] if most >= LEAST_GREY else ""
        for k, most in zip(parts.argmax(0), parts.max(0), strict=True)
    ]
