"""Parameters, and the modules that hold them.

A network is a tree of modules. Its parameters are whatever `Parameter` attributes the modules of the tree have, under
dotted names that say where: ``"0.weight"`` is the attribute ``weight`` of the child ``0``. There is no registry
beside the attributes themselves.

The rule about parameters
-------------------------
Nothing ever writes into a parameter's array: it is read-only. To change a parameter is to give it a new array,
``parameter.data = array``. A graph made before the change saved the old array, and still gives the gradient at the
old values. Buffers (running statistics) are no parameters: they are plain arrays that their module updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from ..device import Array, device_of, to_device
from ..tensor import Tensor


class Parameter(Tensor):
    """A leaf Tensor that a module owns and an optimiser changes.

    ``data``: numbers or an array, float32 or float64, which is copied. Assigning to ``.data`` later takes the new
    array as it is, without a copy, and makes it read-only; it must have the same shape and dtype.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True):
        super().__init__(Tensor(data).data.copy(), requires_grad)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "data":
            new, old = _kind(value), _kind(getattr(self, "data", value))
            if new != old:
                raise ValueError(f"a parameter {' '.join(map(str, old))} cannot become {' '.join(map(str, new))}")
            _freeze(value)
        super().__setattr__(name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        """Return a parameter of its own, without the gradient and hooks of this one."""
        memo[id(self)] = copy = Parameter(self.data, self.requires_grad)
        return copy

    def _convert(self, change: Callable[[Array], Array]) -> None:
        """Go to another dtype or device, which an assignment refuses; the gradient stays behind."""
        array = change(self.data)
        _freeze(array)
        self.grad = None
        object.__setattr__(self, "data", array)


def _kind(array: Array) -> tuple[np.dtype[Any], tuple[int, ...], str]:
    device = device_of(array)  # raises TypeError for what is no array
    return array.dtype, array.shape, device


def _freeze(array: Array) -> None:
    if isinstance(array, np.ndarray):  # a CuPy array cannot be made read-only
        array.flags.writeable = False


class LoadReport(NamedTuple):
    """What a ``load_state_dict(strict=False)`` passed over."""

    missing: list[str]
    unexpected: list[str]


class Module:
    """A piece of a network: parameters, buffers and child modules as attributes, and a ``forward``.

    Subclasses assign Parameters and Modules to attributes, call `register_buffer` for arrays that belong to the state
    but are not trained, and define ``forward``. A module is called like a function.

    ``training`` says whether the module is in training or in evaluation, which matters to batch normalisation,
    dropout and spectral normalisation; `train` and `eval` set it for a whole tree. It starts as True.
    """

    training: bool = True
    _buffers: tuple[str, ...] = ()

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the output; every kind of module defines its own."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if options and "input" in options:  # PyTorch's name of the first argument
            inputs = (options.pop("input"), *inputs)
        if self.training and "parametrizations" in vars(self):
            for _, parametrization in self.parametrizations.named_children():
                parametrization.advance()
        return self.forward(*inputs, **options)

    # What it consists of

    def __setattr__(self, name: str, value: Any) -> None:
        items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        if any(isinstance(item, (Module, Parameter)) for item in items):
            raise TypeError(
                f"{type(self).__name__}.{name}: modules and parameters inside a {type(value).__name__} are not found, "
                "so they would be neither trained nor saved; use nn.ModuleList or nn.Sequential, or attributes"
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        """Compute a parametrized attribute, such as a spectrally normalised ``weight``.

        Python calls this only for what is no ordinary attribute.
        """
        parametrizations = vars(self).get("parametrizations")
        if parametrizations is not None and name in vars(parametrizations):
            return vars(parametrizations)[name]()
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def register_buffer(self, name: str, array: Array) -> None:
        """Make ``array`` the attribute ``name`` and part of the state, as an array that is not trained."""
        if name in vars(self) and name not in self._buffers:
            raise ValueError(f"{type(self).__name__}.{name} exists already and is no buffer")
        setattr(self, name, array)
        if name not in self._buffers:
            self._buffers = (*self._buffers, name)

    def named_children(self) -> list[tuple[str, Module]]:
        """Return the modules directly inside this one, with their names."""
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Module)]

    def _places(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (dotted prefix, module) for this and all below; a shared module comes once under each of its names."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._places(f"{prefix}{name}.")

    def named_modules(self) -> list[tuple[str, Module]]:
        """Return this module, under the name "", and all below it, each once under its first name."""
        return _first_names((prefix[:-1], module) for prefix, module in self._places())

    def modules(self) -> list[Module]:
        """Return this module and all below it."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Return every parameter of the tree, each once, under its first dotted name."""
        return _first_names(
            (prefix + name, value)
            for prefix, module in self._places()
            for name, value in vars(module).items()
            if isinstance(value, Parameter)
        )

    def parameters(self) -> list[Parameter]:
        """Return every parameter of the tree, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> list[tuple[str, Array]]:
        """Return every buffer of the tree, each once, under its first dotted name."""
        return _first_names(
            (prefix + name, vars(module)[name]) for prefix, module in self._places() for name in module._buffers
        )

    def buffers(self) -> list[Array]:
        """Return every buffer of the tree."""
        return [buffer for _, buffer in self.named_buffers()]

    def apply(self, function: Callable[[Module], None]) -> Self:
        """Call ``function`` with every module of the tree, this one last, and return this module."""
        for module in reversed(self.modules()):
            function(module)
        return self

    # Modes

    def train(self, mode: bool = True) -> Self:
        """Put the whole tree in training (or, with False, in evaluation); return this module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put the whole tree in evaluation; return this module."""
        return self.train(False)

    def requires_grad_(self, flag: bool = True) -> Self:
        """Say for all parameters whether gradients are wanted; return this module."""
        for parameter in self.parameters():
            parameter.requires_grad = flag
        return self

    def zero_grad(self) -> None:
        """Forget the accumulated gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def to(self, device: str | None = None, dtype: Any = None) -> Self:
        """Move parameters and buffers to a device ("cpu", "cuda", "cuda:1"), or their floats to a dtype.

        Returns this module. The parameters stay the same objects. Do this before making an optimiser, whose state
        stays where it is.
        """
        if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"to: parameters are float32 or float64, not {np.dtype(dtype)}")

        def change(array: Array) -> Array:
            array = array if device is None else to_device(array, device)
            return array if dtype is None or array.dtype.kind != "f" else array.astype(dtype, copy=False)

        for parameter in self.parameters():
            parameter._convert(change)
        for module in self.modules():
            for name in module._buffers:
                setattr(module, name, change(vars(module)[name]))
        return self

    # State

    def _state(self) -> dict[str, tuple[Module, str, Array]]:
        """Return, by its full name, each entry of the state: who owns it, as which attribute, and its array."""
        state = {}
        for prefix, module in self._places():
            own = vars(module)
            for name in [name for name, value in own.items() if isinstance(value, Parameter)]:
                state[prefix + name] = (module, name, own[name].data)
            for name in module._buffers:
                state[prefix + name] = (module, name, own[name])
        return state

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return all parameters and buffers as NumPy arrays, under the names that PyTorch gives them.

        It is a snapshot: training goes on without changing it. Parameters are not copied for that (see the rule at
        the top of this file), and are read-only.
        """
        return {
            key: to_device(array, "cpu") if isinstance(vars(module)[name], Parameter) else _host_copy(array)
            for key, (module, name, array) in self._state().items()
        }

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> LoadReport:
        """Replace parameters and buffers by copies of the arrays in ``state``; they keep their device and dtype.

        ValueError lists every key that is missing or (both only if ``strict``) unexpected and every shape that
        differs, and then nothing has changed. Returns what was passed over.
        """
        places = self._state()
        missing, unexpected = [k for k in places if k not in state], [k for k in state if k not in places]
        faults = [f"missing: {key}" for key in missing] + [f"unexpected: {key}" for key in unexpected]
        if not strict:
            faults = []
        loaded = {}
        for key in [key for key in places if key in state]:
            array, old = np.asarray(state[key]), places[key][2]
            if array.shape != old.shape:
                faults.append(f"shape: {key} is {old.shape} here and {array.shape} in the state dict")
            elif array.dtype.kind != old.dtype.kind:
                faults.append(f"dtype: {key} is {old.dtype} here and {array.dtype} in the state dict")
            else:
                loaded[key] = to_device(np.array(array, old.dtype, order="C"), device_of(old))
        if faults:
            raise ValueError(
                f"load_state_dict: the state does not fit {type(self).__name__}:\n  " + "\n  ".join(faults)
            )
        for key, array in loaded.items():
            module, name, _ = places[key]
            if isinstance(vars(module)[name], Parameter):
                vars(module)[name].data = array
            else:
                setattr(module, name, array)
        return LoadReport(missing, unexpected)

    def slots(self) -> list[tuple[Any, str]]:
        """Return where the state's arrays are bound, as (object, attribute) pairs: a parameter's ``data``, a buffer."""
        return [
            (vars(module)[name], "data") if isinstance(vars(module)[name], Parameter) else (module, name)
            for module, name, _ in self._state().values()
        ]

    # As text

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of a module without children."""
        return ""

    def __repr__(self) -> str:
        lines = [line for line in [self.extra_repr()] if line]
        for name, child in self.named_children():
            lines.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        if len(lines) < 2 and not self.named_children():
            return f"{type(self).__name__}({''.join(lines)})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _first_names(named: Iterator[tuple[str, Any]]) -> list[tuple[str, Any]]:
    found: dict[int, tuple[str, Any]] = {}
    for name, thing in named:
        found.setdefault(id(thing), (name, thing))
    return list(found.values())


def _host_copy(array: Array) -> np.ndarray:
    return array.copy() if isinstance(array, np.ndarray) else to_device(array, "cpu")
