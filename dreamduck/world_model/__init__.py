"""The world model: a VAE, dynamics, and dreams in what they predict (Ha & Schmidhuber 2018).

`WorldModel` opens a folder and is all that its users need. Frames become latents (`vae`), recorded
episodes become series of latents (`latents`), dynamics learn to predict their next step (`dynamics` has
their interface, `mdn_rnn` the first kind), and dreams run on their predictions (`imagination`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamduck.world_model.model import WorldModel

__all__ = ["WorldModel"]


def __getattr__(name: str) -> Any:
    if name == "WorldModel":
        from dreamduck.world_model.model import WorldModel

        return WorldModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
