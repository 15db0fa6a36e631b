"""Layers: shapes, the defaults, train and eval, errors, and gradients against finite differences."""

import numpy as np
import pytest

from scratchgan import Tensor, grad, nn, no_grad, ops


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def images(*shape: int, seed: int = 0, dtype=np.float32) -> np.ndarray:
    return rng(seed).standard_normal(shape).astype(dtype)


SHAPES = [
    (lambda: nn.Linear(6, 4, generator=rng()), (2, 5, 6), (2, 5, 4)),
    (lambda: nn.Linear(6, 4, bias=False, generator=rng()), (3, 6), (3, 4)),
    (lambda: nn.Conv2d(4, 6, 3, generator=rng()), (2, 4, 8, 9), (2, 6, 6, 7)),
    (lambda: nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2), 1, 2, False, generator=rng()), (2, 4, 8, 9), (2, 6, 4, 9)),
    (lambda: nn.Conv2d(4, 6, 3, dilation=2, padding=2, generator=rng()), (2, 4, 8, 9), (2, 6, 8, 9)),
    (lambda: nn.Conv2d(4, 6, 3, negative_slope=0.2, generator=rng()), (2, 4, 8, 9), (2, 6, 6, 7)),
    (lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1, generator=rng()), (2, 4, 5, 6), (2, 6, 10, 12)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, False, generator=rng()), (2, 4, 5, 6), (2, 6, 10, 12)),
    (lambda: nn.UpsampleConv2d(4, 6, 3, padding=1, generator=rng()), (2, 4, 5, 6), (2, 6, 10, 12)),
    (lambda: nn.EqualizedLinear(6, 4, negative_slope=0.2, generator=rng()), (2, 5, 6), (2, 5, 4)),
    (lambda: nn.EqualizedConv2d(4, 6, 3, 2, 1, negative_slope=0.2, generator=rng()), (2, 4, 8, 9), (2, 6, 4, 5)),
    (lambda: nn.EqualizedConv2d(4, 6, 1, bias=False, generator=rng()), (2, 4, 8, 9), (2, 6, 8, 9)),
    (lambda: nn.ConvAvgPool2d(4, 6, 3, padding=1, generator=rng()), (2, 4, 8, 6), (2, 6, 4, 3)),
    (lambda: nn.Upsample(scale_factor=2), (2, 4, 5, 6), (2, 4, 10, 12)),
    (lambda: nn.Upsample(scale_factor=(3, 2), mode="bilinear"), (2, 4, 5, 6), (2, 4, 15, 12)),
    (lambda: nn.BatchNorm2d(4), (2, 4, 5, 6), (2, 4, 5, 6)),
    (lambda: nn.BatchNorm1d(4, affine=False), (8, 4), (8, 4)),
    (lambda: nn.BatchNorm1d(4), (8, 4, 3), (8, 4, 3)),
    (lambda: nn.InstanceNorm2d(4), (2, 4, 5, 6), (2, 4, 5, 6)),
    (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 5, 6), (2, 4, 5, 6)),
    (lambda: nn.LayerNorm((5, 6)), (2, 4, 5, 6), (2, 4, 5, 6)),
    (lambda: nn.LayerNorm(6, bias=False), (2, 6), (2, 6)),
    (lambda: nn.GroupNorm(2, 4), (2, 4, 5, 6), (2, 4, 5, 6)),
    (lambda: nn.Dropout(0.5, generator=rng()), (3, 4), (3, 4)),
    (nn.ReLU, (3, 4), (3, 4)),
    (lambda: nn.LeakyReLU(0.2), (3, 4), (3, 4)),
    (nn.Tanh, (3, 4), (3, 4)),
    (nn.Sigmoid, (3, 4), (3, 4)),
    (nn.Softplus, (3, 4), (3, 4)),
    (nn.Identity, (3, 4), (3, 4)),
    (lambda: nn.MaxPool2d(2), (2, 4, 6, 8), (2, 4, 3, 4)),
    (lambda: nn.MaxPool2d(3, 1, padding=1), (2, 4, 6, 8), (2, 4, 6, 8)),
    (lambda: nn.AvgPool2d((2, 4)), (2, 4, 6, 8), (2, 4, 3, 2)),
    (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 4, 6, 8), (2, 4, 3, 4)),
    (nn.Flatten, (2, 4, 6, 8), (2, 192)),
    (lambda: nn.Flatten(2), (2, 4, 6, 8), (2, 4, 48)),
    (lambda: nn.Unflatten(1, (2, 3, 1)), (5, 6, 7), (5, 2, 3, 1, 7)),
    (lambda: nn.Unflatten(-1, (2, 3)), (5, 6), (5, 2, 3)),
]


