"""Controllers: a flat vector theta that turns [z, c, h] into actions.

A controller is linear with a tanh at its end,
or has one hidden layer of tanh units. Its theta holds, layer by layer, the biases and then the
weights (input, output), row by row, so that files of the original code fit.
Source: Ha & Schmidhuber 2018, section 2.3; WorldModelsExperiments."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamduck.common.errors import ControllerError
from dreamduck.recordings.sources.action_space import BOX, DISCRETE, DRIVE, KINDS

Floats = npt.NDArray[np.float32]

FEATURES = ("z", "zh", "zc", "zch")
Z_SIZE, HIDDEN_SIZE, ACTION_SIZE = 64, 512, 2
# A controller with one output, as the original's, only steers; the throttle is then the one that
# the keyboard of 2019 gave while steering.
CRUISE_THROTTLE = 0.35


@dataclasses.dataclass(frozen=True)
class ControllerForm:
    """What a theta means: which features go in, how many actions come out, what lies between.

    Attributes:
        features: "z", "zh", "zc" or "zch", in this order.
        hidden: units of the hidden layer; 0 for a linear controller.
        actions: outputs.
        z_size: Z, latents of the VAE.
        hidden_size: H, of the dynamics' recurrent state h.
        bias: whether theta holds biases; the original's `doomrnn` has none.
        cell_size: C, numbers of c; None where they are as many as of h.
        action_kind: "drive" (throttle and steering, or steering alone), "box" or "discrete", of which the
            greatest output is chosen; see `ActionSpace`.
    """

    features: str = "zch"
    hidden: int = 0
    actions: int = ACTION_SIZE
    z_size: int = Z_SIZE
    hidden_size: int = HIDDEN_SIZE
    bias: bool = True
    cell_size: int | None = None
    action_kind: str = DRIVE

    def __post_init__(self) -> None:
        if self.cell_size is not None and self.cell_size == self.hidden_size:
            object.__setattr__(self, "cell_size", None)
        for name in ("hidden", "actions", "z_size", "hidden_size", "c_width"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise ControllerError(f"{name}: expected an integer, got {value!r}")
        if not isinstance(self.bias, (bool, np.bool_)):
            raise ControllerError(f"bias: expected true or false, got {self.bias!r}")
        if self.action_kind not in KINDS:
            raise ControllerError(
                f"action_kind: expected one of {', '.join(KINDS)}, got {self.action_kind!r}"
            )
        if self.features not in FEATURES:
            raise ControllerError(f"features: expected one of {', '.join(FEATURES)}, got {self.features!r}")
        if "c" in self.features and not self.c_width:
            raise ControllerError(
                f"features: expected z or zh, got {self.features!r}; policies do not see the draws of "
                "categorical dynamics"
            )
        if self.hidden < 0 or min(self.actions, self.z_size) < 1 or min(self.hidden_size, self.c_width) < 0:
            raise ControllerError(f"controller: expected positive sizes, got {self}")

    @property
    def c_width(self) -> int:
        """How many numbers c has."""
        return self.hidden_size if self.cell_size is None else self.cell_size

    @property
    def steers_only(self) -> bool:
        """Whether the only output is the steering, and the throttle stays as it is."""
        return self.action_kind == DRIVE and self.actions == 1

    @property
    def inputs(self) -> int:
        """How many features go in."""
        return sum({"z": self.z_size, "c": self.c_width, "h": self.hidden_size}[f] for f in self.features)

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(inputs, outputs) of each layer."""
        if self.hidden:
            return (self.inputs, self.hidden), (self.hidden, self.actions)
        return ((self.inputs, self.actions),)

    @property
    def size(self) -> int:
        """The length n of theta."""
        return sum((inputs + self.bias) * outputs for inputs, outputs in self.layers)

    def __str__(self) -> str:
        kind = f"hidden layer of {self.hidden}" if self.hidden else "linear"
        return (
            f"{kind} on [{', '.join(self.features)}], {self.inputs} inputs, {self.actions} outputs, "
            f"{self.size} parameters{'' if self.bias else ' (no biases)'}"
        )


