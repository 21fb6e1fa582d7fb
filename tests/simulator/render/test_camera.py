"""The camera by itself; that it draws what upstream draws is tested in test_frames_parity."""

import os

import numpy as np
import pytest

from dreamduck.common.errors import ConfigError, StartError
from dreamduck.simulator.maps.parser import load_map
from dreamduck.simulator.randomization import draw_appearance, standard_appearance
from dreamduck.simulator.render.camera import Camera

SKY = (115, 209, 255)
GROUND = (21, 21, 21)


def road_poses(town, count, seed=0):
    rng = np.random.default_rng(seed)
    tiles = rng.choice([(tile.i, tile.j) for tile in town.drivable_tiles], count)
    places = (tiles + rng.random((count, 2))) * town.tile_size
    return np.concatenate([places, rng.uniform(0, 2 * np.pi, (count, 1))], axis=1)


def at_start(town, count):
    """Where moving objects begin, and traffic lights that show their first pattern."""
    places = [(*thing.pos, thing.angle) for thing in town.objects if thing.moving]
    moving = np.tile(np.array(places, dtype=np.float64).reshape(-1, 4), (count, 1, 1))
    lights = sum(thing.kind == "trafficlight" for thing in town.objects)
    return moving, np.zeros((count, lights), dtype=np.int8)


def render(camera, poses, appearance=None, moving=None, signals=None):
    poses = np.array(poses, dtype=np.float64).reshape(-1, 3)
    start, dark = at_start(camera.map, len(poses))
    out = np.full((len(poses), camera.height, camera.width, 3), 77, dtype=np.uint8)
    appearance = standard_appearance(camera.map, len(poses)) if appearance is None else appearance
    camera.render(
        poses, appearance, start if moving is None else moving, dark if signals is None else signals, out
    )
    return out


def random_appearance(town, count):
    appearance = standard_appearance(town, count)
    for car in range(count):
        draw_appearance(np.random.default_rng(car), town, True, appearance, car)
    return appearance


@pytest.fixture(scope="module")
def town():
    return load_map("loop_dyn_duckiebots")


@pytest.fixture(scope="module")
def camera(town):
    return Camera(town, 64, 64)


def test_sky_above_and_road_below(camera):
    frame = render(camera, road_poses(camera.map, 1))[0]
    assert (frame[:10] == SKY).all()
    assert (frame[-10:] != SKY).any(axis=2).all()
    assert frame[-20:].std() > 1


def test_bare_ground_beyond_the_map(camera):
    frame = render(camera, [-5.0, 2.0, np.pi])[0]  # looks away from the map
    assert (frame[-20:] == GROUND).all()
    assert (frame[:10] == SKY).all()


def test_frames_depend_neither_on_company_nor_on_threads(town, camera):
    poses, appearance = road_poses(town, 9), random_appearance(town, 9)
    together = render(camera, poses, appearance)
    assert len({frame.tobytes() for frame in together}) == 9
    for car in range(9):
        alone = render(
            camera, poses[car], type(appearance)._make(part[car : car + 1] for part in appearance)
        )
        np.testing.assert_array_equal(alone[0], together[car])
    for threads in (2, 3, 16):
        np.testing.assert_array_equal(
            render(Camera(town, 64, 64, threads=threads), poses, appearance), together
        )


def test_no_cars_no_frames(camera):
    assert render(camera, np.zeros((0, 3))).shape == (0, 64, 64, 3)


