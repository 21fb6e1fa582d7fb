"""The search in the page: what the file holds for it, and its JavaScript."""

import numpy as np
import pytest

from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.export.evolution import SETTINGS, STARTS, evolution
from dreamduck.pretrained import FOLDER
from dreamduck.search.principal_components import Subspace
from dreamduck.world_model import WorldModel
from tests.node import needs_node, run_node


def test_what_the_file_holds():
    model = WorldModel.load(FOLDER)
    arrays, settings = evolution(model)
    config = model.dynamics.config
    assert arrays["starts_h"].shape == (STARTS, config.hidden_size)
    assert np.ptp(arrays["starts_h"], axis=0).min() > 0
    inputs = config.z_size + config.hidden_size
    assert (
        arrays["projection"].shape == (inputs, settings["components"]) == (inputs, SETTINGS["components"])
    )
    assert arrays["feature_mean"].shape == (inputs,)
    assert settings["temperature"] == model.search_temperature


EXPAND = """
const { Search } = await import(page + "/search.js");
const { control } = await import(page + "/dream.js");
const { settings, mean, projection, x, seen } = given;
const arrays = { feature_mean: Float32Array.from(mean), projection: Float32Array.from(projection.flat()) };
const theta = new Search(settings, arrays, null).expand(x);
console.log(JSON.stringify({ theta: [...theta], action: control({ form: settings.form, theta }, seen) }));
"""


@needs_node
def test_the_controller_of_components():
    """`expand` of search.js is `Subspace.expand`, and what comes out acts as the library's controller."""
    random = np.random.default_rng(0)
    form = ControllerForm("zh", 0, 2, 5, 7, True)
    mean, projection = random.standard_normal(12), random.standard_normal((12, 3))
    x = random.standard_normal(2 * (1 + 3)) / 3
    theta = Subspace(form, mean, projection, np.zeros(form.size)).expand(x)
    seen = random.standard_normal(5 + 7 + 7).astype(np.float32)
    inputs = {"z": seen[:5], "c": seen[5:12], "h": seen[12:]}
    given = {
        "settings": {
            **SETTINGS,
            "components": 3,
            "outputs": 2,
            "form": {"features": "zh", "layers": [[12, 2]], "bias": True},
        },
        "mean": mean.tolist(),
        "projection": projection.tolist(),
        "x": x.tolist(),
        "seen": {name: part.tolist() for name, part in inputs.items()},
    }
    found = run_node(EXPAND, given)
    assert found["theta"] == pytest.approx(theta, abs=1e-5)
    assert found["action"] == pytest.approx(Controller(form, theta.astype(np.float32))(seen), abs=1e-5)


CONVERGE = """
const { Evolution } = await import(page + "/evolution.js");
const { Random } = await import(page + "/dream.js");
const evolution = new Evolution(given.size, 12, 0.3, new Random(3));
const weight = (i) => 10 ** (3 * i / (given.size - 1));
const value = (x) => -x.reduce((sum, v, i) => sum + weight(i) * (v - 0.5) ** 2, 0);
for (let k = 0; k < given.generations; k++) evolution.tell(evolution.ask().map(value));
console.log(JSON.stringify({ value: value(evolution.mean), variances: [...evolution.variances] }));
"""


@needs_node
def test_the_strategy_finds_a_minimum():
    """Of an ellipsoid whose axes differ a thousandfold in curvature, which it has to learn."""
    found = run_node(CONVERGE, {"size": 20, "generations": 250})
    assert -1e-3 < found["value"] <= 0
    assert found["variances"][0] > 30 * found["variances"][-1]


EVALUATE = """
const { evaluate } = await import(page + "/population.js");
const batches = [];
const dream = {
  about: { z_size: 1, low: [-9], high: [9], uniform_size: 1, normal_size: 1 },
  begin: (z) => ({ z, h: [], c: [] }),
  // The latent walks by the throttle; beyond 1 the dream ends for certain.
  async steps(dreams) {
    batches.push(dreams.length);
    return dreams.map(({ moment, action }) => {
      const z = [moment.z[0] + action[0]];
      return { z, h: [], c: [], reward: 1, end_reward: -5, end: z[0] > 1 ? 1 : 0 };
    });
  },
};
const starts = { mu: Float32Array.of(0, 0.05), logvar: Float32Array.of(-60, -60) };
const form = { features: "z", layers: [[1, 2]], bias: true, actions: 2 };
const thetas = [[0, 0, 0, 0], [Math.atanh(0.3), 0, 0, 0]];
const what = { form, thetas, seed: 1, episodes: 3, steps: 10, temperature: 1 };
const found = await evaluate(dream, starts, what);
console.log(JSON.stringify({ found, batches }));
"""


@needs_node
def test_what_controllers_get():
    """Standing still lasts all ten steps; driving on ends the dream in the fourth."""
    answer = run_node(EVALUATE, {})
    still, driving = answer["found"]
    assert still == {"reward": pytest.approx(10), "progress": pytest.approx(10), "ended": 0}
    assert driving == {
        "reward": pytest.approx(3 - 5),
        "progress": pytest.approx(3),
        "ended": pytest.approx(1),
    }
    assert answer["batches"] == [6] * 4 + [3] * 6  # all dreams in one run of the graph, while they last


OUTCOME = """
const { outcome } = await import(page + "/search.js");
console.log(JSON.stringify(given.map(([found, other]) => outcome(found, other))));
"""


@needs_node
def test_the_text_of_the_outcome():
    """Where a peer lasts as often, or comes as far, the controller is not said to beat it."""

    def result(ended: float, progress: float) -> dict[str, float]:
        return {"ended": ended, "progress": progress, "reward": progress - ended}

    standing, straight = result(0.25, 0.0), result(1.0, 1.0)
    cases = [(0.25, 1.1), (0.5, 1.1), (0.25, 1.0), (0.5, -1.0)]
    given = [([result(*case), standing, straight], False) for case in cases]
    answer = run_node(OUTCOME, [*given, ([result(0.0, 2.0), standing], True)])
    assert answer[0] == (
        "the controller keeps the road in 75 %, 1.1 m along the lane, less costs; "
        "standing still keeps the road in 75 %, 0.0 m along the lane, less costs; "
        "driving straight on keeps the road in 0 %, 1.0 m along the lane, less costs. "
        "It comes farther than these."
    )
    assert answer[1].endswith(
        "It comes farther than these. It keeps the road less often than standing still."
    )
    again = "search again, with other random numbers."
    assert answer[2].endswith(f"It comes no farther than driving straight on: {again}")
    assert f"no farther than standing still and driving straight on: {again}" in answer[3]
    assert answer[4].startswith(
        "the controller lasts in 100 %, return 2.00; one whose weights are 0 lasts in 75 %"
    )
    assert answer[4].endswith("It gets more than these.")
