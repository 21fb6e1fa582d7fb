"""What a world model costs: parameters, multiply-adds, steps a second, and what its training took."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from dreamduck.common.threads import cores
from dreamduck.evaluation.model_card.config import ModelCardConfig
from dreamduck.evaluation.model_card.dreams import Context, Dreams
from dreamduck.evaluation.model_card.driving.data import RealData
from dreamduck.world_model.vae.layout import CONVOLUTIONS, TRANSPOSED, FloatArray

BATCHES = (1, 1024)
SECONDS = 1.0  # that each timing takes at least
FRAME_SIDE = 64


def cost(dreams: Dreams, data: RealData, probes: Any, config: ModelCardConfig) -> dict[str, Any]:
    """The section of the card: what is the same at every run.

    Args:
        dreams: of the world model.
        data: unused.
        probes: unused.
        config: unused.
    """
    model, sizes = dreams.model, dreams.model.sizes
    z, hidden = sizes.z_size, sizes.hidden_size
    gates = (z + sizes.action_size + hidden) * 4 * hidden
    heads = hidden * (3 * sizes.mixtures * z + 3)
    encoder, decoder = vae_multiply_adds(z)
    cards = {"vae": model.card.vae, "rnn": model.card.rnn}
    return {
        "parameters": {
            "vae": int(sum(array.size for array in model.vae.parameters.values())),
            "rnn": int(sum(array.size for array in model.dynamics.parameters.values())),
        },
        "multiply_adds": {"step": gates + heads, "encode": encoder, "decode": decoder},
        "training": {
            name: {
                "steps": card.get("steps"),
                "minutes": round(card["seconds"] / 60, 1) if "seconds" in card else None,
            }
            for name, card in cards.items()
        },
    }


def vae_multiply_adds(z_size: int) -> tuple[int, int]:
    """Multiply-adds to encode and to decode one frame.

    Args:
        z_size: Z.
    """
    side, encode, flat = FRAME_SIDE, 0, 0
    for _, kernel, inputs, outputs in CONVOLUTIONS:
        side = (side - kernel) // 2 + 1
        encode += side * side * kernel * kernel * inputs * outputs
        flat = side * side * outputs
    decode, side = z_size * TRANSPOSED[0][2], 1
    for _, kernel, inputs, outputs in TRANSPOSED:
        decode += side * side * kernel * kernel * inputs * outputs
        side = 2 * (side - 1) + kernel
    return encode + flat * 2 * z_size, decode


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