@dataclasses.dataclass(frozen=True)
class Controller:
    """A form and the theta that fills it.

    Raises:
        ControllerError: theta is not (n,) finite numbers of the form's size.
    """

    form: ControllerForm
    theta: Floats

    def __post_init__(self) -> None:
        theta = np.asarray(self.theta, dtype=np.float32)
        if theta.shape != (self.form.size,):
            raise ControllerError(
                f"theta: expected shape ({self.form.size},) for a controller {self.form}, got {theta.shape}"
            )
        if not np.isfinite(theta).all():
            raise ControllerError("theta: expected finite numbers")
        object.__setattr__(self, "theta", theta)

    def __call__(self, observation: npt.NDArray[Any]) -> Floats:
        """The actions for observations [z, c, h].

        Args:
            observation: (N, Z + C + H), or (Z + C + H,) for a single car.
        Returns:
            (N, A), or (A,), in [-1, 1]; one-hot for discrete actions.
        """
        batch = np.atleast_2d(observation)
        actions = act(self.form, self.theta[None], select(self.form, batch)[None])[0]
        return actions if np.ndim(observation) > 1 else actions[0]


def select(form: ControllerForm, observation: npt.NDArray[Any]) -> Floats:
    """The features that a form takes from observations [z, c, h].

    Args:
        observation: (..., Z + C + H).
    Returns:
        (..., inputs) float32, in the form's order: z, then c, then h.
    Raises:
        ControllerError: the observation is not as wide as the form's sizes ask.
    """
    z_size, c_width, hidden_size = form.z_size, form.c_width, form.hidden_size
    expected = z_size + c_width + hidden_size
    observation = np.asarray(observation, dtype=np.float32)
    if observation.shape[-1] != expected:
        raise ControllerError(
            f"observation: expected {expected} numbers ({z_size} of z, {c_width} of c, {hidden_size} of "
            f"h), got {observation.shape[-1]}; the controller belongs to a world model of other sizes"
        )
    if form.features == "z":
        return observation[..., :z_size]
    if form.features == "zc":
        return observation[..., : z_size + c_width]
    if form.features == "zh":
        parts = observation[..., :z_size], observation[..., z_size + c_width :]
        return np.concatenate(parts, axis=-1)
    return observation


def split(form: ControllerForm, theta: Any, xp: Any = np) -> list[tuple[Any, Any]]:
    """The layers (bias, weight) in thetas.

    Args:
        theta: (P, n).
        xp: the array library that it is of.
    Returns:
        For each layer, bias (P, 1, outputs) or None, and weight (P, inputs, outputs).
    """
    parts, at = [], 0
    for inputs, outputs in form.layers:
        bias = None
        if form.bias:
            bias = theta[:, None, at : at + outputs]
            at += outputs
        weight = xp.reshape(theta[:, at : at + inputs * outputs], (-1, inputs, outputs))
        at += inputs * outputs
        parts.append((bias, weight))
    return parts


def act(form: ControllerForm, theta: Any, features: Any, xp: Any = np) -> Any:
    """The actions of P controllers, each for E cars.

    Args:
        theta: (P, n).
        features: (P, E, inputs), see `select`.
        xp: `numpy` or `tensorflow`.
    Returns:
        (P, E, A) float32 in [-1, 1]; one-hot for discrete actions.
    """
    values = features
    for bias, weight in split(form, theta, xp):
        sums = xp.matmul(values, weight)
        sums = sums if bias is None else sums + bias
        values = xp.tanh(sums)
    if form.action_kind == DISCRETE:  # of the sums, since many a tanh is 1
        chosen = xp.argmax(sums, -1)[..., None] == np.arange(form.actions)
        values = xp.where(chosen, np.float32(1), np.float32(0))
    if form.steers_only:
        values = xp.concat([xp.ones_like(values) * CRUISE_THROTTLE, values], -1)
    return values


