"""grid_sample, affine_grid, interpolate and pad: PyTorch's meanings, what they do with NaN, and their errors."""

import itertools

import numpy as np
import pytest

from scratchgan import Tensor, grad, ops

X = np.ones((2, 3, 4, 5))


def values(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def assert_agrees(ours, theirs, *arrays: np.ndarray) -> None:
    """Values, first gradients, and the gradient of a square of those, as PyTorch has them."""
    torch = pytest.importorskip("torch")
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    peers = [torch.from_numpy(a).requires_grad_() for a in arrays]
    y, peer = ours(*tensors), theirs(*peers)
    np.testing.assert_allclose(y.data, peer.detach().numpy(), rtol=1e-9, atol=1e-11)
    weights = values(y.shape, 9)
    first = grad(y, tensors, Tensor(weights), create_graph=True)
    peer_first = torch.autograd.grad(peer, peers, torch.from_numpy(weights), create_graph=True)
    for g, p in zip(first, peer_first, strict=True):
        np.testing.assert_allclose(g.data, p.detach().numpy(), rtol=1e-9, atol=1e-10)
    if not first[0].requires_grad:
        return
    second = grad(sum((g * g).sum() for g in first), tensors, allow_unused=True)
    peer_second = torch.autograd.grad(sum((g * g).sum() for g in peer_first), peers, allow_unused=True)
    for g, p in zip(second, peer_second, strict=True):
        np.testing.assert_allclose(g.data, 0 if p is None else p.numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.peer
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample_agrees_with_pytorch(padding_mode: str, align_corners: bool) -> None:
    torch = pytest.importorskip("torch")
    options = {"padding_mode": padding_mode, "align_corners": align_corners}
    sample = torch.nn.functional.grid_sample
    for shape in ((2, 3, 4, 5), (2, 1, 1, 6)):
        x, points = values(shape), 2.5 * values((2, 3, 7, 2), 1)
        assert_agrees(lambda x, g: ops.grid_sample(x, g, **options), lambda x, g: sample(x, g, **options), x, points)
        nearest = {"mode": "nearest", **options}
        peer = torch.from_numpy(points)
        assert_agrees(lambda x: ops.grid_sample(x, points, **nearest), lambda x: sample(x, peer, **nearest), x)  # noqa: B023


@pytest.mark.peer
@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid_agrees_with_pytorch(align_corners: bool) -> None:
    torch = pytest.importorskip("torch")
    for size in ((2, 3, 4, 5), (2, 1, 2, 3)):
        assert_agrees(
            lambda t: ops.affine_grid(t, size, align_corners),  # noqa: B023
            lambda t: torch.nn.functional.affine_grid(t, size, align_corners),  # noqa: B023
            values((2, 2, 3)),
        )


def interpolations():
    whole = [("nearest", False), ("nearest-exact", False), ("area", False)]
    smooth = [(mode, corners) for mode in ("bilinear", "bicubic") for corners in (False, True)]
    for (mode, corners), size in itertools.product([*whole, *smooth], [(7, 3), (4, 9), (1, 1), (8, 10)]):
        yield mode, {"size": size, **({"align_corners": corners} if mode in ("bilinear", "bicubic") else {})}
    for mode, corners in smooth:
        yield mode, {"size": (3, 7), "align_corners": corners, "antialias": True}
    for mode in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        yield mode, {"scale_factor": (1.7, 0.6)}
        yield mode, {"scale_factor": 2.0}


@pytest.mark.peer
@pytest.mark.parametrize(("mode", "options"), list(interpolations()), ids=str)
def test_interpolate_agrees_with_pytorch(mode: str, options: dict) -> None:
    torch = pytest.importorskip("torch")
    assert_agrees(
        lambda x: ops.interpolate(x, mode=mode, **options),
        lambda x: torch.nn.functional.interpolate(x, mode=mode, **options),
        values((2, 3, 4, 5)),
    )


@pytest.mark.peer
def test_interpolate_of_one_and_three_axes_agrees_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    peer = torch.nn.functional.interpolate
    for shape, size, mode in (
        ((2, 3, 5), 8, "linear"),
        ((2, 1, 5), 3, "area"),
        ((1, 2, 3, 4, 2), (5, 2, 3), "trilinear"),
    ):
        assert_agrees(
            lambda x: ops.interpolate(x, size, mode=mode),  # noqa: B023
            lambda x: peer(x, size, mode=mode),  # noqa: B023
            values(shape),
        )


@pytest.mark.peer
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad_agrees_with_pytorch(mode: str) -> None:
    torch = pytest.importorskip("torch")
    for (top, bottom), (left, right) in (((1, 2), (3, 0)), ((0, 3), (4, 4)), ((-1, 2), (1, -2))):
        assert_agrees(
            lambda x: ops.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)], mode=mode),  # noqa: B023
            lambda x: torch.nn.functional.pad(x, (left, right, top, bottom), mode=mode),  # noqa: B023
            values((2, 3, 4, 5)),
        )


