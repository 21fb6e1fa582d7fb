"""Meshes and their simpler copies."""

import numpy as np
import pytest

from dreamduck.common.errors import MapError
from dreamduck.simulator.maps import assets, obj_file
from dreamduck.simulator.render import scene
from dreamduck.simulator.render.models import mesh_cache, meshes, simplify
from dreamduck.simulator.render.models.meshes import BLUE, NX, NZ, RED, Material, U, V, X, Z, load_mesh

ALL = (
    *("barrier", "building", "bus", "checkerboard", "cone", "duckie", "duckiebot", "house"),
    *("sign_blank", "sign_generic", "trafficlight", "tree", "truck"),
)
PYRAMID = """
v -1 1 -1
v 1 1 -1
v 1 1 1
v 0 3 0
vt 0 0
vt 1 0.5
vn 0 1 0
vn 1 0 0
usemtl Grey
f 1/1/1 2/2/1 4/1/1
usemtl Blue
f 2//2 3//2 4//2
f 3//2 1//2 4//2
f 1//1 3//1 2//1
"""
MATERIALS = """
newmtl Grey
Kd 0.5 0.5 0.5
map_Kd ../grey.png
newmtl Blue
Kd 0 0 1
"""


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Files in place of Duckietown's."""

    def write(**texts):
        for name, text in texts.items():
            (tmp_path / name.replace("_", ".")).write_text(text)

    def resource(name):
        path = tmp_path / name
        return path if path.is_file() else None

    monkeypatch.setattr(assets, "resource", resource)
    return write


def test_reads_a_mesh(put):
    put(a_obj=PYRAMID, a_mtl=MATERIALS)
    mesh, names, materials = load_mesh("a")
    assert names == ("Blue", "Grey")
    assert materials == (Material((0.0, 0.0, 1.0)), Material((0.5, 0.5, 0.5), "grey.png"))
    assert mesh.materials.tolist() == [0, 0, 0, 1]
    corners = mesh.vertices[:, mesh.triangles[3]]  # the grey one is drawn last
    # Its base is at 0, and x is centred; for z, upstream takes 0 for the far side, the largest of the last
    # corners.
    np.testing.assert_array_equal(corners[X : Z + 1].T, [[-1, 0, -0.5], [1, 0, -0.5], [0, 2, 0.5]])
    np.testing.assert_array_equal(corners[NX : NZ + 1].T, [[0, 1, 0]] * 3)
    np.testing.assert_array_equal(corners[RED : BLUE + 1], np.full((3, 3), 0.5))
    np.testing.assert_array_equal(corners[U : V + 1].T, [[0, 0], [1, 0.5], [0, 0]])
    np.testing.assert_array_equal(mesh.vertices[RED : BLUE + 1, mesh.triangles[0]].T, [[0, 0, 1]] * 3)


def test_without_materials_the_texture_of_its_name_is_taken(put):
    put(a_obj=PYRAMID, a_png="any")
    mesh, names, materials = load_mesh("a")
    assert (names, materials) == (("",), (Material(texture="a.png"),))
    assert set(mesh.materials) == {0}


@pytest.mark.parametrize("name", ALL)
def test_centres_as_collisions_do(name):
    low, high = obj_file.mesh_extent(name)
    places = load_mesh(name)[0].vertices[X : Z + 1]
    np.testing.assert_array_equal(places.min(axis=1), low)
    np.testing.assert_array_equal(places.max(axis=1), high)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (PYRAMID + "f 1/1/1 2/1/1 3/1/1 4/1/1\n", "expected 9 numbers"),
        (PYRAMID + "f 1/1/1 2/1/1 9/1/1\n", "beyond the 4"),
        (PYRAMID + "f 0/1/1 2/1/1 3/1/1\n", "beyond the 4"),
        (PYRAMID + "v 1 2 what\n", "could not convert"),
        ("v 0 0 0\n", "no faces"),
        ("", "no faces"),
    ],
)
def test_says_what_is_wrong_with_a_mesh(put, text, what):
    put(a_obj=text)
    with pytest.raises(MapError, match=rf"a\.obj: expected triangles.*{what}.*pip install"):
        load_mesh("a")


def test_says_what_is_wrong_with_materials(put):
    put(a_obj=PYRAMID, a_mtl="newmtl Grey\nKd 1 2\n")
    with pytest.raises(MapError, match=r"a\.mtl: expected materials.*'Kd 1 2'.*pip install"):
        load_mesh("a")


