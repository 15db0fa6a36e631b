"""Optimisers: what changes the parameters, given their gradients.

The rule: an optimiser never writes into a parameter's array. It computes a new array and gives it to the parameter
(``parameter.data = new``). Whatever a graph saved stays as it was, so a graph made before the step still gives the
gradient at the old point. The optimiser's own arrays (momentum, moving averages) are updated in place. Only a step that
is captured as a CUDA graph (`scratchgan.cuda_graph`) writes the new values where the old ones were.

State that a checkpoint holds is ``{"numbers": ..., "arrays": ...}``: numbers that JSON writes and reads back exactly,
and arrays by name. Restoring it continues bit for bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

import numpy as np

from . import kernels
from .autograd import grad
from .cuda_graph import is_recording, reread
from .device import Array, device_of, namespace, to_device
from .nn import Module
from .tensor import Tensor


class State(TypedDict):
    """The whole state of an optimiser or an average: what JSON can hold, and arrays by name."""

    numbers: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Optimizer:
    """What all optimisers share: named parameters, arrays of state for each, and saving both.

    ``parameters``: leaf Tensors, or (name, Tensor) pairs such as ``module.named_parameters()``; unnamed ones are
    called "0", "1", ... The names are those in the state dict. Hyperparameters are attributes and may be changed
    between steps.
    """

    hyperparameters: tuple[str, ...]  # the attributes that are part of the state
    slots: tuple[str, ...]  # the arrays kept for each parameter, which start as zeros

    def __init__(self, parameters: Iterable[Tensor] | Iterable[tuple[str, Tensor]]):
        named = [item if isinstance(item, tuple) else (str(i), item) for i, item in enumerate(parameters)]
        kind = type(self).__name__
        if not named:
            raise ValueError(f"{kind}: there are no parameters to optimise")
        for name, parameter in named:
            if not isinstance(parameter, Tensor):
                raise TypeError(f"{kind}: parameter {name!r} must be a Tensor, got {type(parameter).__name__}")
            if not parameter.is_leaf:
                raise ValueError(
                    f"{kind}: parameter {name!r} is the result of an operator; only leaves can be optimised"
                )
        if len({name for name, _ in named}) < len(named) or len({id(p) for _, p in named}) < len(named):
            raise ValueError(f"{kind}: a parameter, or a name, is given twice")
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self._arrays = {
            slot: [p.namespace.zeros_like(p.data, order="C") for p in self.parameters] for slot in self.slots
        }
        self._steps = [0] * len(named)
        self._check_hyperparameters()

    def _check_hyperparameters(self) -> None:
        """Raise ValueError for a hyperparameter out of its range."""
        raise NotImplementedError

    def _update(self, gradients: dict[int, Array]) -> None:
        """Give new arrays to the parameters with these numbers, and move their state and number of steps forward."""
        raise NotImplementedError

    def step(self, gradients: Sequence[Tensor | None] | None = None) -> None:
        """Change every parameter by one step along its gradient.

        ``gradients``: one per parameter, in order, as ``scratchgan.grad`` returns them; without it, each parameter's
        ``.grad``. A parameter whose gradient is None stays as it is. Nothing changes if an argument is wrong.
        """
        kind = type(self).__name__
        self._check_hyperparameters()
        if gradients is None:
            gradients = [parameter._grad for parameter in self.parameters]
            if all(gradient is None for gradient in gradients):
                raise ValueError(
                    f"{kind}.step: no parameter has a gradient; call backward() on a loss first, or pass the gradients"
                )
        if len(gradients) != len(self.parameters):
            raise ValueError(f"{kind}.step: {len(gradients)} gradients for {len(self.parameters)} parameters")
        for i, (name, p, g) in enumerate(zip(self.names, self.parameters, gradients, strict=True)):
            if g is None:
                continue
            if not isinstance(g, Tensor):
                raise TypeError(f"{kind}.step: the gradient of {name!r} must be a Tensor, got {type(g).__name__}")
            kept = [slot[i] for slot in self._arrays.values()]
            for what, array in [("its gradient", g.data), *(("the optimiser's state", array) for array in kept)]:
                if _kind(array) != _kind(p.data):
                    raise ValueError(
                        f"{kind}.step: parameter {name!r} is {_described(p.data)}, but {what} is {_described(array)}"
                    )
        self._update({i: gradient.data for i, gradient in enumerate(gradients) if gradient is not None})

    def zero_grad(self) -> None:
        """Forget the accumulated gradients."""
        for parameter in self.parameters:
            parameter.zero_grad()

    def state_dict(self) -> State:
        """Return a copy of the whole state: hyperparameters, how often each parameter was changed, and the arrays."""
        numbers = {name: getattr(self, name) for name in self.hyperparameters}
        arrays = {
            f"{name}.{slot}": np.array(to_device(array, "cpu"))
            for slot, items in self._arrays.items()
            for name, array in zip(self.names, items, strict=True)
        }
        return {"numbers": {"kind": type(self).__name__, "steps": list(self._steps), **numbers}, "arrays": arrays}

    def load_state_dict(self, state: State) -> None:
        """Replace the whole state; ValueError says what does not fit, and then nothing has changed."""
        kind, numbers = type(self).__name__, state["numbers"]
        expected = {"kind", "steps", *self.hyperparameters}
        if numbers.get("kind") != kind or set(numbers) != expected:
            raise ValueError(f"{kind}.load_state_dict: the state is not {kind}'s, it has {numbers}")
        steps = numbers["steps"]
        if len(steps) != len(self.parameters):
            raise ValueError(
                f"{kind}.load_state_dict: the state is of {len(steps)} parameters, not of {len(self.parameters)}"
            )
        homes = {f"{name}.{slot}": (slot, i) for slot in self.slots for i, name in enumerate(self.names)}
        _check_arrays(
            f"{kind}.load_state_dict",
            {key: self._arrays[slot][i] for key, (slot, i) in homes.items()},
            state["arrays"],
        )
        for key, (slot, i) in homes.items():
            self._arrays[slot][i] = to_device(
                np.array(state["arrays"][key], order="C"), device_of(self.parameters[i].data)
            )
        self._steps = [int(n) for n in steps]
        for name in self.hyperparameters:
            value = numbers[name]
            setattr(self, name, tuple(value) if isinstance(value, list) else value)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum::

        g = gradient + weight_decay * p
        buffer = momentum * buffer + g
        p = p - lr * buffer                             (nesterov: p - lr * (g + momentum * buffer))

    The momentum is PyTorch's: the learning rate multiplies the buffer and is not part of it. Nesterov's form is that of
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
    """

    hyperparameters = ("lr", "momentum", "nesterov", "weight_decay")
    slots = ("buffer",)

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[tuple[str, Tensor]],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        self.lr, self.momentum, self.nesterov, self.weight_decay = lr, momentum, nesterov, weight_decay
        super().__init__(parameters)

    def _check_hyperparameters(self) -> None:
        _not_negative(self, "lr", "momentum", "weight_decay")
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov needs a momentum")

    def _update(self, gradients: dict[int, Array]) -> None:
        for i, gradient in gradients.items():
            self._steps[i] += 1
            self.parameters[i].data = self._updated(i, self.parameters[i].data, gradient)

    def _updated(self, i: int, parameter: Array, gradient: Array) -> Array:
        direction = gradient + self.weight_decay * parameter if self.weight_decay else gradient
        buffer = self._arrays["buffer"][i]
        buffer *= self.momentum
        buffer += direction
        direction = direction + self.momentum * buffer if self.nesterov else buffer
        return namespace(parameter).asarray(parameter - self.lr * direction)


