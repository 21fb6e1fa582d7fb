"""Cost of a world model: parameters, multiply-adds, steps a second, and its training budget."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from dreamduck.common.processes.threads import cores
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Context, Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.world_model.vae.layout import FloatArray, multiply_adds, sizes_of

BATCHES = (1, 1024)
SECONDS = 1.0  # that each timing takes at least


def cost(dreams: Dreams, data: RealData, probes: Any, config: ModelCardConfig) -> dict[str, Any]:
    """The section of the card: the figures that are the same at every run.

    Args:
        dreams: of the world model.
        data: unused.
        probes: unused.
        config: unused.
    """
    model = dreams.model
    encoder, decoder = multiply_adds(sizes_of(model.vae.parameters))
    cards = {"vae": model.card.vae, "rnn": model.card.rnn}
    return {
        "parameters": {
            "vae": int(sum(array.size for array in model.vae.parameters.values())),
            "rnn": int(sum(array.size for array in model.dynamics.parameters.values())),
        },
        "multiply_adds": {"step": model.dynamics.multiply_adds, "encode": encoder, "decode": decoder},
        "training": {
            name: {
                "steps": card.get("steps"),
                "minutes": round(card["seconds"] / 60, 1) if "seconds" in card else None,
            }
            for name, card in cards.items()
        },
    }


def _constant(action: FloatArray, z: FloatArray, h: FloatArray, step: int) -> FloatArray:
    return action


def timings(dreams: Dreams) -> dict[str, Any]:
    """Dream steps a second alone and in a batch, on this machine now; never the same twice.

    Args:
        dreams: of the world model.
    """
    z_size, action_size, _ = dreams.sizes
    found = {}
    for batch in BATCHES:
        context = Context(
            np.zeros((batch, 1, z_size), np.float32), np.zeros((batch, 0, action_size), np.float32)
        )
        still, steps, spent = np.zeros((batch, action_size), np.float32), max(4, 256 // batch), 0.0
        while spent < SECONDS:
            steps *= 2
            begun = time.perf_counter()
            dreams.closed_loop(partial(_constant, still), context, steps, 0, cut=False, trace=False)
            spent = time.perf_counter() - begun
        found[str(batch)] = round(batch * steps / spent)
    return {"steps_per_second": found, "cores": cores()}
