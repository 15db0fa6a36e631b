"""What the steps of all sides share: one update of D, then one of G, batch 64, with Adam(2e-4, 0.5, 0.999).

G28/D28 are for 28x28x1 and G64/D64 for 64x64x3; `scratchgan.models.gan` has their layers. The losses are the
non-saturating binary cross-entropy on logits, and both are read back to the host in every step.
"""

from typing import Any

BATCH = 64
LATENT = {"G28": 64, "G64": 128}
IMAGE = {"G28": (1, 28, 28), "G64": (3, 64, 64)}

# What follows the linear layer of G: (channels, size), then the channels after each doubling. And D's channels.
G_FIRST = {"G28": (128, 7), "G64": (512, 4)}
G_CHANNELS = {"G28": (128, 64), "G64": (256, 128, 64, 64)}
D_CHANNELS = {"G28": (64, 128), "G64": (64, 128, 256, 512)}
#: The slope of G's activation (0: ReLU), and whether D is normalised from its second convolution on.
G_SLOPE = {"G28": 0.2, "G64": 0.0}
D_NORM = {"G28": False, "G64": True}

#: Images in a batch, of each step.
BATCHES = {"G28": BATCH, "G64": BATCH, "S32": 32, "B28": 64}

#: How many steps a call of a step's function is: what is done in some steps only must be in it in proportion.
CYCLE = {"G28": 1, "G64": 1, "S32": 16, "B28": 1}

# S32: StyleGAN at 32 pixels (`scratchgan.models.stylegan`), batch 32. The losses are the same; R1 in every 16th step
# and the path length, on half a batch, in every 4th are added to them, so that a network has one update a step.
STYLEGAN: dict[str, Any] = {
    "shape": (3, 32, 32),
    "batch": BATCHES["S32"],
    "networks": {"latent": 64, "w": 64, "depth": 4, "width": 32, "widest": 128, "group": 4},
    "lr": 2e-3,
    "betas": (0.0, 0.99),
    "mixing": 0.9,
    "r1": 0.5,
    "r1_every": 16,
    "path": 2.0,
    "path_every": 4,
}
