"""What the steps of all sides share: one update of D, then one of G, batch 64, with Adam(2e-4, 0.5, 0.999).

G28/D28 are for 28x28x1 and G64/D64 for 64x64x3; `scratchgan.models.gan` has their layers. The losses are the
non-saturating binary cross-entropy on logits, and both are read back to the host in every step.
"""

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
