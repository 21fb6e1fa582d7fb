"""An agent's file: what Stable-Baselines3 saves, and beside it what we need to load it safely.

Flow: agents -> [saves] -> a file. The file is Stable-Baselines3's own zip, so that
`PPO.load(path)` reads it, with three members more: `dreamduck.json` (what it is),
`normalize.npz` (the running mean and spread of observations and rewards).

What is trusted: nothing. Stable-Baselines3's member `data` holds pickles, which run code when they
are opened; it is never opened here. We rebuild the agent from `dreamduck.json` and fill it from the
weights, read by `torch.load(weights_only=True)`, which makes tensors and nothing else. Of a file
that is not ours, and so has no `dreamduck.json`, the network's weights alone are taken."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from dreamduck.baselines import world_model
from dreamduck.baselines.engine import BaseAlgorithm, VecNormalize, kept_out, th
from dreamduck.baselines.plan import Plan
from dreamduck.errors import CheckpointError
from dreamduck.storage import PathLike, replacing

FORMAT, VERSION = "dreamduck-baselines", 1
CARD, NORMALIZE = "dreamduck.json", "normalize.npz"
MOST_BYTES = 4 << 30  # of one member, unpacked


@dataclasses.dataclass(frozen=True)
class Save:
    """What was read from a file.

    Attributes:
        card: the description; None where the file is not ours.
        weights: name of a part of the agent -> its state; variables: single tensors.
        normalize: arrays of `VecNormalize`; empty without normalisation.
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
    """Save an agent; the file appears whole or not at all.

    Args:
        training: how far it is; JSON.
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
        "weights": world_model.fingerprints(env_id, env_kwargs),
    }
    with replacing(path) as temporary:
        with open(temporary, "wb") as file, kept_out():  # it lists the versions of what is installed
            model.save(file)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(CARD, json.dumps(card, indent=2))
            if normalize is not None:
                buffer = io.BytesIO()
                np.savez(buffer, **_statistics(normalize))
                archive.writestr(NORMALIZE, buffer.getvalue())


def read(path: PathLike) -> Save:
    """Read a file without running anything in it.

    Raises:
        CheckpointError: missing, damaged, or not such a file.
    """
    found = locate(path)
    try:
        with zipfile.ZipFile(found) as archive:
            names = archive.namelist()
            parts = [name for name in names if name.endswith(".pth")]
            if "policy.pth" not in parts:
                raise CheckpointError(f"{found}: not the save of an agent; expected policy.pth in it")
            tensors = {name.removesuffix(".pth"): _tensors(found, archive, name) for name in parts}
            card = _card(found, _member(found, archive, CARD)) if CARD in names else None
            arrays = _arrays(found, _member(found, archive, NORMALIZE)) if NORMALIZE in names else {}
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as err:
        raise CheckpointError(f"{found}: not the save of an agent ({err})") from err
    variables = tensors.pop("pytorch_variables", None)
    return Save(found, card, tensors, variables if isinstance(variables, dict) else {}, arrays)


def locate(path: PathLike) -> Path:
    """The file itself, or the one with `.zip` behind it, as Stable-Baselines3 names them.

    Raises:
        CheckpointError: there is none.
    """
    plain = Path(path).expanduser()
    for candidate in (plain, plain.with_name(plain.name + ".zip")):
        if candidate.is_file():
            return candidate
    if plain.is_dir():
        raise CheckpointError(f"{plain}: a folder; expected the file that --save_path wrote")
    raise CheckpointError(f"{plain}: no such file; expected what --save_path wrote")


def fill(model: BaseAlgorithm, save: Save, normalize: VecNormalize | None) -> None:
    """Put the weights, the optimisers' and the normalisation's state into a freshly built agent.

    Raises:
        CheckpointError: the save is of another network or another world.
    """
    _check_same_network(save, model)
    weights = save.weights if save.card is not None else {"policy": save.weights["policy"]}
    try:
        model.set_parameters(weights, exact_match=save.card is not None)
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as err:
        raise CheckpointError(f"{save.path}: does not fit this agent ({_line(err)})") from err
    if save.card is None:
        return
    for name in model._get_torch_save_params()[1]:
        value = save.variables.get(name)
        if isinstance(value, th.Tensor):
            getattr(model, name).data = value.data
    if normalize is not None:
        _restore(normalize, save)


def check_spaces(save: Save, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
    """Refuse a save from a world with other observations or actions.

    Raises:
        CheckpointError: says both.
    """
    if save.card is None:
        return
    for key, space in (("observation_space", observation_space), ("action_space", action_space)):
        if save.card[key] != describe(space):
            raise CheckpointError(
                f"{save.path}: trained in {save.card['env']} with {key} {save.card[key]}, and this world "
                f"has {describe(space)}"
            )


def describe(space: gym.Space[Any]) -> dict[str, Any]:
    """A space as JSON: kind, shape, type, and how many choices. A picture has its channels last."""
    shape = list(space.shape or ())
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        shape = [shape[1], shape[2], shape[0]]
    found: dict[str, Any] = {"kind": type(space).__name__, "shape": shape, "dtype": str(space.dtype)}
    if isinstance(space, gym.spaces.Discrete):
        found["n"] = int(space.n)
    if isinstance(space, gym.spaces.MultiDiscrete):
        found["n"] = [int(n) for n in np.ravel(space.nvec)]
    return found


def _check_same_network(save: Save, model: BaseAlgorithm) -> None:
    """Compare names and shapes, and tell the first difference."""
    theirs = save.weights["policy"]
    ours = model.policy.state_dict()
    if not isinstance(theirs, Mapping):
        raise CheckpointError(f"{save.path}: policy.pth holds no weights")
    for name, tensor in ours.items():
        other = theirs.get(name)
        if not isinstance(other, th.Tensor):
            raise CheckpointError(
                f"{save.path}: from another network, it has no {name}; say the --network and the options "
                "that it was trained with"
            )
        if other.shape != tensor.shape:
            raise CheckpointError(
                f"{save.path}: from another network or world, its {name} is {tuple(other.shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
    extra = sorted(set(theirs) - set(ours))
    if extra:
        raise CheckpointError(
            f"{save.path}: from another network, it has {extra[0]}, which this one has not"
        )


def _statistics(normalize: VecNormalize) -> dict[str, Any]:
    found = {"ret_mean": normalize.ret_rms.mean, "ret_var": normalize.ret_rms.var}
    found["ret_count"] = np.asarray(normalize.ret_rms.count)
    if normalize.norm_obs:
        rms: Any = normalize.obs_rms
        found |= {"obs_mean": rms.mean, "obs_var": rms.var, "obs_count": np.asarray(rms.count)}
    return found


def _restore(normalize: VecNormalize, save: Save) -> None:
    pairs = [("ret", normalize.ret_rms)]
    if normalize.norm_obs:
        pairs.append(("obs", normalize.obs_rms))  # type: ignore[arg-type]
    for prefix, rms in pairs:
        parts = [save.normalize.get(f"{prefix}_{part}") for part in ("mean", "var", "count")]
        mean, var, count = parts
        if mean is None or var is None or count is None or mean.shape != np.shape(rms.mean):
            raise CheckpointError(
                f"{save.path}: has no normalisation of this kind; say --normalize_observations and "
                "--normalize_returns as it was trained"
            )
        rms.mean, rms.var, rms.count = mean, var, float(count)


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > MOST_BYTES:
        raise CheckpointError(f"{path}: {name} unpacks to {size} bytes; expected at most {MOST_BYTES}")
    return archive.read(name)


def _tensors(path: Path, archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return th.load(io.BytesIO(_member(path, archive, name)), map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
    ) as err:
        raise CheckpointError(f"{path}: {name} holds something else than weights ({_line(err)})") from err


def _card(path: Path, text: bytes) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise CheckpointError(f"{path}: {CARD} is not JSON ({err})") from err
    wanted = {"env", "env_kwargs", "observation_space", "action_space", "plan", "training"}
    if not isinstance(card, dict) or card.get("format") != FORMAT or not wanted <= set(card):
        raise CheckpointError(f"{path}: {CARD} is of another form; expected {FORMAT}")
    if card.get("version") != VERSION:
        raise CheckpointError(f"{path}: form {card.get('version')!r}, expected {VERSION}; train it again")
    plan = card["plan"]
    kinds = {"alg": str, "engine": str, "network": str, "network_options": dict}
    sound = isinstance(plan, dict) and all(isinstance(plan.get(k), kind) for k, kind in kinds.items())
    if not sound or not isinstance(card["env"], str) or not isinstance(card["training"], dict):
        raise CheckpointError(f"{path}: {CARD} is damaged; expected a plan with {', '.join(kinds)}")
    if not isinstance(card["env_kwargs"], dict):
        raise CheckpointError(f"{path}: {CARD} is damaged; expected env_kwargs as an object")
    return card


def _arrays(path: Path, content: bytes) -> dict[str, npt.NDArray[np.float64]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as err:
        raise CheckpointError(f"{path}: {NORMALIZE} cannot be read ({err})") from err


def _line(err: BaseException) -> str:
    """The first line of an error's words; PyTorch's go on for a page."""
    return (str(err).splitlines() or [type(err).__name__])[0][:200]
