"""One step of a GAN: the discriminator on real and on generated images, the wall between them, and the generator."""

import numpy as np

from scratchgan import Tensor, grad, ops
from scratchgan.inspect import part
from scratchgan.models import Discriminator, Generator
from scratchgan.optim import Adam

rng = np.random.default_rng(0)
generator = Generator(16, 1, latent=8, width=8, generator=rng)
discriminator = Discriminator(16, 1, width=8, generator=rng)
optimizer_g = Adam(generator.named_parameters(), 2e-4, betas=(0.5, 0.999))
optimizer_d = Adam(discriminator.named_parameters(), 2e-4, betas=(0.5, 0.999))

y, x = np.mgrid[:16, :16]
discs = [((y - 8) ** 2 + (x - 8) ** 2 < r**2) * 2.0 - 1.0 for r in rng.uniform(3, 6, 8)]
real = Tensor(np.stack(discs)[:, None].astype(np.float32))

with part("G"):
    fake = generator(Tensor(rng.normal(size=(8, 8)).astype(np.float32)))
with part("D on real"):
    real_loss = ops.binary_cross_entropy_with_logits(discriminator(real), 1.0)
with part("D on fake"):
    fake_loss = ops.binary_cross_entropy_with_logits(discriminator(fake.detach()), 0.0)
    loss_d = real_loss + fake_loss
optimizer_d.step(grad(loss_d, discriminator.parameters()))
with part("G through D"):
    loss_g = ops.binary_cross_entropy_with_logits(discriminator(fake), 1.0)
optimizer_g.step(grad(loss_g, generator.parameters()))
print(f"loss of D {loss_d.item():.4f}, of G {loss_g.item():.4f}")
