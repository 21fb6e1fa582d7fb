"""Reads an agent's zip safely: within the size of the file, and without unpickling anything.

- Stable-Baselines3 and `torch.save` do not compress. Members that unpack to more than the size of the file
  are refused, unless they are small.
- A `.pth` member is again a zip, with a pickle that `torch.load(weights_only=True)` interprets. Its opcodes
  are checked first: it may name tensors and dictionaries only, and each tensor's storage must have the
  length of its record."""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import CheckpointError
from dreamduck.rl.sb3 import th

MOST_BYTES = 2 << 30  # of a file; the largest network of the command with its optimiser has a tenth of that
SMALL_BYTES = 64 << 20  # that members may unpack to, however small the file
MOST_MEMBERS = 4096  # of a zip, and so tensors of a part
MOST_PICKLE_BYTES = 2 << 20  # names, shapes and settings, without the numbers
MOST_CARD_BYTES = 1 << 20
ITEM_BYTES = {
    "DoubleStorage": 8,
    "LongStorage": 8,
    "FloatStorage": 4,
    "IntStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {name}" for name in ITEM_BYTES),
}
PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
GETS = {"GET", "BINGET", "LONG_BINGET"}
OTHER_GLOBALS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"}
DAMAGE = (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, EOFError)


class SafeReader:
    """An open agent file.

    Args:
        path: a regular file.
    Raises:
        CheckpointError: not a zip, or one that unpacks to more than an agent can be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = os.path.getsize(path)
            if size > MOST_BYTES:
                raise CheckpointError(
                    f"{path}: has {size} bytes; expected an agent of at most {MOST_BYTES}"
                )
            self._archive = zipfile.ZipFile(path)
        except (*DAMAGE, ValueError) as err:
            raise self._no_agent(err) from err
        try:
            self.names = _check_sizes(path.name, self._archive, size)
        except CheckpointError as err:
            self.close()
            raise CheckpointError(f"{path}: {err}") from err

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def __enter__(self) -> SafeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def text(self, name: str) -> bytes:
        """A small member.

        Raises:
            CheckpointError: it is damaged or too long.
        """
        size = self._archive.getinfo(name).file_size
        if size > MOST_CARD_BYTES:
            raise CheckpointError(
                f"{self.path}: {name} has {size} bytes; expected at most {MOST_CARD_BYTES}"
            )
        return self._bytes(name)

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a member that is an `.npz`.

        Raises:
            CheckpointError: it is damaged.
        """
        content = self._bytes(name)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as inner:
                _check_sizes(name, inner, len(content))
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {key: np.asarray(arrays[key]) for key in arrays.files}
        except (*DAMAGE, ValueError, KeyError, TypeError, MemoryError, SyntaxError, RecursionError) as err:
            raise CheckpointError(f"{self.path}: {name} cannot be read ({line(err)})") from err

    def tensors(self, name: str) -> Any:
        """What a `.pth` member holds: tensors in dictionaries.

        Raises:
            CheckpointError: it is damaged, or holds something else.
        """
        content = self._bytes(name)
        try:
            _check_pth(name, content)
            found = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            for tensor in _tensors(found):
                if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
                    raise CheckpointError("a tensor is larger than what is stored of it")
            return found
        except MemoryError as err:
            raise CheckpointError(f"{self.path}: {name} does not fit into memory") from err
        except Exception as err:  # torch's reader raises a dozen kinds
            raise CheckpointError(
                f"{self.path}: {name} holds something else than weights ({line(err)})"
            ) from err

    def _bytes(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except (*DAMAGE, ValueError, RuntimeError) as err:  # RuntimeError: it is encrypted
            raise self._no_agent(err) from err

    def _no_agent(self, err: Exception) -> CheckpointError:
        if isinstance(err, CheckpointError):
            return err
        return CheckpointError(f"{self.path}: no saved agent ({line(err)})")


def line(err: BaseException) -> str:
    """The first line of an error's message; PyTorch's fill a page."""
    return (str(err).splitlines() or [type(err).__name__])[0][:200]


def _check_sizes(name: str, archive: zipfile.ZipFile, size: int) -> list[str]:
    """Refuse a zip that unpacks to far more than its size.

    Args:
        name: for messages.
        archive: the zip.
        size: of the zip [bytes].
    Returns:
        The names of its members.
    """
    members = archive.infolist()
    # PyTorch's reader ignores the case of names.
    names = {member.filename.lower() for member in members}
    if len(members) > MOST_MEMBERS or len(names) < len(members):
        raise CheckpointError(
            f"{name} has {len(members)} members; expected at most {MOST_MEMBERS}, each once"
        )
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(size, SMALL_BYTES):
        raise CheckpointError(
            f"{name} has {size} bytes and unpacks to {unpacked}; expected members that are not compressed, "
            "as Stable-Baselines3 writes them"
        )
    return [member.filename for member in members]


def _check_pth(name: str, content: bytes) -> None:
    """Check the pickle of a `.pth` without unpickling it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = {}
        pickles = []
        members = _check_sizes(name, archive, len(content))
        if len({member.partition("/")[0] for member in members}) != 1:
            raise CheckpointError("expected what torch.save writes, in one folder")
        for member in members:
            sizes[member.partition("/")[2]] = archive.getinfo(member).file_size
            if member.lower().endswith(".pkl"):
                pickles.append(member)
            if member.lower().endswith("/byteorder") and archive.read(member) != b"little":
                raise CheckpointError("its numbers are in another byte order, expected little-endian")
        if [each.partition("/")[2] for each in pickles] != ["data.pkl"]:
            raise CheckpointError("expected what torch.save writes, with one data.pkl")
        if sizes["data.pkl"] > MOST_PICKLE_BYTES:
            raise CheckpointError(
                f"data.pkl has {sizes['data.pkl']} bytes, expected at most {MOST_PICKLE_BYTES}"
            )
        _check_opcodes(io.BytesIO(archive.read(pickles[0])), sizes)


def _check_opcodes(pickled: IO[bytes], sizes: dict[str, int]) -> None:
    """Refuse a pickle that names anything but tensors, or storages longer than their records.

    Args:
        pickled: the pickle.
        sizes: of the archive's records, by name [bytes].
    """
    memo: dict[int, Any] = {}
    recent: list[tuple[str, Any]] = []  # the last opcodes that push, with their values
    for opcode, argument, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in OTHER_GLOBALS or (name == "GLOBAL" and argument not in GLOBALS):
            raise CheckpointError(f"it names {argument or name}, expected tensors and dictionaries")
        if name in PUTS:
            memo[len(memo) if argument is None else argument] = recent[-1][1] if recent else None
            continue
        if name == "BINPERSID":
            _check_storage(recent, sizes)
        recent.append(
            (name, memo.get(int(argument)) if name in GETS and argument is not None else argument)
        )
        del recent[:-7]


def _check_storage(recent: list[tuple[str, Any]], sizes: dict[str, int]) -> None:
    """The last opcodes before a storage: a mark, its five parts, and the tuple of them."""
    names, values = [name for name, _ in recent], [value for _, value in recent]
    if len(recent) == 7 and names[0] == "MARK" and names[6] == "TUPLE" and values[1] == "storage":
        kind, key, count = str(values[2]).removeprefix("torch "), values[3], values[5]
        if (
            kind in ITEM_BYTES
            and isinstance(count, int)
            and sizes.get(f"data/{key}") == count * ITEM_BYTES[kind]
        ):
            return
    raise CheckpointError("a storage is not as long as its record")


def _tensors(value: Any) -> Iterator[th.Tensor]:
    """Every tensor in nested dictionaries and lists, each container once."""
    waiting, seen = [value], set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, th.Tensor):
            yield found
        elif isinstance(found, (dict, list, tuple)) and id(found) not in seen:
            seen.add(id(found))
            waiting += found.values() if isinstance(found, dict) else found
