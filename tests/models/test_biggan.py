"""BigGAN's networks: shapes, conditions, gradients to second order, standing statistics, truncation, PyTorch."""

import copy
import math

import numpy as np
import pytest

from scratchgan import Tensor, grad, nn, no_grad, ops
from scratchgan.models.biggan import (
    ClassEmbedding,
    ConditionalBatchNorm2d,
    Discriminator,
    Generator,
    SelfAttention,
    standing_statistics,
    truncated_normal,
)
from scratchgan.models.gan import doublings


def rng(seed=0):
    return np.random.default_rng(seed)


def tiny(size=8, channels=1, attention=0, dtype=np.float32):
    """G and D for 3 classes, with 8 and 8 channels beside the image."""
    g = Generator(size, channels, 3, latent=5, width=8, embedding=4, attention=attention, generator=rng(1))
    d = Discriminator(size, channels, 3, width=8, attention=attention, generator=rng(2))
    return g.to(dtype=dtype), d.to(dtype=dtype)


def latents(n, latent=5, seed=0, dtype=np.float32):
    return rng(seed).standard_normal((n, latent)).astype(dtype)


@pytest.mark.parametrize(("size", "channels", "attention"), [(8, 3, 0), (28, 1, 14), (32, 3, 8), (64, 3, 32)])
def test_an_image_and_a_logit_of_the_right_shape(size, channels, attention):
    g, d = tiny(size, channels, attention)
    images = g(latents(2), [0, 2])
    assert images.shape == (2, channels, size, size)
    assert images.dtype == np.float32
    assert np.abs(images.data).max() <= 1
    assert d(images, np.array([0, 2])).shape == (2, 1)


@pytest.mark.parametrize("size", [28, 64])
def test_attention_stands_at_its_size(size):
    base, k = doublings(size)
    for attention in [base * 2**i for i in range(1, k)]:
        seen = []
        g, d = tiny(size, 1, attention)
        for network in (g, d):
            whole = network.attention.forward
            network.attention.forward = lambda x, whole=whole, seen=seen: seen.append(x.shape[2]) or whole(x)
        d(g(latents(2), [0, 1]), [0, 1])
        assert seen == [attention, attention]


def test_both_networks_look_at_the_class():
    g, d = tiny()
    g.eval(), d.eval()
    z = latents(1).repeat(3, 0)
    images = g(z, [0, 1, 1]).data
    np.testing.assert_array_equal(images[1], images[2])
    assert np.abs(images[0] - images[1]).max() > 1e-3
    x = images[:1].repeat(3, 0)
    logits = d(x, [0, 1, 2]).data[:, 0]
    assert len(set(logits.tolist())) == 3


def test_the_projection_is_an_inner_product_with_the_features():
    _, d = tiny()
    d.eval()
    x = rng().uniform(-1, 1, (2, 1, 8, 8)).astype(np.float32)
    by_class = np.stack([d(x, [label] * 2).data[:, 0] for label in range(3)], 1)
    features = []
    d.linear.forward = lambda h: features.append(h.data) or Tensor(np.zeros((2, 1), np.float32))
    alone = np.stack([d(x, [label] * 2).data[:, 0] for label in range(3)], 1)
    np.testing.assert_allclose(alone, features[0] @ d.projection.weight.data.T, rtol=1e-4, atol=1e-5)
    shared = by_class - alone  # the part that no class has a share in
    np.testing.assert_allclose(shared, shared[:, :1].repeat(3, 1), rtol=1e-4, atol=1e-5)


def test_labels_as_numbers_as_one_hot_rows_and_mixed():
    table = ClassEmbedding(3, 4, generator=rng())
    eye = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(table([2, 0]).data, table(eye[[2, 0]]).data)
    np.testing.assert_allclose(table([2, 0]).data, table.weight.data[[2, 0]])
    half = table(np.float32([[0.5, 0.5, 0]])).data
    np.testing.assert_allclose(half[0], table.weight.data[:2].mean(0), rtol=1e-6)


