"""Every operator, through every layer of the gradient checker; and nothing left out."""

import inspect
import pkgutil
from importlib import import_module

import numpy as np
import pytest
from cases import CASES, WITHOUT_GRADIENT, OpCase

from scratchgan import DeviceError, Function, Tensor, grad, ops
from scratchgan.gradcheck import Op, Verdict, check
from scratchgan.gradcheck.profiles import session
from scratchgan.gradcheck.selftest.targets import all_targets, run

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


@each_case
@each_dtype
def test_value_and_gradients_to_second_order(case: OpCase, dtype: type) -> None:
    op = Op.from_function(
        case.function, name=case.name, reference=case.reference, linear_in=tuple(case.linear_in), kinks=case.kinks
    )
    for seed in range(session.profile.seeds):
        report = check(op, *case.inputs(dtype, seed), params=case.params, order=2, seed=seed)
        assert report.verdict is Verdict.PASS, f"seed {seed}: {report}"


TARGETS = all_targets()


@pytest.mark.parametrize("name", TARGETS)
def test_drawn_geometries(name: str) -> None:
    for seed in range(session.profile.seeds):
        outcome = run(TARGETS[name], seed)
        assert not outcome.layers, f"seed {seed}: {outcome.message}"


@each_case
@each_dtype
def test_layouts_dtypes_and_read_only_inputs(case: OpCase, dtype: type) -> None:
    arrays = case.inputs(dtype)
    y = case.function(*[Tensor(a) for a in arrays], **case.params)
    assert y.dtype == dtype
    for layout in (strided, backwards, read_only):
        tensors = [Tensor(layout(a), requires_grad=True) for a in arrays]
        again = case.function(*tensors, **case.params)
        ulps = 4 * np.finfo(dtype).eps  # BLAS may take another path for another layout
        np.testing.assert_allclose(again.data, y.data, rtol=ulps, atol=ulps)
        for x, g in zip(tensors, grad(again.sum(), tensors), strict=True):
            assert (g.shape, g.dtype) == (x.shape, dtype)


def strided(a: np.ndarray) -> np.ndarray:
    wide = np.full((*a.shape, 2), np.nan, a.dtype)
    wide[..., 0] = a
    return wide[..., 0]


def backwards(a: np.ndarray) -> np.ndarray:
    turned = (slice(None, None, -1),) * a.ndim
    return a[turned].copy()[turned]


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def all_functions() -> set[type]:
    """Every Function that scratchgan.ops defines."""
    modules = [import_module(f"scratchgan.ops.{module.name}") for module in pkgutil.iter_modules(ops.__path__)]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Function) and value is not Function
    }


def test_every_operator_has_a_case() -> None:
    assert {case.operator for case in CASES} == set(ops.__all__) - WITHOUT_GRADIENT


def test_every_function_is_reached_to_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[type] = set()
    apply = Function.__call__

    def watched(self, *inputs):
        reached.add(type(self))
        return apply(self, *inputs)

    monkeypatch.setattr(Function, "__call__", watched)
    for case in CASES:
        tensors = [Tensor(a, requires_grad=True) for a in case.inputs(np.float64)]
        y = case.function(*tensors, **case.params)
        gy = Tensor(np.ones(y.shape), requires_grad=True)
        first = grad(y, tensors, gy, create_graph=True)
        grad(
            [g for g in first if g.requires_grad],
            [gy, *tensors],
            [g for g in first if g.requires_grad],
            allow_unused=True,
        )
    from scratchgan.ops.convert import ToDevice

    assert all_functions() - reached == {ToDevice}  # moving to where it is already is no operation


class TestZeroSizes:
    @pytest.mark.parametrize(
        "function",
        [
            lambda x: ops.exp(x * 2.0 + 1.0),
            lambda x: ops.leaky_relu(x, 0.2),
            lambda x: ops.conv2d(x, np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32), padding=1),
            lambda x: ops.upsample_conv2d(x, np.ones((4, 3, 3, 3), np.float32)),
            lambda x: ops.max_pool2d(x, 2),
            lambda x: ops.avg_pool2d(x, 2),
            lambda x: ops.upsample_bilinear2d(x, 2),
            lambda x: ops.linear(ops.flatten(x, 1), np.ones((2, 48), np.float32)),
        ],
    )
    def test_an_empty_batch_goes_through_and_has_an_empty_gradient(self, function) -> None:
        x = Tensor(np.zeros((0, 3, 4, 4), np.float32), requires_grad=True)
        y = function(x)
        assert y.shape[0] == 0
        (g,) = grad(y.sum(), x)
        assert g.shape == x.shape

    def test_what_has_no_value_says_so(self) -> None:
        empty = Tensor(np.zeros((0, 3), np.float32))
        for reduce in (ops.mean, ops.max, ops.var, ops.logsumexp):
            with pytest.raises(ValueError, match="nothing to reduce"):
                reduce(empty)
        assert ops.sum(empty).item() == 0


