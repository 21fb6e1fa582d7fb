"""The dream as one file: its graphs, and what its JavaScript computes, against the library's numbers.

test_browser opens the file. Every second form of a computation is compared with the weights that ship and
with weights that are random in every parameter: no residual scale of 1, no bias of 0."""

import json
import re
import shutil
import subprocess

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from dreamduck.common.config import replace
from dreamduck.common.errors import DependencyError, WeightsError
from dreamduck.controllers.policy import Controller, ControllerForm, random_theta
from dreamduck.export import static_export
from dreamduck.export.mdn_rnn_graphs import mdn_rnn_graph
from dreamduck.export.static_export import dynamics_graphs
from dreamduck.export.vae_graphs import decoder_graph
from dreamduck.pretrained import FOLDER
from dreamduck.simulator.environment import describe
from dreamduck.simulator.road import RoadConfig
from dreamduck.web.server import PAGE
from dreamduck.web.session_factory import SessionFactory, SessionFactoryConfig
from dreamduck.world_model import WorldModel
from dreamduck.world_model.categorical import (
    CategoricalConfig,
    CategoricalDynamics,
    CategoricalPrediction,
    equations,
)
from dreamduck.world_model.categorical.step import likeliest
from dreamduck.world_model.dynamics import RecurrentState
from dreamduck.world_model.mdn_rnn import MDNRNN, MDNRNNConfig
from dreamduck.world_model.mdn_rnn.layout import initial_parameters
from dreamduck.world_model.mdn_rnn.mixture import Mixture, entropy, sample
from dreamduck.world_model.vae import VAE
from dreamduck.world_model.vae.layout import NETWORKS
from tests.export.test_packing import unpacked, whole
from tests.node import needs_node, run_node
from tests.web.model import write_categorical
from tests.world_model.categorical.helpers import random_dynamics
from tests.world_model.vae.helpers import parameters as vae_parameters

STEPS = 100


def random_rnn(config: MDNRNNConfig, seed: int = 1) -> MDNRNN:
    """An MDN-RNN in which no parameter keeps its first value."""
    random = np.random.default_rng(seed)
    made = initial_parameters(config, seed)
    for name, array in made.items():
        made[name] = (array + random.normal(0, 0.05, array.shape)).astype(np.float32)
    if config.residual:
        made["head_share/kernel"] = random.uniform(-0.9, 0.9, config.z_size).astype(np.float32)
    return MDNRNN(made, config)


@pytest.fixture(scope="module")
def model(model_folder) -> WorldModel:
    return WorldModel.load(model_folder)


@pytest.fixture(scope="module")
def shipped() -> WorldModel:
    return WorldModel.load(FOLDER)


def evaluator(graph: bytes) -> ReferenceEvaluator:
    """A graph that runs in Python; its half-precision constants are widened once, not at every run."""
    model = onnx.load_from_string(graph)
    halves = {array.name: numpy_helper.to_array(array) for array in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Cast"]:
        wide = halves[node.input[0]].astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
        model.graph.node.remove(node)
    return ReferenceEvaluator(model)


def compare(rnn: MDNRNN, first, temperature: float) -> None:
    """Dream a hundred steps by the graph and by the library, each from its own latents."""
    graph = evaluator(mdn_rnn_graph(rnn))
    random = np.random.default_rng(0)
    size = rnn.config.z_size
    z, state = first, rnn.start()
    other, h, c = z, state.h, state.c
    for _ in range(STEPS):
        action = random.uniform(-1, 1, (1, 2)).astype(np.float32)
        noise = random.random((1, size), np.float32), random.standard_normal((1, size), np.float32)
        given = {"z": other, "action": action, "h": h, "c": c}
        out = dict(zip(graph.output_names, graph.run(None, given), strict=True))
        h, c = out["h_next"], out["c_next"]
        state = rnn.advance(z, action, state)
        said = rnn.predict(z, state)
        assert h == pytest.approx(state.h, abs=1e-3)
        assert c == pytest.approx(state.c, abs=1e-3)
        for name in said.mixture._fields:
            assert out[name] == pytest.approx(getattr(said.mixture, name), abs=1e-3)
        for name in ("reward", "end_reward", "end"):
            assert out[name][:, 0] == pytest.approx(getattr(said, name), abs=1e-3)
        theirs = said._replace(mixture=Mixture(*(out[name] for name in Mixture._fields)))
        z, other = (rnn.draw(one, state, *noise, temperature).z for one in (said, theirs))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_shipped_dynamics_as_graphs(shipped, temperature):
    if isinstance(shipped.dynamics, MDNRNN):
        compare(shipped.dynamics, shipped.start_states().mu[:1], temperature)
    else:
        compare_categorical(shipped.dynamics, shipped.start_states().mu[:1], temperature)


@pytest.mark.parametrize("residual", [False, True])
def test_a_random_rnn_as_a_graph(residual):
    config = MDNRNNConfig(z_size=6, hidden_size=20, mixtures=3, residual=residual)
    first = np.random.default_rng(3).standard_normal((1, 6)).astype(np.float32)
    compare(random_rnn(config), first, 0.7)


@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0])
def test_a_categorical_model_as_graphs(temperature):
    """With random weights, in which no parameter is as it was at first."""
    config = CategoricalConfig(6, 2, hidden_size=20, variables=5, classes=7, units=11)
    first = np.random.default_rng(0).standard_normal((1, 6)).astype(np.float32)
    drawn = compare_categorical(random_dynamics(config), first, temperature)
    assert len(drawn) > 5


