"""The GAN's networks: sizes, structure, and that they are PyTorch's modules of the same names."""

import numpy as np
import pytest

from scratchgan import Tensor, no_grad
from scratchgan.models.gan import NORMS, Discriminator, Generator, doublings, gan28, gan64


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("size", "plan"), [(8, (4, 1)), (16, (4, 2)), (28, (7, 2)), (48, (6, 3)), (128, (4, 5))])
def test_sizes_within_reach(size, plan):
    assert doublings(size) == plan


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (30, "size 30 cannot be reached .* nearest sizes are 28 and 32"),
        (33, "nearest sizes are 32 and 40"),
        (100, "nearest sizes are 96 and 112"),
        (127, "nearest sizes are 112 and 128"),
        (7, "size 7 is too small .* the smallest is 8"),
    ],
)
def test_sizes_out_of_reach(size, message):
    with pytest.raises(ValueError, match=message):
        Generator(size, 1, generator=rng())


@pytest.mark.parametrize("size", [8, 20, 28])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_and_a_logit_of_the_right_shape(size, channels):
    images = Generator(size, channels, latent=5, width=4, generator=rng())(rng().standard_normal((2, 5), np.float32))
    assert images.shape == (2, channels, size, size)
    assert images.dtype == np.float32
    assert np.abs(images.data).max() < 1
    assert Discriminator(size, channels, width=4, generator=rng())(images).shape == (2, 1)


@pytest.mark.parametrize("norm", NORMS)
def test_normalisations_of_d(norm):
    d = Discriminator(16, 1, width=4, norm=norm, generator=rng())
    x = Tensor(rng().standard_normal((6, 1, 16, 16), np.float32))
    together, alone = d(x).data, np.concatenate([d.eval()(x[i : i + 1]).data for i in range(6)])
    if norm == "batch":
        assert not np.allclose(together, alone, rtol=1e-3)
    if norm in ("none", "layer"):  # no image's logit depends on the others
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)
    names = {name for name, _ in d.named_parameters()}
    assert ("0.parametrizations.weight.original" in names) == (norm == "spectral")


def test_an_unknown_normalisation():
    with pytest.raises(ValueError, match="norm must be one of none, batch, layer, spectral, got 'instance'"):
        Discriminator(16, 1, norm="instance", generator=rng())


def shapes(module):
    return {name: p.shape for name, p in module.named_parameters()}


def test_the_benchmark_networks_for_28_pixels():
    g, d = gan28(generator=rng())
    assert shapes(g) == {
        "0.weight": (6272, 64), "0.bias": (6272,), "2.weight": (128,), "2.bias": (128,),
        "4.weight": (128, 128, 3, 3), "4.bias": (128,), "5.weight": (128,), "5.bias": (128,),
        "8.weight": (64, 128, 3, 3), "8.bias": (64,), "9.weight": (64,), "9.bias": (64,),
        "11.weight": (1, 64, 3, 3), "11.bias": (1,),
    }  # fmt: skip
    assert shapes(d) == {
        "0.weight": (64, 1, 4, 4), "0.bias": (64,), "2.weight": (128, 64, 4, 4), "2.bias": (128,),
        "5.weight": (1, 6272), "5.bias": (1,),
    }  # fmt: skip
    with no_grad():
        assert d(g(rng().standard_normal((2, 64), np.float32))).shape == (2, 1)


def test_the_benchmark_networks_for_64_pixels():
    g, d = gan64(generator=rng())
    convolutions = {name: shape for name, shape in shapes(g).items() if len(shape) == 4}
    assert list(convolutions.values()) == [
        (256, 512, 3, 3), (128, 256, 3, 3), (64, 128, 3, 3), (64, 64, 3, 3), (3, 64, 3, 3)
    ]  # fmt: skip
    assert shapes(g)["0.weight"] == (8192, 128)
    assert [s for s in shapes(d).values() if len(s) > 1] == [
        (64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 8192)
    ]  # fmt: skip
    kinds = [type(layer).__name__ for layer in d]
    assert kinds == ["Conv2d", "Identity", *["Conv2d", "BatchNorm2d", "Identity"] * 3, "Flatten", "Linear"]


# PyTorch as an oracle: the same layers, spelled out in its own modules.


def torch_networks(size, channels, latent, width, norm):
    from torch import nn
    from torch.nn.utils.parametrizations import spectral_norm

    base, k = doublings(size)
    features = [width * min(2 ** max(k - 1 - i, 0), 8) for i in range(k + 1)]
    g = [nn.Linear(latent, features[0] * base**2), nn.Unflatten(1, (features[0], base, base))]
    g += [nn.BatchNorm2d(features[0]), nn.ReLU()]
    for i in range(k):
        g += [nn.Upsample(scale_factor=2), nn.Conv2d(features[i], features[i + 1], 3, padding=1)]
        g += [nn.BatchNorm2d(features[i + 1]), nn.ReLU()]
    g += [nn.Conv2d(features[k], channels, 3, padding=1), nn.Tanh()]

    wrap = spectral_norm if norm == "spectral" else lambda layer: layer
    features = [channels, *(width * min(2**i, 8) for i in range(k))]
    d = []
    for i in range(k):
        d.append(wrap(nn.Conv2d(features[i], features[i + 1], 4, stride=2, padding=1)))
        if i and norm == "batch":
            d.append(nn.BatchNorm2d(features[i + 1]))
        if i and norm == "layer":
            d.append(nn.GroupNorm(1, features[i + 1]))
        d.append(nn.LeakyReLU(0.2))
    d += [nn.Flatten(), wrap(nn.Linear(features[k] * base**2, 1))]
    return nn.Sequential(*g), nn.Sequential(*d)


@pytest.mark.peer
@pytest.mark.parametrize("norm", NORMS)
def test_weights_go_to_pytorch_and_back(norm):
    torch = pytest.importorskip("torch")
    ours = Generator(32, 3, 16, 8, generator=rng()), Discriminator(32, 3, 8, norm, generator=rng())
    theirs = torch_networks(32, 3, 16, 8, norm)
    z = rng().standard_normal((4, 16), np.float32)
    with no_grad(), torch.no_grad():
        ours[0](z)  # running statistics other than those of the beginning
        for mine, peer in zip(ours, theirs, strict=True):
            peer.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in mine.state_dict().items()})
            mine.eval(), peer.eval()
        images, logits = ours[0](z), ours[1](ours[0](z))
        their_images = theirs[0](torch.from_numpy(z))
        np.testing.assert_allclose(images.data, their_images.numpy(), atol=1e-5)
        np.testing.assert_allclose(logits.data, theirs[1](their_images).numpy(), atol=1e-5)

        for mine, peer in zip(ours, theirs, strict=True):  # and the other way, with other weights
            for parameter in peer.parameters():
                parameter.mul_(1.25)
            mine.load_state_dict({name: tensor.numpy() for name, tensor in peer.state_dict().items()})
        their_images = theirs[0](torch.from_numpy(z))
        np.testing.assert_allclose(ours[0](z).data, their_images.numpy(), atol=1e-5)
        np.testing.assert_allclose(ours[1](ours[0](z)).data, theirs[1](their_images).numpy(), atol=1e-5)
