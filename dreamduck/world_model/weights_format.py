"""The weights of a network in a folder: `NAME.weights.h5`, as Keras writes it, and its card `NAME.json`.

A network declares a `WeightsFormat`. Everything that reads, writes or runs weights speaks of them as
`Parameters`: a dictionary from "layer/variable" to arrays. Reading needs h5py alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import WeightsError
from dreamduck.common.files import weights
from dreamduck.common.readers import PathLike, fingerprint, fingerprint_of, to_float32
from dreamduck.common.storage import write_bytes

Parameters = dict[str, npt.NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]
Sizes = TypeVar("Sizes")

VARIABLES = ("kernel", "bias")  # Keras numbers a layer's variables in this order


def place_in_layer(name: str) -> str:
    """Where Keras puts a parameter of a plain layer in its file."""
    layer, variable = name.split("/")
    return f"{layer}/vars/{VARIABLES.index(variable)}"


@dataclasses.dataclass(frozen=True)
class WeightsFormat(Generic[Sizes]):
    """The files of a network's weights in a folder.

    Attributes:
        name: of its files, "vae" for example.
        title: of the network, in messages.
        command: that trains it, in messages.
        shapes: every parameter's name and shape, by the network's sizes.
        place: where Keras puts a parameter in its file.
        groups: empty groups that Keras expects there.
        older: values of parameters that older files lack.
    """

    name: str
    title: str
    command: str
    shapes: Callable[[Sizes], Shapes]
    place: Callable[[str], str] = place_in_layer
    groups: tuple[str, ...] = ("vars",)
    older: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def weights(self) -> str:
        """The name of the weights' file."""
        return f"{self.name}.weights.h5"

    @property
    def card(self) -> str:
        """The name of the card."""
        return f"{self.name}.json"

    @property
    def remedy(self) -> str:
        """The remedy in messages."""
        return f"train it with {self.command}, or name another folder"

    def check(self, arrays: Mapping[str, npt.NDArray[Any]], sizes: Sizes, source: str) -> Parameters:
        """The arrays as float32 in the standard order.

        Args:
            arrays: by the names of `shapes`.
            sizes: of the network.
            source: what an error message calls them, for example the file's path.
        Raises:
            WeightsError: a name is missing or unknown, a shape is wrong, a number is not finite.
        """
        expected = self.shapes(sizes)
        wrong = sorted(set(expected) ^ set(arrays))
        if wrong:
            raise WeightsError(
                f"{source}: not of this {self.title}; missing or unknown: {', '.join(wrong)}"
            )
        checked: Parameters = {}
        for name, shape in expected.items():
            array = np.asarray(arrays[name])
            if array.shape != shape or array.dtype.kind not in "fiu":
                raise WeightsError(
                    f"{source}: {name} is {array.dtype} {array.shape}, expected numbers {shape}"
                )
            checked[name] = np.ascontiguousarray(to_float32(array))
            if not np.isfinite(checked[name]).all():
                raise WeightsError(f"{source}: {name} has numbers that are not finite; train it again")
        return checked

    def write(self, path: PathLike, parameters: Parameters) -> None:
        """Write weights in the form of `keras.Model.save_weights`, compressed."""
        write_bytes(path, self._to_hdf5(parameters))

    def read(self, path: PathLike, sizes: Sizes | Callable[[Any], Sizes], largest: Sizes) -> Parameters:
        """Read weights that Keras or `write` wrote.

        Args:
            path: of the file.
            sizes: of the network, or what finds them in an open HDF5 file.
            largest: sizes beyond which a file is damaged.
        Raises:
            WeightsError: the file is missing, damaged or of another network.
        """
        return self._parse(self._read(path, largest), path, sizes)

    def load(
        self, folder: PathLike, sizes: Sizes | Callable[[Any], Sizes], largest: Sizes
    ) -> tuple[Parameters, dict[str, Any], str]:
        """Weights that are those of their card, the card, and their fingerprint; see `read`.

        Raises:
            WeightsError: a file is missing or damaged, or the card is of other weights.
        """
        path, card_path = Path(folder) / self.weights, Path(folder) / self.card
        data = self._read(path, largest)
        found = fingerprint_of(data)
        card = weights.read_card(card_path, found, self.remedy)
        weights.check_pair(card, found, path, card_path, self.remedy)
        return self._parse(data, path, sizes), card, found

    def save(self, folder: PathLike, parameters: Parameters, card: Mapping[str, Any]) -> None:
        """Write weights, as they are, and their card into a folder; the card gets their fingerprint."""
        data = self._to_hdf5(parameters)
        weights.save_pair(Path(folder) / self.weights, data, Path(folder) / self.card, card)

    def read_card(self, folder: PathLike) -> dict[str, Any]:
        """The card beside the weights; empty where there is none.

        Raises:
            WeightsError: it is damaged.
        """
        path = Path(folder) / self.weights
        fits = fingerprint(path) if path.is_file() else None
        return weights.read_card(Path(folder) / self.card, fits, self.remedy)

    def _to_hdf5(self, parameters: Parameters) -> bytes:
        places = {self.place(name): array for name, array in parameters.items()}
        return weights.to_hdf5(places, self.groups)

    def _read(self, path: PathLike, largest: Sizes) -> bytes:
        numbers = sum(math.prod(shape) for shape in self.shapes(largest).values())
        return weights.read_weights(path, numbers, self.remedy)

    def _parse(self, data: bytes, path: PathLike, sizes: Sizes | Callable[[Any], Sizes]) -> Parameters:
        with weights.open_hdf5(data, path, self.remedy) as file:
            known = sizes(file) if callable(sizes) else sizes
            arrays = {}
            for name, shape in self.shapes(known).items():
                if name in self.older and name.partition("/")[0] not in file:
                    arrays[name] = np.full(shape, self.older[name], np.float32)
                else:
                    arrays[name] = weights.read_dataset(file, self.place(name), shape)
        return self.check(arrays, known, str(path))


def at_half_precision(parameters: Parameters) -> Parameters:
    """Weights rounded to half precision, as float32 again."""
    limit = float(np.finfo(np.float16).max)
    return {
        name: np.clip(array, -limit, limit).astype(np.float16).astype(np.float32)
        for name, array in parameters.items()
    }
