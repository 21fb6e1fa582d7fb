"""The camera's part of the graph against the library's, bit for bit."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from dreamduck.common.area_average import area_average
from dreamduck.deployment.camera_graph import camera_input
from dreamduck.deployment.policy_graph import OPSETS
from dreamduck.export.onnx_graph import Graph

SIZES = [(64, 64), (480, 640), (240, 320), (120, 160), (97, 61), (40, 30), (333, 417), (1, 1)]


def session(opset, height=64, width=64):
    g = Graph("camera", opset)
    g.add("Identity", [camera_input(g, "frame", height, width)], "image")
    data = g.bytes(
        {"frame": ["N", "H", "W", 3]}, {"image": ["N", 3, height, width]}, {"frame": TensorProto.UINT8}
    )
    return onnxruntime.InferenceSession(data)


@pytest.mark.parametrize("opset", OPSETS)
def test_it_is_the_area_average_bit_for_bit(opset):
    graph = session(opset)
    for number, size in enumerate(SIZES):
        frames = np.random.default_rng(number).integers(0, 256, (2, *size, 3), dtype=np.uint8)
        (found,) = graph.run(None, {"frame": frames})
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.transpose(0, 2, 3, 1), area_average(frames, 64, 64), str(size))


def test_another_target_keeps_its_aspect():
    frames = np.random.default_rng(0).integers(0, 256, (1, 100, 200, 3), dtype=np.uint8)
    (found,) = session(13, 24, 32).run(None, {"frame": frames})
    np.testing.assert_array_equal(found.transpose(0, 2, 3, 1), area_average(frames, 24, 32))
