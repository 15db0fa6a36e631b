"""A run that takes a fraction of a second, and the command line as another process."""

import sys

#: Settings with which a run of a few steps takes a fraction of a second.
TINY = (
    *("--batch", "8", "--steps", "6", "--set", "width=4", "--set", "latent=8"),
    *("--set", "checkpoint_every=2", "--set", "sample_every=3"),
    # So fast that the generator draws different images for different latent vectors after a few steps.
    *("--set", "lr_g=0.05", "--set", "ema_decay=0.5"),
)


def process_arguments(*arguments: object) -> list[str]:
    """What `subprocess` runs."""
    return [sys.executable, "-m", "scratchgan", *map(str, arguments)]
