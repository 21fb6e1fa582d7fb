"""A tile of a matrix product, a few rows by a few columns, whose sums stay in the processor's registers.

numba has no vectors of its own, so the tile is written in LLVM's language. A sum adds its terms in one
order, whatever the size of the tile: its bits do not depend on the processor either, where that
multiplies and adds in one instruction."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # of a vector
TERMS = 128  # summed before they are added to the others: a long sum loses less by rounding
NARROW, WIDE = (16,), (32, 64)  # columns of a tile of four rows, whose sums fill half of the registers


def _wide_registers() -> bool:
    """Whether this processor has 32 registers of 16 numbers."""
    try:
        return bool(llvm.get_host_cpu_features().get("avx512f"))
    except RuntimeError:  # LLVM does not know the processor
        return False


WIDTHS = WIDE if _wide_registers() else NARROW

FLOAT, INDEX = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)


@intrinsic
def multiply_tile(
    _: Any, rows: Any, lanes: Any, x: Any, row: Any, weights: Any, bias: Any, out: Any, at: Any, stride: Any
) -> Any:
    """Set R rows of out, of C columns each, to x[row : row + R] @ weights + bias.

    Args:
        rows: a tuple of R numbers, which tells the compiler how many.
        lanes: a tuple of C numbers, likewise; a multiple of `LANES`.
        x: (B, K) float32, its rows without gaps.
        row: the first.
        weights: (K * C,) float32.
        bias: (C,) float32.
        out: float32, flat.
        at: where its first row begins.
        stride: from a row to the next.
    """
    signature = types.void(rows, lanes, x, row, weights, bias, out, at, stride)

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        tile = _Tile(context, builder, signature, given)
        tile.sum()
        tile.store()
        return context.get_dummy_value()

    return signature, generate


class _Tile:
    """The instructions of one tile; vectors lie in variables that LLVM keeps in registers."""

    def __init__(self, context: Any, builder: Any, signature: Any, given: Any) -> None:
        self.builder = builder
        count, width = (len(kind) for kind in signature.args[:2])
        arrays = {
            k: context.make_array(signature.args[k])(context, builder, given[k]) for k in (2, 4, 5, 6)
        }
        self.terms = builder.extract_value(arrays[2].shape, 1)
        self.x = [
            self.at(arrays[2].data, builder.mul(builder.add(given[3], INDEX(r)), self.terms))
            for r in range(count)
        ]
        self.weights, self.bias, self.width = arrays[4].data, arrays[5].data, width
        self.out = [
            self.at(arrays[6].data, builder.add(given[7], builder.mul(given[8], INDEX(r))))
            for r in range(count)
        ]
        self.columns = range(0, width, LANES)
        self.sums = [[self.variable() for _ in self.columns] for _ in range(count)]
        self.partial = [[self.variable() for _ in self.columns] for _ in range(count)]
        name = f"llvm.fmuladd.v{LANES}f32"
        self.multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), name
        )

    def variable(self) -> Any:
        return cgutils.alloca_once(self.builder, VECTOR)

    def at(self, pointer: Any, index: Any) -> Any:
        return self.builder.gep(pointer, [index])

    def clear(self, variables: Any) -> None:
        for variable in (one for row in variables for one in row):
            self.builder.store(VECTOR([0.0] * LANES), variable)

    def load(self, pointer: Any, column: int) -> Any:
        """A vector of floats that lie anywhere."""
        place = self.builder.bitcast(self.at(pointer, INDEX(column)), VECTOR.as_pointer())
        return self.builder.load(place, align=4)

    def sum(self) -> None:
        """Add all terms, `TERMS` at a time."""
        b = self.builder
        self.clear(self.sums)
        with cgutils.for_range_slice(b, INDEX(0), self.terms, INDEX(TERMS), INDEX) as (first, _):
            last = b.add(first, INDEX(TERMS))
            last = b.select(b.icmp_signed("<", last, self.terms), last, self.terms)
            self.clear(self.partial)
            with cgutils.for_range_slice(b, first, last, INDEX(1), INDEX) as (k, _):
                self.add_term(k)
            for sums, partial in zip(self.sums, self.partial, strict=True):
                for one, other in zip(sums, partial, strict=True):
                    b.store(b.fadd(b.load(one), b.load(other)), one)

    def add_term(self, k: Any) -> None:
        b = self.builder
        weights = self.at(self.weights, b.mul(k, INDEX(self.width)))
        vectors = [self.load(weights, column) for column in self.columns]
        for x, partial in zip(self.x, self.partial, strict=True):
            value = b.insert_element(VECTOR(ir.Undefined), b.load(self.at(x, k)), ir.IntType(32)(0))
            everywhere = ir.VectorType(ir.IntType(32), LANES)([0] * LANES)
            value = b.shuffle_vector(value, VECTOR(ir.Undefined), everywhere)
            for one, vector in zip(partial, vectors, strict=True):
                b.store(b.call(self.multiply_add, [value, vector, b.load(one)]), one)

    def store(self) -> None:
        """Write the sums and their bias."""
        b = self.builder
        for out, sums in zip(self.out, self.sums, strict=True):
            for column, one in zip(self.columns, sums, strict=True):
                place = b.bitcast(self.at(out, INDEX(column)), VECTOR.as_pointer())
                b.store(b.fadd(b.load(one), self.load(self.bias, column)), place, align=4)
