"""Where what can be had again is kept between runs: compiled kernels, data sets, trained evaluators."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

_warned = False


def cache_root() -> Path:
    """Return $SCRATCHGAN_CACHE_DIR, or the folder ``scratchgan`` of the user's cache.

    Raises RuntimeError for a user without a home folder.
    """
    root = os.environ.get("SCRATCHGAN_CACHE_DIR")
    if root:
        return Path(root)
    # A relative $XDG_CACHE_HOME is to be ignored, says the XDG Base Directory specification.
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else Path("~/.cache").expanduser(), "scratchgan")


def warn_uncached(error: OSError | RuntimeError) -> None:
    """Say once that compiled kernels cannot be kept; work goes on without a cache."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"compiled kernels cannot be kept ({error}), so the next start compiles them again; "
            "set SCRATCHGAN_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=3,
        )
