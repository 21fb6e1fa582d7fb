"""The drives on the road that the page of one file holds."""

import io

import numpy as np
import pytest
from PIL import Image

from dreamduck.export import recorded_drives as module
from dreamduck.export.recorded_drives import SIDE, recorded_drives
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import on_grid
from tests.node import needs_node, run_node


@pytest.fixture(scope="module")
def factory(model_folder) -> SessionFactory:
    return SessionFactory(SessionFactoryConfig(weights=str(model_folder)))


def test_a_drive_is_whole(factory, monkeypatch):
    monkeypatch.setattr(module, "MAPS", ("loop_empty", "zigzag_dists", "no_such_map"))
    monkeypatch.setattr(module, "STEPS", 6)
    arrays, drives = recorded_drives(factory)
    assert [drive["map_name"] for drive in drives] == ["loop_empty", "zigzag_dists"]
    count = sum(len(drive["facts"]) for drive in drives)
    assert arrays["drives_z"].shape == (count, 64)
    assert len(arrays["drives_h"]) == len(arrays["drives_c"]) == 2
    for drive in drives:
        steps = len(drive["actions"])
        assert 0 < steps <= 6
        assert len(drive["rewards"]) == len(drive["facts"]) == steps + 1
        assert drive["end"]
        assert all((on_grid(action) == np.float32(action)).all() for action in drive["actions"])
        assert drive["outline"]["tiles"]
        assert len(drive["facts"][0]["pose"]) == 3
    frames = np.split(arrays["drives_webp"], arrays["drives_ends"].astype(int)[:-1])
    assert len(frames) == count
    shown = [Image.open(io.BytesIO(frame.tobytes())) for frame in frames]
    assert {image.size for image in shown} == {(SIDE, SIDE)}
    assert np.ptp(np.asarray(shown[0])) > 100


LANE = """
const { RecordedRoad } = await import(page + "/offline_worlds.js");
const arrays = {};
for (const [name, values] of Object.entries(given.probe)) arrays[name] = Float32Array.from(values);
const road = new RecordedRoad({ arrays });
console.log(JSON.stringify(given.z.map((z) => road.lane(Float32Array.from(z)))));
"""


@needs_node
def test_the_probe_of_the_page():
    from dreamduck.export.static_export import _probe

    factory = SessionFactory(SessionFactoryConfig())
    z = np.random.default_rng(0).normal(0, 1.5, (20, 64)).astype(np.float32)
    assert factory.probe is not None
    probe = {name: array.tolist() for name, array in _probe(factory).items()}
    found = run_node(LANE, {"probe": probe, "z": z.tolist()})
    assert found == pytest.approx(factory.probe.read(z)[:, 0], abs=1e-4)
