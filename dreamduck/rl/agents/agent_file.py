"""An agent's file: Stable-Baselines3's own zip, with the data that loads it safely.

`PPO.load(path)` opens it. It has two more members:
`dreamduck.json` (its card) and `normalize.npz` (running mean and variance of observations and returns).

No file is trusted. Stable-Baselines3's member `data` holds pickles, which run code when they are opened; it
is never opened here. The agent is built from the card and gets the weights, read by
`torch.load(weights_only=True)`, which makes tensors and nothing else. The card chooses among our algorithms
and networks and among registered environments; no module is imported because a file names it. Of a file
without a card the network's weights alone are taken.

The card of an agent of DreamDuck-v1 or v2 also has the fingerprints of its world model: [z, c, h] means
something else in another one."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import CheckpointError
from dreamduck.common.files.archives import checked_archive, read_arrays
from dreamduck.common.readers import in_words, open_input, parse_json
from dreamduck.common.storage import PathLike, replacing
from dreamduck.controllers.factory import weights_fingerprints
from dreamduck.pretrained import FOLDER
from dreamduck.rl.agents.safe_reader import SMALL_BYTES, read_tensors
from dreamduck.rl.run_plan import Plan
from dreamduck.rl.sb3 import BaseAlgorithm, VecNormalize

FORMAT, VERSION = "dreamduck-baselines", 1
MODEL_ENVS = ("DreamDuck-v1", "DreamDuck-v2")  # which need a world model
CARD, NORMALIZE = "dreamduck.json", "normalize.npz"
MOST_BYTES = 2 << 30  # of a file; the largest network of the command with its optimiser has a tenth of that
KINDS = {
    "env": str,
    "env_kwargs": dict,
    "observation_space": dict,
    "action_space": dict,
    "plan": dict,
    "training": dict,
}
PLAN_KINDS: dict[str, type] = {"alg": str, "engine": str, "network": str, "network_options": dict}
TRAINING_KINDS: dict[str, type] = {"step": int, "recent": list}


@dataclasses.dataclass(frozen=True)
class Save:
    """The content of a file.

    Attributes:
        path: the file.
        card: its description; None in a file of another program.
        weights: name of a part of the agent -> its state.
        variables: single tensors, by name.
        normalize: arrays of `VecNormalize`; empty without normalization.
    """

    path: Path
    card: dict[str, Any] | None
    weights: dict[str, Any]
    variables: dict[str, Any]
    normalize: dict[str, npt.NDArray[np.float64]]


def write(
    path: PathLike,
    model: BaseAlgorithm,
    plan: Plan,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    """Save an agent; the file is written completely or not at all.

    Args:
        path: the file.
        model: the agent.
        plan: of its run.
        env_id: the environment's id.
        env_kwargs: the environment's arguments.
        training: its progress; JSON.
    Raises:
        OSError: the folder cannot be written.
    """
    normalize = model.get_vec_normalize_env()
    card = {
        "format": FORMAT,
        "version": VERSION,
        "env": env_id,
        "env_kwargs": dict(env_kwargs),
        "observation_space": describe(model.observation_space),
        "action_space": describe(model.action_space),
        "plan": plan.described(),
        "training": dict(training),
        "weights": model_fingerprints(env_id, env_kwargs),
    }
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            model.save(file)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CARD, json.dumps(card, indent=2))
            if normalize is not None:
                buffer = io.BytesIO()
                np.savez(buffer, **_statistics(normalize))
                archive.writestr(NORMALIZE, buffer.getvalue())


def read(path: PathLike) -> Save:
    """Read a file; nothing in it is executed.

    Raises:
        CheckpointError: missing, damaged, or no agent.
    """
    found = locate(path)
    with (
        in_words(found, CheckpointError, "no saved agent"),
        open_input(found, MOST_BYTES) as file,
        checked_archive(file, most=SMALL_BYTES) as archive,
    ):
        names = archive.namelist()
        parts = [name for name in names if name.endswith(".pth")]
        if "policy.pth" not in parts:
            raise CheckpointError(f"{found}: no saved agent; expected policy.pth in it")
        card = _card(found, archive.read(CARD)) if CARD in names else None
        tensors = {name.removesuffix(".pth"): _tensors(found, name, archive.read(name)) for name in parts}
        arrays = _arrays(found, archive.read(NORMALIZE)) if NORMALIZE in names else {}
    if not all(isinstance(part, Mapping) for part in tensors.values()):
        raise CheckpointError(f"{found}: expected parts with tensors by name")
    variables = tensors.pop("pytorch_variables", {})
    return Save(found, card, tensors, variables, arrays)


def _tensors(path: Path, name: str, content: bytes) -> Any:
    """A part of the agent: tensors in dictionaries."""
    with in_words(path, CheckpointError, f"{name} holds something else than weights"):
        return read_tensors(content)


def _arrays(path: Path, content: bytes) -> dict[str, npt.NDArray[np.float64]]:
    """The normalization."""
    with (
        in_words(path, CheckpointError, f"{NORMALIZE} cannot be read"),
        checked_archive(io.BytesIO(content)) as archive,
    ):
        return read_arrays(archive)


def locate(path: PathLike) -> Path:
    """The file, or the one with `.zip` appended, as Stable-Baselines3 names them.

    Raises:
        CheckpointError: there is neither.
    """
    plain = Path(path).expanduser()
    for candidate in (plain, plain.with_name(plain.name + ".zip")):
        if candidate.is_file():
            return candidate
    if plain.exists():
        kind = "a folder" if plain.is_dir() else "no regular file"
        raise CheckpointError(f"{plain}: {kind}; expected the file that --save_path wrote")
    raise CheckpointError(f"{plain}: no such file; expected what --save_path wrote")


def model_fingerprints(env_id: str, env_kwargs: Mapping[str, Any]) -> dict[str, str]:
    """Fingerprints of the environment's world model, by file; empty where it has none."""
    if env_id.rpartition(":")[2] not in MODEL_ENVS:
        return {}
    return weights_fingerprints(model_folder(env_kwargs))