def tensor_policy(form: ControllerForm) -> Callable[[Any, Any, Any, Any], Any]:
    """`act` as a function of tensors, to stand inside a compiled dream.

    Returns:
        A function of theta (P, n), z (B, Z), c (B, C) and h (B, H) that gives actions (B, A).
        The dreams of one candidate lie together: B = P * E, candidate by candidate.
    """
    from dreamduck.common.backend import tf

    def policy(theta: Any, z: Any, c: Any, h: Any) -> Any:
        parts = {"z": z, "c": c, "h": h}
        inputs = tf.concat([parts[name] for name in form.features], -1)
        features = tf.reshape(inputs, [tf.shape(theta)[0], -1, form.inputs])  # (P, E, I)
        return tf.reshape(act(form, theta, features, tf), [-1, form.actions + form.steers_only])

    return policy


CAR_RACING = ControllerForm("zh", actions=3, z_size=32, hidden_size=256)  # of WorldModelsExperiments


def infer_form(
    size: int,
    z_size: int = Z_SIZE,
    hidden_size: int = HIDDEN_SIZE,
    cell_size: int | None = None,
    actions: int = ACTION_SIZE,
    action_kind: str = DRIVE,
) -> ControllerForm:
    """The form that a theta of this length has, for files that hold nothing else.

    Linear forms come first, then the original's single output without bias, then one hidden layer.

    Raises:
        ControllerError: no form of these sizes has so many parameters.
    """
    first = ControllerForm("z", 0, actions, z_size, hidden_size, True, cell_size, action_kind)
    linear = [
        dataclasses.replace(first, features=features)
        for features in FEATURES
        if first.c_width or "c" not in features
    ]
    steering = [dataclasses.replace(form, actions=1, bias=False) for form in linear]
    for form in [
        *linear,
        *(steering if action_kind == DRIVE or (action_kind, actions) == (BOX, 1) else ()),
    ]:
        if form.size == size:
            return form
    for form in linear:
        hidden, rest = divmod(size - actions, form.inputs + 1 + actions)
        if rest == 0 and hidden > 0:
            return dataclasses.replace(form, hidden=hidden)
    if action_kind != DRIVE:
        raise ControllerError(
            f"theta: {size} parameters fit no controller of {actions} actions of a world model with "
            f"{z_size} latents and {hidden_size} units; evolve one with dreamduck evolve"
        )
    if size == CAR_RACING.size:
        raise ControllerError(
            f"theta: {size} parameters are a controller of the original's car racing: 32 latents, 256 "
            f"units and three actions (steering, gas, brake); expected {actions}, throttle and steering"
        )
    for other in (1, 3):  # Doom's, and the car race's of 2019
        for form in linear:
            if dataclasses.replace(form, actions=other).size == size:
                raise ControllerError(
                    f"theta: {size} parameters are a controller of {other} actions on "
                    f"[{', '.join(form.features)}], expected one of {actions}, throttle and steering; "
                    "evolve one with dreamduck evolve"
                )
    expected = ", ".join(f"{form.size} for [{', '.join(form.features)}]" for form in linear)
    raise ControllerError(
        f"theta: {size} parameters fit no controller of a world model with {z_size} latents, "
        f"{hidden_size} units and {actions} actions; expected {expected}, "
        f"{steering[-1].size} for the original's single output, or a hidden layer's"
    )


def random_theta(
    form: ControllerForm, generator: np.random.Generator, spread: float | None = None
) -> Floats:
    """A random theta, from a Cauchy distribution as the original draws it, (n,) float32.

    Args:
        spread: scale of the distribution; drawn between 0 and 0.01 where it is None.
    """
    scale = generator.uniform(0.0, 0.01) if spread is None else spread
    return (generator.standard_cauchy(form.size) * scale).astype(np.float32)
