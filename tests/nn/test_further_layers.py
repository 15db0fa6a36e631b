"""Layers beside the usual ones: shapes, dtypes, errors, and PyTorch's of the same name."""

import numpy as np
import pytest

from scratchgan import Tensor, grad, nn


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


LAYERS = [
    (lambda: nn.Conv1d(4, 6, 3, generator=rng()), (2, 4, 9), (2, 6, 7)),
    (lambda: nn.Conv1d(4, 6, 3, 2, 2, 2, 2, False, generator=rng()), (2, 4, 9), (2, 6, 5)),
    (nn.SiLU, (3, 4), (3, 4)),
    (nn.GELU, (3, 4), (3, 4)),
    (lambda: nn.GELU("tanh"), (3, 4), (3, 4)),
    (lambda: nn.ELU(0.5), (3, 4), (3, 4)),
    (nn.PReLU, (3, 4), (3, 4)),
    (lambda: nn.PReLU(4), (2, 4, 3, 2), (2, 4, 3, 2)),
    (lambda: nn.Hardtanh(-0.5, 0.25), (3, 4), (3, 4)),
    (lambda: nn.PixelShuffle(2), (2, 8, 3, 2), (2, 2, 6, 4)),
    (lambda: nn.PixelUnshuffle(2), (2, 2, 6, 4), (2, 8, 3, 2)),
    (lambda: nn.ZeroPad2d(1), (2, 3, 4, 5), (2, 3, 6, 7)),
    (lambda: nn.ReflectionPad2d((1, 2, 3, 0)), (2, 3, 4, 5), (2, 3, 7, 8)),
    (lambda: nn.ReplicationPad2d((1, -2, 0, 4)), (2, 3, 4, 5), (2, 3, 8, 4)),
    (lambda: nn.AdaptiveAvgPool2d((1, 3)), (2, 3, 4, 5), (2, 3, 1, 3)),
]
OURS_ALONE = [(nn.PixelNorm, (2, 3, 4, 5), (2, 3, 4, 5))]


@pytest.mark.parametrize(
    ("make", "before", "after"), LAYERS + OURS_ALONE, ids=lambda v: repr(v()) if callable(v) else ""
)
def test_shapes_and_dtypes(make, before, after):
    layer = make()
    x = rng(1).standard_normal(before)
    y = layer(x.astype(np.float32))
    assert (y.shape, y.dtype) == (after, np.float32)
    assert type(layer).__name__ in repr(layer)
    assert layer.to(dtype=np.float64)(x).dtype == np.float64


@pytest.mark.peer
@pytest.mark.parametrize(("make", "before", "after"), LAYERS, ids=lambda v: repr(v()) if callable(v) else "")
def test_against_pytorch(make, before, after):
    torch = pytest.importorskip("torch")
    layer = make().to(dtype=np.float64)
    names = ["kernel_size", "stride", "padding", "dilation", "groups", "alpha", "num_parameters", "approximate"]
    names += ["min_val", "max_val", "upscale_factor", "downscale_factor", "output_size", "in_channels", "out_channels"]
    options = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    if isinstance(layer, nn.Conv1d):
        options["bias"] = layer.bias is not None
    peer = getattr(torch.nn, type(layer).__name__)(**options).double()
    peer.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in layer.state_dict().items()})
    x = rng(2).standard_normal(before)
    ours, theirs = Tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_()
    y, z = layer(ours), peer(theirs)
    np.testing.assert_allclose(y.data, z.detach().numpy(), atol=1e-12)
    weights = rng(3).standard_normal(y.shape)
    expected = torch.autograd.grad(z, [theirs, *peer.parameters()], torch.from_numpy(weights))
    for g, p in zip(grad(y, [ours, *layer.parameters()], Tensor(weights)), expected, strict=True):
        np.testing.assert_allclose(g.data, p.numpy(), atol=1e-11)


def test_pixel_norm():
    x = rng(4).standard_normal((2, 3, 4, 5))
    np.testing.assert_allclose((nn.PixelNorm()(x).data ** 2).mean(1), 1, rtol=1e-6)


X = np.ones((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nn.Conv1d(3, 4, 3, groups=2, generator=rng()), ValueError, "Conv1d: in_channels=3 is not a multiple"),
        (lambda: nn.Conv1d(3, 4, (3,), generator=rng()), TypeError, "kernel_size must be an int"),
        (lambda: nn.Conv1d(3, 4, 3, 0, generator=rng()), ValueError, "stride must be an int of at least 1, got 0"),
        (lambda: nn.Conv1d(3, 4, 3, generator=rng())(X), ValueError, r"must be \(N,C,L\) with C=3, got \(2, 3, 4, 5\)"),
        (lambda: nn.GELU("fast"), ValueError, "approximate must be 'none' or 'tanh'"),
        (lambda: nn.PReLU(0), ValueError, "num_parameters"),
        (lambda: nn.PReLU(4)(X), ValueError, r"prelu: weight must be \(1,\) or \(3,\)"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "min_val must be below max_val"),
        (lambda: nn.PixelShuffle(2)(X), ValueError, r"pixel_shuffle: x must be \(N,C\*r\*r,H,W\) with r=2"),
        (lambda: nn.ReflectionPad2d((1, 2)), TypeError, "ReflectionPad2d: padding must be an int or"),
        (lambda: nn.ReflectionPad2d(4)(X), ValueError, "at most 3 elements"),
        (lambda: nn.ZeroPad2d(1)(X[0]), ValueError, "ZeroPad2d: x must be"),
        (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "output_size must be at least 1"),
        (lambda: nn.PixelNorm()(X[0, 0, 0]), ValueError, "PixelNorm: x must be"),
    ],
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()
