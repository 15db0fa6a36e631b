"""GAN systems, one file each; `make_generator` and `make_discriminator` choose by name."""

from .choice import MODELS, make_discriminator, make_generator, model_for
from .gan import Discriminator, Generator, gan28, gan64
from .mlp import PointDiscriminator, PointGenerator
from .stylegan import StyleGenerator
from .stylegan_discriminator import StyleDiscriminator

__all__ = [
    "MODELS",
    "Discriminator",
    "Generator",
    "PointDiscriminator",
    "PointGenerator",
    "StyleDiscriminator",
    "StyleGenerator",
    "gan28",
    "gan64",
    "make_discriminator",
    "make_generator",
    "model_for",
]