@pytest.mark.parametrize(("make", "before", "after"), SHAPES, ids=lambda v: repr(v()) if callable(v) else "")
def test_shapes_and_dtypes(make, before, after):
    layer = make()
    y = layer(images(*before))
    assert y.shape == after
    assert y.dtype == np.float32
    assert type(layer).__name__ in repr(layer)
    assert layer.to(dtype=np.float64)(images(*before, dtype=np.float64)).dtype == np.float64


def test_the_same_seed_gives_the_same_layer():
    a, b, c = (nn.Conv2d(3, 4, 3, generator=rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(a.weight.numpy(), b.weight.numpy())
    assert not np.array_equal(a.weight.numpy(), c.weight.numpy())
    with pytest.raises(TypeError, match="generator"):
        nn.Conv2d(3, 4, 3)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Linear(400, 300, generator=rng()), 400),
        (nn.Conv2d(32, 64, 3, groups=2, generator=rng()), 16 * 9),
        (nn.ConvTranspose2d(64, 32, 3, generator=rng()), 32 * 9),
        (nn.UpsampleConv2d(32, 64, 3, generator=rng()), 32 * 9),
    ],
    ids=lambda v: type(v).__name__,
)
def test_default_initialisation_is_uniform_within_the_fan_in_bound(layer, fan_in):
    bound = fan_in**-0.5
    for parameter in (layer.weight, layer.bias):
        values = parameter.numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.85 * bound
    assert layer.weight.numpy().std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert abs(layer.weight.numpy().mean()) < 0.02 * bound


def test_upsample_conv2d_is_an_upsampling_and_a_convolution():
    fused = nn.UpsampleConv2d(3, 5, 3, padding=1, generator=rng())
    plain = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 5, 3, padding=1, generator=rng(1)))
    plain.load_state_dict(nn.Sequential(nn.Identity(), fused).state_dict())
    x = images(2, 3, 6, 7)
    np.testing.assert_allclose(fused(x).numpy(), plain(x).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (1, 0), ((3, 2), (0, 1))])
def test_conv_avg_pool2d_is_a_convolution_and_a_pooling(kernel, padding):
    """Values and gradients, of even and odd sizes, and with the same state dict."""
    fused = nn.ConvAvgPool2d(3, 5, kernel, padding, generator=rng()).to(dtype=np.float64)
    plain = nn.Sequential(nn.Conv2d(3, 5, kernel, padding=padding, generator=rng(1)), nn.AvgPool2d(2))
    plain.to(dtype=np.float64)[0].load_state_dict(fused.state_dict())
    x = Tensor(images(2, 3, 8, 7, dtype=np.float64), requires_grad=True)
    results = []
    for network in (fused, plain):
        y = network(x)
        results.append([y, *grad((y * y).sum(), [x, *network.parameters()])])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.UpsampleConv2d])
def test_an_activation_in_a_convolution(layer, slope):
    """The values and gradients of the activation as a layer of its own, to the bit."""
    fused = layer(3, 5, 3, padding=1, negative_slope=slope, generator=rng())
    apart = nn.Sequential(layer(3, 5, 3, padding=1, generator=rng()), nn.LeakyReLU(slope))
    assert f"negative_slope={slope}" in repr(fused)
    assert "negative_slope" not in repr(apart[0])
    x = Tensor(images(2, 3, 6, 7), requires_grad=True)
    results = []
    for network in (fused, apart):
        y = network(x)
        results.append([y, *grad((y * y).sum(), [x, *network.parameters()])])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(ValueError, match=rf"{layer.__name__}: negative_slope must be .* at least 0, got -0.5"):
        layer(3, 5, 3, negative_slope=-0.5, generator=rng())