def test_conditional_batch_norm_by_its_formula():
    layer = ConditionalBatchNorm2d(3, 2, generator=rng())
    x, c = rng(1).standard_normal((4, 3, 5, 5)), rng(2).standard_normal((4, 2))
    layer.to(dtype=np.float64)
    gain, bias = 1 + c @ layer.gain.weight.data.T, c @ layer.bias.weight.data.T
    normalised = (x - x.mean((0, 2, 3), keepdims=True)) / np.sqrt(x.var((0, 2, 3), keepdims=True) + 1e-5)
    expected = np.maximum(normalised * gain[:, :, None, None] + bias[:, :, None, None], 0)
    y = layer(Tensor(x), Tensor(c)).data  # its power iterations have moved the weights a little
    np.testing.assert_allclose(y, expected, atol=0.02)
    np.testing.assert_allclose(layer.norm.running_mean, 0.1 * x.mean((0, 2, 3)), rtol=1e-6)


def test_attention_is_the_identity_at_first_and_the_formula_after():
    layer = SelfAttention(8, generator=rng()).eval().to(dtype=np.float64)
    x = rng(1).standard_normal((2, 8, 4, 6))
    np.testing.assert_array_equal(layer(x).data, x)
    layer.gamma.data = np.array([0.7])
    weights = [m.weight.data[:, :, 0, 0] for m in (layer.query, layer.key, layer.value, layer.output)]
    for image, y in zip(x, layer(x).data, strict=True):
        query, key, value = (np.einsum("oc,chw->ohw", w, image) for w in weights[:3])
        key, value = (v.reshape(len(v), 2, 2, 3, 2).max((2, 4)).reshape(len(v), 6) for v in (key, value))
        for i in range(4):
            for j in range(6):
                score = np.exp(query[:, i, j] @ key)
                seen = value @ (score / score.sum())
                np.testing.assert_allclose(y[:, i, j], image[:, i, j] + 0.7 * weights[3] @ seen, rtol=1e-9)


@pytest.mark.parametrize("which", ["generator", "discriminator"])
def test_gradients_by_finite_differences(which):
    """In evaluation, where nothing moves between two calls; float64."""
    g, d = tiny(16, 1, 8, np.float64)
    for network in (g, d):
        network.eval()
        network.attention.gamma.data = np.array([0.5])
    z, labels = latents(2, dtype=np.float64), [2, 1]
    network, function = (g, lambda: d(g(z, labels), labels)) if which == "generator" else (d, lambda: d(fake, labels))
    with no_grad():
        fake = g(z, labels)
    parameters = network.parameters()
    gradients = grad(function().sum(), parameters)
    draws = rng(5)
    for (name, parameter), gradient in zip(network.named_parameters(), gradients, strict=True):
        start, direction = parameter.data, draws.standard_normal(parameter.shape)
        values = []
        for h in (1e-6, -1e-6):
            parameter.data = start + h * direction
            values.append(function().data.sum())
        parameter.data = start
        slope = (gradient.data * direction).sum()
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-3, abs=1e-5), name


def test_second_order_by_finite_differences():
    """The gradient of a penalty on D's slope at images, as R1 takes it."""
    _, d = tiny(8, 1, 0, np.float64)
    d.eval()
    x = Tensor(rng(3).uniform(-1, 1, (2, 1, 8, 8)), requires_grad=True)

    def penalty():
        (gx,) = grad(d(x, [0, 1]).sum(), x, create_graph=True)
        return (gx * gx).sum()

    gradients = grad(penalty(), d.parameters(), allow_unused=True)
    draws = rng(5)
    checked = 0
    for (name, parameter), gradient in zip(d.named_parameters(), gradients, strict=True):
        start, direction = parameter.data, draws.standard_normal(parameter.shape)
        values = []
        for h in (1e-6, -1e-6):
            parameter.data = start + h * direction
            values.append(penalty().item())
        parameter.data = start
        slope = 0.0 if gradient is None else (gradient.data * direction).sum()
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-3, abs=1e-5), name
        checked += abs(slope) > 1e-4
    assert checked > 5