class Adam(Optimizer):
    """Adam, or AdamW if ``decoupled``; `scratchgan.kernels.adam_step` has the formula and the sources.

    ``betas`` are the decays of the moving averages of the gradient and of its square; GANs are commonly trained with
    (0.5, 0.999). ``weight_decay`` is added to the gradient, or with ``decoupled`` shrinks the parameter itself.
    """

    hyperparameters = ("lr", "betas", "eps", "weight_decay", "decoupled")
    slots = ("mean", "square")

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[tuple[str, Tensor]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.decoupled = weight_decay, decoupled
        super().__init__(parameters)

    def _check_hyperparameters(self) -> None:
        _not_negative(self, "lr", "eps", "weight_decay")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Adam: betas must be two numbers in [0, 1), got {self.betas}")

    def _update(self, gradients: dict[int, Array]) -> None:
        groups: dict[tuple[Any, ...], list[int]] = {}  # what goes together: all parameters, as a rule
        for i in gradients:
            data = self.parameters[i].data
            groups.setdefault((data.dtype, device_of(data), self._steps[i]), []).append(i)
        for (dtype, *_), group in groups.items():
            parameters = [self.parameters[i].data for i in group]
            means, squares = ([self._arrays[slot][i] for i in group] for slot in ("mean", "square"))
            new = kernels.foreach_adam_step(
                parameters,
                [gradients[i] for i in group],
                means,
                squares,
                live=reread(partial(self._advance, group, dtype)),
                step=self._steps[group[0]],
                lr=self.lr,
                beta1=self.betas[0],
                beta2=self.betas[1],
                eps=self.eps,
                weight_decay=self.weight_decay,
                decoupled=self.decoupled,
                out=parameters if is_recording() else None,
            )
            for i, array in zip(group, new, strict=True):
                self.parameters[i].data = array

    def _advance(self, group: list[int], dtype: Any) -> np.ndarray:
        """Count a step of these parameters, and return what Adam multiplies with in it."""
        for i in group:
            self._steps[i] += 1
        return kernels.adam_numbers(
            dtype, self._steps[group[0]], self.lr, *self.betas, self.weight_decay, self.decoupled
        )


class ExponentialMovingAverage:
    """A copy of a module whose parameters follow the original's slowly: average += (1-decay) * (parameter - average).

    A generator's average draws better pictures than the generator itself (Y. Yazici et al., "The unusual effectiveness
    of averaging in GAN training", 2019). ``module`` is the copy, in evaluation mode, to sample from. Its buffers are
    those of the original at the last update.

    With ``warmup`` the decay of update n = 0, 1, ... is at most (1+n)/(10+n), so that the untrained weights of the
    beginning are soon forgotten.
    """

    def __init__(self, module: Module, decay: float = 0.999, warmup: bool = False):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self._check_decay()
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    def _check_decay(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"ExponentialMovingAverage: decay must be in [0, 1], got {self.decay}")

    def update(self, module: Module) -> None:
        """Move the averages toward the module's parameters, and copy its buffers."""
        self._check_decay()
        mine, theirs = _kinds(self.module), _kinds(module)
        if mine != theirs:
            different = [name for name in mine | theirs if mine.get(name) != theirs.get(name)]
            raise ValueError(
                "ExponentialMovingAverage.update: the module is not built like the one that is averaged; "
                f"different: {', '.join(different)}"
            )
        averages = self.module.parameters()
        groups: dict[Any, list[tuple[Array, Array, Tensor]]] = {}  # what goes together: all, as a rule
        for average, parameter in zip(averages, module.parameters(), strict=True):
            kind = average.dtype, average.device
            groups.setdefault(kind, []).append((average.data, parameter.data, average))
        for n, ((dtype, _), group) in enumerate(groups.items()):
            before, parameters, targets = zip(*group, strict=True)
            decay = self._decay()
            live = reread(partial(self._advance, dtype, last=n == len(groups) - 1))
            out = before if is_recording() else None
            new = kernels.foreach_ema_update(before, parameters, decay, out=out, live=live)
            for target, array in zip(targets, new, strict=True):
                target.data = array
        for copied, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            copied[...] = buffer

    def _decay(self) -> float:
        """Return the decay of the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay

    def _advance(self, dtype: Any, last: bool) -> np.ndarray:
        """Return the weights of average and parameter in the next update; after its last part, count it."""
        decay = self._decay()
        self.updates += last
        return np.array([decay, 1 - decay], dtype)

    def state_dict(self) -> State:
        """Return a copy of the whole state: decay, number of updates, and the averaged module's state."""
        numbers = {"decay": self.decay, "warmup": self.warmup, "updates": self.updates}
        return {"numbers": numbers, "arrays": self.module.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Replace the whole state; ValueError says what does not fit, and then nothing has changed."""
        numbers = state["numbers"]
        if set(numbers) != {"decay", "warmup", "updates"}:
            raise ValueError(
                f"ExponentialMovingAverage.load_state_dict: the state is not an average's, it has {numbers}"
            )
        self.module.load_state_dict(state["arrays"])
        self.decay, self.warmup, self.updates = numbers["decay"], numbers["warmup"], numbers["updates"]


def mean_gradients(
    losses: Iterable[Callable[[], Tensor]], parameters: Sequence[Tensor]
) -> tuple[float, tuple[Tensor, ...]]:
    """Return the mean of several losses and of their gradients: a batch in chunks, for batches beyond the memory.

    ``losses``: functions, each of which computes the mean loss of one chunk, all chunks being of one size; one is
    called, differentiated and forgotten before the next. It is the gradient of the whole batch, but for batch
    normalisation, whose statistics are each chunk's own. ValueError if there are no losses.
    """
    total, count = 0.0, 0
    sums: list[Array] = []
    for loss_of_chunk in losses:
        loss = loss_of_chunk()
        gradients = grad(loss, parameters, retain_graph=False)
        total, count = total + float(loss.item()), count + 1
        arrays = [gradient.data for gradient in gradients]
        sums = [a + b for a, b in zip(sums, arrays, strict=True)] if sums else arrays
    if not count:
        raise ValueError("mean_gradients: there must be at least one loss")
    return total / count, tuple(Tensor(array * array.dtype.type(1 / count)) for array in sums)


def clip_grad_norm(gradients: Sequence[Tensor], max_norm: float) -> tuple[tuple[Tensor, ...], float]:
    """Scale all gradients together so that their joint Euclidean norm is at most ``max_norm``.

    Returns (gradients, norm before). They come back as they are if the norm is small enough; or if it is infinite or
    NaN, which no factor mends and which the caller sees in the norm. Source: R. Pascanu et al., "On the difficulty of
    training recurrent neural networks", 2013.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be positive, got {max_norm}")
    norm = math.sqrt(sum(float((g.data.astype(np.float64) ** 2).sum()) for g in gradients))
    if not max_norm < norm < math.inf:
        return tuple(gradients), norm
    return tuple([g.detach() * (max_norm / norm) for g in gradients]), norm


def _not_negative(optimizer: Optimizer, *names: str) -> None:
    for name in names:
        value = getattr(optimizer, name)
        if not 0 <= value < math.inf:
            raise ValueError(f"{type(optimizer).__name__}: {name} must be at least 0 and finite, got {value}")


def _kind(array: Array) -> tuple[Any, ...]:
    return array.shape, array.dtype, device_of(array)


def _kinds(module: Module) -> dict[str, tuple[Any, ...]]:
    parameters = {name: _kind(parameter.data) for name, parameter in module.named_parameters()}
    return parameters | {name: _kind(buffer) for name, buffer in module.named_buffers()}


def _described(array: Array) -> str:
    return f"{array.dtype} {array.shape} on {device_of(array)}"


def _check_arrays(caller: str, expected: Mapping[str, Array], given: Mapping[str, np.ndarray]) -> None:
    faults = [f"missing: {key}" for key in expected if key not in given]
    faults += [f"unexpected: {key}" for key in given if key not in expected]
    for key in [key for key in expected if key in given]:
        here, there = expected[key], given[key]
        if (here.shape, here.dtype) != (there.shape, there.dtype):
            faults.append(f"{key} is {here.dtype} {here.shape} here and {there.dtype} {there.shape} in the state")
    if faults:
        raise ValueError(f"{caller}: the state does not fit:\n  " + "\n  ".join(faults))
