"""World models, controllers and policies made up for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dreamduck.controllers.controller_file import RunFiles, to_card
from dreamduck.controllers.factory import weights_fingerprints
from dreamduck.controllers.policy import Controller, ControllerForm
from dreamduck.deployment.contract import METADATA
from dreamduck.deployment.folder import write_folder
from dreamduck.deployment.policy import POLICY
from dreamduck.deployment.policy_graph import WheelConfig
from dreamduck.deployment.policy_source import read_source
from dreamduck.world_model import WorldModel, categorical
from dreamduck.world_model.vae.files import save
from tests.world_model.categorical import helpers
from tests.world_model.vae.helpers import parameters


def write_categorical(folder: Path) -> Path:
    """A world model of the categorical kind, with random weights."""
    save(folder, parameters(z_size=4), {})
    config = categorical.CategoricalConfig(z_size=4, hidden_size=6, variables=3, classes=5, units=8)
    categorical.files.save(folder, helpers.random_parameters(config), config, {})
    return folder


def write_controller(
    folder: Path, weights: Path, features: str = "zh", name: str = "test", **form: Any
) -> Path:
    """A controller's file with its card, every number far from 0."""
    sizes = WorldModel.load(weights).sizes
    made = ControllerForm(
        features,
        z_size=sizes.z_size,
        hidden_size=sizes.hidden_size,
        cell_size=sizes.policy_cell_size,
        **form,
    )
    theta = np.random.default_rng(3).normal(0, made.inputs**-0.5, made.size).astype(np.float32)
    files = RunFiles(folder / name)
    files.write_theta(theta)
    files.write_card(to_card(made, theta, weights=weights_fingerprints(weights)))
    return files.path(".json")


def deployed(folder: Path, weights: Path, features: str = "zh", opset: int = 13, **form: Any) -> Path:
    """The folder of a deployed controller."""
    path = write_controller(folder, weights, features, **form)
    write_folder(read_source(path, str(weights)), folder / "robot", WheelConfig(), opset)
    return folder / "robot"


def controller_of(path: Path, weights: Path) -> Controller:
    """The controller in a file."""
    policy = read_source(path, str(weights)).policy
    assert isinstance(policy, Controller)
    return policy


def rewritten(folder: Path, contract: str | None = None, duty: float | None = None) -> Path:
    """Another policy.onnx in a folder.

    Args:
        folder: of a deployed policy.
        contract: in place of its own; "" for none.
        duty: a number that is added to both duties, for example nan.
    """
    model = onnx.load(folder / POLICY)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if contract is not None:
        metadata = {METADATA: contract} if contract else {}
    if duty is not None:
        last = next(node for node in model.graph.node if node.output[0] == "duty")
        last.output[0] = "before"
        added = onnx.numpy_helper.from_array(np.array(duty, np.float32), "added")
        model.graph.initializer.append(added)
        model.graph.node.append(onnx.helper.make_node("Add", ["before", "added"], ["duty"]))
    onnx.helper.set_model_props(model, metadata)
    (folder / POLICY).write_bytes(model.SerializeToString())
    return folder