def test_the_same_seed_gives_the_same_networks_and_images():
    (g, d), (g2, d2) = tiny(16, 3, 8), tiny(16, 3, 8)
    for mine, other in ((g, g2), (d, d2)):
        for key, array in mine.state_dict().items():
            np.testing.assert_array_equal(array, other.state_dict()[key], err_msg=key)
    for _ in range(2):
        np.testing.assert_array_equal(
            d(g(latents(3), [0, 1, 2]), [0, 1, 2]).data, d2(g2(latents(3), [0, 1, 2]), [0, 1, 2]).data
        )


def test_a_state_dict_restores_power_iterations_and_statistics():
    g, d = tiny(16, 1, 8)
    d(g(latents(4), [0, 1, 2, 0]), [0, 1, 2, 0])
    other_g, other_d = (
        Generator(16, 1, 3, 5, 8, 4, 8, generator=rng(8)),
        Discriminator(16, 1, 3, 8, 8, generator=rng(9)),
    )
    other_g.load_state_dict(g.state_dict())
    other_d.load_state_dict(d.state_dict())
    z = latents(3, seed=4)
    images = g(z, [0, 1, 2])  # in training: each call moves the vectors of the power iterations
    np.testing.assert_array_equal(other_g(z, [0, 1, 2]).data, images.data)
    np.testing.assert_array_equal(other_d(images, [0, 1, 2]).data, d(images, [0, 1, 2]).data)
    assert any(key.endswith("_u") for key in g.state_dict())
    assert "blocks.0.norm1.norm.running_mean" in g.state_dict()


