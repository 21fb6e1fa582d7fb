"""Patches of gym-duckietown at run time; loaded in the worker process only.

Nothing is imported before `prepare` is
called, because the order of the imports matters:

- `duckietown_world` comes before `geometry`: it switches off PyContracts, which lacks a module;
- imports print, install a log handler and flood it: both are silenced;
- `pyglet.options["debug_gl"]` off before GL is loaded: a quarter of 1,600 GL calls a frame otherwise;
- numpy 1.24 and later refuse the nested one-element sequences that the dynamics hand to `geometry`;
- numpy 2.4 gives ctypes no scalars out of the one-element arrays that randomisation draws;
- the texture search scans a thousand paths for each tile at every reset: it is remembered;
- a duckiebot that is off its lane ends everything with an exception: it stands still instead."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamduck.common.errors import DependencyError

NEWEST = (3, 12)  # its packages fail at import from here on
GL_PACKAGES = "libegl1 libgl1 libglu1-mesa libfreetype6 libglib2.0-0"
INSTALL_GL = f"sudo apt-get install --yes --no-install-recommends {GL_PACKAGES}"
ARRAYS = ("trim", "light_pos", "camera_noise")  # of the randomisation, which stay arrays


def prepare() -> None:
    """Import gym-duckietown and patch it; calling it twice is harmless.

    Raises:
        DependencyError: a Python package or a system library is missing; says what to install.
    """
    if "gym_duckietown.simulator" in sys.modules:
        return
    if sys.version_info >= NEWEST:
        raise DependencyError(
            f"simulator='gym-duckietown' needs Python 3.11, got {sys.version.split()[0]}; its packages "
            "fail at import on newer ones; use simulator='native', which runs on all"
        )
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    try:
        with contextlib.redirect_stdout(None):
            _import()
    except ModuleNotFoundError as err:
        raise DependencyError(
            f"the simulator gym-duckietown needs the Python package {err.name!r}, which is missing; "
            f"install it with: pip install 'dreamduck[gym-duckietown]'"
        ) from err
    except (ImportError, OSError) as err:
        raise missing_library(err) from err
    except (
        Exception
    ) as err:  # pyglet opens a window while it is imported, and its errors have no common base
        if not type(err).__module__.startswith("pyglet"):
            raise
        raise missing_library(err) from err
    _mend_numbers()
    _remember_files()
    _let_lost_bots_stand()


def missing_library(err: Exception) -> DependencyError:
    """The error for a system library that is not there, or finds no driver."""
    return DependencyError(
        f"the simulator gym-duckietown needs system libraries for OpenGL, and they could not be used "
        f"({err}); on Debian or Ubuntu install them with: {INSTALL_GL} "
        "-- or use simulator='native', which needs none"
    )


def _import() -> None:
    import pyglet

    pyglet.options["debug_gl"] = False
    pyglet.options["headless"] = True
    for name in ("duckietown_world", "geometry", "gym_duckietown", "gym_duckietown.envs"):
        importlib.import_module(name)


def _mend_numbers() -> None:
    """Give plain numbers where newer numpy no longer turns one-element arrays into them."""
    import geometry
    from gym_duckietown.randomization import Randomizer

    made = geometry.se2_from_linear_angular
    drawn = Randomizer.randomize

    @functools.wraps(made)
    def se2_from_linear_angular(linear: Sequence[Any], angular: Any) -> Any:
        return made([_plain(value) for value in linear], _plain(angular))

    @functools.wraps(drawn)
    def randomize(self: Any, rng: Any) -> dict[str, Any]:
        drawn_values = drawn(self, rng)
        return {key: v if key in ARRAYS else _plain(v) for key, v in drawn_values.items()}

    geometry.se2_from_linear_angular = se2_from_linear_angular
    Randomizer.randomize = randomize


def _plain(value: Any) -> float:
    return float(np.asarray(value).reshape(-1)[0])


def _remember_files() -> None:
    """Search the data folders for each file once, not at every reset."""
    import gym_duckietown.graphics
    import gym_duckietown.objects
    import gym_duckietown.objmesh
    import gym_duckietown.simulator

    for module in (
        gym_duckietown.graphics,
        gym_duckietown.objects,
        gym_duckietown.objmesh,
        gym_duckietown.simulator,
    ):
        for name in ("get_texture_file", "get_resource_path"):
            if hasattr(module, name):
                setattr(module, name, functools.lru_cache(maxsize=None)(getattr(module, name)))


def _let_lost_bots_stand() -> None:
    """Stop a duckiebot where there is no lane below it, instead of upstream's exception."""
    from gym_duckietown.objects import DuckiebotObj

    stepped = DuckiebotObj.step_duckiebot

    @functools.wraps(stepped)
    def step_duckiebot(self: Any, delta_time: float, closest_curve_point: Any, objects: Any) -> None:
        if closest_curve_point(self.pos, self.angle)[0] is not None:
            stepped(self, delta_time, closest_curve_point, objects)

    DuckiebotObj.step_duckiebot = step_duckiebot