def test_a_nan_reaches_its_own_outputs_only() -> None:
    x = np.zeros((1, 1, 6, 6))
    x[0, 0, 2, 2] = np.nan
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        y = ops.interpolate(x, (9, 13), mode=mode).data
        assert np.isnan(y).any()
        assert not np.isnan(y[..., :1, :]).any()
        assert not np.isnan(y[..., -2:]).any()
    points = np.array([[[[0.0, 0.0], [np.nan, 0.0], [0.0, np.nan], [np.inf, -np.inf], [1e30, 0]]]])
    for padding_mode in ("zeros", "border"):
        for mode in ("bilinear", "nearest"):
            y = ops.grid_sample(np.ones((1, 1, 4, 4)), points, mode, padding_mode).data[0, 0, 0]
            outside = 0 if padding_mode == "zeros" else 1
            np.testing.assert_array_equal(y, [1, np.nan, np.nan, outside, outside])


def test_constants_stay_and_a_plane_is_a_plane() -> None:
    rows, columns = np.mgrid[:6, :8]
    plane = (2.0 * rows - columns)[None, None]
    for mode in ("bilinear", "bicubic"):
        y = ops.interpolate(plane, (11, 15), mode=mode, align_corners=True).data[0, 0]
        expected = np.linspace(0, 10, 11)[:, None] - np.linspace(0, 7, 15)
        inner = (slice(2, -2), slice(2, -2))  # the cubic flattens at the edges
        np.testing.assert_allclose(y[inner], expected[inner], atol=1e-12)
    for options in ({"mode": "bicubic"}, {"mode": "area"}, {"mode": "bilinear", "antialias": True}):
        np.testing.assert_allclose(ops.interpolate(X, (3, 7), **options).data, 1, atol=1e-14)


def test_the_identity_samples_an_image_as_it_is() -> None:
    x, theta = values((1, 2, 4, 5)), np.array([[[1.0, 0, 0], [0, 1, 0]]])
    for corners in (False, True):
        y = ops.grid_sample(x, ops.affine_grid(theta, x.shape, corners), align_corners=corners)
        np.testing.assert_allclose(y.data, x, atol=1e-12)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4)])
def test_an_empty_batch(shape: tuple[int, ...]) -> None:
    x = Tensor(np.zeros(shape, np.float32), requires_grad=True)
    for y in (
        ops.interpolate(x, (3, 5), mode="bilinear"),
        ops.pad(x, [(0, 0), (0, 0), (1, 1), (2, 0)], mode="reflect"),
        ops.grid_sample(x, np.zeros((shape[0], 3, 5, 2), np.float32)),
    ):
        assert y.size == 0
        assert grad(y.sum(), x)[0].shape == shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.interpolate(X), ValueError, "either size or scale_factor"),
        (lambda: ops.interpolate(X, 3, 2.0), ValueError, "either size or scale_factor"),
        (lambda: ops.interpolate(X[0, 0], 3), ValueError, r"\(N,C,L\).*got \(4, 5\)"),
        (lambda: ops.interpolate(X, (3, 4, 5)), TypeError, r"2 of them for x \(2, 3, 4, 5\)"),
        (lambda: ops.interpolate(X, 2.5), TypeError, "size must be a number"),
        (lambda: ops.interpolate(X, scale_factor=0.1), ValueError, r"would be \(0, 0\)"),
        (lambda: ops.interpolate(X, 3, mode="cubic"), ValueError, "mode must be 'nearest' or"),
        (lambda: ops.interpolate(X, 3, mode="linear"), ValueError, "try 'bilinear'"),
        (lambda: ops.interpolate(X, 3, align_corners=True), ValueError, "align_corners is for linear"),
        (lambda: ops.interpolate(X, 3, mode="area", antialias=True), ValueError, "antialias is for"),
        (lambda: ops.adaptive_avg_pool2d(X[0], 3), ValueError, r"must be \(N,C,H,W\), got \(3, 4, 5\)"),
        (lambda: ops.grid_sample(X, np.ones((1, 3, 3, 2))), ValueError, r"x is \(2, 3, 4, 5\) and grid \(1, 3, 3, 2\)"),
        (lambda: ops.grid_sample(X, np.ones((2, 3, 3, 2), np.float32)), TypeError, "grid float32 on cpu"),
        (lambda: ops.grid_sample(X, np.ones((2, 3, 3, 2)), "bicubic"), ValueError, "mode must be 'bilinear' or"),
        (lambda: ops.grid_sample(X, np.ones((2, 3, 3, 2)), padding_mode="wrap"), ValueError, "padding_mode must be"),
        (lambda: ops.grid_sample(X[..., :0], np.ones((2, 3, 3, 2))), ValueError, "no pixels"),
        (lambda: ops.affine_grid(np.ones((2, 3)), (2, 1, 3, 3)), ValueError, r"theta must be \(N,2,3\), got \(2, 3\)"),
        (lambda: ops.affine_grid(np.ones((2, 2, 3)), (1, 1, 3, 3)), ValueError, "with N=2"),
        (
            lambda: ops.pad(X, [(0, 0), (0, 0), (4, 0), (0, 0)], mode="reflect"),
            ValueError,
            "at most 3 elements to axis 2",
        ),
        (lambda: ops.pad(X, [(0, 0), (0, 0), (5, 0), (0, 0)], mode="circular"), ValueError, "at most 4 elements"),
        (lambda: ops.pad(X, [(0, 0)] * 4, mode="mirror"), ValueError, "mode must be 'constant' or"),
        (lambda: ops.pad(X, [(0, 0), (0, 0), (-3, -2), (0, 0)]), ValueError, "too few elements"),
    ],
)
def test_errors(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