def test_every_weight_is_orthogonal_and_normalised_at_first():
    g, d = tiny(16, 1, 8)
    layers = [m for network in (g, d) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(layers) > 20
    for layer in layers:
        weight = layer.weight.data.reshape(len(layer.weight), -1)
        smaller = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
        np.testing.assert_allclose(smaller, np.eye(len(smaller)), atol=1e-5)
        assert layer is g.shared or "parametrizations" in vars(layer)


def test_standing_statistics_are_means_over_batches():
    g, _ = tiny()
    batches = [(latents(6, seed=i), rng(i).integers(0, 3, 6)) for i in range(3)]
    before = copy.deepcopy(g.state_dict())
    collected = []
    norm = g.blocks[0].norm1.norm
    whole = norm.forward
    norm.forward = lambda x: collected.append(x.data) or whole(x)
    g.blocks[0].eval()
    standing_statistics(g, iter(batches))
    assert g.training
    assert not g.blocks[0].training
    assert norm.momentum == 0.1
    means = np.mean([x.mean((0, 2, 3)) for x in collected], 0)
    variances = np.mean([x.var((0, 2, 3), ddof=1) for x in collected], 0)
    np.testing.assert_allclose(norm.running_mean, means, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, variances, rtol=1e-4)
    for key, array in g.state_dict().items():  # nothing but the statistics has changed
        if "running" not in key and "tracked" not in key:
            np.testing.assert_array_equal(array, before[key], err_msg=key)
    with pytest.raises(ValueError, match="at least one batch"):
        standing_statistics(g, [])


def test_a_truncated_normal_has_its_moments():
    z = truncated_normal(rng(), (50_000,), 0.5)
    assert z.dtype == np.float32
    assert np.abs(z).max() <= 0.5
    density = math.exp(-0.125) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * 0.5 * density / math.erf(0.5 / math.sqrt(2))
    assert z.var() == pytest.approx(variance, rel=0.03)
    assert abs(z.mean()) < 0.006
    np.testing.assert_array_equal(truncated_normal(rng(3), (4, 5)), rng(3).standard_normal((4, 5), np.float32))
    np.testing.assert_array_equal(truncated_normal(rng(3), (4, 5), 0.3), truncated_normal(rng(3), (4, 5), 0.3))
    for threshold in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"threshold must be at least 0\.01"):
            truncated_normal(rng(), (2,), threshold)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tiny(30), ValueError, "nearest sizes are 28 and 32"),
        (lambda: tiny(28, 1, 7), ValueError, r"Generator: attention must be 0 or .* \(14\), got 7"),
        (lambda: tiny(8, 1, 4), ValueError, "none for so small an image"),
        (lambda: Generator(28, 1, 3, 2, generator=rng()), ValueError, "latent must be at least 3"),
        (lambda: tiny()[0](latents(2, 6), [0, 1]), ValueError, r"Generator: z must be \(N,5\), got \(2, 6\)"),
        (lambda: tiny()[0](latents(2), [0]), ValueError, r"z is \(2, 5\), so there must be 2 labels, got 1"),
        (lambda: tiny()[0](latents(2), [0, 3]), ValueError, "labels run from 0 to 3, but there are 3 classes"),
        (lambda: tiny()[0](latents(1), 0), TypeError, r"labels must be integers \(N,\)"),
        (lambda: tiny()[0](latents(1), np.float32([[1, 0]])), ValueError, r"must be \(N,3\)"),
        (lambda: tiny()[1](np.zeros((2, 3, 8, 8), np.float32), [0, 1]), ValueError, r"x must be \(N,1,8,8\)"),
        (lambda: SelfAttention(12, generator=rng()), ValueError, "multiple of 8, got 12"),
    ],
)
def test_refusals_say_what_would_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.peer
@pytest.mark.parametrize(("size", "channels", "attention"), [(28, 1, 14), (32, 3, 0)])
def test_the_same_as_in_pytorch(size, channels, attention):
    """With the same weights: images, logits, gradients, and what training moves."""
    torch = pytest.importorskip("torch")
    from benchmarks.step.biggan import networks

    torch.manual_seed(0)
    ours = (
        Generator(size, channels, 3, 13, 8, 6, attention, generator=rng(1)),
        Discriminator(size, channels, 3, 8, attention, generator=rng(2)),
    )
    theirs = networks(torch, size, channels, 3, 13, 8, 6, attention)
    for mine, peer in zip(ours, theirs, strict=True):
        assert list(mine.state_dict()) == list(peer.state_dict())
        if attention:
            mine.attention.gamma.data = np.array([0.5], np.float32)
        peer.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in mine.state_dict().items()})
    z, labels = latents(4, 13), np.array([0, 1, 2, 1])
    images = ours[0](z, labels)
    logits = ours[1](images, labels)
    their_images = theirs[0](torch.from_numpy(z), torch.from_numpy(labels))
    their_logits = theirs[1](their_images, torch.from_numpy(labels))
    np.testing.assert_allclose(images.data, their_images.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(logits.data, their_logits.detach().numpy(), rtol=1e-3, atol=1e-4)
    parameters = [*ours[0].named_parameters(), *ours[1].named_parameters()]
    gradients = grad(ops.sum(logits), [parameter for _, parameter in parameters])
    their_logits.sum().backward()
    their_parameters = [*theirs[0].named_parameters(), *theirs[1].named_parameters()]
    for (name, _), gradient, (their_name, peer) in zip(parameters, gradients, their_parameters, strict=True):
        assert name == their_name
        scale = float(peer.grad.abs().max())  # of a bias before a normalisation it is 0, but for rounding
        np.testing.assert_allclose(gradient.data, peer.grad.numpy(), rtol=1e-2, atol=2e-3 * scale + 1e-4, err_msg=name)
    for mine, peer in zip(ours, theirs, strict=True):
        for (key, array), value in zip(mine.state_dict().items(), peer.state_dict().values(), strict=True):
            np.testing.assert_allclose(array, value.numpy(), rtol=1e-3, atol=1e-4, err_msg=key)