def test_drawing_works_after_a_fork(town):
    camera = Camera(town, 64, 64, threads=2)
    poses = road_poses(town, 4)
    before = render(camera, poses)
    child = os.fork()
    if child == 0:
        os._exit(0 if (render(camera, poses) == before).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(("width", "height"), [(32, 32), (33, 47), (160, 120), (320, 64), (640, 480)])
def test_sizes_show_the_same(town, camera, width, height):
    pose = road_poses(town, 1, seed=3)
    large = render(Camera(town, width, height), pose)[0].astype(float)
    assert (large[: height // 8] == SKY).all()
    assert (large[-height // 8 :] != SKY).any(axis=2).all()
    if width == height * 4 // 3:
        # The middle of a wide image is the square one.
        part = large[:, (width - height) // 2 : (width + height) // 2]
        rows = np.array_split(np.arange(height), 8)
        columns = np.array_split(np.arange(part.shape[1]), 8)
        square = render(camera, pose)[0].astype(float).reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
        blocks = np.array([[part[np.ix_(r, c)].mean(axis=(0, 1)) for c in columns] for r in rows])
        assert np.abs(blocks - square).mean() < 6


def test_objects_can_be_left_out(town, camera):
    k = next(k for k, thing in enumerate(town.objects) if thing.kind == "duckie")
    duckie = town.objects[k]
    pose = [duckie.pos[0] - 0.3, duckie.pos[2], 0.0]
    appearance = standard_appearance(town, 1)
    seen = render(camera, pose)[0]
    appearance.object_visible[0, k] = False
    gone = render(camera, pose, appearance)[0]
    changed = (seen != gone).any(axis=2)
    assert 20 < changed.sum() < 2000
    red, green, blue = seen[changed].astype(float).mean(axis=0)
    assert red > 2 * blue  # it is yellow
    assert green > 1.5 * blue
    columns = np.nonzero(changed)[1]
    assert abs(columns.mean() - 31.5) < 6  # and stands ahead


def test_moving_objects_are_drawn_at_their_poses(town, camera):
    pose = [1.0, 1.0, 0.0]
    moving, _ = at_start(town, 1)
    away, left, right, far = (moving.copy() for _ in range(4))
    away[0, 0] = (-3.0, 0.0, -3.0, 0.0)
    left[0, 0], right[0, 0], far[0, 0] = (1.6, 0, 0.85, 0), (1.6, 0, 1.15, 0), (2.2, 0, 1.0, 0)
    empty = render(camera, pose, moving=away)[0]
    covered = [(render(camera, pose, moving=m)[0] != empty).any(axis=2) for m in (left, right, far)]
    middles = [np.nonzero(part)[1].mean() for part in covered]
    assert middles[0] < 28 < middles[2] < 36 < middles[1]
    assert covered[2].sum() < covered[0].sum() / 2


def test_things_hide_what_is_behind_them(town, camera):
    appearance = standard_appearance(town, 1)
    appearance.object_visible[:] = False
    bots = [k for k, thing in enumerate(town.objects) if thing.kind == "duckiebot" and thing.moving]
    appearance.object_visible[0, bots] = True
    moving, _ = at_start(town, 1)
    duckie = next(k for k, thing in enumerate(town.objects) if thing.kind == "duckie")
    x, z = town.objects[duckie].pos[[0, 2]]
    appearance.object_visible[0, duckie] = True
    # The car, the bot and the duckie in one line, the duckie last.
    moving[0, 0] = (x - 0.2, 0.0, z, 0.3)
    both = render(camera, [x - 0.7, z, 0.0], appearance, moving)[0]
    appearance.object_visible[0, duckie] = False
    without = render(camera, [x - 0.7, z, 0.0], appearance, moving)[0]
    hidden = (both != without).any(axis=2).sum()
    moving[0, 0] = (-9.0, 0.0, -9.0, 0.0)
    appearance.object_visible[0, duckie] = True
    free = render(camera, [x - 0.7, z, 0.0], appearance, moving)[0]
    appearance.object_visible[0, duckie] = False
    bare = render(camera, [x - 0.7, z, 0.0], appearance, moving)[0]
    assert hidden < (free != bare).any(axis=2).sum() / 2


def test_traffic_lights_show_their_pattern():
    name = next(
        name for name in ("udem1", "regress_4way_adam", "4way") if _lights(load_map(name))
    )  # some map with a traffic light
    town = load_map(name)
    light = town.objects[_lights(town)[0]]
    signals = np.zeros((1, len(_lights(town))), dtype=np.int8)
    camera = Camera(town, 160, 120)
    frames = []
    for heading in np.arange(0, 2 * np.pi, np.pi / 4):
        pose = [light.pos[0] - 0.5 * np.cos(heading), light.pos[2] + 0.5 * np.sin(heading), heading]
        frames.append((render(camera, pose, signals=signals), render(camera, pose, signals=signals + 1)))
    assert any((first != second).any() for first, second in frames)


def _lights(town):
    return [k for k, thing in enumerate(town.objects) if thing.kind == "trafficlight"]


def test_the_appearance_shows():
    town = load_map("loop_empty")
    camera = Camera(town, 64, 64)
    pose = road_poses(town, 1, seed=5)
    plain = render(camera, pose)[0].astype(float)
    for change in (
        {"horizon": [[1.0, 0.0, 0.0]]},
        {"ground": [[0.9, 0.9, 0.9]]},
        {"ambient": [[0.0, 0.0, 0.0]]},
        {"diffuse": [[0.0, 0.0, 0.0]]},
        {"camera_pitch": [25.0]},
        {"camera_fov": [60.0]},
        {"camera_height": [0.2]},
        {"camera_noise": [[0.1, 0.0, 0.0]]},
        {"light_pos": [[100.0, 200.0, 50.0, 0.0]]},
    ):
        appearance = standard_appearance(town, 1)
        for name, value in change.items():
            getattr(appearance, name)[:] = value
        frame = render(camera, pose, appearance)[0].astype(float)
        assert np.abs(frame - plain).mean() > 0.1, change
    appearance = standard_appearance(town, 1)._replace(
        horizon=np.array([[1.4, 0.5, 0.0]], dtype=np.float32)
    )
    assert render(camera, pose, appearance)[0, 0, 0].tolist() == [255, 128, 0]


def test_anywhere_is_fine(town, camera):
    """Inside things, far off, at the edge of the ground: odd images, but images."""
    inside = [
        [thing.pos[0] - 0.066, thing.pos[2], heading] for thing in town.objects for heading in (0.0, 2.0)
    ]
    far = [[1e3, 1e3, 0.0], [-1e6, 1e6, 1.0], [49.99, 49.99, 0.7], [50.01, 0.0, 3.0], [0.0, 0.0, 1e5]]
    frames = render(camera, inside + far)
    assert (frames[:, 0] == SKY).any()
    assert (frames[len(inside)] == SKY).all()  # past the end of the ground there is nothing


def test_the_lens_bends():
    town = load_map("loop_empty")
    pose = road_poses(town, 1, seed=2)
    plain, bent = (render(Camera(town, 160, 120, distortion=d), pose)[0] for d in (False, True))
    assert (plain != bent).any()
    # Nothing is invented: every colour of the bent image is in the plain one.
    assert set(map(tuple, bent.reshape(-1, 3))) <= set(map(tuple, plain.reshape(-1, 3)))


def test_from_above(town, camera):
    pose = np.array([1.0, 1.0, 0.5])
    moving, signals = at_start(town, 2)
    appearance = standard_appearance(town, 2)
    image = camera.top_down(pose, appearance, 1, moving, signals, 200, 150)
    assert image.shape == (150, 200, 3)
    elsewhere = camera.top_down(pose + np.array([0.8, 0, 0]), appearance, 1, moving, signals, 200, 150)
    changed = np.nonzero((image != elsewhere).any(axis=2))
    # The map is as high as the image, less a border; the car was and is on one line of it.
    high = max(town.width, town.height) * town.tile_size + 0.2
    row = (1.0 - town.height * town.tile_size / 2) / high * 150 + 75
    assert abs(changed[0].mean() - row) < 8
    assert changed[1].min() < changed[1].max() - 10
    assert camera.top_down(pose, appearance, 0, moving, signals, 200, 150).tobytes() == image.tobytes()


def test_bad_settings(town):
    with pytest.raises(ConfigError, match="camera width: expected 1 to 4096 pixels, got 0"):
        Camera(town, 0, 64)
    with pytest.raises(ConfigError, match="camera height"):
        Camera(town, 64, 5000)
    with pytest.raises(ConfigError, match="threads: expected at least 1, got 0"):
        Camera(town, 64, 64, threads=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_poses_must_be_finite(camera, bad):
    with pytest.raises(StartError, match="pose: expected finite numbers"):
        render(camera, [1.0, bad, 0.0])
