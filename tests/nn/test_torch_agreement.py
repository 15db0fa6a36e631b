"""Networks against the same networks in PyTorch: state dicts both ways, outputs, running statistics, gradients."""

import numpy as np
import pytest
import safetensors.numpy

from scratchgan import Tensor, grad, nn

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")
pytestmark = pytest.mark.peer


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def generators():
    g = rng(1)
    ours = nn.Sequential(
        nn.Linear(16, 32 * 4 * 4, bias=False, generator=g),
        nn.Unflatten(1, (32, 4, 4)),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Identity(),
        nn.UpsampleConv2d(32, 16, 3, padding=1, bias=False, generator=g),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False, generator=g),
        nn.BatchNorm2d(8, momentum=0.2),
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(8, 3, 3, padding=1, generator=g),
        nn.Tanh(),
    )
    t = torch.nn
    theirs = t.Sequential(
        t.Linear(16, 32 * 4 * 4, bias=False),
        t.Unflatten(1, (32, 4, 4)),
        t.BatchNorm2d(32),
        t.ReLU(),
        t.Upsample(scale_factor=2),
        t.Conv2d(32, 16, 3, padding=1, bias=False),
        t.BatchNorm2d(16),
        t.ReLU(),
        t.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
        t.BatchNorm2d(8, momentum=0.2),
        t.ReLU(),
        t.Upsample(scale_factor=2, mode="bilinear"),
        t.Conv2d(8, 3, 3, padding=1),
        t.Tanh(),
    )
    return ours, theirs, (8, 16)


def discriminators():
    g = rng(2)

    def spectral(layer):
        return nn.spectral_norm(layer, generator=g)

    ours = nn.Sequential(
        spectral(nn.Conv2d(3, 8, 4, 2, 1, generator=g)),
        nn.LeakyReLU(0.2),
        spectral(nn.Conv2d(8, 16, 4, 2, 1, groups=2, bias=False, generator=g)),
        nn.InstanceNorm2d(16, affine=True),
        nn.LeakyReLU(0.2),
        spectral(nn.ConvTranspose2d(16, 12, 3, 2, 1, 1, generator=g)),
        nn.GroupNorm(3, 12),
        nn.Softplus(),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.LayerNorm(192),
        spectral(nn.Linear(192, 1, generator=g)),
    )
    t = torch.nn
    spectral = t.utils.parametrizations.spectral_norm
    theirs = t.Sequential(
        spectral(t.Conv2d(3, 8, 4, 2, 1)),
        t.LeakyReLU(0.2),
        spectral(t.Conv2d(8, 16, 4, 2, 1, groups=2, bias=False)),
        t.InstanceNorm2d(16, affine=True),
        t.LeakyReLU(0.2),
        spectral(t.ConvTranspose2d(16, 12, 3, 2, 1, 1)),
        t.GroupNorm(3, 12),
        t.Softplus(),
        t.MaxPool2d(3, 2, 1),
        t.AvgPool2d(2),
        t.Flatten(),
        t.LayerNorm(192),
        spectral(t.Linear(192, 1)),
    )
    return ours, theirs, (4, 3, 32, 32)


def exchange(ours, theirs, folder, ours_first: bool) -> None:
    """Carry the state over in a safetensors file, written by one side's library and read by the other's."""
    path = folder / "state.safetensors"
    if ours_first:
        safetensors.numpy.save_file(ours.state_dict(), path)
        theirs.load_state_dict(safetensors_torch.load_file(path))
    else:
        safetensors_torch.save_file(theirs.state_dict(), path)
        ours.load_state_dict(safetensors.numpy.load_file(path))


@pytest.mark.parametrize("pair", [generators, discriminators])
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours to theirs", "theirs to ours"])
def test_a_state_dict_carries_over(pair, ours_first, tmp_path):
    """Exchange the state, train a few batches in both, and compare everything on the way."""
    torch.manual_seed(0)
    ours, theirs, shape = pair()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    exchange(ours, theirs, tmp_path, ours_first)
    for i in range(3):
        x = rng(i).standard_normal(shape).astype(np.float32)
        y, their_y = ours(x), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.numpy(), their_y.detach().numpy(), rtol=1e-5, atol=1e-5)
    weights = rng(9).standard_normal(y.shape).astype(np.float32)
    gradients = grad((y * weights).mean(), ours.parameters())
    theirs.zero_grad()
    (their_y * torch.tensor(weights)).mean().backward()
    for (name, p), (their_name, q), g in zip(
        ours.named_parameters(), theirs.named_parameters(), gradients, strict=True
    ):
        assert name == their_name
        assert p.shape == tuple(q.shape)
        scale = float(q.grad.abs().max())
        np.testing.assert_allclose(g.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-4 * scale + 1e-7, err_msg=name)
    for (key, array), value in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert array.dtype == value.numpy().dtype, key
        np.testing.assert_allclose(array, value.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    y, their_y = ours.eval()(x), theirs.eval()(torch.tensor(x))
    np.testing.assert_allclose(y.numpy(), their_y.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(300, 200), (40, 30, 3, 3)])
def test_initialisers_have_pytorchs_distributions(shape):
    for name, options in [
        ("kaiming_uniform_", {"a": 0.3, "mode": "fan_out"}),
        ("kaiming_normal_", {"nonlinearity": "relu"}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
    ]:
        ours, theirs = nn.Parameter(np.empty(shape, np.float32)), torch.empty(shape)
        getattr(nn.init, name)(ours, **options, generator=rng())
        torch.manual_seed(0)
        getattr(torch.nn.init, name)(theirs, **options)
        levels = np.linspace(0.02, 0.98, 9)
        spread = float(theirs.std())
        np.testing.assert_allclose(
            np.quantile(ours.numpy(), levels), np.quantile(theirs.numpy(), levels), atol=0.06 * spread, err_msg=name
        )


def test_text_of_layers():
    g = rng()
    ours = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2, 1, groups=2, bias=False, generator=g), nn.Linear(2, 3, generator=g), nn.Tanh()
    )
    t = torch.nn
    assert repr(ours) == repr(t.Sequential(t.Conv2d(2, 4, 3, 2, 1, groups=2, bias=False), t.Linear(2, 3), t.Tanh()))


def test_a_gradient_penalty_through_spectral_norm(tmp_path):
    """Second order: the gradient of |dD/dx|^2 with respect to D's weights."""
    torch.manual_seed(0)
    ours, theirs, shape = discriminators()
    exchange(ours, theirs, tmp_path, ours_first=True)
    x = rng(3).standard_normal(shape).astype(np.float32)
    z = Tensor(x, requires_grad=True)
    (gx,) = grad(ours(z).sum(), z, create_graph=True)
    gradients = grad((gx * gx).sum(), ours.parameters(), allow_unused=True)
    their_z = torch.tensor(x, requires_grad=True)
    (their_gx,) = torch.autograd.grad(theirs(their_z).sum(), their_z, create_graph=True)
    expected = torch.autograd.grad((their_gx**2).sum(), list(theirs.parameters()), allow_unused=True)
    np.testing.assert_allclose(gx.numpy(), their_gx.detach().numpy(), rtol=1e-4, atol=1e-6)
    for (name, _), g, q in zip(ours.named_parameters(), gradients, expected, strict=True):
        q = np.zeros(g.shape, np.float32) if q is None else q.numpy()
        np.testing.assert_allclose(g.numpy(), q, rtol=2e-3, atol=2e-4 * np.abs(q).max() + 1e-7, err_msg=name)
