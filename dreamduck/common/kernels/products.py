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
from dreamduck.common.processes.threads import SlicePool, cores

FloatArray = npt.NDArray[np.float32]

WIDTHS = (32, 64)  # columns that are summed together, while they lie in the fastest cache
ROWS = 4  # rows that share what is read of the weights
PANEL = 64  # rows that stay in the second cache while the weights pass by
TERMS = 128  # summed before they are added to the others: a long sum loses less by rounding
WORK_PER_THREAD = 1 << 23  # multiplications from which a thread pays: about 0.2 milliseconds
WORK_PER_BLOCK = 1 << 26  # so many that the rows of a block stay in the cache
BLOCKS = 4  # with fewer, threads do not pay
FAST = {"contract", "nsz"}  # a product and a sum in one instruction

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
        self._bias = np.zeros(self.columns, np.float32)
        if bias is not None:
            self._bias[:] = bias

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
    count = min(rows * multiply_adds // WORK_PER_BLOCK, rows // ROWS)
    if count < BLOCKS or cores() < 2:
        return [function(slice(0, rows))]

    def block(_: int, first: int, last: int) -> Any:
        _in_block.now = True
        try:
            return function(slice(first, last))
        finally:
            _in_block.now = False

    return _threads.run(block, rows, count)


@njit(nogil=True, fastmath=FAST)
def _multiply(
    lanes: tuple[int, ...],
    x: FloatArray,
    packed: FloatArray,
    bias: FloatArray,
    out: FloatArray,
    begin: int,
    end: int,
) -> None:
    """Set out (B, N), in the blocks begin to end, to x (B, K) @ packed (blocks, K * width) + bias (N,).

    The width of a block is the length of `lanes`, which the compiler knows.
    """
    width = len(lanes)
    rows, columns = out.shape
    sums, partial = np.empty(ROWS * width, np.float32), np.empty(ROWS * width, np.float32)
    for panel in range(0, rows, PANEL):
        last = min(panel + PANEL, rows)
        for block in range(begin, end):
            first = block * width
            count = min(width, columns - first)
            row = panel
            while row + ROWS <= last:
                _four_rows(lanes, sums, partial, x[row], x[row + 1], x[row + 2], x[row + 3], packed[block])
                for r in range(ROWS):
                    for j in range(count):
                        out[row + r, first + j] = sums[r * width + j] + bias[first + j]
                row += ROWS
            while row < last:
                _one_row(lanes, sums, x[row], packed[block])
                for j in range(count):
                    out[row, first + j] = sums[j] + bias[first + j]
                row += 1


# In the loops over j the distances in memory are constants: so the compiler sees that nothing overlaps,
# and takes eight columns at a time. Both functions add a row's terms in one order.


@njit(nogil=True, fastmath=FAST)
def _four_rows(
    lanes: tuple[int, ...],
    sums: FloatArray,
    partial: FloatArray,
    xa: FloatArray,
    xb: FloatArray,
    xc: FloatArray,
    xd: FloatArray,
    weights: FloatArray,
) -> None:
    """Sums (4 * width,) for four rows (K,) of x; weights (K * width,); partial is overwritten."""
    width = len(lanes)
    sums[:] = 0
    for k in range(0, len(xa), TERMS):
        end = min(k + TERMS, len(xa))
        partial[:] = 0
        while k + 4 <= end:
            a0, a1, a2, a3 = xa[k], xa[k + 1], xa[k + 2], xa[k + 3]
            b0, b1, b2, b3 = xb[k], xb[k + 1], xb[k + 2], xb[k + 3]
            c0, c1, c2, c3 = xc[k], xc[k + 1], xc[k + 2], xc[k + 3]
            d0, d1, d2, d3 = xd[k], xd[k + 1], xd[k + 2], xd[k + 3]
            part = weights[k * width : (k + 4) * width]
            for j in range(width):
                w0, w1, w2, w3 = part[j], part[width + j], part[2 * width + j], part[3 * width + j]
                partial[j] = partial[j] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3
                partial[width + j] = partial[width + j] + b0 * w0 + b1 * w1 + b2 * w2 + b3 * w3
                partial[2 * width + j] = partial[2 * width + j] + c0 * w0 + c1 * w1 + c2 * w2 + c3 * w3
                partial[3 * width + j] = partial[3 * width + j] + d0 * w0 + d1 * w1 + d2 * w2 + d3 * w3
            k += 4
        while k < end:
            part = weights[k * width : (k + 1) * width]
            for j in range(width):
                partial[j] = partial[j] + xa[k] * part[j]
                partial[width + j] = partial[width + j] + xb[k] * part[j]
                partial[2 * width + j] = partial[2 * width + j] + xc[k] * part[j]
                partial[3 * width + j] = partial[3 * width + j] + xd[k] * part[j]
            k += 1
        for j in range(ROWS * width):
            sums[j] += partial[j]


@njit(nogil=True, fastmath=FAST)
def _one_row(lanes: tuple[int, ...], sums: FloatArray, xa: FloatArray, weights: FloatArray) -> None:
    """Sums (width,) for one row (K,) of x; weights (K * width,)."""
    width = len(lanes)
    sums[:width] = 0
    partial = np.empty(width, np.float32)
    for k in range(0, len(xa), TERMS):
        end = min(k + TERMS, len(xa))
        partial[:] = 0
        while k + 4 <= end:
            a0, a1, a2, a3 = xa[k], xa[k + 1], xa[k + 2], xa[k + 3]
            part = weights[k * width : (k + 4) * width]
            for j in range(width):
                w0, w1, w2, w3 = part[j], part[width + j], part[2 * width + j], part[3 * width + j]
                partial[j] = partial[j] + a0 * w0 + a1 * w1 + a2 * w2 + a3 * w3
            k += 4
        while k < end:
            part = weights[k * width : (k + 1) * width]
            for j in range(width):
                partial[j] = partial[j] + xa[k] * part[j]
            k += 1
        for j in range(width):
            sums[j] += partial[j]
