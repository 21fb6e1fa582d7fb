"""The worker process of the window: pyglet, an X display, and no TensorFlow beside them.

Started by `workers.Worker`, not by people."""

from __future__ import annotations

import math
from typing import Any

from dreamduck.common.errors import DependencyError, DisplayError
from dreamduck.common.processes.workers import Blob, Calls

GL_PACKAGES = "libgl1 libglu1-mesa libx11-6"
DEAD = 0.12  # of a stick: this near to its middle it is not moved
IDLE_INTERVAL = 0.02  # [s] between looks at the window while nothing is asked

Answer = tuple[dict[str, Any], Blob]


def calls() -> Calls:
    """The functions that a message can call, by name."""
    return {"open": _screen.open, "show": _screen.show}


def idle() -> None:
    """Keep the window alive while the environment computes."""
    _screen.dispatch()


class Screen:
    """The window, the image in it, and what its keys have done."""

    def __init__(self) -> None:
        self.window: Any = None
        self.image: Any = None
        self.held: set[str] = set()
        self.pressed: list[str] = []
        self.closed = False
        self.gamepad: Any = None

    def open(self, title: str, width: int, height: int) -> Answer:
        """Open the window.

        Raises:
            DisplayError: there is no display that takes it.
            DependencyError: no system libraries.
        """
        try:
            import pyglet

            pyglet.options.update(headless=False, debug_gl=False, shadow_window=False)
            import pyglet.window
        except ModuleNotFoundError as err:
            raise DependencyError(
                f"a window needs {err.name}; install it with: pip install 'pyglet<2'"
            ) from err
        except (ImportError, OSError) as err:
            raise DependencyError(
                f"a window needs system libraries for OpenGL and X, and one could not be loaded ({err}); "
                f"on Debian or Ubuntu: sudo apt-get install --yes --no-install-recommends {GL_PACKAGES}"
            ) from err
        from pyglet.canvas.xlib import NoSuchDisplayException

        try:
            self.window = pyglet.window.Window(width, height, caption=title, vsync=False, resizable=True)
        except (NoSuchDisplayException, pyglet.window.NoSuchConfigException) as err:
            raise DisplayError(f"no window could be opened ({err or type(err).__name__})") from err
        self.window.push_handlers(
            on_key_press=self._press,
            on_key_release=self._release,
            on_deactivate=self.held.clear,  # releases go to another window now
            on_expose=self._draw,
            on_close=self._close,
        )
        self.gamepad = find_gamepad()
        return {}, b""

    def show(self, width: int, height: int, pixels: bytearray) -> Answer:
        """Show an image; return the keys since the last one."""
        from pyglet.image import ImageData

        self.dispatch()
        if not self.closed:
            self.window.switch_to()
            self.image = ImageData(width, height, "RGB", bytes(pixels), pitch=-3 * width).get_texture()
            self._draw()
            self.dispatch()
        keys = {"held": sorted(self.held), "pressed": self.pressed, "closed": self.closed}
        self.pressed = []
        size = (width, height) if self.closed else self.window.get_size()
        return {**keys, "stick": self.stick(), "size": size}, b""

    def stick(self) -> tuple[float, float]:
        """Where the gamepad's left stick is: to the right and up; (0, 0) without a gamepad."""
        if self.gamepad is None:
            return 0.0, 0.0
        return _beyond_middle(self.gamepad.x), _beyond_middle(-self.gamepad.y)

    def dispatch(self) -> None:
        """Handle what has happened to the window."""
        if self.window is not None and not self.closed:
            self.window.switch_to()
            self.window.dispatch_events()

    def _draw(self) -> None:
        if self.image is not None and not self.closed:
            self.window.clear()
            self.image.blit(0, 0)
            self.window.flip()

    def _press(self, symbol: int, modifiers: int) -> bool:
        name = _name(symbol)
        self.held.add(name)
        self.pressed.append(name)
        return True  # pyglet's own handler closes the window on escape

    def _release(self, symbol: int, modifiers: int) -> None:
        self.held.discard(_name(symbol))

    def _close(self) -> bool:
        self.closed = True
        self.window.set_visible(False)
        return True


def find_gamepad() -> Any:
    """The first gamepad, opened; None where there is none, or none that may be read."""
    import pyglet.input

    try:
        for gamepad in pyglet.input.get_joysticks():
            gamepad.open()  # its events come with those of the window
            return gamepad
    except (OSError, pyglet.input.DeviceException):  # no /dev/input, as in a container, or no right to it
        pass
    return None


def _beyond_middle(value: float) -> float:
    if abs(value) < DEAD:
        return 0.0
    return max(-1.0, min(1.0, (value - math.copysign(DEAD, value)) / (1 - DEAD)))


def _name(symbol: int) -> str:
    from pyglet.window import key

    return str(key.symbol_string(symbol))


_screen = Screen()
