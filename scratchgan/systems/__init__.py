"""The systems: one file each. A line here makes one known by its name; the first is used where none is named."""

from ..data import POINT_SETS
from ..train.registry import register

# Settings from before systems had names say "model" in place of it.
register("gan", f"{__name__}.gan:Gan", wrote=lambda settings: settings.get("model") != "mlp")
register("points", f"{__name__}.points:Points", data=POINT_SETS, wrote=lambda settings: True)
register("stylegan", f"{__name__}.stylegan:Stylegan")
register("biggan", f"{__name__}.biggan:Biggan")
