"""Builds ONNX graphs: arrays with operators, so that the equations of the world model are written once.

Weights that half precision holds exactly (those that ship were rounded to it) are stored in it and widened
when the graph is loaded: half the size, the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSIONS = {13: 7, 17: 8, 18: 8}  # by opset: what belongs to it; older runtimes refuse newer files
Shape = Sequence[int | str]  # a name stands for a size that is known when the graph runs
ROWS = "B"  # the name of a batch's size


class Array:
    """An array of a graph that is being built; operators add nodes.

    Args:
        graph: that it belongs to.
        name: of the value.
        shape: of the value.
    """

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...]) -> None:
        self.graph, self.name, self.shape = graph, name, shape

    def __add__(self, other: Array | float) -> Array:
        return self._with("Add", other)

    def __sub__(self, other: Array | float) -> Array:
        return self._with("Sub", other)

    def __mul__(self, other: Array | float) -> Array:
        return self._with("Mul", other)

    __radd__, __rmul__ = __add__, __mul__

    def __getitem__(self, key: tuple[slice, slice | int]) -> Array:
        """Columns, or one of them, which stays an axis."""
        columns = key[1] if isinstance(key[1], slice) else slice(key[1], key[1] + 1)
        start, stop, _ = columns.indices(self.shape[1])
        places = [self.graph.fresh_constant(np.array([at], np.int64)).name for at in (start, stop, 1)]
        name = self.graph.add("Slice", [self.name, *places], self.graph.fresh("columns"))
        return Array(self.graph, name, (self.shape[0], stop - start))

    def _with(self, kind: str, other: Array | float) -> Array:
        if not isinstance(other, Array):
            other = self.graph.fresh_constant(np.array(other, np.float32))
        name = self.graph.add(kind, [self.name, other.name], self.graph.fresh(kind.lower()))
        return Array(self.graph, name, np.broadcast_shapes(self.shape, other.shape))


class Graph:
    """A graph that is being built.

    Args:
        name: of the graph.
        opset: of ONNX, a key of `IR_VERSIONS`.
    """

    def __init__(self, name: str, opset: int = OPSET) -> None:
        self.name, self.opset = name, opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._count = 0

    def fresh(self, kind: str) -> str:
        """A name that no other value has."""
        self._count += 1
        return f"{kind}_{self._count}"

    def fresh_constant(self, array: npt.NDArray[Any]) -> Array:
        """A small array, by a name of its own."""
        return Array(self, self.constant(self.fresh("constant"), array), array.shape)

    def integers(self, *values: int) -> str:
        """A list of integers, as operators take shapes, axes and places."""
        return self.fresh_constant(np.array(values, np.int64)).name

    def tanh(self, x: Array) -> Array:
        """The hyperbolic tangent, as the equations ask for it."""
        return Array(self, self.add("Tanh", [x.name]), x.shape)

    def maximum(self, x: Array, least: npt.NDArray[Any]) -> Array:
        """The greater of each number and a constant, as the equations ask for it."""
        return Array(self, self.add("Max", [x.name, self.fresh_constant(least).name]), x.shape)

    def matmul(self, x: Array, kernel: npt.NDArray[Any]) -> Array:
        """See `dense`."""
        return self.dense(x, kernel)

    def concat(self, arrays: Sequence[Array], axis: int) -> Array:
        """Columns side by side, as the equations ask for it.

        Args:
            arrays: (B, n) each.
            axis: the last.
        """
        name = self.add("Concat", [array.name for array in arrays], axis=axis)
        return Array(self, name, (arrays[0].shape[0], sum(array.shape[1] for array in arrays)))

    def dense(self, x: Array, kernel: npt.NDArray[Any], bias: npt.NDArray[Any] | None = None) -> Array:
        """The product with a kernel (in, out), and a bias (out,) added to it."""
        values = [kernel] if bias is None else [kernel, bias]
        inputs = [x.name, *(self.constant(self.fresh("weights"), value) for value in values)]
        return Array(self, self.add("Gemm", inputs), (x.shape[0], kernel.shape[1]))

    def name_output(self, name: str, value: Array) -> None:
        """Give a value the name of an output."""
        self.add("Identity", [value.name], name)

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Put an array in, in half precision where that is exact."""
        with np.errstate(over="ignore"):
            half = array.astype(np.float16) if array.dtype == np.float32 else array
        if array.dtype == np.float32 and array.size > 64 and (half.astype(np.float32) == array).all():
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(half), f"{name}_half"))
            return self.add("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node with one output.

        Args:
            kind: ONNX's name of the operator.
            inputs: their names.
            output: its name; a fresh one by default.
            **attributes: of the operator.
        """
        output = output or self.fresh(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def bytes(
        self,
        inputs: Mapping[str, Shape],
        outputs: Mapping[str, Shape],
        types: Mapping[str, int] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> bytes:
        """The whole graph, checked.

        Args:
            inputs: name -> shape; one that is also a constant has that as its default.
            outputs: likewise.
            types: name -> ONNX's type of an input or output that is not float32.
            metadata: entries of the file's metadata.
        """
        kinds = types or {}
        named = [
            [
                helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), list(shape))
                for name, shape in side.items()
            ]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, self.name, *named, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = IR_VERSIONS[self.opset]
        helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())
