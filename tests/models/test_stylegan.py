"""StyleGAN's networks: shapes, what each part does, gradients to second order, and bad input."""

import numpy as np
import pytest

from scratchgan import Tensor, grad, no_grad, ops
from scratchgan.models.stylegan import StyledConv2d, StyleGenerator, ToImage, mix, mixing_mask
from scratchgan.models.stylegan_discriminator import MinibatchDeviation, StyleDiscriminator
from scratchgan.train.losses import r1_penalty
from scratchgan.train.path_length import path_lengths


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0, dtype=np.float32):
    return rng(seed).standard_normal(shape).astype(dtype)


def small(size=8, channels=3, classes=0):
    g = StyleGenerator(size, channels, 6, 5, depth=2, width=3, widest=4, classes=classes, generator=rng())
    d = StyleDiscriminator(size, channels, width=3, widest=4, classes=classes, generator=rng(1))
    for layer in g.synthesis.convolutions:  # they start as 0, which would hide mistakes
        layer.noise_strength.data = np.full(1, 0.3, np.float32)
        layer.bias.data = normal(*layer.bias.shape, seed=2)
    return g, d


@pytest.mark.parametrize(
    ("size", "layers", "ranges"),
    [
        (8, 4, [(0, 1), (1, 2), (2, 4)]),
        (28, 6, [(0, 1), (1, 3), (3, 6)]),
        (20, 6, [(0, 1), (1, 3), (3, 6)]),
        (32, 8, [(0, 3), (3, 5), (5, 8)]),
        (64, 10, [(0, 5), (5, 7), (7, 10)]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes_layers_and_their_names(size, layers, ranges, channels):
    g, d = small(size, channels)
    assert g.layers == layers
    assert [(r.start, r.stop) for r in g.ranges.values()] == ranges
    assert list(g.ranges) == ["coarse", "middle", "fine"]
    with no_grad():
        images = g(normal(2, 6), g.synthesis.draw_noise(rng(), 2))
        assert images.shape == (2, channels, size, size)
        assert images.dtype == np.float32
        assert 0.2 < images.data.std() < 5
        assert d(images).shape == (2, 1)


def test_a_size_out_of_reach():
    for network in (StyleGenerator, StyleDiscriminator):
        with pytest.raises(ValueError, match=r"size 30 cannot be reached .* nearest sizes are 28 and 32"):
            network(30, 1, generator=rng())
        with pytest.raises(ValueError, match=r"width must be from 1 to widest \(16\), got 32"):
            network(32, 1, width=32, widest=16, generator=rng())


def test_a_picture_is_a_function_of_its_styles_and_its_noise():
    g, _ = small()
    z, noise = normal(2, 6), g.synthesis.draw_noise(rng(), 2)
    with no_grad():
        ws = g.spread(g.mapping(z))
        first = g.synthesis(ws, noise).data
        np.testing.assert_array_equal(first, g.synthesis(ws, noise).data)
        np.testing.assert_array_equal(first, g(z, noise).data)
        alone = g.synthesis(ws[1:], noise[1:]).data  # of no other picture in the batch
        np.testing.assert_allclose(alone, first[1:], rtol=1e-4, atol=1e-5)
        for layer, (start, side) in enumerate(g.synthesis.noise_places):  # every layer has noise of its own
            other = noise.copy()
            other[:, start : start + side * side] += 1
            assert np.abs(g.synthesis(ws, other).data - first).max() > 1e-3, layer
        silent = g.synthesis(ws, np.zeros_like(noise)).data
        np.testing.assert_array_equal(g.synthesis(ws).data, silent)
    assert g.synthesis.noise_places == ((0, 4), (16, 8), (80, 8))
    assert g.synthesis.noise_size == noise.shape[1] == 144


def test_every_style_matters_and_only_in_its_layer():
    g, _ = small(16)
    noise = g.synthesis.draw_noise(rng(), 2)
    with no_grad():
        a, b = (g.spread(g.mapping(normal(2, 6, seed=seed))) for seed in (1, 2))
        first = g.synthesis(a, noise).data
        for layer in range(g.layers):
            mask = np.zeros((1, g.layers, 1), bool)
            mask[:, layer] = True
            assert np.abs(g.synthesis(mix(mask, a, b), noise).data - first).max() > 1e-3
        np.testing.assert_array_equal(g.synthesis(mix(np.ones((1, g.layers, 1), bool), a, b), noise).data,
                                      g.synthesis(b, noise).data)  # fmt: skip


@pytest.mark.parametrize("up", [False, True])
def test_scaled_activations_are_modulated_weights(up):
    """The formula of the paper, a convolution with weights of its own for each picture (2020, equations 1 and 3)."""
    layer = StyledConv2d(4, 5, 6, up, generator=rng())
    layer.bias.data, layer.noise_strength.data = normal(5), np.full(1, 0.7, np.float32)
    side = 10 if up else 5
    x, w, noise = normal(3, 4, 5, 5), normal(3, 6, seed=1), normal(3, 1, side, side, seed=2)
    result = layer(x, w, noise).data
    s = layer.style(w).data
    for i in range(3):
        weight = layer.weight.data * s[i][None, :, None, None]
        weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        picture = x[i : i + 1]
        if up:  # zeros between the pixels, convolution, [1,3,3,1]; ours computes it in another order but at the border
            zeros = np.zeros((1, 4, 10, 10), np.float32)
            zeros[:, :, ::2, ::2] = picture
            y = ops.upfirdn2d(ops.conv2d(zeros, weight, padding=2), np.array([1, 3, 3, 1]) / 4, padding=1).data
            y = y[:, :, :10, :10]
        else:
            y = ops.conv2d(picture, weight, padding=1).data
        y = y + 0.7 * noise[i] + layer.bias.data[:, None, None]
        expected = np.where(y > 0, y, 0.2 * y) * np.sqrt(2)
        inner = slice(2, -2)
        np.testing.assert_allclose(result[i][:, inner, inner], expected[0][:, inner, inner], rtol=1e-4, atol=1e-5)


def test_demodulation_gives_unit_variance():
    layer = StyledConv2d(64, 64, 6, False, generator=rng())
    layer.weight.data = layer.weight.data * 37  # any factor is undone
    y = layer(normal(8, 64, 8, 8), normal(8, 6, seed=1) * 2).data
    before = np.where(y > 0, y, y / 0.2) / np.sqrt(2)
    assert before[:, :, 1:-1, 1:-1].var() == pytest.approx(1, rel=0.1)


def test_the_style_mask_of_training():
    mask = mixing_mask(rng(), 2000, 8, 0.9)
    assert mask.shape == (2000, 8, 1)
    assert mask.dtype == bool
    first = np.where(mask.any(1)[:, 0], mask[:, :, 0].argmax(1), 8)
    assert (mask[:, :, 0] == (np.arange(8) >= first[:, None])).all()  # from a layer on
    counts = np.bincount(first, minlength=9)
    assert counts[0] == 0  # the first layer is always the first style's
    assert abs(counts[8] - 200) < 60
    assert (np.abs(counts[1:8] - 1800 / 7) < 70).all()
    assert not mixing_mask(rng(), 10, 8, 0.0).any()
    assert mixing_mask(rng(), 10, 8, 1.0).any(1).all()
    with pytest.raises(ValueError, match=r"probability must be in \[0, 1\], got 1.5"):
        mixing_mask(rng(), 10, 8, 1.5)


def test_the_average_style_and_truncation():
    g, _ = small()
    for _ in range(20):
        g.track(g.mapping(normal(64, 6)), decay=0.5)
    w = g.mapping(normal(64, 6))
    np.testing.assert_allclose(g.w_average, w.data.mean(0), rtol=1e-3, atol=1e-5)
    ws = g.spread(g.mapping(normal(2, 6, seed=3)))
    np.testing.assert_allclose(g.truncate(ws, 1.0).data, ws.data)
    np.testing.assert_allclose(g.truncate(ws, 0.0).data, np.broadcast_to(g.w_average, ws.shape), rtol=1e-5, atol=1e-6)
    half = g.truncate(ws, 0.5, g.ranges["coarse"]).data
    np.testing.assert_allclose(half[:, 0], (ws.data[:, 0] + g.w_average) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(half[:, 1:], ws.data[:, 1:])
    noise = g.synthesis.draw_noise(rng(), 2)
    z = normal(2, 6, seed=3)
    np.testing.assert_array_equal(g(z, noise, psi=0.5).data, g.synthesis(g.truncate(ws, 0.5), noise).data)


def test_the_same_seed_gives_the_same_networks_and_the_state_goes_over():
    (g, d), (other_g, other_d) = small(), small()
    for network, other in ((g, other_g), (d, other_d)):
        state = network.state_dict()
        for name, array in other.state_dict().items():
            np.testing.assert_array_equal(state[name], array, err_msg=name)
    fresh = StyleGenerator(8, 3, 6, 5, depth=2, width=3, widest=4, generator=rng(9))
    g.track(g.mapping(normal(8, 6)))
    fresh.load_state_dict(g.state_dict())
    assert "w_average" in g.state_dict()
    z, noise = normal(2, 6), g.synthesis.draw_noise(rng(), 2)
    np.testing.assert_array_equal(fresh(z, noise, psi=0.7).data, g(z, noise, psi=0.7).data)


def test_the_names_of_the_state():
    g, d = small()
    assert [name for name in g.state_dict() if "mapping" in name] == [
        "mapping.layers.0.weight", "mapping.layers.0.bias", "mapping.layers.1.weight", "mapping.layers.1.bias"
    ]  # fmt: skip
    assert {name.split(".", 2)[-1] for name in g.state_dict() if name.startswith("synthesis.convolutions.1.")} == {
        f"1.{name}" for name in ("weight", "bias", "noise_strength", "style.weight", "style.bias")
    }
    assert {name for name in d.state_dict() if name.startswith("blocks.")} == {
        f"blocks.0.{name}" for name in ("first.weight", "first.bias", "second.weight", "second.bias", "skip.weight")
    }


# Labels


def test_labels_guide_both_networks():
    g, d = small(classes=3)
    z, noise, labels = normal(2, 6), g.synthesis.draw_noise(rng(), 2), np.array([0, 2])
    images = g(z, noise, labels)
    assert np.abs(images.data - g(z, noise, labels[::-1].copy()).data).max() > 1e-3
    logits = d(images, labels)
    assert logits.shape == (2, 1)
    assert np.abs(logits.data - d(images, labels[::-1].copy()).data).max() > 1e-5
    np.testing.assert_array_equal(g(z, noise, Tensor(labels)).data, images.data)


def test_labels_that_do_not_fit():
    g, d = small(classes=3)
    plain, _ = small()
    z, images = normal(2, 6), normal(2, 3, 8, 8)
    for call, message in [
        (lambda: g(z), r"MappingNetwork: it has 3 classes and needs labels, \(2,\) integers from 0 to 2"),
        (lambda: d(images), "StyleDiscriminator: it has 3 classes and needs labels"),
        (lambda: plain(z, labels=np.array([0, 1])), "MappingNetwork: it has no classes"),
        (lambda: g(z, labels=np.array([0, 3])), "labels run from 0 to 3, but there are 3 classes"),
        (lambda: g(z, labels=np.array([0.0, 1.0])), r"labels must be \(2,\) integers, got float64 \(2,\)"),
        (lambda: g(z, labels=np.array([0])), r"labels must be \(2,\) integers, got int64 \(1,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_inputs_of_the_wrong_shape():
    g, d = small()
    ws = g.spread(g.mapping(normal(2, 6)))
    for call, message in [
        (lambda: g.mapping(normal(2, 7)), r"MappingNetwork: z must be \(N,6\), got \(2, 7\)"),
        (lambda: g.synthesis(normal(2, 5)), r"ws must be \(N,4,5\), a style for each layer, got \(2, 5\)"),
        (lambda: g.synthesis(ws, normal(2, 100)), r"noise must be \(2,144\), got \(2, 100\)"),
        (lambda: d(normal(2, 1, 8, 8)), r"images must be \(N,3,8,8\), got \(2, 1, 8, 8\)"),
        (lambda: StyleGenerator(8, 3, depth=0, generator=rng()), "depth must be at least 1, got 0"),
        (lambda: MinibatchDeviation(0), "group must be at least 1, got 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


# The minibatch standard deviation


def test_minibatch_deviation():
    x = normal(6, 4, 3, 3)
    y = MinibatchDeviation(3)(x).data
    np.testing.assert_array_equal(y[:, :4], x)
    for i in range(2):  # picture i is in group i mod 2
        expected = x[i::2].std(0).mean()
        np.testing.assert_allclose(y[i::2, 4], expected, rtol=1e-5)
    same = MinibatchDeviation(3)(np.broadcast_to(x[:1], x.shape).copy()).data
    np.testing.assert_allclose(same[:, 4], 0, atol=2e-4)
    np.testing.assert_allclose(MinibatchDeviation(8)(x).data[:, 4], x.std(0).mean(), rtol=1e-5)  # one group


def test_a_batch_that_can_not_be_divided():
    with pytest.raises(ValueError, match="a batch of 6 can't be divided into groups of 4; use a batch that is a mult"):
        small()[1](normal(6, 3, 8, 8))


# Gradients, each against the central difference along a random direction of all parameters, in float64


def agrees_with_differences(network, loss, step=1e-6):
    """loss() is a number as a Tensor; every parameter must take part in it."""
    parameters = network.parameters()
    gradients = grad(loss(), parameters)
    for name, gradient in zip([name for name, _ in network.named_parameters()], gradients, strict=True):
        assert np.abs(gradient.data).max() > 0, name
    values = [p.data for p in parameters]
    directions = [normal(*p.shape, seed=i, dtype=np.float64) for i, p in enumerate(parameters)]
    ends = []
    for sign in (1, -1):
        for p, value, direction in zip(parameters, values, directions, strict=True):
            p.data = value + sign * step * direction
        ends.append(loss().item())
    for p, value in zip(parameters, values, strict=True):
        p.data = value
    slope = sum((g.data * v).sum() for g, v in zip(gradients, directions, strict=True))
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("classes", [0, 3])
def test_gradients_through_both_networks(classes):
    g, d = (network.to(dtype=np.float64) for network in small(classes=classes))
    z, noise = normal(4, 6, dtype=np.float64), g.synthesis.draw_noise(rng(), 4).astype(np.float64)
    labels = np.array([0, 1, 2, 1]) if classes else None
    agrees_with_differences(g, lambda: ops.mean(ops.softplus(-d(g(z, noise, labels), labels))))
    images = Tensor(g(z, noise, labels).data)
    agrees_with_differences(d, lambda: ops.mean(ops.softplus(d(images, labels))))


def test_second_order_through_the_discriminator():
    """R1: what training differentiates is a gradient. The last bias drops out of it, so it gets its own term."""
    d = small()[1].to(dtype=np.float64)

    def loss():
        real = Tensor(normal(4, 3, 8, 8, dtype=np.float64), requires_grad=True)
        logits = d(real)
        return r1_penalty(logits, real) + ops.mean(logits)

    agrees_with_differences(d, loss)


def test_second_order_through_the_generator():
    """Path length, of a generator whose biases of pictures drop out in the same way."""
    g = small()[0].to(dtype=np.float64)
    noise = g.synthesis.draw_noise(rng(), 2).astype(np.float64)

    def loss():
        ws = g.spread(g.mapping(normal(2, 6, dtype=np.float64)))
        images = g.synthesis(ws, noise)
        return ops.mean((path_lengths(images, ws, rng(5)) - 0.3) ** 2) + ops.mean(images)

    agrees_with_differences(g, loss)


def test_a_picture_read_out_is_a_modulated_convolution():
    layer = ToImage(4, 3, 5, generator=rng())
    layer.bias.data = normal(3)
    x, w = normal(2, 4, 3, 3), normal(2, 5, seed=1)
    s = layer.style(w).data / 2
    expected = np.einsum("oi,ni,nihw->nohw", layer.weight.data[:, :, 0, 0], s, x) + layer.bias.data[:, None, None]
    np.testing.assert_allclose(layer(x, w).data, expected, rtol=1e-5, atol=1e-6)


# PyTorch as an oracle: the benchmark's networks, with the same weights


@pytest.mark.peer
@pytest.mark.parametrize("grouped", [False, True])
def test_values_and_gradients_are_pytorchs(grouped):
    torch = pytest.importorskip("torch")
    from benchmarks.step import stylegan_pytorch

    g, d = (network.to(dtype=np.float64) for network in small(16))
    settings = {"latent": 6, "w": 5, "depth": 2, "width": 3, "widest": 4, "group": 4}
    theirs = stylegan_pytorch.networks(torch, (3, 16, 16), settings, grouped=grouped, exact_border=True)
    g2, d2 = (network.double() for network in theirs)
    for ours, peer in ((g, g2), (d, d2)):
        peer.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in ours.state_dict().items()})
    z, noise = normal(4, 6, dtype=np.float64), g.synthesis.draw_noise(rng(), 4).astype(np.float64)
    y = normal(4, 3, 16, 16, dtype=np.float64, seed=3)

    ws = g.spread(g.mapping(z))
    images = g.synthesis(ws, noise)
    (back,) = grad(ops.sum(images * y), ws, create_graph=True)
    logits = d(images)
    loss_g = ops.mean(ops.softplus(-logits)) + ops.mean(back * back)
    gradients_g = grad(loss_g, g.parameters())
    real = Tensor(images.data, requires_grad=True)
    real_logits = d(real)
    loss_d = ops.mean(ops.softplus(-real_logits)) + r1_penalty(real_logits, real)
    gradients_d = grad(loss_d, d.parameters())

    ws2 = g2.mapping(torch.from_numpy(z))[:, None].expand(-1, g.layers, -1)
    images2 = g2.synthesis(ws2, torch.from_numpy(noise))
    (back2,) = torch.autograd.grad((images2 * torch.from_numpy(y)).sum(), ws2, create_graph=True)
    softplus = torch.nn.functional.softplus
    loss_g2 = softplus(-d2(images2)).mean() + (back2 * back2).mean()
    gradients_g2 = torch.autograd.grad(loss_g2, list(g2.parameters()))
    real2 = images2.detach().requires_grad_()
    real_logits2 = d2(real2)
    (gx2,) = torch.autograd.grad(real_logits2.sum(), real2, create_graph=True)
    loss_d2 = softplus(-real_logits2).mean() + gx2.square().sum((1, 2, 3)).mean() / 2
    gradients_d2 = torch.autograd.grad(loss_d2, list(d2.parameters()))

    np.testing.assert_allclose(images.data, images2.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(real_logits.data, real_logits2.detach().numpy(), rtol=1e-9, atol=1e-9)
    names = [name for name, _ in (*g.named_parameters(), *d.named_parameters())]
    pairs = zip((*gradients_g, *gradients_d), (*gradients_g2, *gradients_d2), strict=True)
    for name, (mine, peer) in zip(names, pairs, strict=True):
        peer = peer.numpy()
        np.testing.assert_allclose(mine.data, peer, rtol=1e-7, atol=1e-8 * np.abs(peer).max(), err_msg=name)
