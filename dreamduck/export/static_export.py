"""The dream as one HTML file: `dreamduck export dream.html`.

The page is that of `dreamduck drive`, with `page/offline.js` instead of its server. The dynamics and
the decoder are ONNX graphs, which ONNX Runtime Web runs in the browser; of the two libraries for that, it
is the quicker one (docs/drive.md). The file also holds a hundred steps that Python dreamt, so that the page
can compare its numbers with ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common import command_line, seeding
from dreamduck.common.config import add_arguments, from_arguments, options, replace, to_dict
from dreamduck.common.errors import DependencyError, WeightsError
from dreamduck.common.storage import PathLike, replacing
from dreamduck.controllers.policy import CRUISE_THROTTLE, Controller
from dreamduck.export import packing
from dreamduck.export.evolution import evolution, form_of
from dreamduck.export.recorded_drives import recorded_drives
from dreamduck.pretrained import FOLDER
from dreamduck.recordings.sources.arrow_keys import from_keys
from dreamduck.simulator.environment import SETTINGS, is_own
from dreamduck.web.page_actions import PageActions
from dreamduck.web.server import PAGE
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.web.share_link import MAX_STEPS
from dreamduck.web.split_scene import WRONG
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical import CategoricalDynamics
from dreamduck.world_model.dynamics import Dynamics
from dreamduck.world_model.ensemble import LIMIT_STEPS
from dreamduck.world_model.mdn_rnn import MDNRNN

VENDOR = PAGE / "vendor"
RUNTIME, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
CONNECTION = "connection.js"  # which is offline.js here
LOADER = Path(__file__).with_name("loader.html")  # what the page begins with in one file
CHECK_STEPS, CHECK_EVERY = 100, 10
CHECK_LIMIT = 1e-3  # a greater difference is not rounding: the file's numbers are wrong
FIRST_ROWS = 100  # beginnings of dreams that the file holds
DESCRIPTION = """Write the dream as one HTML file, which any browser opens with no server and no network."""


def main(argv: Sequence[str] | None = None) -> int | None:
    """Write the file."""
    parser = command_line.parser(DESCRIPTION, "example:\n  dreamduck export dream.html")
    parser.add_argument("path", help="the file to write, for example dream.html")
    add_arguments(parser, SessionFactoryConfig, skip=_SKIPPED)
    arguments = parser.parse_args(argv)
    command_line.start_logging(arguments)
    size = export(arguments.path, from_arguments(SessionFactoryConfig, arguments))
    print(f"wrote {arguments.path}, {size / 1e6:.1f} MB; open it in a browser")
    return None


_SKIPPED = tuple(
    name
    for name in options(SessionFactoryConfig)
    if name not in ("weights", "controller", "strict", "temperature", "any_weights")
)


def export(path: PathLike, config: SessionFactoryConfig) -> int:
    """Write the dream as one file.

    Returns:
        Its size [bytes].
    Raises:
        WeightsError: there is no world model.
        DependencyError: the browser's runtime has not been fetched yet.
    """
    html = render(SessionFactory(as_learned(config)))
    with replacing(path) as temporary:
        return temporary.write_bytes(packing.encode(html))


def as_learned(config: SessionFactoryConfig) -> SessionFactoryConfig:
    """The same, with the steps and images of the road that the world model learned from.

    Raises:
        WeightsError: there is no world model.
    """
    learned = WorldModel.load(Path(config.weights or FOLDER)).environment
    known = {name: learned[name] for name in SETTINGS if name in learned}
    return replace(config, **known) if is_own(learned.get("id")) else config


def render(factory: SessionFactory) -> str:
    """The file's text.

    Args:
        factory: with the world model, the controller and the temperature.

    Raises:
        WeightsError: there is no world model.
        DependencyError: the browser's runtime has not been fetched yet.
    """
    if factory.model is None:
        raise WeightsError(factory.missing)
    about, blocks = contents(factory, factory.model)
    texts = {"about": json.dumps(about, separators=(",", ":"), allow_nan=False)}
    modules = {path.name: path.read_text(encoding="utf-8") for path in PAGE.glob("*.js")}
    modules[CONNECTION] = modules.pop("offline.js")
    texts |= {f"module-{name}": text for name, text in modules.items()}
    data = [f'<script type="text/plain" id="{name}">{text}</script>\n' for name, text in texts.items()]
    data += [packing.element(name, block) for name, block in blocks.items()]
    duck = base64.b64encode((PAGE / "duck.svg").read_bytes()).decode()
    html = _page("index.html")
    for old, new in {
        '  <meta charset="utf-8">\n': "",  # the file's first two bytes mark the encoding
        '<link rel="stylesheet" href="/page/style.css">': f"<style>{_page('style.css')}</style>",
        '  <script type="module" src="/page/main.js"></script>\n': "",
        '"/page/duck.svg"': f'"data:image/svg+xml;base64,{duck}"',
        "<body>": '<body class="offline">',
        "</body>": "".join(data) + LOADER.read_text(encoding="utf-8") + "</body>",
    }.items():
        html = html.replace(old, new)
    return html


def contents(factory: SessionFactory, model: WorldModel) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The page's settings, and its packed arrays by name.

    Raises:
        WeightsError: the page does not know this kind of dynamics.
    """
    from dreamduck.export.vae_graphs import decoder_graph

    rnn = model.dynamics
    graphs = {**dynamics_graphs(rnn, str(model.folder)), "decoder": decoder_graph(model.vae)}
    # Temperature 0 draws nothing, and would check less.
    arrays, check = reference(model, factory.temperature or model.temperature)
    for prefix, initial in (("", factory.initial), ("first_", model.start_states())):
        rows = np.linspace(0, len(initial.mu) - 1, min(len(initial.mu), FIRST_ROWS)).astype(int)
        known = initial._asdict().items()
        arrays |= {f"{prefix}{name}": part[rows] for name, part in known if part is not None}
    for_search, search = evolution(model)
    of_drives, drives = recorded_drives(factory) if factory.other is None else ({}, [])
    layout, numbers = pack(arrays | for_search | of_drives | _probe(factory))
    config = rnn.config
    about = {
        **factory.describe(),
        "worlds": {"dream": "", **({"split": ""} if drives else {})},
        "maps": [drive["map_name"] for drive in drives],
        "map_name": drives[0]["map_name"] if drives else "",
        "drives": drives,
        "kind": rnn.kind,
        **to_dict(config),
        "cell_size": config.cell_size,
        "uniform_size": config.uniform_size,
        "normal_size": config.normal_size,
        "graphs": list(graphs),
        "low": rnn.bounds[0].tolist(),
        "high": rnn.bounds[1].tolist(),
        "max_steps": MAX_STEPS,
        "weights": {"vae": model.vae.weights, "rnn": rnn.weights},
        "policy": _controller(factory.controller),
        "actions": PageActions(model.actions).described,
        "check": check,
        "evolution": search,
        "trust": {"limit": WRONG, "window": LIMIT_STEPS},
        "numbers": layout,
    }
    halves = {name: packing.by_halves(graph) for name, graph in graphs.items()}
    return about, {"runtime": _vendored(RUNTIME), "wasm": _vendored(WASM), **halves, "numbers": numbers}


