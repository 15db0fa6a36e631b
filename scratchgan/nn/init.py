"""Initial values. Each function gives a parameter a new array, drawn from the generator that it is handed.

The random numbers are drawn in float64 and rounded to the parameter's dtype, so a network starts from the same
weights, up to that rounding, in float32 and in float64.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..device import device_of, to_device
from .module import Module, Parameter

Nonlinearity = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu"]


def _assign(parameter: Parameter, values: np.ndarray) -> Parameter:
    if not isinstance(parameter, Parameter):
        raise TypeError(
            f"init: expected a Parameter, got a {type(parameter).__name__}; "
            "initialise a weight before spectral_norm() replaces it"
        )
    parameter.data = to_device(values.astype(parameter.dtype, order="C"), device_of(parameter.data))
    return parameter


def constant_(parameter: Parameter, value: float) -> Parameter:
    """Fill with ``value``."""
    return _assign(parameter, np.full(parameter.shape, value))


def zeros_(parameter: Parameter) -> Parameter:
    """Fill with 0."""
    return constant_(parameter, 0.0)


def ones_(parameter: Parameter) -> Parameter:
    """Fill with 1."""
    return constant_(parameter, 1.0)


def uniform_(parameter: Parameter, a: float = 0.0, b: float = 1.0, *, generator: np.random.Generator) -> Parameter:
    """Draw from the uniform distribution on [a, b)."""
    return _assign(parameter, generator.uniform(a, b, parameter.shape))


def normal_(parameter: Parameter, mean: float = 0.0, std: float = 1.0, *, generator: np.random.Generator) -> Parameter:
    """Draw from the normal distribution."""
    return _assign(parameter, generator.normal(mean, std, parameter.shape))


def fans(parameter: Parameter) -> tuple[int, int]:
    """Return (fan_in, fan_out): how many inputs reach one output, and how many outputs one input reaches.

    For weights (out, in, ...), the sizes of the first two axes times the size of the receptive field. PyTorch takes
    the same axes for a transposed convolution, whose weights are (in, out, ...): there the names are exchanged.
    """
    if parameter.ndim < 2:
        raise ValueError(f"init: fan_in and fan_out need weights of at least 2 axes, got {parameter.shape}")
    field = math.prod(parameter.shape[2:])
    return parameter.shape[1] * field, parameter.shape[0] * field


def calculate_gain(nonlinearity: Nonlinearity, slope: float = 0.01) -> float:
    """Return the factor that keeps the variance of activations through a nonlinearity; ``slope`` is leaky_relu's."""
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope**2)),
    }
    if nonlinearity not in gains:
        raise ValueError(f"init: unknown nonlinearity {nonlinearity!r}; it is one of {', '.join(gains)}")
    return gains[nonlinearity]


def _kaiming_std(parameter: Parameter, a: float, mode: str, nonlinearity: Nonlinearity) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(parameter)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    parameter: Parameter,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
    *,
    generator: np.random.Generator,
) -> Parameter:
    """Draw uniformly with standard deviation gain / sqrt(fan); ``a`` is leaky_relu's slope.

    Source: K. He et al., "Delving deep into rectifiers", 2015. ``a=sqrt(5)`` is PyTorch's default for convolutions
    and linear layers; it comes to the bounds +-1/sqrt(fan_in).
    """
    bound = math.sqrt(3) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform_(parameter, -bound, bound, generator=generator)


def kaiming_normal_(
    parameter: Parameter,
    a: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
    *,
    generator: np.random.Generator,
) -> Parameter:
    """Draw from N(0, (gain / sqrt(fan))^2); see `kaiming_uniform_`."""
    return normal_(parameter, 0.0, _kaiming_std(parameter, a, mode, nonlinearity), generator=generator)


def xavier_uniform_(parameter: Parameter, gain: float = 1.0, *, generator: np.random.Generator) -> Parameter:
    """Draw uniformly with standard deviation gain * sqrt(2 / (fan_in + fan_out)).

    Source: X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    bound = gain * math.sqrt(6 / sum(fans(parameter)))
    return uniform_(parameter, -bound, bound, generator=generator)


def xavier_normal_(parameter: Parameter, gain: float = 1.0, *, generator: np.random.Generator) -> Parameter:
    """Draw from the normal distribution with the standard deviation of `xavier_uniform_`."""
    return normal_(parameter, 0.0, gain * math.sqrt(2 / sum(fans(parameter))), generator=generator)


def orthogonal_(parameter: Parameter, gain: float = 1.0, *, generator: np.random.Generator) -> Parameter:
    """Make the weights, as a matrix (first axis, all others), have orthogonal rows or columns of length ``gain``.

    Source: A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
    2013.
    """
    fans(parameter)  # says so if there are fewer than 2 axes
    rows, columns = parameter.shape[0], math.prod(parameter.shape[1:])
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without this Q is not uniform among the orthogonal matrices
    return _assign(parameter, gain * (q if rows >= columns else q.T).reshape(parameter.shape))


def default_(weight: Parameter, bias: Parameter | None, *, generator: np.random.Generator) -> None:
    """Initialise as PyTorch's Linear and convolution layers do: both uniform within +-1/sqrt(fan_in)."""
    kaiming_uniform_(weight, math.sqrt(5), generator=generator)
    if bias is not None:
        bound = 1 / math.sqrt(max(fans(weight)[0], 1))
        uniform_(bias, -bound, bound, generator=generator)


def dcgan_(module: Module, std: float = 0.02, *, generator: np.random.Generator) -> None:
    """Initialise a whole network as DCGANs are: weights N(0, std^2), scales of normalisations N(1, std^2), biases 0.

    A weight is a parameter of 2 or more axes, a scale one of 1 axis that is no bias. Source: A. Radford et al.,
    "Unsupervised representation learning with deep convolutional generative adversarial networks", 2016, section 4;
    the scales are those of the authors' code.
    """
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] == "bias":
            zeros_(parameter)
        else:
            normal_(parameter, 0.0 if parameter.ndim > 1 else 1.0, std, generator=generator)
