"""Bytes as text for the page of one file, and back, in Python and in its JavaScript."""

import zlib

import numpy as np
import pytest

from dreamduck.export import packing
from tests.node import needs_node, run_node

SIZES = range(40)


def data(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


def unpacked(characters: str) -> bytes:
    """What `packing.element` was given; what fills the last character up is left over."""
    numbers = np.frombuffer(characters.encode("utf-16-le"), "<u2") - packing.FIRST
    bits = np.unpackbits(numbers.astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 1:]
    return zlib.decompressobj(wbits=31).decompress(np.packbits(bits).tobytes())


def whole(halves: bytes) -> bytes:
    """What `packing.by_halves` was given."""
    made = bytearray(len(halves))
    middle = (len(halves) + 1) // 2
    made[::2], made[1::2] = halves[:middle], halves[middle:]
    return bytes(made)


DECODE = """
const { bytesOf, joined } = await import(page + "/offline_model.js");
const both = ({ text, size, halves }) => [[...bytesOf(text, size)], [...joined(Uint8Array.from(halves))]];
console.log(JSON.stringify(given.map(both)));
"""


@needs_node
def test_the_page_reads_the_same_bytes():
    given = [
        {
            "text": packing.characters(data(size)),
            "size": size,
            "halves": list(packing.by_halves(data(size))),
        }
        for size in SIZES
    ]
    for size, (read, joined) in zip(SIZES, run_node(DECODE, given), strict=True):
        assert bytes(read) == bytes(joined) == data(size)


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_an_element(size):
    """What it holds is what was packed, and nothing that HTML or UTF-16 reads otherwise."""
    html = packing.element("name", data(size))
    head, characters = html.removesuffix("</script>\n").split(">", 1)
    assert head.startswith('<script type="text/plain" id="name" data-size="')
    assert unpacked(characters) == data(size)
    assert 0x100 <= min(map(ord, characters)) <= max(map(ord, characters)) < 0xD800


def test_a_file_marks_its_encoding(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(packing.encode("<p>\u0100 \U0001f986</p>"))
    assert path.read_text(encoding="utf-16") == "<p>\u0100 \U0001f986</p>"
    assert path.read_bytes()[:2] == b"\xff\xfe"
