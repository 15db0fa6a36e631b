"""The systems: one file each. A line here makes one known by its name; the first is used where none is named."""

from collections.abc import Mapping
from typing import Any

from ..data import POINT_SETS
from ..train.registry import register


def _of_points(settings: Mapping[str, Any]) -> bool:
    """Whether settings from before systems had names, which say "model" in place of it, are of a run on points."""
    return settings.get("model") == "mlp" or settings.get("data") in POINT_SETS


register("gan", f"{__name__}.gan:Gan", wrote=lambda settings: not _of_points(settings))
register("points", f"{__name__}.points:Points", data=POINT_SETS, wrote=_of_points)
