"""Operators beside the usual ones: PyTorch's meanings, extremes, what has no gradient, and errors."""

import math

import numpy as np
import pytest

from scratchgan import Tensor, grad, ops


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def functions():
    """name, ours, PyTorch's (given torch), arrays."""
    x, y, positive = values(3, 4), values(3, 4, seed=1), np.abs(values(3, 4, seed=2)) + 0.3
    image, index = values(2, 4, 6, 4, seed=3), np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
    q, k, v = values(2, 3, 5, 4, seed=4), values(2, 3, 6, 4, seed=5), values(2, 3, 6, 2, seed=6)
    mask = values(2, 1, 5, 6, seed=7)
    p = positive / positive.sum()
    yield "rsqrt", ops.rsqrt, lambda t: t.rsqrt, [positive]
    yield "sin", ops.sin, lambda t: t.sin, [x]
    yield "cos", ops.cos, lambda t: t.cos, [x]
    yield "atan2", ops.atan2, lambda t: t.atan2, [x, y]
    yield "erf", ops.erf, lambda t: t.erf, [np.linspace(-7, 7, 57)]
    yield "floor", ops.floor, lambda t: t.floor, [3 * x]
    yield "round", ops.round, lambda t: t.round, [np.array([-1.5, -0.5, 0.5, 1.5, 0.2, 2.7])]
    yield "silu", ops.silu, lambda t: t.nn.functional.silu, [8 * x]
    yield "gelu", ops.gelu, lambda t: t.nn.functional.gelu, [4 * x]
    yield (
        "gelu-tanh",
        lambda x: ops.gelu(x, "tanh"),
        lambda t: lambda x: t.nn.functional.gelu(x, approximate="tanh"),
        [4 * x],
    )
    yield "elu", lambda x: ops.elu(x, 0.7), lambda t: lambda x: t.nn.functional.elu(x, 0.7), [4 * x]
    yield "prelu", ops.prelu, lambda t: t.nn.functional.prelu, [image, values(4)]
    yield "hardtanh", ops.hardtanh, lambda t: t.nn.functional.hardtanh, [2 * x]
    yield "std", lambda x: ops.std(x, 1, correction=1), lambda t: lambda x: x.std(1), [x]
    for order in (1, 2, 3.5, math.inf):
        yield (
            f"norm-{order}",
            lambda x, o=order: ops.norm(x, o, 1, True),
            lambda t, o=order: lambda x: t.linalg.vector_norm(x, o, 1, True),
            [x],
        )
    yield "prod", lambda x: ops.prod(x, 1), lambda t: lambda x: x.prod(1), [x * (np.abs(x) > 0.5)]
    yield "cumsum", lambda x: ops.cumsum(x, -1), lambda t: lambda x: x.cumsum(-1), [x]
    yield (
        "gather",
        lambda x: ops.gather(x, 0, index),
        lambda t: lambda x: x.gather(0, t.from_numpy(index)),
        [x],
    )
    yield (
        "scatter_add",
        lambda x, s: ops.scatter_add(x, 0, index, s),
        lambda t: lambda x, s: x.scatter_add(0, t.from_numpy(index), s),
        [x, values(2, 4)],
    )
    for down in (False, True):
        yield (
            f"sort-{down}",
            lambda x, d=down: ops.sort(x, 1, d)[0],
            lambda t, d=down: lambda x: x.sort(1, descending=d).values,
            [x],
        )
        yield (
            f"topk-{down}",
            lambda x, d=down: ops.topk(x, 2, 0, d)[0],
            lambda t, d=down: lambda x: x.topk(2, 0, d).values,
            [x],
        )
    yield "split", lambda x: ops.split(x, [1, 3], 1)[1], lambda t: lambda x: x.split([1, 3], 1)[1], [x]
    yield "chunk", lambda x: ops.chunk(x, 3, 1)[-1], lambda t: lambda x: x.chunk(3, 1)[-1], [x]
    yield "pixel_shuffle", lambda x: ops.pixel_shuffle(x, 2), lambda t: lambda x: t.pixel_shuffle(x, 2), [image]
    yield "pixel_unshuffle", lambda x: ops.pixel_unshuffle(x, 2), lambda t: lambda x: t.pixel_unshuffle(x, 2), [image]
    window = {"dilation": (2, 1), "padding": (1, 0), "stride": (2, 1)}
    yield (
        "unfold",
        lambda x: ops.unfold(x, (3, 2), **window),
        lambda t: lambda x: t.nn.functional.unfold(x, (3, 2), **window),
        [image],
    )
    yield (
        "fold",
        lambda x: ops.fold(x, (6, 4), (3, 2), **window),
        lambda t: lambda x: t.nn.functional.fold(x, (6, 4), (3, 2), **window),
        [values(2, 12, 6)],
    )
    for equation, shapes in [
        ("ij,jk", [(2, 3), (3, 4)]),
        ("bnd,bmd->bnm", [(2, 3, 4), (2, 5, 4)]),
        ("...ij,...jk->...ik", [(2, 3, 2, 4), (2, 3, 4, 2)]),
        ("ii->i", [(3, 3)]),
        ("ii", [(3, 3)]),
        ("i,j->ji", [(2,), (3,)]),
        ("ijk->kj", [(2, 3, 4)]),
        ("ab,bc,cd->ad", [(2, 3), (3, 4), (4, 2)]),
        ("i,i,i->", [(3,), (3,), (3,)]),
        ("ab,ab->ab", [(2, 3), (2, 3)]),
    ]:
        yield (
            f"einsum-{equation}",
            lambda *xs, e=equation: ops.einsum(e, *xs),
            lambda t, e=equation: lambda *xs: t.einsum(e, *xs),
            [values(*shape, seed=i) for i, shape in enumerate(shapes)],
        )
    attend = ops.scaled_dot_product_attention
    peer = "scaled_dot_product_attention"
    yield "attention", attend, lambda t: getattr(t.nn.functional, peer), [q, k, v]
    yield (
        "attention-causal",
        lambda *a: attend(*a, is_causal=True, scale=0.3),
        lambda t: lambda *a: getattr(t.nn.functional, peer)(*a, is_causal=True, scale=0.3),
        [q, k, v],
    )
    yield "attention-bias", attend, lambda t: getattr(t.nn.functional, peer), [q, k, v, mask]
    yield (
        "attention-bool",
        lambda *a: attend(*a, attn_mask=mask > -1),
        lambda t: lambda *a: getattr(t.nn.functional, peer)(*a, attn_mask=t.from_numpy(mask > -1)),
        [q, k, v],
    )
    for reduction in ("mean", "sum", "none"):
        yield (
            f"huber-{reduction}",
            lambda a, b, r=reduction: ops.huber_loss(a, b, 0.7, r),
            lambda t, r=reduction: lambda a, b: t.nn.functional.huber_loss(a, b, r, 0.7),
            [x, y],
        )
    for reduction in ("mean", "batchmean", "sum", "none"):
        for logs in (False, True):
            yield (
                f"kl-{reduction}-{logs}",
                lambda a, b, r=reduction, g=logs: ops.kl_div(a, b, r, g),
                lambda t, r=reduction, g=logs: lambda a, b: t.nn.functional.kl_div(a, b, reduction=r, log_target=g),
                [x, np.log(p) if logs else p],
            )


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(
    ("name", "ours", "theirs", "arrays"), list(functions()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_agrees_with_pytorch(name, ours, theirs, arrays) -> None:
    torch = pytest.importorskip("torch")
    tensors = [Tensor(a, requires_grad=True) for a in arrays]
    peers = [torch.from_numpy(a).requires_grad_() for a in arrays]
    y, z = ours(*tensors), theirs(torch)(*peers)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-14)
    weights = values(*y.shape, seed=9)
    first = torch.autograd.grad(z, peers, torch.from_numpy(np.asarray(weights)))
    for g, p in zip(grad(y, tensors, Tensor(np.asarray(weights))), first, strict=True):
        np.testing.assert_allclose(g.data, p.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("axis", [None, 0, -1])
def test_what_gives_numbers_of_elements(axis) -> None:
    x = np.array([[3.0, 1.0, 3.0], [1.0, np.nan, 0.0]])
    for name in ("argmax", "argmin"):
        found = getattr(ops, name)(Tensor(x, requires_grad=True), axis)
        np.testing.assert_array_equal(found.data, getattr(np, name)(x, axis))
        assert not found.requires_grad
        assert getattr(ops, name)(x, axis, keepdims=True).ndim == 2
    np.testing.assert_array_equal(ops.one_hot([[1, 0]], 3).data, [[[0, 1, 0], [1, 0, 0]]])
    assert ops.one_hot(np.zeros(0, int), 3).shape == (0, 3)


def test_order_is_stable_and_nan_is_largest() -> None:
    x = np.array([2.0, 1.0, np.nan, 2.0, 1.0])
    np.testing.assert_array_equal(ops.sort(x)[1].data, [1, 4, 0, 3, 2])
    np.testing.assert_array_equal(ops.sort(x, descending=True)[1].data, [2, 0, 3, 1, 4])
    np.testing.assert_array_equal(ops.topk(x, 2, largest=False)[0].data, [1, 1])
    assert ops.topk(x, 0)[0].shape == (0,)


def test_extremes_of_activations() -> None:
    x = np.array([-np.inf, -1e4, 0.0, 1e4, np.inf, np.nan])
    np.testing.assert_array_equal(ops.elu(x).data, [-1, -1, 0, 1e4, np.inf, np.nan])
    np.testing.assert_array_equal(ops.prelu(x, np.array([0.5])).data, [-np.inf, -5e3, 0, 1e4, np.inf, np.nan])
    np.testing.assert_array_equal(ops.hardtanh(x).data, [-1, -1, 0, 1, 1, np.nan])
    np.testing.assert_array_equal(ops.erf(x).data, [-1, -1, 0, 1, 1, np.nan])
    np.testing.assert_array_equal(ops.silu(x[1:4]).data, [0, 0, 1e4])
    float32 = np.linspace(-5, 5, 101, dtype=np.float32)
    expected = [math.erf(v) for v in float32]
    np.testing.assert_allclose(ops.erf(float32).data, expected, rtol=2e-7)


def test_gradients_where_they_are_not_defined() -> None:
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    for order in (1, 2, 3):
        assert not grad(ops.norm(x, order, 1).sum(), x)[0].data.any()
    x = Tensor(np.array([2.0, 0.0, 3.0]), requires_grad=True)
    np.testing.assert_array_equal(grad(ops.prod(x), x)[0].data, [0, 6, 0])
    assert ops.prod(Tensor(np.zeros((0, 2))), 0).tolist() == [1, 1]
    p = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    assert np.isfinite(grad(ops.kl_div(np.array([-1.0, -2.0]), p), p)[0].data).all()


def test_attention_keeps_only_what_goes_in() -> None:
    from scratchgan.autograd import Node

    q = Tensor(values(2, 9, 4), requires_grad=True)
    y = ops.scaled_dot_product_attention(q, q, q)
    assert isinstance(y._node, Node)
    assert y._node.outputs is None
    assert {a.shape for a in y._node.inputs} == {(2, 9, 4)}


def test_attention_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v, bias = values(2, 7, 4), values(2, 5, 4, seed=1), values(2, 5, 3, seed=2), values(7, 5, seed=3)
    whole = ops.scaled_dot_product_attention(q, k, v, bias).data
    monkeypatch.setattr("scratchgan.ops.attention._AT_ONCE", 20)
    np.testing.assert_allclose(ops.scaled_dot_product_attention(q, k, v, bias).data, whole, rtol=1e-13, atol=1e-14)


def test_total_variation_of_steps() -> None:
    x = np.zeros((2, 1, 4, 5))
    x[0, 0, :, 2:] = 3
    x[1, 0, 0, 0] = -1
    assert ops.total_variation(x).tolist() == [12, 2]


@pytest.mark.parametrize(
    "call",
    [
        lambda x: ops.silu(x),
        lambda x: ops.gelu(x),
        lambda x: ops.cumsum(x, 1),
        lambda x: ops.sort(x)[0],
        lambda x: ops.pixel_shuffle(ops.reshape(x, (0, 4, 2, 1)), 2),
        lambda x: ops.unfold(ops.reshape(x, (0, 1, 4, 2)), 2),
        lambda x: ops.einsum("ni,nj->ij", x, x),
        lambda x: ops.scaled_dot_product_attention(ops.reshape(x, (0, 4, 2)), *[ops.reshape(x, (0, 4, 2))] * 2),
        lambda x: ops.total_variation(ops.reshape(x, (0, 1, 4, 2))),
    ],
)
def test_an_empty_batch(call) -> None:
    x = Tensor(np.zeros((0, 8), np.float32), requires_grad=True)
    assert grad(call(x).sum(), x)[0].shape == (0, 8)


A, B = np.ones((2, 3)), np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.atan2(A, A.astype(np.float32)), TypeError, "atan2: the operands are float64 and float32"),
        (lambda: ops.gelu(A, "fast"), ValueError, "approximate must be"),
        (lambda: ops.prelu(A, np.ones(2)), ValueError, r"weight must be \(1,\) or \(3,\) for x \(2, 3\)"),
        (lambda: ops.norm(A, 0), ValueError, "norm: ord must be .* above 0, got 0"),
        (lambda: ops.norm(A, axis=2), ValueError, "norm: axis 2 is outside"),
        (lambda: ops.cumsum(A, 2), ValueError, "cumsum: axis 2 is outside"),
        (lambda: ops.gather(A, 0, [[0.0]]), TypeError, "gather: index must be integers"),
        (lambda: ops.gather(A, 0, [0]), ValueError, r"index is \(1,\) and x \(2, 3\)"),
        (lambda: ops.gather(A, 0, [[2]]), ValueError, "runs from 2 to 2, but axis 0"),
        (lambda: ops.scatter_add(A, 0, [[0, 1]], np.ones((1, 3))), ValueError, r"source must be \(1, 2\)"),
        (lambda: ops.one_hot([0, 3], 3), ValueError, "there are 3 classes"),
        (lambda: ops.one_hot([0.5], 3), TypeError, "must be integers"),
        (lambda: ops.argmax(A, 2), ValueError, "argmax: axis 2"),
        (lambda: ops.argmin(A[:0]), ValueError, "nothing to compare"),
        (lambda: ops.topk(A, 4), ValueError, "k must be 0 to 3"),
        (lambda: ops.split(A, 0), ValueError, "size must be an int of at least 1"),
        (lambda: ops.split(A, [1, 1], 1), ValueError, r"sizes \[1, 1\] must add up to 3"),
        (lambda: ops.chunk(A, 0), ValueError, "chunks must be an int of at least 1"),
        (lambda: ops.pixel_shuffle(A, 2), ValueError, r"got \(2, 3\)"),
        (lambda: ops.pixel_unshuffle(np.ones((1, 1, 3, 4)), 2), ValueError, r"got \(1, 1, 3, 4\)"),
        (lambda: ops.unfold(np.ones((1, 1, 3, 4)), 4), ValueError, "reaches over 4x4 pixels, more than the padded"),
        (lambda: ops.fold(A[None], (3, 4), 2), ValueError, r"x must be \(N,C\*4,6\)"),
        (lambda: ops.einsum("ij,jk", A), ValueError, "is for 2 operands, got 1"),
        (lambda: ops.einsum("ij,jk", A, B), ValueError, "axis 'j' has 3 elements in one operand"),
        (lambda: ops.einsum("i->i", A), ValueError, "does not name the 2 axes"),
        (lambda: ops.einsum("ij->ik", A), ValueError, "right side"),
        (lambda: ops.scaled_dot_product_attention(A, B, A), ValueError, "do not fit"),
        (lambda: ops.scaled_dot_product_attention(A, B, B, np.ones((3, 4))), ValueError, "cannot be broadcast"),
        (lambda: ops.scaled_dot_product_attention(A, B, B, A > 0, True), ValueError, "give no attn_mask"),
        (lambda: ops.scaled_dot_product_attention(A, B, B.astype(np.float32)), TypeError, "must agree"),
        (lambda: ops.scaled_dot_product_attention(A, B[:0], B[:0]), ValueError, "no keys"),
        (lambda: ops.huber_loss(A, B), ValueError, r"prediction is \(2, 3\) but target is \(4, 3\)"),
        (lambda: ops.huber_loss(A, A, 0), ValueError, "huber_loss: delta must be .* above 0"),
        (lambda: ops.huber_loss(A, A, reduction="max"), ValueError, "reduction must be 'mean' or 'sum' or 'none'"),
        (lambda: ops.kl_div(A, B), ValueError, "kl_div: input is"),
        (lambda: ops.total_variation(A), ValueError, r"must be \(N,C,H,W\)"),
    ],
)
def test_errors(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
