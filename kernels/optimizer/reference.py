"""Adam and the moving average in float64 NumPy, straight from the papers. Results are new arrays."""

import numpy as np


def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (parameter, mean, square) after one step, all float64."""
    p, g, m, v = (np.asarray(a, np.float64) for a in (parameter, gradient, mean, square))
    if decoupled:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps), m, v


def ema_update(average: np.ndarray, parameter: np.ndarray, decay: float) -> np.ndarray:
    """Return decay * average + (1 - decay) * parameter in float64."""
    return decay * np.asarray(average, np.float64) + (1 - decay) * np.asarray(parameter, np.float64)
