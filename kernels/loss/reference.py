"""Binary cross-entropy in float64 NumPy, straight from its definition."""

import numpy as np


def bce_with_logits(logits: np.ndarray, target: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean loss, its gradient by the logits) in float64."""
    z, t = np.asarray(logits, np.float64), np.asarray(target, np.float64)
    probability = 1 / (1 + np.exp(-z))
    loss = np.logaddexp(0, -z) * t + np.logaddexp(0, z) * (1 - t)
    return loss.mean(), (probability - t) / z.size
