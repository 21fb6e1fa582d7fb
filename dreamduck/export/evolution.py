"""Data with which the one-file page evolves a controller: start states, features, settings.

The search is that of `dreamduck.search` made small: short dreams from anywhere in recorded episodes, the
same for all candidates of a generation, and a controller that sees principal components."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.controllers.factory import FormConfig
from dreamduck.controllers.policy import ControllerForm
from dreamduck.search.principal_components import find_subspace
from dreamduck.world_model import WorldModel
from dreamduck.world_model.dynamics.start_states import MIDWAY

STARTS = 128  # beginnings of dreams
SETTINGS: dict[str, Any] = {
    "components": 16,
    "population": 24,
    "sigma": 0.1,
    "seed": 0,
    "episodes": 8,  # of a candidate
    "steps": 60,  # of an episode
    "end_cost": 3.0,  # [m] off the return of an episode that ends before, in Duckietown
    "weight_decay": 0.05,
    "compare_every": 6,  # generations
    "test_episodes": 24,
    "test_steps": 150,
    "seconds": 150,  # of the search, at most
}


def evolution(model: WorldModel) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays and settings for the search.

    Args:
        model: the world model.

    Returns:
        Arrays by name: `starts_mu` and so on, where dreams begin; `feature_mean` (I,) and `projection`
        (I, K), what controllers look at. And the settings, with the form of the controllers.
    """
    sizes, actions = model.dynamics.config, model.actions
    form = FormConfig("zh").form(sizes.z_size, sizes.hidden_size, sizes.policy_cell_size, actions)
    try:
        initial = model.start_states(MIDWAY)
    except WeightsError:  # models that were trained before there were such starts
        initial = model.start_states()
    dream = SimpleNamespace(dynamics=model.dynamics, initial=initial)
    subspace = find_subspace(dream, form, SETTINGS["components"], SETTINGS["seed"])
    rows = np.linspace(0, len(initial.mu) - 1, min(len(initial.mu), STARTS)).astype(int)
    arrays = {f"starts_{name}": part[rows] for name, part in initial._asdict().items() if part is not None}
    arrays |= {"feature_mean": subspace.mean, "projection": subspace.projection}
    settings = {
        **SETTINGS,
        **({} if model.gym_environment is None else {"end_cost": 0.0}),
        "outputs": actions.size,
        "components": subspace.projection.shape[1],
        "temperature": model.search_temperature,
        "form": form_of(form),
    }
    return arrays, settings


def form_of(form: ControllerForm) -> dict[str, Any]:
    """A controller's form, as `control` of dream.js takes it."""
    return {
        "kind": form.action_kind,
        "features": form.features,
        "layers": form.layers,
        "bias": form.bias,
        "actions": form.actions,
    }