def model_folder(env_kwargs: Mapping[str, Any]) -> Path:
    """The folder of the environment's world model."""
    return Path(str(env_kwargs.get("weights") or FOLDER))


def describe(space: gym.Space[Any]) -> dict[str, Any]:
    """A space as JSON: kind, shape, type, number of choices. Images have their channels last."""
    shape = list(space.shape or ())
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        shape = [shape[1], shape[2], shape[0]]
    found: dict[str, Any] = {"kind": type(space).__name__, "shape": shape, "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.Discrete):
        found["n"] = int(space.n)
    if isinstance(space, gym.spaces.MultiDiscrete):
        found["n"] = [int(n) for n in np.ravel(space.nvec)]
    return found


def _statistics(normalize: VecNormalize) -> dict[str, Any]:
    found = {"ret_mean": normalize.ret_rms.mean, "ret_var": normalize.ret_rms.var}
    found["ret_count"] = np.asarray(normalize.ret_rms.count)
    if normalize.norm_obs:
        rms: Any = normalize.obs_rms
        found |= {"obs_mean": rms.mean, "obs_var": rms.var, "obs_count": np.asarray(rms.count)}
    return found


def _card(path: Path, content: bytes) -> dict[str, Any]:
    """The card, with the type of every value that is used checked."""
    card = parse_json(content.decode(errors="replace"), f"{path}: {CARD}", CheckpointError)
    if not isinstance(card, dict) or card.get("format") != FORMAT or not set(KINDS) <= set(card):
        raise CheckpointError(f"{path}: {CARD} is of another form; expected {FORMAT}")
    if card.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: {CARD} is of another form; expected version {VERSION}; train it again"
        )
    for part, kinds in (("", KINDS), ("plan", PLAN_KINDS), ("training", TRAINING_KINDS)):
        values = card[part] if part else card
        for key, kind in kinds.items():
            if not isinstance(values.get(key), kind):
                where = f"{part}.{key}" if part else key
                raise CheckpointError(f"{path}: {CARD} is damaged; expected another {where}")
    return card