def test_an_equalised_learning_rate():
    """Weights of N(0, 1), or larger for a smaller learning rate, and an output of the size of the input."""
    x = images(2000, 300)
    for multiplier in (1.0, 0.01):
        layer = nn.EqualizedLinear(300, 200, lr_multiplier=multiplier, initial_bias=0.5, generator=rng())
        assert layer.weight.numpy().std() == pytest.approx(1 / multiplier, rel=0.02)
        y = layer(x).numpy()
        assert y.std() == pytest.approx(1, rel=0.1)
        assert y.mean() == pytest.approx(0.5, abs=0.05)
        before = layer.weight.data
        layer.weight.data = before + 1  # a step of Adam's: the same for every weight
        moved = layer(x).numpy() - y
        np.testing.assert_allclose(moved, multiplier / 300**0.5 * x.sum(1, keepdims=True) + 0 * y, rtol=0.02, atol=2e-3)
    plain = nn.EqualizedLinear(300, 200, generator=rng())
    active = nn.EqualizedLinear(300, 200, negative_slope=0.2, generator=rng())
    y = plain(x).numpy()
    np.testing.assert_allclose(active(x).numpy(), np.where(y > 0, y, 0.2 * y) * 2**0.5, rtol=1e-4, atol=1e-5)

    pictures = images(8, 16, 12, 12)
    plain = nn.EqualizedConv2d(16, 64, 3, generator=rng())
    active = nn.EqualizedConv2d(16, 64, 3, gain=0.5, negative_slope=0.2, generator=rng())
    y = plain(pictures).numpy()
    assert y.std() == pytest.approx(1, rel=0.1)
    expected = np.where(y > 0, y, 0.2 * y) * 0.5 * 2**0.5
    np.testing.assert_allclose(active(pictures).numpy(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"EqualizedLinear: lr_multiplier must be .* above 0, got 0"):
        nn.EqualizedLinear(3, 4, lr_multiplier=0, generator=rng())
    with pytest.raises(ValueError, match=r"EqualizedConv2d: gain must be .* above 0, got 0"):
        nn.EqualizedConv2d(3, 4, 3, gain=0, generator=rng())


def test_batch_norm_running_statistics():
    norm = nn.BatchNorm2d(3, momentum=0.25)
    mean, var = np.zeros(3), np.ones(3)
    for i in range(4):
        x = images(4, 3, 5, 6, seed=i) * [[[[2.0]], [[1.0]], [[0.5]]]] + i
        x = x.astype(np.float32)
        y = norm(x).numpy()
        batch = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
        mean += 0.25 * (batch.mean(1) - mean)
        var += 0.25 * (batch.var(1, ddof=1) - var)
        expected = (batch - batch.mean(1, keepdims=True)) / np.sqrt(batch.var(1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(y.transpose(1, 0, 2, 3).reshape(3, -1), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, var, rtol=1e-5)
    assert norm.num_batches_tracked == 4
    kept = norm.running_mean.copy()
    y = norm.eval()(x).numpy()
    channel = (1, 3, 1, 1)
    np.testing.assert_allclose(
        y, (x - mean.reshape(channel)) / np.sqrt(var.reshape(channel) + 1e-5), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(norm.running_mean, kept)


def test_dropout_draws_only_in_training():
    layer = nn.Dropout(0.25, generator=rng(3))
    x = np.ones((100, 100), np.float32)
    y = layer(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert not np.array_equal(layer(x).numpy(), y)  # new numbers every time
    np.testing.assert_array_equal(nn.Dropout(0.25, generator=rng(3))(x).numpy(), y)
    state = layer.generator.bit_generator.state
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x)
    assert layer.generator.bit_generator.state == state


def test_embedding_looks_up_rows():
    table = nn.Embedding(5, 3, generator=rng())
    indices = np.array([[0, 4], [4, 2]])
    np.testing.assert_array_equal(table(indices).numpy(), table.weight.numpy()[indices])
    (gradient,) = grad(table(indices).sum(), table.parameters())
    np.testing.assert_array_equal(gradient.numpy()[:, 0], [1, 0, 1, 0, 2])
    with pytest.raises(ValueError, match="indices run from 0 to 5, but the table has 5 rows"):
        table(np.array([0, 5]))


X4 = images(2, 4, 6, 6)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2, generator=rng()), ValueError, "Conv2d: in_channels=3 is not a multiple"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2, generator=rng()), ValueError, "out_channels=3 is not a multiple of gro"),
        (
            lambda: nn.Conv2d(4, 4, 3, groups=0, generator=rng()),
            ValueError,
            "Conv2d: groups must be an int of at least 1",
        ),
        (lambda: nn.Conv2d(4, 4, 3, padding="full", generator=rng()), ValueError, "Conv2d: padding must be 'same' or"),
        (lambda: nn.Conv2d(4, 4, (3, 3, 3), generator=rng()), TypeError, r"kernel_size must be .* got \(3, 3, 3\)"),
        (lambda: nn.Conv2d(4, 4, 3, 0, generator=rng()), ValueError, "stride must be at least 1, got 0"),
        (lambda: nn.UpsampleConv2d(4, 4, 3, 0, generator=rng()), ValueError, "UpsampleConv2d: scale_factor must be"),
        (lambda: nn.Conv2d(3, 4, 3, generator=rng())(X4), ValueError, r"conv2d: .*3.*x\.shape\[1\]=4"),
        (lambda: nn.BatchNorm2d(3)(X4), ValueError, r"BatchNorm2d: x must be \(N,C,H,W\) with C=3, got \(2, 4, 6, 6\)"),
        (lambda: nn.BatchNorm2d(4)(X4[0]), ValueError, "BatchNorm2d: x must be"),
        (lambda: nn.BatchNorm1d(4)(X4), ValueError, r"BatchNorm1d: x must be \(N,C\) or \(N,C,L\) with C=4"),
        (lambda: nn.BatchNorm1d(4)(X4[:1, :, 0, 0]), ValueError, "more than one value per channel"),
        (lambda: nn.InstanceNorm2d(3)(X4), ValueError, "InstanceNorm2d: x must be"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "num_channels=4 is not a multiple of num_groups=3"),
        (lambda: nn.GroupNorm(2, 8)(X4), ValueError, "GroupNorm: x must be"),
        (lambda: nn.LayerNorm(5)(X4), ValueError, r"layer_norm: the last axes of x \(2, 4, 6, 6\) are not \(5,\)"),
        (lambda: nn.Upsample(scale_factor=2, mode="cubic"), ValueError, "mode must be 'nearest' or 'bilinear', got 'c"),
        (
            lambda: nn.Dropout(1.5, generator=rng()),
            ValueError,
            "Dropout: p must be a finite number at least 0 and at most 1",
        ),
        (lambda: nn.Unflatten(1, (3, 2))(X4), ValueError, r"axis 1 of x \(2, 4, 6, 6\) must have 6 elements"),
        (lambda: nn.Unflatten(5, (3, 2))(X4), ValueError, "Unflatten: axis 5"),
    ],
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_batch_norm_that_refuses_an_input_keeps_its_statistics():
    norm = nn.BatchNorm2d(4)
    before = norm.state_dict()
    with pytest.raises(ValueError, match="more than one value"):
        norm(X4[:1, :, :1, :1])
    for key, array in norm.state_dict().items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)