def dynamics_graphs(dynamics: Dynamics, source: str) -> dict[str, bytes]:
    """The ONNX graphs of dynamics, by the names that the page has for them.

    Args:
        dynamics: of a world model.
        source: what an error message calls it.

    Raises:
        WeightsError: the page does not know this kind.
    """
    from dreamduck.export import categorical_graphs
    from dreamduck.export.mdn_rnn_graphs import mdn_rnn_graph

    if isinstance(dynamics, MDNRNN):
        return {"mdn_rnn": mdn_rnn_graph(dynamics)}
    if isinstance(dynamics, CategoricalDynamics):
        return {
            "prior": categorical_graphs.prior_graph(dynamics),
            "posterior": categorical_graphs.posterior_graph(dynamics),
            "latent": categorical_graphs.latent_graph(dynamics),
        }
    raise WeightsError(
        f"{source}: expected dynamics whose draws the page knows, got the kind {dynamics.kind!r}; "
        "choose other weights"
    )


def reference(model: WorldModel, temperature: float) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """A hundred steps as Python dreams them, with all random numbers, for the page to repeat.

    Returns:
        Arrays by name, and what the page has to know about them.
    """
    rnn = model.dynamics
    config = rnn.config
    random = seeding.generator(0)
    steps = np.arange(CHECK_STEPS)
    driven = zip(0.5 + 0.3 * np.sin(steps / 9), 0.8 * np.sin(steps / 5), strict=True)
    action = np.stack([from_keys(model.actions, *pair) for pair in driven])
    uniform = random.random((CHECK_STEPS, config.uniform_size), np.float32)
    normal = random.standard_normal((CHECK_STEPS, config.normal_size), np.float32)
    first = model.start_states().mu[:1]
    z, state = first, rnn.observe(first, rnn.start())
    rows: dict[str, list[npt.NDArray[Any]]] = {
        name: [] for name in ("z", "reward", "end_reward", "end", "frames")
    }
    for t in steps:
        chance = uniform[t][None], normal[t][None]
        z, state, predicted = rnn.step(z, action[t][None], state, *chance, temperature)
        rows["z"].append(z)
        for name in ("reward", "end_reward", "end"):
            rows[name].append(getattr(predicted, name))
        if (t + 1) % CHECK_EVERY == 0:
            rows["frames"].append(model.vae.decode(z))
    arrays = {name: np.concatenate(values) for name, values in rows.items()}
    given = {"action": action, "uniform": uniform, "normal": normal, "first": first[0]}
    about = {"steps": CHECK_STEPS, "every": CHECK_EVERY, "temperature": temperature, "limit": CHECK_LIMIT}
    return {**given, **arrays}, about


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, list[Any]], bytes]:
    """Arrays one after the other, and where each lies: kind, first byte, how many numbers."""
    layout: dict[str, list[Any]] = {}
    parts, at = [], 0
    for name, array in arrays.items():
        kind = "u1" if array.dtype == np.uint8 else "f4"
        data = np.ascontiguousarray(array).astype("<f4" if kind == "f4" else "u1").tobytes()
        data += b"\0" * (-len(data) % 4)  # floats must begin at a multiple of four
        layout[name] = [kind, at, array.size]
        parts.append(data)
        at += len(data)
    return layout, b"".join(parts)


def _probe(factory: SessionFactory) -> dict[str, npt.NDArray[Any]]:
    """The probe that reads the lane position from latents; empty where there is none."""
    probe = factory.probe
    if probe is None:
        return {}
    return {"probe_mean": probe.mean, "probe_std": probe.std, "probe_weights": probe.weights[:, 0]}


def _controller(controller: Controller | None) -> dict[str, Any] | None:
    if controller is None:
        return None
    described = {**form_of(controller.form), "cruise": CRUISE_THROTTLE}
    return {"form": described, "theta": [float(v) for v in controller.theta]}


def _vendored(name: str) -> bytes:
    path = VENDOR / name
    if not path.is_file():
        raise DependencyError(
            f"{path}: no such file; fetch the browser's runtime with `make page` in a clone "
            "of the repository (needs npm), and work there or install from it again"
        )
    return path.read_bytes()


def _page(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