def test_says_that_a_mesh_is_missing():
    with pytest.raises(MapError, match=r"mesh 'ufo': expected a file ufo\.obj in .*meshes, found none"):
        load_mesh("ufo")


def test_says_that_a_texture_is_missing(put, monkeypatch):
    put(a_obj=PYRAMID, a_mtl=MATERIALS)
    mesh_cache.load_model.cache_clear()
    with pytest.raises(MapError, match=r"mesh 'a': expected its texture grey\.png .* found none"):
        scene._Builder().add("a", None, -1, -1, 1.0, (0.0, 0.0, 0.0, 0.0))
    mesh_cache.load_model.cache_clear()


def test_closed_surfaces_are_known(put):
    put(a_obj=PYRAMID)
    mesh = load_mesh("a")[0]
    assert simplify.is_solid(mesh)
    assert not simplify.is_solid(mesh._replace(triangles=mesh.triangles[:3]))


def test_closed_surfaces_of_duckietown():
    closed = {name for name in ALL if simplify.is_solid(load_mesh(name)[0])}
    assert {"duckiebot", "duckie", "cone", "barrier", "bus", "truck"} <= closed
    assert not closed & {"tree", "house", "building"}


def test_coarser_copies_are_smaller_and_stay_in_place():
    mesh, _, materials = load_mesh("duckiebot")
    copies, cells = simplify.levels(mesh, [m.texture is not None for m in materials])
    assert len(copies) == len(cells) > 3
    assert cells[0] == 0
    assert copies[0] is mesh
    extent = np.ptp(mesh.vertices[X : Z + 1], axis=1).max()
    halvings = 2 * np.log2(cells[1:] / extent / simplify.FINEST)  # each is 1.41 times as coarse as the last
    np.testing.assert_allclose(halvings, np.round(halvings), atol=1e-3)
    sizes = [len(copy.triangles) for copy in copies]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 5
    for copy, cell in zip(copies, cells, strict=True):
        places = mesh.vertices[X : Z + 1], copy.vertices[X : Z + 1]
        for end in (np.min, np.max):
            assert np.abs(end(places[0], axis=1) - end(places[1], axis=1)).max() <= cell + 1e-6
        assert copy.triangles.max() == copy.vertices.shape[1] - 1
        assert set(copy.materials) == set(mesh.materials)
        np.testing.assert_allclose(np.linalg.norm(copy.vertices[NX : NZ + 1], axis=0), 1, atol=1e-3)


def test_small_meshes_are_not_simplified():
    copies, cells = simplify.levels(load_mesh("cone")[0], [True])
    assert len(copies) == len(cells) == 1


def test_reading_twice_gives_the_same():
    first, second = (meshes.load_mesh("duckie")[0] for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and nothing in memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mesh_cache.load_model.cache_clear()
    yield tmp_path / "dreamduck" / "meshes" / "duckiebot.npz"
    mesh_cache.load_model.cache_clear()


def same(first, second):
    assert (first.solid, first.names, first.materials) == (second.solid, second.names, second.materials)
    np.testing.assert_array_equal(first.cells, second.cells)
    for a, b in zip(first.copies, second.copies, strict=True):
        for ours, theirs in zip(a, b, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_large_meshes_are_kept_ready(cache, monkeypatch):
    model = mesh_cache.load_model("duckiebot")
    assert cache.is_file()
    mesh_cache.load_model.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(mesh_cache, "load_mesh", None)  # must not be needed
        same(mesh_cache.load_model("duckiebot"), model)
    for damaged in (b"", b"nonsense", cache.read_bytes()[:1000]):
        cache.write_bytes(damaged)
        mesh_cache.load_model.cache_clear()
        same(mesh_cache.load_model("duckiebot"), model)


def test_what_was_kept_of_other_files_is_not_used(cache, monkeypatch):
    model = mesh_cache.load_model("duckiebot")
    mesh_cache.load_model.cache_clear()
    monkeypatch.setattr(mesh_cache, "_key", lambda name: "another")
    monkeypatch.setattr(mesh_cache, "is_solid", lambda mesh: False)
    assert mesh_cache.load_model("duckiebot").solid is not model.solid


def test_nothing_is_kept_where_nothing_can_be_written(cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert len(mesh_cache.load_model("duckiebot").copies) > 3


def test_small_meshes_are_not_kept(cache):
    mesh_cache.load_model("cone")
    assert not cache.parent.exists()
