"""The dream as one file: its graphs against the library's numbers. test_browser opens it."""

import base64
import gzip
import json
import re

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from dreamduck.drive import static_export
from dreamduck.drive.graphs import decoder_graph, memory_graph
from dreamduck.drive.mind import Model, load_model
from dreamduck.errors import DependencyError, WeightsError
from dreamduck.memory import Memory, MemoryConfig
from dreamduck.memory.layout import initial_parameters


@pytest.fixture(scope="module")
def model(model_folder) -> Model:
    return load_model(model_folder)


@pytest.mark.parametrize("residual", [False, True])
def test_the_memory_as_a_graph(residual):
    config = MemoryConfig(z_size=6, hidden_size=20, mixtures=3, residual=residual)
    memory = Memory(initial_parameters(config, 1), config)
    graph = ReferenceEvaluator(onnx.load_from_string(memory_graph(memory)))
    random = np.random.default_rng(0)
    z, state = random.standard_normal((1, 6)).astype(np.float32), memory.start()
    for _ in range(10):
        action = random.uniform(-1, 1, (1, 2)).astype(np.float32)
        given = {"z": z, "action": action, "h": state.h, "c": state.c}
        out = dict(zip(graph.output_names, graph.run(None, given), strict=True))
        state = memory.advance(z, action, state)
        said = memory.predict(z, state)
        assert out["h_next"] == pytest.approx(state.h, abs=1e-6)
        assert out["c_next"] == pytest.approx(state.c, abs=1e-6)
        for name in said.mixture._fields:
            assert out[name] == pytest.approx(getattr(said.mixture, name), abs=1e-5)
        for name in ("reward", "end_reward", "end"):
            assert out[name][:, 0] == pytest.approx(getattr(said, name), abs=1e-6)
        z = said.mixture.mix_mu[:, 0]


def test_the_decoder_as_a_graph(model):
    graph = ReferenceEvaluator(onnx.load_from_string(decoder_graph(model.vision)))
    z = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    (picture,) = graph.run(None, {"z": z})
    assert picture[0].transpose(1, 2, 0) * 255 == pytest.approx(model.vision.decode(z)[0], abs=0.51)


def test_the_file_is_whole(model, tmp_path, monkeypatch):
    monkeypatch.setattr(static_export, "VENDOR", tmp_path)
    with pytest.raises(DependencyError, match="make page"):
        static_export.render(model, None)
    for name in (static_export.RUNTIME, static_export.WASM):
        (tmp_path / name).write_bytes(b"runtime")
    html = static_export.render(model, None, 0.5)
    assert "{data}" not in html
    assert "{about}" not in html
    assert not re.search(r'(src|href)="(?!data:)', html)  # nothing is loaded
    blocks = dict(re.findall(r'<script type="[a-z/]+" id="([\w.-]+)">(.*?)</script>', html, re.DOTALL))
    about = json.loads(blocks["about"])
    assert about["temperature"] == 0.5
    numbers = gzip.decompress(base64.b64decode(blocks["numbers"]))
    kind, at, size = about["numbers"]["z"]
    assert kind == "f4"
    z = np.frombuffer(numbers, "<f4", size, at).reshape(100, 64)
    assert np.isfinite(z).all()
    assert onnx.load_from_string(gzip.decompress(base64.b64decode(blocks["memory"])))
    for name in static_export.MODULES:
        assert f"module-{name}" in blocks


def test_without_weights_there_is_no_file(tmp_path):
    with pytest.raises(WeightsError):
        static_export.main([str(tmp_path / "dream.html"), "--weights", str(tmp_path)])
    assert not (tmp_path / "dream.html").exists()