class Everything(nn.Module):
    """A small net through every layer that has parameters, and most that have none."""

    def __init__(self, generator):
        self.label = nn.Embedding(3, 2, generator=generator)
        self.up = nn.Sequential(
            nn.Linear(6, 8, generator=generator),
            nn.BatchNorm1d(8),
            nn.Unflatten(1, (2, 2, 2)),
            nn.UpsampleConv2d(2, 4, 3, padding=1, generator=generator),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 3, 4, 2, 1, generator=generator),
            nn.InstanceNorm2d(3, affine=True),
            nn.Tanh(),
        )
        self.down = nn.Sequential(
            nn.spectral_norm(nn.Conv2d(3, 4, 3, 2, 1, generator=generator), generator=generator),
            nn.GroupNorm(2, 4),
            nn.LeakyReLU(0.2),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False, generator=generator),
            nn.Softplus(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.LayerNorm(16),
            nn.Sigmoid(),
            nn.spectral_norm(nn.Linear(16, 1, generator=generator), generator=generator),
        )

    def forward(self, z, labels):
        return self.down(self.up(ops.concatenate([z, self.label(labels)], 1)))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_reaches_every_parameter(order, training):
    """The gradient along random directions against central differences: of an output, and of a gradient penalty.

    The first moves one parameter at a time, and names the one that is wrong; the second, all of them together.
    """
    net = Everything(rng(1)).to(dtype=np.float64).train(training)
    for child in net.modules():
        if isinstance(child, nn.BatchNorm2d | nn.BatchNorm1d):  # statistics unlike those of the batch
            child.running_mean += 0.3
            child.running_var *= 2
        if "parametrizations" in vars(child):  # its power iteration changes sigma from call to call
            child.eval()
    z, labels = Tensor(images(4, 4, dtype=np.float64), requires_grad=True), np.array([0, 1, 2, 1])
    weights = images(4, 1, seed=5, dtype=np.float64)

    def loss():
        y = (net(z, labels) * weights).sum()
        if order == 1:
            return y
        (gz,) = grad(y, z, create_graph=True)
        return (gz * gz).sum()

    named = net.named_parameters()
    gradients = grad(loss(), net.parameters(), allow_unused=order == 2)
    groups = [[i] for i in range(len(named))] if order == 1 else [range(len(named))] * 3
    draw = rng(7)
    for group in groups:
        directions = {i: draw.standard_normal(gradients[i].shape) for i in group}
        starts = {i: named[i][1].data for i in group}
        h, values = 1e-7, []  # a larger step crosses kinks of ReLU and max pooling
        for side in (1, -1):
            for i, direction in directions.items():
                named[i][1].data = starts[i] + side * h * direction
            values.append(loss().item())
        for i, start in starts.items():
            named[i][1].data = start
        along = sum((gradients[i].numpy() * direction).sum() for i, direction in directions.items())
        numeric = (values[0] - values[1]) / (2 * h)
        assert along == pytest.approx(numeric, rel=1e-5, abs=1e-6), [named[i][0] for i in group]


def test_evaluation_records_no_statistics_and_no_graph():
    net = Everything(rng()).eval()
    before = net.state_dict()
    with no_grad():
        y = net(images(4, 4), np.array([0, 1, 2, 1]))
    assert not y.requires_grad
    for key, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)
