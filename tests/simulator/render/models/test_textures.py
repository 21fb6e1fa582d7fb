"""Images as compiled code reads them."""

import numpy as np
import pytest
from PIL import Image

from dreamduck.common.errors import MapError
from dreamduck.simulator.render.models.textures import Atlas, load_image, pack, tile_textures


def painted(path, height=4, width=4, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_reads_images_without_transparency(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), pixels[:, :, :3])


def test_says_what_is_wrong_with_an_image(tmp_path):
    with pytest.raises(MapError, match=r"no\.png: no such file; .*pip install"):
        load_image(tmp_path / "no.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    with pytest.raises(MapError, match=r"bad\.png: expected an image, cannot read.*pip install"):
        load_image(tmp_path / "bad.png")


def test_packs_red_lowest():
    assert pack(np.array([[[1, 2, 3]]], dtype=np.uint8)).tolist() == [1 + 2 * 256 + 3 * 65536]


def test_an_atlas_keeps_each_image_once(tmp_path):
    first, second = painted(tmp_path / "a.png", 2, 3), painted(tmp_path / "b.png", 5, 4, seed=1)
    atlas = Atlas()
    assert [atlas.add(tmp_path / name) for name in ("a.png", "b.png", "a.png")] == [0, 1, 0]
    textures = atlas.build()
    assert textures.table.tolist() == [[0, 3, 2], [6, 4, 5]]
    np.testing.assert_array_equal(textures.texels[:6], pack(first))
    np.testing.assert_array_equal(textures.texels[6:], pack(second))


def test_an_empty_atlas_is_fine():
    assert Atlas().build().table.shape == (0, 3)


@pytest.mark.parametrize("turns", range(4))
def test_tiles_lie_as_upstream_turns_them(tmp_path, turns):
    pixels = painted(tmp_path / "a.png")
    tiles = tile_textures((2, 1), 0.5, [(1, 0, turns, tmp_path / "a.png")])
    base, dx, dz = tiles.cells.reshape(3, 4, 3)[1, 2]
    column, row = np.meshgrid(np.arange(4), np.arange(4))
    seen = tiles.texels[base + column * dx + row * dz]
    # Two quarter turns are upstream's image as it is; each further one turns it counter-clockwise.
    np.testing.assert_array_equal(seen, np.rot90(pack(pixels).reshape(4, 4), turns - 2))


def test_cells_without_a_tile_say_so(tmp_path):
    painted(tmp_path / "a.png")
    cells = tile_textures((2, 1), 0.5, [(1, 0, 0, tmp_path / "a.png")]).cells.reshape(3, 4, 3)
    assert (cells[:, :, 0] >= 0).sum() == 1


def test_tiles_of_different_sizes_are_made_alike(tmp_path):
    painted(tmp_path / "a.png", 4, 4)
    painted(tmp_path / "b.png", 8, 2, seed=1)
    tiles = tile_textures((2, 1), 0.5, [(0, 0, 2, tmp_path / "a.png"), (1, 0, 2, tmp_path / "b.png")])
    assert tiles.side == 8
    assert tiles.texels.size == 2 * 8 * 8


def test_a_map_without_tiles():
    assert tile_textures((1, 1), 0.5, []).cells.max() == -1