def compare_categorical(dynamics: CategoricalDynamics, z, temperature: float) -> set[bytes]:
    """Dream a hundred steps by the graphs and by the library, each from its own; what was drawn."""
    made = dynamics_graphs(dynamics, "here")
    graphs = {name: evaluator(graph) for name, graph in made.items()}

    def run(name, **given):
        graph = graphs[name]
        assert set(given) == set(graph.input_names)
        return dict(zip(graph.output_names, graph.run(None, given), strict=True))

    random = np.random.default_rng(0)
    state = dynamics.start()
    first = run("posterior", z=z, h=state.h)["probabilities"]
    assert first == pytest.approx(dynamics.posterior(z, state), abs=1e-5)
    state = dynamics.observe(z, state)
    h, c = state.h, state.c
    assert (likeliest(first) == c).all()
    drawn = set()
    for _ in range(STEPS):
        action = random.uniform(-1, 1, (1, 2)).astype(np.float32)
        uniform = random.random((1, dynamics.config.variables), np.float32)
        out = run("prior", action=action, h=h, c=c)
        state = dynamics.advance(z, action, state)
        said = dynamics.predict(z, state)
        for name in ("probabilities", "reward", "end_reward", "end"):
            assert out[name].ravel() == pytest.approx(getattr(said, name).ravel(), abs=1e-3)
        h = out["h_next"]
        theirs = said._replace(probabilities=out["probabilities"])
        c = dynamics.draw(theirs, RecurrentState(h, c), uniform, uniform, temperature).state.c
        z, state, _ = dynamics.draw(said, state, uniform, uniform, temperature)
        assert run("latent", h=h, c=c)["z"] == pytest.approx(z, abs=1e-3)
        assert h == pytest.approx(state.h, abs=1e-3)
        drawn.add(c.tobytes())
    return drawn


@pytest.mark.parametrize("kind", ["mdn-rnn", "categorical"])
def test_rows_of_a_graph_are_dreams_of_their_own(kind):
    """Three dreams in one run of every graph, and one by one."""
    dynamics = (
        random_rnn(MDNRNNConfig(z_size=6, hidden_size=20, mixtures=3, residual=True))
        if kind == "mdn-rnn"
        else random_dynamics(CategoricalConfig(6, 2, hidden_size=20, variables=5, classes=7, units=11))
    )
    sizes = {"z": 6, "action": 2, "h": 20, "c": dynamics.config.cell_size}
    random = np.random.default_rng(0)
    given = {name: random.standard_normal((3, size)).astype(np.float32) for name, size in sizes.items()}
    for graph in map(evaluator, dynamics_graphs(dynamics, "here").values()):
        taken = {name: given[name] for name in graph.input_names}
        together = graph.run(None, taken)
        for row in range(3):
            alone = graph.run(None, {name: array[row : row + 1] for name, array in taken.items()})
            for one, all_rows in zip(alone, together, strict=True):
                assert len(all_rows) == 3
                assert one[0] == pytest.approx(all_rows[row], abs=1e-5)


@pytest.mark.parametrize("weights", ["shipped", *NETWORKS])
def test_the_decoder_as_a_graph(shipped, weights):
    vae = shipped.vae if weights == "shipped" else VAE(vae_parameters(seed=7, network=weights))
    graph = evaluator(decoder_graph(vae))
    z = np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)
    (image,) = graph.run(None, {"z": z})
    assert image[0].transpose(1, 2, 0) * 255 == pytest.approx(vae.decode(z)[0], abs=0.51)


NODE = """
import { Dream, control } from %(module)s;
const { about, cases, controls } = JSON.parse(await new Response(process.stdin).text());
const dream = new Dream(null, about, {});
const draw = ({ said, noise, temperature: t }) => [[...dream.draw(said, noise, t)], dream.entropy(said)];
const drawn = cases.map(draw);
console.log(JSON.stringify({ drawn, controls: controls.map(({ made, seen }) => control(made, seen)) }));
"""


