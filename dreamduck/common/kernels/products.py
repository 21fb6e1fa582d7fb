"""Products of small matrices with the calling thread alone.

numpy's OpenBLAS wakes all cores for products that one core takes microseconds for, and its threads wait for
one another by spinning: beside other work a product then takes a hundred times longer. Its limit is one
number for the whole process, which threads cannot set and put back without disturbing one another. So the
worlds' products are compiled here. A row's bits depend neither on the rows beside it nor on the number of
threads. Only large batches are spread over the cores: the columns of a product, or, where rows are very
many, blocks of rows with all that is computed of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.kernels.compiled import njit
from dreamduck.common.kernels.tile import WIDTHS, multiply_tile
from dreamduck.common.processes.threads import SlicePool, cores

FloatArray = npt.NDArray[np.float32]

FOUR, ONE = (0,) * 4, (0,)  # rows of a tile: they share what is read of the weights
PANEL = 64  # rows that stay in the second cache while the weights pass by
WORK_PER_THREAD = 1 << 23  # multiplications from which a thread pays: about 0.2 milliseconds
WORK_PER_BLOCK = 1 << 26  # so many that the rows of a block stay in the cache
BLOCKS = 4  # with fewer, threads do not pay

_threads = SlicePool(cores())
_in_block = threading.local()


class Product:
    """`x @ weights + bias` for weights that stay.

    Args:
        weights: (K, N).
        bias: (N,), 0 by default.
        spread: whether large batches are spread over the cores; False where the caller does that.
    """

    def __init__(
        self, weights: npt.ArrayLike, bias: npt.ArrayLike | None = None, spread: bool = True
    ) -> None:
        self._spread = spread
        given = np.asarray(weights, np.float32)
        self.inner, self.columns = given.shape
        width = next((width for width in WIDTHS if self.columns <= width), WIDTHS[-1])
        self._lanes = (0,) * width
        count = -(-self.columns // width)
        self._packed = np.zeros((count, self.inner * width), np.float32)
        for block, packed in enumerate(self._packed.reshape(count, self.inner, width)):
            part = given[:, block * width : (block + 1) * width]
            packed[:, : part.shape[1]] = part
        self._bias = np.zeros((count, width), np.float32)
        if bias is not None:
            self._bias.reshape(-1)[: self.columns] = bias

    def __call__(self, x: npt.NDArray[Any]) -> FloatArray:
        """The product.

        Args:
            x: (B, K) float32.
        Returns:
            (B, N) float32.
        """
        x = np.ascontiguousarray(x, np.float32)
        if x.ndim != 2 or x.shape[1] != self.inner:
            raise ValueError(f"product: expected (B, {self.inner}), got {x.shape}")
        out = np.empty((len(x), self.columns), np.float32)

        def multiply(_: int, first: int, last: int) -> None:
            _multiply(self._lanes, x, self._packed, self._bias, out, first, last)

        workers = 1
        if self._spread and not getattr(_in_block, "now", False):
            workers = min(len(x) * self.multiply_adds // WORK_PER_THREAD, cores(), len(self._packed))
        _threads.run(multiply, len(self._packed), workers)
        return out

    @property
    def multiply_adds(self) -> int:
        """Products of numbers that a row takes."""
        return self.inner * self.columns


def in_blocks(function: Callable[[slice], Any], rows: int, multiply_adds: int) -> list[Any]:
    """Apply a function to blocks of rows; the blocks of very large batches are spread over the cores.

    Fewer rows are one block, of which the products alone are spread: threads that call numpy for moments
    wait for one another.

    Args:
        function: of a slice of the rows.
        rows: their number.
        multiply_adds: products of numbers that a row takes.
    """
    count = min(rows * multiply_adds // WORK_PER_BLOCK, rows // len(FOUR))
    if count < BLOCKS or cores() < 2:
        return [function(slice(0, rows))]

    def block(_: int, first: int, last: int) -> Any:
        _in_block.now = True
        try:
            return function(slice(first, last))
        finally:
            _in_block.now = False

    return _threads.run(block, rows, count)


@njit(nogil=True)
def _multiply(
    lanes: tuple[int, ...],
    x: FloatArray,
    packed: FloatArray,
    bias: FloatArray,
    out: FloatArray,
    begin: int,
    end: int,
) -> None:
    """Set out (B, N), in the blocks begin to end, to x (B, K) @ packed (blocks, K * width) + bias.

    The width of a block is the length of `lanes`, which the compiler knows; bias is (blocks, width).
    """
    width = len(lanes)
    rows, columns = out.shape
    flat, edge = out.reshape(-1), np.empty(len(FOUR) * width, np.float32)
    for panel in range(0, rows, PANEL):
        last = min(panel + PANEL, rows)
        for block in range(begin, end):
            first = block * width
            count = min(width, columns - first)
            row = panel
            while row < last:
                target, at, stride = (
                    (flat, row * columns + first, columns) if count == width else (edge, 0, width)
                )
                if row + len(FOUR) <= last:
                    done = len(FOUR)
                    multiply_tile(FOUR, lanes, x, row, packed[block], bias[block], target, at, stride)
                else:
                    done = 1
                    multiply_tile(ONE, lanes, x, row, packed[block], bias[block], target, at, stride)
                if count < width:
                    for r in range(done):
                        for j in range(count):
                            out[row + r, first + j] = edge[r * width + j]
                row += done
