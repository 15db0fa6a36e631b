"""How strictly and how widely to check. The defaults are the ones to use; nothing here needs tuning per dtype."""

from __future__ import annotations

from dataclasses import dataclass

from .layers.order import ORDER

#: The names of the layers, in the order in which :func:`scratchgan.gradcheck.check` runs them.
LAYERS: tuple[str, ...] = tuple(layer.name for layer in ORDER)


@dataclass(frozen=True)
class Policy:
    """Knobs of a check.

    layers: which layers `check` runs, by name (see `LAYERS`).
    probes: random probe pairs per argument and layer.
    ulps: rounding allowed where both sides are computed in the same precision, in units of eps times the sum of
        the magnitudes that were added.
    noise_to_signal: differences whose error bar exceeds this share of the derivative are INCONCLUSIVE.
    nondet_tol: largest difference allowed between two calls with the same arguments (PyTorch's name). The default
        is bitwise equality.
    step: forces the largest step of the difference stencil (relative to the argument) in place of choosing one.
    atol, rtol: extra tolerance of the difference layer, on top of the measured error bar.
    locate_limit: forward calls spent on finding the wrong elements after a failure.
    screened: in float64, one equation that asks everything at once goes first (`screen.py`), and the layers are asked
        only where it does not hold. They alone can fail an operator.
    """

    layers: tuple[str, ...] = LAYERS
    probes: int = 2
    ulps: float = 64.0
    noise_to_signal: float = 1e-3
    nondet_tol: float = 0.0
    step: float | None = None
    atol: float = 0.0
    rtol: float = 0.0
    locate_limit: int = 2048
    screened: bool = False

    @classmethod
    def quick(cls) -> Policy:
        """For very many cases: four calls where the operator is right, every layer where it may not be."""
        return cls(screened=True)

    def __post_init__(self) -> None:
        unknown = [name for name in self.layers if name not in LAYERS]
        if unknown:
            raise ValueError(f"Policy: unknown layers {unknown}; the layers are {list(LAYERS)}")
        if self.probes < 1:
            raise ValueError(f"Policy: probes={self.probes}, but at least one probe is needed")
