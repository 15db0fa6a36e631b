"""The PyTorch twin of a run: the same networks, and the same loss of D with the same gradient."""

import numpy as np
import pytest

from benchmarks.fashion_quality import as_pytorch, discriminator_loss
from scratchgan import Tensor, no_grad
from scratchgan.data import ArrayDataset
from scratchgan.train import Game, TrainConfig, Update

torch = pytest.importorskip("torch")
GARMENTS = ArrayDataset(np.zeros((4, 1, 28, 28), np.uint8))
SETTINGS = {
    "default": {},
    "batch norm": {"d_norm": "batch"},
    "reference": {"model": "gan28", "r1": 0.0, "label_smoothing": 0.0},
}


@pytest.mark.peer
@pytest.mark.parametrize("name", SETTINGS)
def test_the_networks_are_the_same(name):
    config = TrainConfig("gan", width=32, **SETTINGS[name]).completed(GARMENTS)
    g, d = Game(config).networks.values()
    z = np.random.default_rng(0).standard_normal((4, config.own.latent), np.float32)
    images = as_pytorch(torch, g)(torch.from_numpy(z))
    with no_grad():
        np.testing.assert_allclose(images.detach().numpy(), g(Tensor(z)).data, rtol=1e-4, atol=1e-5)
        logits = d(Tensor(images.detach().numpy())).data
    np.testing.assert_allclose(as_pytorch(torch, d)(images).detach().numpy(), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("name", SETTINGS)
def test_the_discriminators_loss_is_the_same(name):
    config = TrainConfig("gan", batch=4, **SETTINGS[name]).completed(GARMENTS)
    rng = np.random.default_rng(1)
    real, fake = (rng.uniform(-1, 1, (4, 1, 28, 28)).astype(np.float32) for _ in range(2))
    game = Game(config)
    twin = as_pytorch(torch, game.networks["discriminator"])
    loss = discriminator_loss(torch, config, twin, torch.from_numpy(real.copy()), torch.from_numpy(fake))
    loss.backward()
    seen = {}
    game.optimizers["d"].step = lambda gradients: seen.update(gradients=gradients)
    update = Update(game.optimizers, step=0)
    game.system._update_discriminator(real.copy(), Tensor(fake), update)
    metrics = update.metrics
    ours = float(metrics["loss_d"]) + (config.own.r1 or 0.0) * float(metrics.get("r1", 0.0))
    assert loss.item() == pytest.approx(ours, rel=1e-5)
    largest = max(np.abs(gradient.data).max() for gradient in seen["gradients"])  # a bias before batch norm has none
    for mine, theirs in zip(seen["gradients"], twin.parameters(), strict=True):
        np.testing.assert_allclose(theirs.grad.numpy(), mine.data, rtol=1e-3, atol=1e-5 * largest)