@needs_node
def test_what_the_page_draws_and_does():
    """The draw of `dream.js`, at several temperatures, and its controllers."""
    random = np.random.default_rng(5)
    mixtures, size = 3, 6
    bounds = np.stack([random.uniform(-2, 0, size), random.uniform(1, 3, size)]).astype(np.float32)
    expected, cases = [], []
    for temperature in (0.0, 0.1, 0.7, 1.0, 2.5):
        for _ in range(20):
            weights, means, spreads = random.normal(0, 2, (3, 1, mixtures, size)).astype(np.float32)
            mixture = Mixture(weights - np.log(np.exp(weights).sum(1, keepdims=True)), means, spreads / 2)
            uniform = random.random((1, size), np.float32)
            normal = random.standard_normal((1, size), np.float32)
            drawn = sample(mixture, uniform, normal, temperature, bounds)
            expected.append((drawn[0], float(entropy(mixture)[0])))
            said = {name: getattr(mixture, name).ravel().tolist() for name in Mixture._fields}
            noise = {"uniform": uniform[0].tolist(), "normal": normal[0].tolist()}
            cases.append({"said": said, "noise": noise, "temperature": temperature})
    controls, actions = [], []
    forms = [
        ("zch", 0, 2, True, "drive"),
        ("zh", 7, 1, True, "drive"),
        ("zc", 3, 2, False, "drive"),
        ("zh", 0, 3, True, "box"),
        ("z", 5, 4, True, "discrete"),
    ]
    for features, hidden, outputs, bias, kind in forms:
        form = ControllerForm(features, hidden, outputs, size, 4, bias, action_kind=kind)
        controller = Controller(form, random_theta(form, random, 0.3))
        seen = random.standard_normal(size + 8).astype(np.float32)
        actions.append(controller(seen))
        parts = {"z": seen[:size], "c": seen[size : size + 4], "h": seen[size + 4 :]}
        lists = {name: part.tolist() for name, part in parts.items()}
        controls.append({"made": static_export._controller(controller), "seen": lists})
    low, high = bounds.tolist()
    about = {"z_size": size, "mixtures": mixtures, "low": low, "high": high}
    text = json.dumps({"about": about, "cases": cases, "controls": controls})
    program = NODE % {"module": json.dumps((PAGE / "dream.js").as_uri())}
    command = ["node", "--no-warnings", "--input-type=module", "-e", program]
    answer = json.loads(
        subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    )
    for (z, undecided), (drawn, found) in zip(expected, answer["drawn"], strict=True):
        assert drawn == pytest.approx(z, abs=1e-5)
        assert found == pytest.approx(undecided, abs=1e-5)
    for mine, theirs in zip(actions, answer["controls"], strict=True):
        assert theirs == pytest.approx(mine, abs=1e-5)


CHOOSE = """
import { CategoricalDream } from %(module)s;
const { about, cases } = JSON.parse(await new Response(process.stdin).text());
const dream = new CategoricalDream(null, about, {});
const draw = ({ p, uniform, temperature: t }) => [[...dream.choose(p, uniform, t)], dream.entropy(p)];
console.log(JSON.stringify(cases.map(draw)));
"""


@needs_node
def test_what_the_page_chooses():
    """The categorical draw of `categorical.js`, at several temperatures."""
    random = np.random.default_rng(5)
    config = CategoricalConfig(6, 2, hidden_size=20, variables=5, classes=7, units=11)
    dynamics = random_dynamics(config)
    expected, cases = [], []
    for temperature in (0.0, 0.1, 0.7, 1.0, 2.5):
        for _ in range(20):
            logits = random.normal(0, 2, (1, 35)).astype(np.float32)
            likely = equations.probabilities(np, logits, config)
            said = CategoricalPrediction(likely, *np.zeros((3, 1), np.float32))
            uniform = random.random((1, 5), np.float32)
            drawn = dynamics.draw(said, dynamics.start(), uniform, uniform, temperature)
            expected.append((drawn.state.c[0].tolist(), float(said.entropy()[0])))
            given = {"p": likely.ravel().tolist(), "uniform": uniform[0].tolist()}
            cases.append({**given, "temperature": temperature})
    program = CHOOSE % {"module": json.dumps((PAGE / "categorical.js").as_uri())}
    command = ["node", "--no-warnings", "--input-type=module", "-e", program]
    text = json.dumps({"about": {"variables": 5, "classes": 7}, "cases": cases})
    answer = json.loads(
        subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    )
    for (chosen, undecided), (drawn, found) in zip(expected, answer, strict=True):
        assert drawn == chosen
        assert found == pytest.approx(undecided, abs=1e-5)


def write_runtime(folder):
    for name in (static_export.RUNTIME, static_export.WASM):
        (folder / name).write_bytes(b"runtime")


