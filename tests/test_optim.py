"""Optimisers against plain float64 loops and PyTorch, the rule about parameters' arrays, exact state, averages."""

import io
import json

import numpy as np
import pytest

from scratchgan import AutogradError, Tensor, grad, nn, optim


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SHAPES = [(3, 4), (5,), (), (2, 0), (40_000,)]


def parameters(dtype=np.float64):
    return [nn.Parameter(rng(i).standard_normal(shape).astype(dtype)) for i, shape in enumerate(SHAPES)]


def gradients(step: int, dtype=np.float64):
    return [rng(100 * step + i + 9).standard_normal(shape).astype(dtype) for i, shape in enumerate(SHAPES)]


def reference_sgd(p, gs, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    buffer = 0.0
    for g in gs:
        g = g + weight_decay * p
        buffer = momentum * buffer + g
        p = p - lr * (g + momentum * buffer if nesterov else buffer)
    return p


def reference_adam(p, gs, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return p


KINDS = [
    (optim.SGD, reference_sgd, {"lr": 0.1}),
    (optim.SGD, reference_sgd, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    (optim.SGD, reference_sgd, {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (optim.Adam, reference_adam, {"lr": 0.01}),
    (optim.Adam, reference_adam, {"lr": 0.01, "betas": (0.5, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adam, reference_adam, {"lr": 0.01, "betas": (0.0, 0.9), "weight_decay": 0.1, "decoupled": True}),
]
NAMES = ["sgd", "momentum", "nesterov", "adam", "adam with decay", "adamw"]


@pytest.mark.parametrize(("kind", "reference", "options"), KINDS, ids=NAMES)
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-4)])
def test_twenty_steps_against_a_plain_loop(kind, reference, options, dtype, rtol):
    ps = parameters(dtype)
    starts = [p.numpy() for p in ps]
    optimizer = kind(ps, **options)
    for t in range(20):
        optimizer.step([Tensor(g) for g in gradients(t, dtype)])
    for i, (p, start) in enumerate(zip(ps, starts, strict=True)):
        expected = reference(start.astype(np.float64), [gradients(t, dtype)[i] for t in range(20)], **options)
        assert p.dtype == dtype
        assert p.shape == SHAPES[i]
        np.testing.assert_allclose(p.numpy(), expected, rtol=rtol, atol=rtol)


@pytest.mark.peer
@pytest.mark.parametrize(("kind", "_", "options"), KINDS, ids=NAMES)
def test_twenty_steps_against_pytorch(kind, _, options):
    torch = pytest.importorskip("torch")
    options = dict(options)
    ps = parameters(np.float32)
    qs = [torch.nn.Parameter(torch.tensor(p.numpy())) for p in ps]
    optimizer = kind(ps, **options)
    name = "AdamW" if options.pop("decoupled", False) else kind.__name__
    theirs = getattr(torch.optim, name)(qs, **({"weight_decay": 0.0} | options))
    for t in range(20):
        given = gradients(t, np.float32)
        optimizer.step([Tensor(g) for g in given])
        for q, g in zip(qs, given, strict=True):
            q.grad = torch.tensor(g)
        theirs.step()
    for p, q in zip(ps, qs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_a_step_leaves_old_arrays_and_old_graphs_alone(kind):
    w = nn.Parameter(rng().standard_normal(8))
    old = w.data
    kept = old.copy()
    loss = (w * w * w).sum()
    optimizer = kind([w], lr=0.5)
    optimizer.step(grad(loss, w))
    assert w.data is not old
    assert not w.data.flags.writeable
    assert not np.array_equal(w.data, kept)
    np.testing.assert_array_equal(old, kept)
    np.testing.assert_allclose(grad(loss, w)[0].numpy(), 3 * kept**2, rtol=1e-14)  # still at the old point
    with pytest.raises(AutogradError, match="was given new data"):
        grad(loss, w, create_graph=True)


def test_step_takes_accumulated_gradients_and_passes_over_none():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.Adam({"a": a, "b": b}.items(), lr=0.1)
    (a * 2.0).sum().backward()
    optimizer.step()
    assert a.item() == pytest.approx(0.9)
    assert b.item() == 1
    optimizer.zero_grad()
    assert a.grad is None
    (a + b).sum().backward()
    optimizer.step()
    assert b.item() == pytest.approx(0.9)  # its first step, so its bias correction is that of a first step
    assert optimizer.state_dict()["numbers"]["steps"] == [2, 1]


def test_the_learning_rate_can_be_changed():
    p = nn.Parameter([0.0])
    optimizer = optim.SGD([p], lr=1.0)
    optimizer.step([Tensor([1.0])])
    optimizer.lr = 0.25
    optimizer.step([Tensor([1.0])])
    assert p.item() == -1.25


def test_a_plain_leaf_can_be_optimised():
    z = Tensor(np.ones((3, 2)).T, requires_grad=True)  # not in C order
    optimizer = optim.Adam([z], lr=0.1)
    for _ in range(200):
        optimizer.step(grad(((z - 3.0) ** 2).sum(), z))
    np.testing.assert_allclose(z.numpy(), 3, atol=0.01)


def through_files(state):
    """What a checkpoint does: numbers as JSON, arrays as an npz file that holds no pickles."""
    buffer = io.BytesIO()
    np.savez(buffer, **state["arrays"])
    buffer.seek(0)
    return {
        "numbers": json.loads(json.dumps(state["numbers"])),
        "arrays": dict(np.load(buffer, allow_pickle=False)),
    }


@pytest.mark.parametrize(("kind", "_", "options"), KINDS, ids=NAMES)
def test_state_is_restored_exactly(kind, _, options):
    named = [(f"layer.{i}", p) for i, p in enumerate(parameters(np.float32))]
    first = kind(named, **options)
    first.lr = 0.1 / 3
    for t in range(3):
        first.step([Tensor(g) for g in gradients(t, np.float32)])
    state = through_files(first.state_dict())
    twins = [(name, nn.Parameter(p.data)) for name, p in named]
    second = kind(twins, **(options | {"lr": 9.0}))
    second.load_state_dict(state)
    for t in range(3, 6):
        for optimizer in (first, second):
            optimizer.step([Tensor(g) for g in gradients(t, np.float32)])
    for (_, p), (_, q) in zip(named, twins, strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    a, b = first.state_dict(), second.state_dict()
    assert a["numbers"] == b["numbers"]
    for key, array in a["arrays"].items():
        np.testing.assert_array_equal(array, b["arrays"][key], err_msg=key)


def test_state_dict_is_a_snapshot():
    optimizer = optim.Adam([nn.Parameter([1.0])])
    state = optimizer.state_dict()
    optimizer.step([Tensor([1.0])])
    assert state["numbers"]["steps"] == [0]
    assert state["arrays"]["0.mean"].tolist() == [0]
    mine = optim.Adam([nn.Parameter([1.0])])
    mine.load_state_dict(state)
    mine.step([Tensor([1.0])])
    assert state["arrays"]["0.mean"].tolist() == [0]


def test_a_state_that_does_not_fit_changes_nothing():
    adam = optim.Adam([("w", nn.Parameter([1.0]))])
    adam.step([Tensor([1.0])])
    before = adam.state_dict()
    other = optim.Adam([("v", nn.Parameter([1.0, 2.0]))]).state_dict()
    with pytest.raises(ValueError, match=r"missing: w.mean\n.*missing: w.square\n.*unexpected: v.mean"):
        adam.load_state_dict(other)
    other["arrays"] = {key.replace("v", "w"): array for key, array in other["arrays"].items()}
    with pytest.raises(ValueError, match=r"w.mean is float32 \(1,\) here and float32 \(2,\) in the state"):
        adam.load_state_dict(other)
    with pytest.raises(ValueError, match="the state is of 2 parameters, not of 1"):
        adam.load_state_dict(optim.Adam([nn.Parameter([1.0]), nn.Parameter([1.0])]).state_dict())
    with pytest.raises(ValueError, match=r"the state is not Adam's, it has .*SGD"):
        adam.load_state_dict(optim.SGD([nn.Parameter([1.0])], lr=1.0).state_dict())
    after = adam.state_dict()
    assert after["numbers"] == before["numbers"]
    np.testing.assert_array_equal(after["arrays"]["w.mean"], before["arrays"]["w.mean"])


P = nn.Parameter([1.0, 2.0])


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: optim.SGD([], lr=1.0), ValueError, "SGD: there are no parameters"),
        (lambda: optim.SGD([np.ones(2)], lr=1.0), TypeError, "parameter '0' must be a Tensor, got ndarray"),
        (lambda: optim.SGD([P * 2.0], lr=1.0), ValueError, "parameter '0' is the result of an operator"),
        (lambda: optim.SGD([P, P], lr=1.0), ValueError, "given twice"),
        (lambda: optim.SGD([("a", P), ("a", nn.Parameter([1.0]))], lr=1.0), ValueError, "or a name, is given twice"),
        (lambda: optim.SGD([P], lr=-1.0), ValueError, "SGD: lr must be at least 0 and finite, got -1.0"),
        (lambda: optim.SGD([P], lr=1.0, nesterov=True), ValueError, "nesterov needs a momentum"),
        (lambda: optim.Adam([P], lr=float("nan")), ValueError, "Adam: lr must be at least 0 and finite, got nan"),
        (lambda: optim.Adam([P], betas=(0.9, 1.0)), ValueError, r"betas must be two numbers in \[0, 1\)"),
        (lambda: optim.Adam([P], eps=-1.0), ValueError, "Adam: eps must be"),
        (lambda: optim.Adam([P]).step(), ValueError, "Adam.step: no parameter has a gradient; call backward"),
        (lambda: optim.Adam([P]).step([]), ValueError, "Adam.step: 0 gradients for 1 parameters"),
        (lambda: optim.Adam([P]).step([np.ones(2)]), TypeError, "the gradient of '0' must be a Tensor, got ndarray"),
        (lambda: optim.ExponentialMovingAverage(nn.Tanh(), 1.5), ValueError, r"decay must be in \[0, 1\], got 1.5"),
        (lambda: optim.clip_grad_norm([P], 0.0), ValueError, "max_norm must be positive, got 0.0"),
    ],
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_a_wrong_gradient_changes_nothing():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.Adam([("a", a), ("b", b)])
    with pytest.raises(ValueError, match=r"'b' is float32 \(1,\) on cpu, but its gradient is float32 \(2,\) on cpu"):
        optimizer.step([Tensor([1.0]), Tensor([1.0, 2.0])])
    assert a.item() == 1
    assert optimizer.state_dict()["numbers"]["steps"] == [0, 0]


def test_an_optimiser_made_before_the_module_was_converted_says_so():
    layer = nn.Linear(2, 2, generator=rng())
    optimizer = optim.Adam(layer.named_parameters())
    layer.to(dtype=np.float64)
    with pytest.raises(ValueError, match=r"'weight' is float64 .* but the optimiser's state is float32"):
        optimizer.step([Tensor(np.ones((2, 2))), Tensor(np.ones(2))])


def network(seed: int = 0):
    return nn.Sequential(nn.Linear(3, 4, generator=rng(seed)), nn.BatchNorm1d(4))


def changed(net, i: int):
    for p in net.parameters():
        p.data = rng(i).standard_normal(p.shape).astype(p.dtype)
    net(rng(i).standard_normal((8, 3)).astype(np.float32))


@pytest.mark.parametrize("warmup", [False, True])
def test_moving_average(warmup):
    net = network()
    average = optim.ExponentialMovingAverage(net, 0.9, warmup)
    expected = [p.numpy().astype(np.float64) for p in net.parameters()]
    assert not average.module.training
    assert net.training
    for n in range(15):
        changed(net, n)
        old = average.module[0].weight.data
        kept = old.copy()
        average.update(net)
        np.testing.assert_array_equal(old, kept)  # the rule holds here too
        decay = min(0.9, (1 + n) / (10 + n)) if warmup else 0.9
        expected = [decay * e + (1 - decay) * p.numpy() for e, p in zip(expected, net.parameters(), strict=True)]
    for p, e in zip(average.module.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.numpy(), e, rtol=1e-5, atol=1e-6)
        assert not p.requires_grad
    for mine, theirs in zip(average.module.buffers(), net.buffers(), strict=True):
        assert mine is not theirs
        np.testing.assert_array_equal(mine, theirs)
    assert average.module[1].num_batches_tracked == 15


def test_moving_average_is_restored_exactly():
    net = network()
    first = optim.ExponentialMovingAverage(net, 0.99, warmup=True)
    for i in range(3):
        changed(net, i)
        first.update(net)
    second = optim.ExponentialMovingAverage(network(seed=5), 0.5)
    second.load_state_dict(through_files(first.state_dict()))
    for i in range(3, 6):
        changed(net, i)
        first.update(net)
        second.update(net)
    a, b = first.state_dict(), second.state_dict()
    assert a["numbers"] == b["numbers"] == {"decay": 0.99, "warmup": True, "updates": 6}
    for key, array in a["arrays"].items():
        np.testing.assert_array_equal(array, b["arrays"][key], err_msg=key)


def test_moving_average_of_another_network_is_refused():
    average = optim.ExponentialMovingAverage(network())
    before = average.module.state_dict()
    with pytest.raises(ValueError, match=r"not built like the one that is averaged; different: 0\.weight$"):
        average.update(nn.Sequential(nn.Linear(5, 4, generator=rng()), nn.BatchNorm1d(4)))
    with pytest.raises(ValueError, match="the state is not an average's"):
        average.load_state_dict({"numbers": {}, "arrays": {}})
    with pytest.raises(ValueError, match=r"missing: 0.weight"):
        average.load_state_dict({**average.state_dict(), "arrays": {}})
    for key, array in average.module.state_dict().items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)


def test_clip_grad_norm():
    gs = [Tensor(np.array([3.0, 0.0])), Tensor(np.array(4.0))]
    clipped, norm = optim.clip_grad_norm(gs, 1.0)
    assert norm == 5
    np.testing.assert_allclose(clipped[0].numpy(), [0.6, 0])
    assert clipped[1].item() == pytest.approx(0.8)
    assert clipped[1].dtype == np.float64
    assert gs[1].item() == 4
    kept, norm = optim.clip_grad_norm(gs, 5.0)
    assert kept == tuple(gs)
    assert norm == 5


def test_clip_grad_norm_of_huge_and_broken_gradients():
    huge = [Tensor(np.array([3e30, 4e30], np.float32))]  # their squares are too large for float32
    clipped, norm = optim.clip_grad_norm(huge, 1.0)
    assert norm == pytest.approx(5e30)
    np.testing.assert_allclose(clipped[0].numpy(), [0.6, 0.8], rtol=1e-6)
    broken = [Tensor(np.array([np.nan, 1.0], np.float32))]
    clipped, norm = optim.clip_grad_norm(broken, 1.0)
    assert np.isnan(norm)
    assert clipped == tuple(broken)


@pytest.mark.peer
def test_clip_grad_norm_against_pytorch():
    torch = pytest.importorskip("torch")
    given = gradients(0, np.float32)
    qs = [torch.nn.Parameter(torch.zeros(g.shape)) for g in given]
    for q, g in zip(qs, given, strict=True):
        q.grad = torch.tensor(g)
    expected = torch.nn.utils.clip_grad_norm_(qs, 2.0)
    clipped, norm = optim.clip_grad_norm([Tensor(g) for g in given], 2.0)
    assert norm == pytest.approx(float(expected), rel=1e-5)
    for g, q in zip(clipped, qs, strict=True):
        np.testing.assert_allclose(g.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-9)


def test_gradients_in_chunks_are_those_of_the_whole_batch():
    layer = nn.Linear(3, 2, generator=rng())
    x = rng(1).standard_normal((12, 3)).astype(np.float32)
    whole = (layer(x) ** 2).mean()
    expected = grad(whole, layer.parameters())
    alive = []

    def chunk(i):
        alive.append(i)
        return (layer(x[4 * i : 4 * i + 4]) ** 2).mean()

    loss, gradients = optim.mean_gradients((lambda i=i: chunk(i) for i in range(3)), layer.parameters())
    assert alive == [0, 1, 2]
    assert loss == pytest.approx(whole.item(), rel=1e-6)
    for mine, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="at least one loss"):
        optim.mean_gradients([], layer.parameters())