class TestConventions:
    """Gradients where the derivative does not exist: what the docstrings promise."""

    @pytest.mark.parametrize(
        ("function", "expected"),
        [
            (ops.abs, 0.0),
            (ops.relu, 0.0),
            (lambda x: ops.leaky_relu(x, 0.25), 0.25),
            (lambda x: ops.clip(x, 0.0, 1.0), 1.0),
            (lambda x: ops.clip(x, -1.0, 0.0), 1.0),
            (lambda x: ops.maximum(x, 0.0), 0.5),
            (lambda x: ops.minimum(0.0, x), 0.5),
            (lambda x: ops.power(x, 0), 0.0),
            (lambda x: ops.power(x, 2), 0.0),
        ],
    )
    def test_at_zero(self, function, expected) -> None:
        x = Tensor(np.zeros(3), requires_grad=True)
        assert grad(function(x).sum(), x)[0].tolist() == [expected] * 3

    def test_equal_maxima_share(self) -> None:
        x = Tensor(np.array([[1.0, 3.0, 3.0]]), requires_grad=True)
        assert grad(ops.max(x, 1).sum(), x)[0].tolist() == [[0, 0.5, 0.5]]

    def test_zero_to_a_tensor_power(self) -> None:
        base, exponent = (Tensor(np.array([0.0, 0.0, 2.0]), True), Tensor(np.array([0.0, 2.0, 0.0]), True))
        g_base, g_exponent = grad(ops.power(base, exponent).sum(), [base, exponent])
        assert g_base.tolist() == [0, 0, 0]
        np.testing.assert_allclose(g_exponent.data, [0, 0, np.log(2)])


class TestExtremes:
    """Values at which the formula as it is written in a book overflows."""

    def test_saturated_logits(self) -> None:
        z = Tensor(np.array([-1e4, -100.0, 0.0, 100.0, 1e4]), requires_grad=True)
        for target in (0.0, 1.0):
            loss = ops.binary_cross_entropy_with_logits(z, target)
            (g,) = grad(loss, z)
            np.testing.assert_allclose(g.data * 5, np.array([0, 0, 0.5, 1, 1]) - target, atol=1e-12)
            assert np.isfinite(loss.item())

    def test_softmax_of_large_and_infinite_logits(self) -> None:
        x = Tensor(np.array([[1000.0, 0.0], [-np.inf, 0.0]]))
        np.testing.assert_array_equal(ops.softmax(x).data, [[1, 0], [0, 1]])
        assert ops.logsumexp(Tensor(np.array([-np.inf, -np.inf]))).item() == -np.inf

    def test_sigmoid_and_softplus(self) -> None:
        x = np.array([-1000.0, 1000.0])
        np.testing.assert_array_equal(ops.sigmoid(x).data, [0, 1])
        np.testing.assert_array_equal(ops.softplus(x).data, [0, 1000])


X = np.ones((2, 3, 4, 4), np.float32)


