"""The MDN-RNN and the decoder as ONNX graphs.

Weights that half precision holds exactly (those that ship were rounded to it) are stored in it and widened
when the graph is loaded: half the size, the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from dreamduck.world_model.mdn_rnn import MDNRNN, equations
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.layout import TRANSPOSED

OPSET = 17
IR_VERSION = 8  # what belongs to that opset; older runtimes refuse newer files


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

    def __mul__(self, other: Array | float) -> Array:
        return self._with("Mul", other)

    def __sub__(self, other: Array | float) -> Array:
        return self._with("Sub", other)

    __radd__, __rmul__ = __add__, __mul__

    def __getitem__(self, key: tuple[Any, slice | int]) -> Array:
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
    """A graph that is being built."""

    def __init__(self, name: str) -> None:
        self.name = name
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

    def tanh(self, x: Array) -> Array:
        """The hyperbolic tangent, as the equations ask for it."""
        return Array(self, self.add("Tanh", [x.name], self.fresh("tanh")), x.shape)

    def concat(self, parts: list[Array], axis: int) -> Array:
        """Rows of arrays, side by side."""
        name = self.add("Concat", [part.name for part in parts], self.fresh("concat"), axis=axis)
        return Array(self, name, (parts[0].shape[0], sum(part.shape[1] for part in parts)))

    def dense(
        self, name: str, kernel: npt.NDArray[Any], bias: npt.NDArray[Any] | None
    ) -> Callable[[Array], Array]:
        """A dense layer, as the equations ask for it; it enters the graph when it is used."""

        def layer(x: Array) -> Array:
            weights = [self.constant(f"{name}_kernel", kernel)]
            if bias is not None:
                weights.append(self.constant(f"{name}_bias", bias))
            return Array(self, self.add("Gemm", [x.name, *weights], f"{name}_out"), (1, kernel.shape[1]))

        return layer

    def name_output(self, name: str, value: Array) -> None:
        """Give a value the name of an output."""
        self.add("Identity", [value.name], name)

    def constant(self, name: str, array: npt.NDArray[Any]) -> str:
        """Put an array in, in half precision where that is exact."""
        half = array.astype(np.float16) if array.dtype == np.float32 else array
        if array.dtype == np.float32 and array.size > 64 and (half.astype(np.float32) == array).all():
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(half), f"{name}_half"))
            return self.add("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node with one output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def bytes(self, inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> bytes:
        """The whole graph, checked."""
        named = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, self.name, *named, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def mdn_rnn_graph(rnn: MDNRNN) -> bytes:
    """One step of the MDN-RNN: z, action, h, c to the mixture, rewards, end, and the next h and c.

    Inputs: `z` (1, Z), `action` (1, A), `h` and `c` (1, H). Outputs: `logmix`, `mix_mu` and
    `mix_logstd` (1, K, Z), `reward`, `end_reward` and `end` (1, 1), `h_next` and `c_next` (1, H).
    """
    config, p = rnn.config, rnn.parameters
    z_size, hidden, mixtures = config.z_size, config.hidden_size, config.mixtures
    g = Graph("mdn_rnn")
    g.add("Concat", ["z", "action", "h"], "inputs", axis=1)
    kernel = np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]])
    g.add("Gemm", ["inputs", g.constant("kernel", kernel), g.constant("bias", p["core/bias"])], "gates")
    gates = Array(g, "gates", (1, 4 * hidden)) * g.fresh_constant(equations.gate_halves(hidden)[None])
    h_next, c_next = equations.cell(g, g.tanh(gates), Array(g, "c", (1, hidden)))
    g.name_output("h_next", h_next)
    g.name_output("c_next", c_next)
    for head in ("mixture", "reward", "end"):
        weights = [g.constant(f"{head}_{part}", p[f"head_{head}/{part}"]) for part in ("kernel", "bias")]
        g.add("Gemm", ["h_next", *weights], f"{head}_out")
    g.add("Concat", ["mixture_out", "reward_out", "end_out"], "out", axis=1)
    heads = equations.end_and_rewards(g, Array(g, "out", (1, config.mixture_size + 3)), config)
    for name, value in zip(("reward", "end_reward", "end"), heads, strict=True):
        g.name_output(name, value)
    shape = g.constant("mixture_shape", np.array([3, mixtures, z_size], np.int64))
    g.add("Reshape", ["mixture_out", shape], "mixture_parts")
    parts = ["logits", "means", "mix_logstd"]
    g.nodes.append(helper.make_node("Split", ["mixture_parts"], parts, axis=0))
    g.add("LogSoftmax", ["logits"], "logmix", axis=1)
    if config.residual:
        # (1, Z) meets (1, K, Z): a part of the latent that went in is added to each mean.
        g.add("Mul", ["z", g.constant("residual_scale", rnn.residual_scale[None])], "residual")
        g.add("Add", ["means", "residual"], "mix_mu")
    else:
        g.add("Identity", ["means"], "mix_mu")
    mixture, state, one = [1, mixtures, z_size], [1, hidden], [1, 1]
    return g.bytes(
        {"z": [1, z_size], "action": [1, config.action_size], "h": state, "c": state},
        {"logmix": mixture, "mix_mu": mixture, "mix_logstd": mixture}
        | {"reward": one, "end_reward": one, "end": one, "h_next": state, "c_next": state},
    )


def decoder_graph(vae: VAE) -> bytes:
    """The decoder: `z` (1, Z) to `image` (1, 3, 64, 64) in [0, 1], channel by channel."""
    p = vae.parameters
    g = Graph("decoder")
    # The dense layer has no activation, and the first transposed convolution sees an image of 1 x 1:
    # together they are one matrix, which is a sixteenth of the two.
    (first, size, channels, units), *others = TRANSPOSED
    first_kernel = (
        p[f"{first}/kernel"].transpose(3, 2, 0, 1).reshape(channels, -1)
    )  # rows: channel; out, y, x
    bias = p["dec_fc/bias"] @ first_kernel + np.repeat(p[f"{first}/bias"], size * size)
    weights = [g.constant("dense", p["dec_fc/kernel"] @ first_kernel), g.constant("dense_bias", bias)]
    g.add("Relu", [g.add("Gemm", ["z", *weights], "flat")], "flat_relu")
    shape = g.constant("first_shape", np.array([1, units, size, size], np.int64))
    features = g.add("Reshape", ["flat_relu", shape], "first")
    for name, size, _, _ in others:
        kernel = g.constant(f"{name}_kernel", p[f"{name}/kernel"].transpose(3, 2, 0, 1))
        bias_name = g.constant(f"{name}_bias", p[f"{name}/bias"])
        attributes = {"strides": [2, 2], "kernel_shape": [size, size]}
        convolved = g.add("ConvTranspose", [features, kernel, bias_name], f"{name}_out", **attributes)
        last = name == others[-1][0]
        features = g.add("Sigmoid" if last else "Relu", [convolved], "image" if last else f"{name}_relu")
    return g.bytes({"z": [1, vae.z_size]}, {"image": [1, 3, 64, 64]})
