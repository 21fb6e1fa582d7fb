"""A virtual display for tests: its server, its pixels, and keys pressed on it.

Everything goes through the X server, as it does for a person: key events are sent to the window, and
pixels are read from the server's frame buffer."""

import ctypes
import ctypes.util
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

KEY_PRESS, KEY_RELEASE = 2, 3
MASKS = {KEY_PRESS: 1, KEY_RELEASE: 2}


class KeyEvent(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("root", ctypes.c_ulong),
        ("subwindow", ctypes.c_ulong),
        ("time", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("x", "y", "x_root", "y_root")),
        ("state", ctypes.c_uint),
        ("keycode", ctypes.c_uint),
        ("same_screen", ctypes.c_int),
        ("padding", ctypes.c_byte * 192),
    )


class Display:
    """The display; `name` is what DISPLAY should be."""

    def __init__(self, name: str, buffer: Path) -> None:
        self.name, self.buffer = name, buffer
        self.x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        self.x.XOpenDisplay.restype = ctypes.c_void_p
        self.x.XDefaultRootWindow.restype = ctypes.c_ulong
        self.x.XStringToKeysym.restype = ctypes.c_ulong
        self.server = ctypes.c_void_p(self.x.XOpenDisplay(name.encode()))
        assert self.server.value, f"cannot connect to {name}"
        self.root = ctypes.c_ulong(self.x.XDefaultRootWindow(self.server))

    def windows(self) -> dict[str, int]:
        """The windows on the screen, by title."""
        dummy, count = ctypes.c_ulong(), ctypes.c_uint()
        children = ctypes.POINTER(ctypes.c_ulong)()
        self.x.XQueryTree(
            self.server,
            self.root,
            ctypes.byref(dummy),
            ctypes.byref(dummy),
            ctypes.byref(children),
            ctypes.byref(count),
        )
        found = {}
        for k in range(count.value):
            title = ctypes.c_char_p()
            self.x.XFetchName(self.server, ctypes.c_ulong(children[k]), ctypes.byref(title))
            if title.value:
                found[title.value.decode()] = int(children[k])
        return found

    def window(self, part: str, timeout: float = 30.0) -> int:
        """The window whose title contains this; waits for it."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for title, window in self.windows().items():
                if part in title:
                    return window
            time.sleep(0.05)
        raise AssertionError(f"no window {part!r} among {self.windows()}")

    def key(self, window: int, name: str, kind: int) -> None:
        """Press or release a key, by X's name for it, in a window."""
        event = KeyEvent(type=kind, send_event=1, window=window, root=self.root.value, same_screen=1)
        event.display = self.server
        symbol = ctypes.c_ulong(self.x.XStringToKeysym(name.encode()))
        event.keycode = self.x.XKeysymToKeycode(self.server, symbol)
        target = ctypes.c_ulong(window)
        sent = self.x.XSendEvent(self.server, target, 0, ctypes.c_long(MASKS[kind]), ctypes.byref(event))
        assert sent
        self.x.XSync(self.server, 0)

    def press(self, window: int, name: str) -> None:
        self.key(window, name, KEY_PRESS)

    def release(self, window: int, name: str) -> None:
        self.key(window, name, KEY_RELEASE)

    def tap(self, window: int, name: str) -> None:
        self.press(window, name)
        self.release(window, name)

    def screen(self) -> np.ndarray:
        """What is on the screen, (H, W, 3) uint8, from the server's frame buffer (an XWD file)."""
        data = self.buffer.read_bytes()
        header = struct.unpack(">25I", data[:100])
        size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
        assert header[11] == 32, "expected 32 bits a pixel"
        start = size + 12 * colours
        rows = np.frombuffer(data, np.uint8, line * height, start).reshape(height, line)
        return rows[:, : 4 * width].reshape(height, width, 4)[..., 2::-1].copy()


def start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start Xvfb on a free display."""
    server = shutil.which("Xvfb")
    assert server, "these tests need a virtual display: sudo apt-get install --yes xvfb"
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [
            server,
            *("-displayfd", str(writing)),
            *("-screen", "0", "1024x768x24"),
            *("-fbdir", str(folder)),
            *("-nolisten", "tcp"),
        ],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as numbers:
        number = numbers.readline().strip()
    assert number, "Xvfb did not start"
    return process, f":{number}"


@pytest.fixture(scope="session")
def x_server(tmp_path_factory):
    """One virtual display for the whole session."""
    folder = tmp_path_factory.mktemp("screen")
    process, name = start_server(folder)
    try:
        yield Display(name, folder / "Xvfb_screen0")
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def display(x_server, monkeypatch):
    """The virtual display, as this test's own."""
    monkeypatch.setenv("DISPLAY", x_server.name)
    return x_server
