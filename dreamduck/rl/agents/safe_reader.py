"""Weights in a `.pth` file, read without unpickling anything that is not known.

The file is a zip with a pickle that `torch.load(weights_only=True)` interprets. Its opcodes are checked
first: it may name tensors and dictionaries only, and each tensor's storage must have the length of its
record."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from typing import IO, Any

from dreamduck.common.files.archives import checked_archive
from dreamduck.rl.sb3 import th

SMALL_BYTES = 64 << 20  # that compressed members may unpack to; PyTorch compresses nothing
MOST_PICKLE_BYTES = 2 << 20  # names, shapes and settings, without the numbers
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


def read_tensors(content: bytes) -> Any:
    """What a `.pth` file holds: tensors in dictionaries.

    Args:
        content: of the file.
    Raises:
        ValueError: it holds something else, or is damaged; PyTorch's reader raises a dozen other kinds.
    """
    _check_pth(content)
    found = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    for tensor in _tensors(found):
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError("a tensor is larger than its storage")
    return found


def _check_pth(content: bytes) -> None:
    """Check the pickle without unpickling it."""
    with checked_archive(io.BytesIO(content), most=SMALL_BYTES) as archive:
        members = archive.namelist()
        folders = {name.partition("/")[0] for name in members}
        sizes = {info.filename.partition("/")[2]: info.file_size for info in archive.infolist()}
        # PyTorch's reader ignores the case of names.
        pickles = [name for name in members if name.lower().endswith(".pkl")]
        orders = [name for name in members if name.lower().endswith("/byteorder")]
        if len({name.lower() for name in members}) < len(members) or len(folders) != 1:
            raise ValueError("expected what torch.save writes, in one folder, each name once")
        if any(archive.read(name) != b"little" for name in orders):
            raise ValueError("its numbers are in another byte order, expected little-endian")
        if [name.partition("/")[2] for name in pickles] != ["data.pkl"]:
            raise ValueError("expected what torch.save writes, with one data.pkl")
        if sizes["data.pkl"] > MOST_PICKLE_BYTES:
            raise ValueError(f"data.pkl: expected {MOST_PICKLE_BYTES} bytes at most, got more")
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
            raise ValueError(f"it names {argument or name}, expected tensors and dictionaries")
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
    raise ValueError("a storage is not as long as its record")


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
