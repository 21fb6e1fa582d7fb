"""The memory and the decoder as ONNX graphs, for runtimes that know nothing of Python.

Weights that half precision holds exactly (those that
ship were rounded to it) are stored in it and widened when the graph is loaded: half the size, the same
numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from dreamduck.world_model.mdn_rnn import MDNRNN
from dreamduck.world_model.mdn_rnn.layout import ALIVE, ENDED
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.layout import TRANSPOSED

OPSET = 17
IR_VERSION = 8  # what belongs to that opset; older runtimes refuse newer files


class Graph:
    """A graph in the making."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

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


def memory_graph(memory: MDNRNN) -> bytes:
    """One step of the memory: z, action, h, c to the mixture, rewards, end, and the next h and c.

    Inputs: `z` (1, Z), `action` (1, A), `h` and `c` (1, H). Outputs: `logmix`, `mix_mu` and
    `mix_logstd` (1, K, Z), `reward`, `end_reward` and `end` (1, 1), `h_next` and `c_next` (1, H).
    """
    config, p = memory.config, memory.parameters
    z_size, hidden, mixtures = config.z_size, config.hidden_size, config.mixtures
    g = Graph("memory")
    g.add("Concat", ["z", "action", "h"], "inputs", axis=1)
    kernel = np.concatenate([p["core/kernel"], p["core/recurrent_kernel"]])
    g.add("Gemm", ["inputs", g.constant("kernel", kernel), g.constant("bias", p["core/bias"])], "gates")
    names = ["write_in", "keep_in", "new_in", "show_in"]  # Keras's order: input, forget, candidate, output
    g.nodes.append(helper.make_node("Split", ["gates"], names, axis=1))
    for name, kind in (("write", "Sigmoid"), ("keep", "Sigmoid"), ("new", "Tanh"), ("show", "Sigmoid")):
        g.add(kind, [f"{name}_in"], name)
    g.add("Add", [g.add("Mul", ["keep", "c"], "kept"), g.add("Mul", ["write", "new"], "written")], "c_next")
    g.add("Mul", ["show", g.add("Tanh", ["c_next"], "c_tanh")], "h_next")
    for head in ("mixture", "reward", "end"):
        weights = [g.constant(f"{head}_{part}", p[f"head_{head}/{part}"]) for part in ("kernel", "bias")]
        g.add("Gemm", ["h_next", *weights], f"{head}_out")
    shape = g.constant("mixture_shape", np.array([3, mixtures, z_size], np.int64))
    g.add("Reshape", ["mixture_out", shape], "mixture_parts")
    parts = ["logits", "means", "mix_logstd"]
    g.nodes.append(helper.make_node("Split", ["mixture_parts"], parts, axis=0))
    g.add("LogSoftmax", ["logits"], "logmix", axis=1)
    if config.residual:
        # (1, Z) meets (1, K, Z): a share of the latent that went in is added to each Gaussian's mean.
        g.add("Mul", ["z", g.constant("share", memory.share[None])], "residual")
        g.add("Add", ["means", "residual"], "mix_mu")
    else:
        g.add("Identity", ["means"], "mix_mu")
    for name, column in (("reward", ALIVE), ("end_reward", ENDED)):
        place = g.constant(f"{name}_at", np.array([column], np.int64))
        g.add("Gather", ["reward_out", place], name, axis=1)
    g.add("Sigmoid", ["end_out"], "end")
    mixture, state, one = [1, mixtures, z_size], [1, hidden], [1, 1]
    return g.bytes(
        {"z": [1, z_size], "action": [1, config.action_size], "h": state, "c": state},
        {"logmix": mixture, "mix_mu": mixture, "mix_logstd": mixture}
        | {"reward": one, "end_reward": one, "end": one, "h_next": state, "c_next": state},
    )


def decoder_graph(vision: VAE) -> bytes:
    """The decoder: `z` (1, Z) to `picture` (1, 3, 64, 64) in [0, 1], colour by colour."""
    p = vision.parameters
    g = Graph("decoder")
    # The dense layer has no activation, and the first transposed convolution sees a picture of 1 x 1:
    # together they are one matrix, which is a sixteenth of the two.
    (first, size, channels, units), *others = TRANSPOSED
    spread = p[f"{first}/kernel"].transpose(3, 2, 0, 1).reshape(channels, -1)  # rows: channel; out, y, x
    bias = p["dec_fc/bias"] @ spread + np.repeat(p[f"{first}/bias"], size * size)
    weights = [g.constant("spread", p["dec_fc/kernel"] @ spread), g.constant("spread_bias", bias)]
    g.add("Relu", [g.add("Gemm", ["z", *weights], "flat")], "flat_relu")
    shape = g.constant("first_shape", np.array([1, units, size, size], np.int64))
    seen = g.add("Reshape", ["flat_relu", shape], "first")
    for name, size, _, _ in others:
        kernel = g.constant(f"{name}_kernel", p[f"{name}/kernel"].transpose(3, 2, 0, 1))
        bias_name = g.constant(f"{name}_bias", p[f"{name}/bias"])
        attributes = {"strides": [2, 2], "kernel_shape": [size, size]}
        spreading = g.add("ConvTranspose", [seen, kernel, bias_name], f"{name}_out", **attributes)
        last = name == others[-1][0]
        seen = g.add("Sigmoid" if last else "Relu", [spreading], "picture" if last else f"{name}_relu")
    return g.bytes({"z": [1, vision.z_size]}, {"picture": [1, 3, 64, 64]})
