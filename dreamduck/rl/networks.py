"""The networks of 2019, as feature extractors of Stable-Baselines3.

Layers, sizes and activations are those of OpenAI baselines' `common/models.py`, June 2019; images are
divided by 255 first. Sources: Mnih et al. 2015 (cnn), Espeholt et al. 2018 (impala_cnn)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium as gym

from dreamduck.common.errors import ConfigError
from dreamduck.rl.sb3 import (
    BaseFeaturesExtractor,
    FlattenExtractor,
    is_image_space,
    th,
)

nn = th.nn
UNITS = {"impala_cnn_lstm": 256}  # of the LSTM; of the others' 128
NATURE = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # filters, size, stride
SMALL = ((8, 8, 4), (16, 4, 2))
ACTIVATIONS: dict[str, type[th.nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU}


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of the command line.

    Attributes:
        images: True: for images only; False: for anything, flattened; None: Stable-Baselines3's own policy.
        recurrent: whether it has an LSTM.
        options: keys that it takes.
    """

    images: bool | None
    recurrent: bool = False
    options: tuple[str, ...] = ()


NETWORKS = {
    "mlp": Network(False, options=("num_layers", "num_hidden", "activation", "layer_norm")),
    "lstm": Network(False, True, ("nlstm", "layer_norm")),
    "cnn": Network(True, options=("pad",)),
    "cnn_small": Network(True, options=("pad",)),
    "cnn_lstm": Network(True, True, ("nlstm", "layer_norm", "pad")),
    "cnn_lnlstm": Network(True, True, ("nlstm", "pad")),
    "conv_only": Network(True, options=("convs",)),
    "impala_cnn": Network(True, options=("depths",)),
    "impala_cnn_lstm": Network(True, True, ("nlstm", "layer_norm", "depths")),
    "MlpPolicy": Network(None),
    "CnnPolicy": Network(None),
}


def default_network(space: gym.Space[Any]) -> str:
    """A convolutional one for images, a dense one for everything else."""
    return "cnn" if is_image_space(space) else "mlp"


def check_network(name: str, options: dict[str, Any], space: gym.Space[Any]) -> None:
    """Refuse a network that is unknown, or does not fit the options or the observations.

    Raises:
        ConfigError: the network does not fit the space.
    """
    if name not in NETWORKS:
        raise ConfigError(f"network: expected one of {', '.join(NETWORKS)}, got {name!r:.100}")
    network = NETWORKS[name]
    for key in options:
        if key not in network.options:
            takes = ", ".join(network.options) or "nothing"
            raise ConfigError(f"--{key}: the network {name} has no such option; it takes {takes}")
    if network.images and not is_image_space(space):
        raise ConfigError(
            f"network: {name} needs images (H, W, channels) uint8, and this environment observes {space}; "
            f"use {'lstm' if network.recurrent else 'mlp'}"
        )
    for key in ("num_layers", "num_hidden", "nlstm"):
        value = options.get(key, 1)
        if type(value) is not int or value < 1:
            raise ConfigError(f"{key}: expected an integer of at least 1, got {value!r:.100}")
    _activation(options.get("activation", "tanh"))
    if options.get("pad", "VALID") not in ("VALID", "SAME"):
        raise ConfigError(f"pad: expected VALID or SAME, got {options['pad']!r:.100}")


def extractor(name: str, options: dict[str, Any]) -> tuple[type[BaseFeaturesExtractor], dict[str, Any]]:
    """The feature extractor's class and its arguments; `check_network` has passed."""
    given = {k: v for k, v in options.items() if k not in ("nlstm", "layer_norm")}
    if name == "mlp":
        return Mlp, {**given, "layer_norm": bool(options.get("layer_norm", False))}
    if name == "lstm":
        return FlattenExtractor, {}
    if name in ("impala_cnn", "impala_cnn_lstm"):
        return ImpalaCnn, given
    if name == "conv_only":
        return Cnn, {"convs": given.get("convs", NATURE), "hidden": 0, "pad": "SAME"}
    if name == "cnn_small":
        return Cnn, {"convs": SMALL, "hidden": 128, **given}
    return Cnn, {"convs": NATURE, "hidden": 512, **given}


def lstm_units(name: str, options: Mapping[str, Any]) -> int:
    """The units of a recurrent network's LSTM."""
    return int(options.get("nlstm", UNITS.get(name, 128)))


def least_size(name: str, options: Mapping[str, Any]) -> tuple[int, int]:
    """A lower bound on the layers and weights of a network.

    Args:
        name: of the network.
        options: from a file; `check_network` has passed.
    Returns:
        Layers, and numbers in them.
    Raises:
        ConfigError: filters are no integers.
    """
    if not NETWORKS[name].recurrent and not NETWORKS[name].images:
        layers, units = int(options.get("num_layers", 1)), int(options.get("num_hidden", 1))
        return layers, (layers - 1) * units**2 + units
    numbers = 4 * lstm_units(name, options) ** 2 if NETWORKS[name].recurrent else 0
    convs = [(depth, 3, 1) for depth in _checked_depths(options["depths"])] if "depths" in options else []
    convs += _checked_convs(options["convs"]) if "convs" in options else []
    for before, (filters, size, _) in zip([1, *(conv[0] for conv in convs)], convs, strict=False):
        numbers += before * filters * size**2
    return len(convs), numbers


