"""Whether a series of encoded episodes belongs to a world model."""

from __future__ import annotations

from pathlib import Path

from dreamduck.common.errors import WeightsError
from dreamduck.common.storage import fingerprint
from dreamduck.simulator.environment import ENVIRONMENT, ROAD_STEPS, STEP_SETTINGS, differences, is_own
from dreamduck.world_model.dynamics import Dynamics
from dreamduck.world_model.latents import Series
from dreamduck.world_model.vae import files as vae_files

VAE_FILES = (vae_files.WEIGHTS, vae_files.CARD)


def check_vae(series: Series, source: str, folder: Path) -> None:
    """Refuse latents of another VAE than the one in a folder, if there is one.

    Args:
        series: the latents.
        source: its place, for the message.
        folder: of the world model.
    Raises:
        WeightsError: they are.
    """
    vae = next((folder / name for name in VAE_FILES if (folder / name).is_file()), None)
    if vae is not None and series.meta.get("vision", fingerprint(vae)) != fingerprint(vae):
        raise WeightsError(
            f"{source}: expected latents of the VAE in {vae}, got those of another one; make the series "
            f"with dreamduck encode --weights {folder}"
        )


def check_series(series: Series, source: str, folder: Path, dynamics: Dynamics) -> None:
    """Refuse a series that trained dynamics cannot learn from.

    Args:
        series: of encoded episodes.
        source: its place, for the message.
        folder: of the world model.
        dynamics: that the folder holds.
    Raises:
        WeightsError: the series is of another VAE or environment, or of latents or actions of another size.
    """
    check_vae(series, source, folder)
    learned, given = (card.get(ENVIRONMENT) or {} for card in (dynamics.card, series.meta))
    wrong = differences(learned, given, ROAD_STEPS if is_own(learned.get("id")) else STEP_SETTINGS)
    if wrong:
        raise WeightsError(
            f"{source}: of another environment than {folder} ({'; '.join(wrong)}); make the series from "
            "recordings of the same"
        )
    sizes = dynamics.config
    for here, need, have in (
        ("latents", sizes.z_size, series.mu.shape[1]),
        ("actions", sizes.action_size, series.action.shape[1]),
    ):
        if have != need:
            raise WeightsError(
                f"{folder}: dynamics for {here} of {need} numbers, but the series has {here} of {have}; "
                "make the series with the VAE that belongs to them"
            )
