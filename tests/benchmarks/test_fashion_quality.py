"""The PyTorch twin of a run: the same networks, and the same loss of D with the same gradient."""

import numpy as np
import pytest

from benchmarks.fashion_quality import as_pytorch, discriminator_loss
from scratchgan import Tensor, no_grad
from scratchgan.models import make_discriminator, make_generator
from scratchgan.train import TrainConfig
from scratchgan.train.game import Game

torch = pytest.importorskip("torch")
SETTINGS = {
    "default": {},
    "batch norm": {"d_norm": "batch"},
    "reference": {"model": "gan28", "r1": 0.0, "label_smoothing": 0.0},
}


@pytest.mark.peer
@pytest.mark.parametrize("name", SETTINGS)
def test_the_networks_are_the_same(name):
    config = TrainConfig(width=32, **SETTINGS[name]).completed((1, 28, 28))
    rng = np.random.default_rng(0)
    g = make_generator(config.model, config.shape, config.latent, config.width, generator=rng)
    d = make_discriminator(config.model, config.shape, config.width, config.d_norm, generator=rng)
    z = rng.standard_normal((4, config.latent), np.float32)
    images = as_pytorch(torch, g)(torch.from_numpy(z))
    with no_grad():
        np.testing.assert_allclose(images.detach().numpy(), g(Tensor(z)).data, rtol=1e-4, atol=1e-5)
        logits = d(Tensor(images.detach().numpy())).data
    np.testing.assert_allclose(as_pytorch(torch, d)(images).detach().numpy(), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("name", SETTINGS)
def test_the_discriminators_loss_is_the_same(name):
    config = TrainConfig(batch=4, **SETTINGS[name]).completed((1, 28, 28))
    rng = np.random.default_rng(1)
    real, fake = (rng.uniform(-1, 1, (4, 1, 28, 28)).astype(np.float32) for _ in range(2))
    game = Game(config)
    twin = as_pytorch(torch, game.discriminator)
    loss = discriminator_loss(torch, config, twin, torch.from_numpy(real.copy()), torch.from_numpy(fake))
    loss.backward()
    seen = {}
    game.optimizer_d.step = lambda gradients: seen.update(gradients=gradients)
    game._next_batch = lambda: real.copy()
    metrics = game._update_discriminator(Tensor(fake))
    ours = float(metrics["loss_d"]) + (config.r1 or 0.0) * float(metrics.get("r1", 0.0))
    assert loss.item() == pytest.approx(ours, rel=1e-5)
    largest = max(np.abs(gradient.data).max() for gradient in seen["gradients"])  # a bias before batch norm has none
    for mine, theirs in zip(seen["gradients"], twin.parameters(), strict=True):
        np.testing.assert_allclose(theirs.grad.numpy(), mine.data, rtol=1e-3, atol=1e-5 * largest)