class Extractor(BaseFeaturesExtractor):
    """Layers one after the other."""

    layers: th.nn.Sequential

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """(B, ...) to (B, features); images are (B, channels, H, W) in [0, 1]."""
        return cast(th.Tensor, self.layers(observations))


class Mlp(Extractor):
    """Dense layers on the flattened observation.

    Args:
        observation_space: of the environment.
        num_layers: how many.
        num_hidden: units in each.
        activation: one of `ACTIVATIONS`; 2019's spelling `tf.tanh` is accepted.
        layer_norm: normalize each layer before its activation.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        num_layers: int = 2,
        num_hidden: int = 64,
        activation: str = "tanh",
        layer_norm: bool = False,
    ) -> None:
        super().__init__(observation_space, num_hidden)
        size = gym.spaces.utils.flatdim(observation_space)
        layers: list[th.nn.Module] = [nn.Flatten()]
        for _ in range(num_layers):
            layers.append(nn.Linear(size, num_hidden))
            if layer_norm:
                layers.append(nn.LayerNorm(num_hidden))
            layers.append(_activation(activation)())
            size = num_hidden
        self.layers = nn.Sequential(*layers)


class Cnn(Extractor):
    """Convolutions with ReLU, then one dense layer, or none with `hidden` 0.

    Args:
        observation_space: images, channels first.
        convs: (filters, size, stride) of each layer.
        hidden: units of the dense layer.
        pad: "VALID", or "SAME" as TensorFlow pads.
    Raises:
        ConfigError: the image is too small.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        convs: Sequence[tuple[int, int, int]] = NATURE,
        hidden: int = 512,
        pad: str = "VALID",
    ) -> None:
        channels, height, width = _image_shape(observation_space)
        layers: list[th.nn.Module] = []
        for filters, size, stride in _checked_convs(convs):
            if pad == "SAME":
                padding = (*_same(width, size, stride), *_same(height, size, stride))
                layers.append(nn.ZeroPad2d(padding))
                height, width = height + sum(padding[2:]), width + sum(padding[:2])
            layers += [nn.Conv2d(channels, filters, size, stride), nn.ReLU()]
            channels, height, width = filters, (height - size) // stride + 1, (width - size) // stride + 1
            if height < 1 or width < 1:
                raise ConfigError(
                    f"network: the image {observation_space.shape} is too small for these convolutions; "
                    "use a larger camera, --pad=SAME or --network=mlp"
                )
        size = channels * height * width
        super().__init__(observation_space, hidden or size)
        layers.append(nn.Flatten())
        if hidden:
            layers += [nn.Linear(size, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers)


class ImpalaCnn(Extractor):
    """Three blocks of a convolution, pooling and two residual pairs, then 256 dense units.

    Args:
        observation_space: images, channels first.
        depths: filters of each block.
    """

    def __init__(self, observation_space: gym.Space[Any], depths: Sequence[int] = (16, 32, 32)) -> None:
        super().__init__(observation_space, 256)
        channels, height, width = _image_shape(observation_space)
        layers: list[th.nn.Module] = []
        for depth in _checked_depths(depths):
            layers += [nn.Conv2d(channels, depth, 3, padding=1), nn.MaxPool2d(3, 2, padding=1)]
            layers += [Residual(depth), Residual(depth)]
            channels, height, width = depth, (height + 1) // 2, (width + 1) // 2
        layers += [nn.Flatten(), nn.ReLU(), nn.Linear(channels * height * width, 256), nn.ReLU()]
        self.layers = nn.Sequential(*layers)


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(depth, depth, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(depth, depth, 3, padding=1),
        )

    def forward(self, x: th.Tensor) -> th.Tensor:
        """(B, depth, H, W) to the same."""
        return cast(th.Tensor, x + self.layers(x))


def _activation(name: Any) -> type[th.nn.Module]:
    plain = str(name).rsplit(".", 1)[-1]
    if plain not in ACTIVATIONS:
        raise ConfigError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r:.100}")
    return ACTIVATIONS[plain]


def _image_shape(space: gym.Space[Any]) -> tuple[int, int, int]:
    """Channels, height and width; Stable-Baselines3 has images channels first."""
    shape = space.shape
    assert shape is not None
    assert len(shape) == 3
    return shape[0], shape[1], shape[2]


def _checked_convs(convs: Any) -> list[tuple[int, int, int]]:
    try:
        layers = [(int(filters), int(size), int(stride)) for filters, size, stride in convs]
    except (TypeError, ValueError, OverflowError) as err:
        raise ConfigError(f"convs: expected [(filters, size, stride), ...], got {convs!r:.100}") from err
    if not layers or min(min(layer) for layer in layers) < 1:
        raise ConfigError(f"convs: expected numbers of at least 1, got {convs!r:.100}")
    return layers


def _checked_depths(depths: Any) -> list[int]:
    good = isinstance(depths, (list, tuple)) and all(type(d) is int and d >= 1 for d in depths)
    if not good or not depths:
        raise ConfigError(f"depths: expected a list of integers of at least 1, got {depths!r:.100}")
    return list(depths)


def _same(length: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, so that the output has ceil(length / stride) pixels."""
    total = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2