def test_the_file_is_whole(model, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(static_export, "VENDOR", tmp_path)
    factory = SessionFactory(SessionFactoryConfig(weights=str(model_folder), temperature=0.5))
    with pytest.raises(DependencyError, match="make page"):
        static_export.render(factory)
    write_runtime(tmp_path)
    html = static_export.render(factory)
    assert not re.search(r'(src|href)="(?!data:)', html)  # nothing is loaded
    assert "/page/" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    blocks = dict(
        re.findall(
            r'<script type="[a-z/]+" id="([\w.-]+)"(?: data-size="\d+")?>(.*?)</script>', html, re.DOTALL
        )
    )
    about = json.loads(blocks["about"])
    assert about["temperature"] == about["check"]["temperature"] == 0.5
    assert about["check"]["limit"] == 1e-3
    assert about["pace"]["dream"] == 10
    numbers = unpacked(blocks["numbers"])
    kind, at, size = about["numbers"]["z"]
    assert kind == "f4"
    z = np.frombuffer(numbers, "<f4", size, at).reshape(100, 64)
    arrays, _ = static_export.reference(model, 0.5)
    assert (z == arrays["z"]).all()
    graph = ReferenceEvaluator(onnx.load_from_string(whole(unpacked(blocks["mdn_rnn"]))))
    given = {"z": arrays["first"][None], "action": arrays["action"][:1]}
    state = model.dynamics.start()
    out = dict(zip(graph.output_names, graph.run(None, {**given, "h": state.h, "c": state.c}), strict=True))
    assert out["reward"][0] == pytest.approx(arrays["reward"][:1], abs=1e-5)
    imports = re.findall(r'from "\./([a-z_]+\.js)"', html)
    assert {"main.js", "connection.js", "dream.js", "view.js"} <= {*imports, "main.js"}
    for name in imports:
        assert f"module-{name}" in blocks
    assert "WebSocket" not in html
    assert 'class="offline"' in html


def test_a_file_without_flags_dreams_at_the_default_temperature(model, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(static_export, "VENDOR", tmp_path)
    write_runtime(tmp_path)
    static_export.main([str(tmp_path / "dream.html"), "--weights", str(model_folder)])
    found = re.search(r'id="about">(.*?)</script>', (tmp_path / "dream.html").read_text(encoding="utf-16"))
    assert found
    assert json.loads(found[1])["temperature"] == WorldModel.load(model_folder).temperature


def test_a_file_of_a_categorical_model(tmp_path, monkeypatch):
    """Its own temperature is shown as the calm one, of the dream and of the search."""
    monkeypatch.setattr(static_export, "VENDOR", tmp_path)
    write_runtime(tmp_path)
    folder = write_categorical(tmp_path / "weights")
    about, blocks = static_export.contents(
        SessionFactory(SessionFactoryConfig(weights=str(folder))), WorldModel.load(folder)
    )
    temperatures = about["temperature"], about["calm_temperature"], about["check"]["temperature"]
    assert (*temperatures, about["evolution"]["temperature"]) == (1.0,) * 4
    assert about["kind"] == "categorical"
    assert {"prior", "posterior", "latent", "decoder", "numbers"} <= set(blocks)


WORDS = """
const { temperatureWord } = await import(page + "/view.js");
console.log(JSON.stringify(given.map(([value, calm]) => temperatureWord(value, calm))));
"""


@needs_node
@pytest.mark.parametrize(
    ("calm", "values", "words"),
    [
        (0.1, [0.0, 0.1, 0.4, 0.8, 1.0], ["calm", "calm", "lively", "restless", "feverish"]),
        (1.0, [0.1, 0.8, 1.0, 1.3, 1.5, 2.0], ["rigid", "calm", "calm", "lively", "restless", "feverish"]),
    ],
)
def test_temperatures_in_words(calm, values, words):
    """What is feverish of one kind of dynamics is calm of the other."""
    assert run_node(WORDS, [[value, calm] for value in values]) == words


def test_the_file_is_of_the_road_that_the_model_learned_from(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "weights")
    card = json.loads((folder / "rnn.json").read_text())
    road = describe(replace(RoadConfig(), frame_skip=7, steering_gain=1.75))
    (folder / "rnn.json").write_text(json.dumps({**card, "environment": road}))
    found = static_export.as_learned(SessionFactoryConfig(weights=str(folder))).road
    assert (found.simulation.frame_skip, found.steering_gain) == (7, 1.75)
    game = {**road, "id": "Game-v3"}
    (folder / "rnn.json").write_text(json.dumps({**card, "environment": game}))
    config = SessionFactoryConfig(weights=str(folder))
    assert static_export.as_learned(config) == config


def test_without_weights_there_is_no_file(tmp_path):
    with pytest.raises(WeightsError):
        static_export.main([str(tmp_path / "dream.html"), "--weights", str(tmp_path)])
    assert not (tmp_path / "dream.html").exists()
