"""The way from a camera's frame of any size to the network's input, as part of an ONNX graph.

The same computation as `dreamduck.common.area_average`, for sizes that are known only when the graph runs.
Sums of integers below 2^24 are exact in float32, whatever the order: those of every usual camera are."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from dreamduck.export.onnx_graph import Graph


def camera_input(g: Graph, frame: str, height: int, width: int) -> str:
    """A frame cut to its centre and averaged over areas, its bytes as float32.

    Args:
        g: the graph.
        frame: name of (N, H, W, 3) uint8.
        height: of the result [pixels].
        width: likewise.
    Returns:
        Name of (N, 3, height, width), integers from 0 to 255.
    """
    shape = g.add("Shape", [frame])
    full = [g.add("Gather", [shape, g.integers(axis)]) for axis in (1, 2)]
    lengths = [_cut(g, full[0], full[1], height, width), _cut(g, full[1], full[0], width, height)]
    two = g.integers(2)
    starts = [
        g.add("Div", [g.add("Sub", [whole, part]), two]) for whole, part in zip(full, lengths, strict=True)
    ]
    start, length = (g.add("Concat", pair, axis=0) for pair in (starts, lengths))
    cut = g.add("Slice", [frame, start, g.add("Add", [start, length]), g.integers(1, 2)])
    over, row_sum = _shares(g, lengths[0], height)
    across, column_sum = _shares(g, lengths[1], width)
    pixels = g.add("Cast", [cut], to=TensorProto.FLOAT)
    rows = g.add("MatMul", [over, g.add("Reshape", [pixels, g.integers(0, 0, -1)])])  # (N, height, 3 W)
    rows = g.add("Reshape", [rows, g.add("Concat", [g.integers(0, 0), lengths[1], g.integers(3)], axis=0)])
    turned = g.add("Transpose", [rows], perm=[0, 3, 1, 2])  # (N, 3, height, W)
    sums = g.add("MatMul", [turned, g.add("Transpose", [across], perm=[1, 0])])
    count = g.add("Cast", [g.add("Mul", [row_sum, column_sum])], to=TensorProto.FLOAT)
    return g.add("Round", [g.add("Div", [sums, count])])


def _cut(g: Graph, size: str, other: str, target: int, other_target: int) -> str:
    """One side of the greatest centre that has the aspect of the target, (1,) int64."""
    fitting = g.add("Div", [g.add("Mul", [other, g.integers(target)]), g.integers(other_target)])
    return g.add("Max", [g.add("Min", [size, fitting]), g.integers(1)])


def _shares(g: Graph, size: str, target: int) -> tuple[str, str]:
    """How much of each pixel of the source lies in each of the result, in integers.

    Args:
        g: the graph.
        size: name of (1,) int64, pixels of the source.
        target: pixels of the result.
    Returns:
        Names of the shares (target, size) float32, and of the sum of a row (1,) int64.
    """
    divisors = np.array([d for d in range(1, target + 1) if target % d == 0], np.int64)
    known, one = g.fresh_constant(divisors).name, g.integers(1)
    rest = g.add("Mod", [size, known])
    fits = g.add("Where", [g.add("Equal", [rest, g.integers(0)]), known, one])
    common = g.add("ReduceMax", [fits], keepdims=1)
    length, unit = g.add("Div", [size, common]), g.add("Div", [g.integers(target), common])
    first = g.add("Mul", [g.fresh_constant(np.arange(target)[:, None]).name, length])
    scalar = g.add("Squeeze", [size])
    zero, step = (g.fresh_constant(np.array(value, np.int64)).name for value in (0, 1))
    begin = g.add("Mul", [g.add("Range", [zero, scalar, step]), unit])
    upper = g.add("Min", [g.add("Add", [first, length]), g.add("Add", [begin, unit])])
    covered = g.add("Sub", [upper, g.add("Max", [first, begin])])
    shares = g.add("Max", [covered, g.integers(0)])
    return g.add("Cast", [shares], to=TensorProto.FLOAT), length
