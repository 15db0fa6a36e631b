"""GAN systems, one file each."""

from .gan import Discriminator, Generator, gan28, gan64

__all__ = ["Discriminator", "Generator", "gan28", "gan64"]