class TestErrors:
    """Each names the operator, the argument and the shapes."""

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (
                lambda: ops.matmul(np.ones((2, 3)), np.ones((2, 3))),
                ValueError,
                r"a is \(2, 3\) and b is \(2, 3\).*a's last axis",
            ),
            (lambda: ops.matmul(np.ones((2, 2, 3)), np.ones((3, 3, 3))), ValueError, "cannot be broadcast"),
            (lambda: ops.matmul(np.float32(1), np.ones(3)), (ValueError, TypeError), "matmul"),
            (lambda: ops.linear(np.ones((2, 3)), np.ones((4, 5))), ValueError, r"linear: x is \(2, 3\)"),
            (lambda: ops.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones(3)), ValueError, "bias"),
            (lambda: ops.reshape(np.ones((2, 3)), 4, -1), ValueError, r"6 elements, which do not fit \(4, -1\)"),
            (lambda: ops.transpose(np.ones((2, 3)), 0, 0), ValueError, "not an order of the 2 axes"),
            (lambda: ops.sum(np.ones((2, 3)), 2), ValueError, "sum: axis 2 is outside the 2 axes"),
            (lambda: ops.sum(np.ones((2, 3)), (0, -2)), ValueError, "twice"),
            (lambda: ops.concatenate([np.ones((2, 3)), np.ones((3, 3))], 1), ValueError, r"xs\[1\] is \(3, 3\)"),
            (lambda: ops.concatenate([np.ones(2), np.ones(2, np.float32)]), TypeError, r"xs\[1\] is float32"),
            (lambda: ops.stack([np.ones(2), np.ones(3)]), ValueError, r"xs\[1\] is \(3,\)"),
            (lambda: ops.stack([]), ValueError, "nothing to join"),
            (lambda: ops.pad(np.ones((2, 3)), [(1, 1)]), ValueError, "2 pairs"),
            (lambda: ops.where(np.ones(2), np.ones(2), np.ones(2)), TypeError, "must be bool"),
            (lambda: ops.clip(np.ones(2), 1, 0), ValueError, "above"),
            (lambda: ops.leaky_relu(np.ones(2), -0.1), ValueError, "slope"),
            (lambda: ops.astype(np.ones(2), int), TypeError, "int64"),
            (
                lambda: ops.conv2d(X, np.ones((8, 64, 3, 3), np.float32)),
                ValueError,
                r"w\.shape\[1\]=64 but x\.shape\[1\]=3",
            ),
            (lambda: ops.conv2d(X, np.ones((8, 3, 3, 3))), TypeError, "float64"),
            (
                lambda: ops.conv_transpose2d(X, np.ones((3, 2, 3, 3), np.float32), output_padding=1),
                ValueError,
                "output_padding",
            ),
            (
                lambda: ops.batch_norm(X, None, None, np.ones(4, np.float32), np.ones(4, np.float32), True),
                ValueError,
                "weight",
            ),
            (lambda: ops.batch_norm(X, None, None, X[0, :, 0, 0], X[0, :, 0, 0]), ValueError, "running_mean"),
            (
                lambda: ops.batch_norm(X[:1, :, :1, :1], None, None, X[0, :, 0, 0], X[0, :, 0, 0], True),
                ValueError,
                "more than one",
            ),
            (lambda: ops.group_norm(X, 2), ValueError, "2 groups"),
            (lambda: ops.layer_norm(X, (3,)), ValueError, "last axes"),
            (lambda: ops.embedding([0, 9], np.ones((3, 2))), ValueError, "from 0 to 9"),
            (lambda: ops.dropout(X, 1.5, np.random.default_rng(0)), ValueError, "p must be"),
            (lambda: ops.cross_entropy(np.ones((2, 3)), [0, 3]), ValueError, "3 classes"),
            (lambda: ops.cross_entropy(np.ones((2, 3)), [0.0, 1.0]), TypeError, "integers"),
            (lambda: ops.mse_loss(np.ones(2), np.ones(3)), ValueError, r"\(2,\) but target is \(3,\)"),
            (lambda: ops.binary_cross_entropy_with_logits(np.ones((2, 1)), np.ones(2)), ValueError, "target"),
        ],
    )
    def test_message(self, call, error, message) -> None:
        with pytest.raises(error, match=message):
            call()

    def test_devices_do_not_mix(self) -> None:
        class Elsewhere(np.ndarray):
            """Stands in for an array of another kind."""

        with pytest.raises(DeviceError, match="add: the operands are on"):
            Tensor(np.ones(2)) + Tensor._made_by(None, 0, np.ones(2).view(Elsewhere))


class TestNoise:
    def test_dropout_comes_from_its_generator_and_only_in_training(self) -> None:
        x = Tensor(np.ones((64, 64), np.float32))
        a, b = (ops.dropout(x, 0.25, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(a.data, b.data)
        assert abs((a.data == 0).mean() - 0.25) < 0.03
        assert ops.dropout(x, 0.25, np.random.default_rng(3), training=False) is x


def test_batch_norm_moves_its_running_statistics_as_documented() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (16, 2, 5, 5))
    mean, var = np.zeros(2), np.ones(2)
    ops.batch_norm(x, mean, var, np.ones(2), np.zeros(2), training=True, momentum=0.25)
    np.testing.assert_allclose(mean, 0.25 * x.mean((0, 2, 3)))
    np.testing.assert_allclose(var, 0.75 + 0.25 * x.var((0, 2, 3), ddof=1), rtol=1e-6)
