"""Numbers that were wrong once, each the value worked out independently; it stands for its kind."""

import copy
import pickle

import mpmath
import numpy as np
import pytest

from scratchgan import AutogradError, Tensor, grad, nn, ops

F32, F64 = np.float32, np.float64


def leaf(values, dtype=F64) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


class TestPromotion:
    @pytest.mark.parametrize("make", [lambda: Tensor([1, 2, 3]), lambda: Tensor(np.array([1, 2, 3], np.uint8))])
    def test_a_float_beside_integers_is_not_cut(self, make) -> None:
        i = make()
        for result, expected in [
            (i * 0.5, [0.5, 1, 1.5]),
            (0.5 * i, [0.5, 1, 1.5]),
            (i / 0.5, [2, 4, 6]),
            (i + 0.5, [1.5, 2.5, 3.5]),
            (i - np.float64(0.5), [0.5, 1.5, 2.5]),
            (2.5**i, [2.5, 6.25, 15.625]),
            (i**0.5, np.sqrt(np.array([1, 2, 3], F32)).tolist()),
            (ops.maximum(i, 1.5), [1.5, 2, 3]),
            (ops.clip(i, 1.5), [1.5, 2, 3]),
            (ops.where(np.array([True, False, True]), i, 0.5), [1, 0.5, 3]),
            (ops.pad(i, [(0, 1)], 0.5), [1, 2, 3, 0.5]),
        ]:
            assert result.dtype == F32
            assert result.tolist() == expected

    def test_what_is_no_integer(self) -> None:
        i = Tensor([1, 2])
        assert i.mean().item() == 1.5
        assert ops.var(i).item() == 0.25
        assert (i / i).tolist() == [1, 1]
        for function in (ops.exp, ops.log, ops.sqrt, ops.tanh, ops.sigmoid, ops.softplus, ops.softmax, ops.logsumexp):
            assert function(i).dtype == F32
        assert (Tensor([True, False]) * 2).tolist() == [2, 0]
        assert i.sum().dtype.kind == "i"
        assert (i * np.int32(3)).dtype == i.dtype

    def test_what_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="add: 300 does not fit uint8"):
            Tensor(np.ones(2, np.uint8)) + 300
        with pytest.raises(ValueError, match="power: integers to the power -1"):
            Tensor([1, 2]) ** -1
        with pytest.raises(TypeError, match="subtract: both operands are bool"):
            Tensor([True]) - Tensor([True])

    def test_the_smallest_of_unsigned_numbers(self) -> None:
        u = Tensor(np.array([0, 5], np.uint8))
        assert ops.min(u).item() == 0
        assert ops.minimum(u, 3).tolist() == [0, 3]


def in_ulps(ours, exact) -> float:
    """The distance from an exact number in units in the last place of ours."""
    ours = np.asarray(ours)
    spacing = float(np.spacing(np.abs(ours.dtype.type(float(exact)))))
    return abs(float(mpmath.mpf(float(ours)) - exact) / spacing)


class TestTails:
    """From where the function is ordinary to where it is subnormal."""

    @pytest.mark.parametrize("dtype", [F32, F64])
    def test_sigmoid_and_what_is_made_of_it(self, dtype) -> None:
        deepest = 103 if dtype == F32 else 744
        mpmath.mp.dps = 60
        for x in [-deepest, -0.9 * deepest, -40, -20, -18, -10, -1, 0, 1, 10, 20]:
            v = leaf(x, dtype)
            z = mpmath.mpf(v.item())
            s = 1 / (1 + mpmath.exp(-z))
            assert in_ulps(ops.sigmoid(v).data, s) <= 2
            assert in_ulps(grad(ops.softplus(v), v)[0].data, s) <= 2
            assert in_ulps(ops.softplus(v).data, mpmath.log1p(mpmath.exp(z))) <= 2
            assert in_ulps(grad(ops.sigmoid(v), v)[0].data, s * (1 - s)) <= 3
            assert in_ulps(grad(ops.tanh(v), v)[0].data, mpmath.sech(z) ** 2) <= 3
        assert ops.sigmoid(leaf(-20, F32)).item() == pytest.approx(2.0611537e-9, rel=2e-7)

    @pytest.mark.parametrize("dtype", [F32, F64])
    @pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
    def test_binary_cross_entropy(self, dtype, target) -> None:
        with mpmath.workdps(60):
            t = mpmath.mpf(float(dtype(target)))
            for x in [-80, -15, -1, 0, 2, 15, 80]:
                v = leaf([x], dtype)
                loss = ops.binary_cross_entropy_with_logits(v, target)
                z = mpmath.mpf(x)
                exact = t * mpmath.log1p(mpmath.exp(-z)) + (1 - t) * mpmath.log1p(mpmath.exp(z))
                assert in_ulps(loss.data, exact) <= 3
                slope = (1 - t) / (1 + mpmath.exp(-z)) - t / (1 + mpmath.exp(z))
                for recorded in (False, True):
                    (g,) = grad(loss, v, create_graph=recorded)
                    # Where t is near the sigmoid, the difference is as exact as its two sides.
                    assert in_ulps(g.data[0], slope) <= 6 or abs(g.item() - slope) <= np.finfo(dtype).eps / 2

    def test_infinite_logits(self) -> None:
        for z, t, loss, slope in [(np.inf, 0.0, np.inf, 1), (np.inf, 0.5, np.inf, 0.5), (np.inf, 1.0, 0, 0)]:
            for sign in (1, -1):
                v = leaf([sign * z], F32)
                y = ops.binary_cross_entropy_with_logits(v, t if sign == 1 else 1 - t)
                assert y.item() == loss
                assert grad(y, v)[0].item() == sign * slope
        z15 = leaf([15.0], F32)
        y = ops.binary_cross_entropy_with_logits(z15, 1.0)
        assert y.item() == pytest.approx(3.0590232e-7, rel=3e-7)

    @pytest.mark.parametrize(("dtype", "offset"), [(F32, 1e4), (F32, 1e8), (F64, 1e17)])
    def test_a_common_offset_is_lost_nowhere(self, dtype, offset) -> None:
        x = leaf([[offset] * 3], dtype)
        np.testing.assert_allclose(ops.softmax(x).data, np.full((1, 3), 1 / 3), rtol=2e-7)
        np.testing.assert_allclose(ops.log_softmax(x).data, -np.log(np.full((1, 3), 3)), rtol=2e-7)
        loss = ops.cross_entropy(x, [1])
        assert loss.item() == pytest.approx(1.0986123)
        np.testing.assert_allclose(grad(loss, x)[0].data, [[1 / 3, -2 / 3, 1 / 3]], rtol=2e-7)

    def test_a_sure_answer_costs_what_it_costs(self) -> None:
        loss = ops.cross_entropy(leaf([[20.0, 0.0]], F32), [0])
        assert loss.item() == pytest.approx(2.0611537e-9, rel=3e-7)

    def test_an_infinite_largest_makes_no_probability(self) -> None:
        with np.errstate(invalid="ignore"):
            assert np.isnan(ops.softmax(Tensor([np.inf, 0.0])).data).all()
            assert np.isnan(ops.log_softmax(Tensor([np.inf, 0.0])).data).all()
        assert ops.logsumexp(Tensor([np.inf, 0.0])).item() == np.inf
        assert ops.logsumexp(Tensor([-np.inf, -np.inf])).item() == -np.inf


@pytest.mark.parametrize(
    "norm",
    [
        lambda x, w, b: ops.group_norm(x, 2, w, b),
        lambda x, w, b: ops.instance_norm(x, w, b),
        lambda x, w, b: ops.layer_norm(x, (4, 3, 3)),
    ],
)
def test_an_empty_batch_has_an_empty_gradient_that_is_recorded(norm) -> None:
    x, w, b = leaf(np.zeros((0, 4, 3, 3))), leaf(np.ones(4)), leaf(np.zeros(4))
    (g,) = grad(norm(x, w, b).sum(), x, create_graph=True)
    assert g.shape == x.shape


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's words on log(0) and 0**-1
class TestPowersOfZero:
    def test_the_gradient_by_the_exponent(self) -> None:
        for e, expected in [(-1.0, -np.inf), (np.nan, np.nan), (0.0, 0.0), (2.0, 0.0)]:
            base, exponent = leaf([0.0]), leaf([e])
            np.testing.assert_equal(grad(ops.power(base, exponent).sum(), exponent)[0].item(), expected)

    @pytest.mark.parametrize(("e", "expected"), [(0.5, -np.inf), (1.0, -np.inf), (2.0, 0.0), (-1.0, np.inf)])
    def test_both_mixed_second_derivatives(self, e, expected) -> None:
        for order in (0, 1):
            inputs = leaf([0.0]), leaf([e])
            (first,) = grad(ops.power(*inputs).sum(), inputs[order], create_graph=True)
            assert grad(first.sum(), inputs[1 - order])[0].item() == expected


class TestNorms:
    @pytest.mark.parametrize(
        ("dtype", "size"),
        [(F32, 1e14), (F32, 1e30), (F32, 1e-30), (F64, 1e104), (F64, 1e200), (F32, 1e37), (F64, 1e-200)],
    )
    def test_values_of_any_size(self, dtype, size) -> None:
        """Normalised values do not depend on the scale: the answer is that of size 1."""
        rng = np.random.default_rng(0)
        values, gy = rng.standard_normal((2, 3, 2, 4)), rng.standard_normal((2, 3, 2, 4)).astype(dtype)
        results = []
        for scale, kind in [(1.0, F64), (size, dtype)]:
            x = leaf(values * scale, kind)
            w, b = leaf([1.0, -2.0, 3.0], kind), leaf([0.0, 1.0, 2.0], kind)
            y = ops.batch_norm(x, None, None, w, b, training=True, eps=0.0)
            for recorded in (False, True):
                gx, gw, gb = grad(y, [x, w, b], Tensor(gy.astype(kind)), create_graph=recorded)
                results.append([y.data, gx.data.astype(F64) * scale, gw.data, gb.data])
        for other in results[1:]:
            for ours, exact in zip(other, results[0], strict=True):
                np.testing.assert_allclose(ours, exact, rtol=2e-3 if dtype == F32 else 1e-9, atol=5e-6)

    def test_statistics_of_one_value(self) -> None:
        x = Tensor(np.ones((2, 3, 1, 1), F32))
        for name, call in [
            ("instance_norm", lambda: ops.instance_norm(x)),
            ("instance_norm", lambda: nn.InstanceNorm2d(3)(x)),
            ("group_norm", lambda: ops.group_norm(x, 3)),
            ("layer_norm", lambda: ops.layer_norm(x, (1, 1))),
            ("batch_norm", lambda: ops.batch_norm(x[:1], None, None, training=True)),
        ]:
            with pytest.raises(ValueError, match=f"^{name}: .*one value"):
                call()


class TestNaN:
    def test_in_a_choice_it_gets_the_gradient(self) -> None:
        for function in (ops.maximum, ops.minimum):
            a, b = leaf([np.nan, 1.0, np.nan]), leaf([1.0, np.nan, np.nan])
            y = function(a, b)
            assert np.isnan(y.data).all()
            ga, gb = grad(y.sum(), [a, b])
            assert (ga.tolist(), gb.tolist()) == ([1, 0, 0.5], [0, 1, 0.5])

    def test_of_a_reduction_and_between_bounds(self) -> None:
        x = leaf([1.0, np.nan, 3.0, np.nan])
        for function in (ops.max, ops.min):
            assert grad(function(x), x)[0].tolist() == [0, 0.5, 0, 0.5]
        assert grad(ops.clip(x, 2.0, 4.0).sum(), x)[0].tolist() == [0, 1, 1, 1]


class TestWhatIsSavedDoesNotChange:
    @pytest.mark.parametrize(
        ("array", "apply", "change"),
        [
            (np.array([0, 1]), lambda x, i: x[i] * Tensor([10.0, 20.0]), 2),
            (np.array([0, 1]), lambda x, i: x[i, np.array([0, 0])] if x.ndim > 1 else x[i], 2),
            ([0, 1], lambda x, i: x[i] * Tensor([10.0, 20.0]), 2),
            (np.array([True, False, True]), lambda x, m: x[m], False),
            (np.array([True, False, True]), lambda x, m: ops.where(m, x, 0.0), False),
            (np.array([0, 1]), lambda x, i: ops.embedding(i, ops.reshape(x, 3, 1)), 2),
            (np.array([0]), lambda x, i: ops.cross_entropy(ops.reshape(x, 1, 3), i), 2),
            (np.ones(3, F32), lambda x, t: ops.binary_cross_entropy_with_logits(x, t), 0.0),
        ],
    )
    @pytest.mark.parametrize("recorded", [False, True])
    def test_what_a_function_keeps(self, array, apply, change, recorded) -> None:
        array = copy.copy(array)
        gradients = []
        for after in (False, True):
            x = leaf([1.0, 2.0, 3.0], F32)
            y = apply(x, array)
            if after:
                array[0] = change
            gradients.append(grad(y.sum(), x, create_graph=recorded)[0].tolist())
        assert gradients[0] == gradients[1]

    def test_memory_that_somebody_else_writes(self, tmp_path) -> None:
        raw = bytearray(np.ones(100).tobytes())
        theirs = np.frombuffer(raw)
        theirs.flags.writeable = False
        owner = np.ones(100)
        owner.flags.writeable = False
        whole = np.ones(100)
        view = whole[:]
        view.flags.writeable = False

        def write_raw() -> None:
            raw[:8] = np.full(1, 5.0).tobytes()

        def unlock() -> None:
            owner.flags.writeable = True
            owner[0] = 5.0

        def write_whole() -> None:
            whole[0] = 5.0

        for array, write in [(theirs, write_raw), (owner, unlock), (view, write_whole)]:
            x = leaf(np.ones(100))
            y = (x * Tensor(array)).sum()
            write()
            with pytest.raises(AutogradError, match="changed in place"):
                grad(y, x)

    def test_a_file_mapped_to_memory_is_an_array(self, tmp_path) -> None:
        np.save(tmp_path / "a.npy", np.arange(3.0))
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        assert (Tensor(mapped) * 2.0).tolist() == [0, 2, 4]
        with pytest.raises(TypeError, match="masked array"):
            Tensor(np.ma.masked_array([1.0, 2.0], [True, False]))


class TestCopies:
    def test_of_a_long_graph_are_refused(self) -> None:
        y = x = leaf([1.0])
        for _ in range(2000):
            y = y * 1.0
        for operation in (copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=r"is a result \(of Multiply.*detach"):
                operation(y)
        module = nn.ReLU()
        module.last = y
        with pytest.raises(TypeError, match="keep no result in a module"):
            copy.deepcopy(module)
        again = pickle.loads(pickle.dumps(x))
        assert again.requires_grad
        assert copy.deepcopy(x).tolist() == [1.0]
        assert copy.copy(y) is y


@pytest.mark.parametrize("size", [2**31, 2**70])
@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_sizes_beyond_what_an_array_can_have(size, name) -> None:
    x, w = np.ones((1, 1, 4, 4), F32), np.ones((1, 1, 2, 2), F32)
    with pytest.raises(ValueError, match=f"conv2d: {name} must be at most"):
        ops.conv2d(x, w, **{name: size})
    with pytest.raises(ValueError, match=r"conv2d: .*no array is as large"):
        ops.conv2d(x, w, padding=2**31 - 1)


def test_old_checkpoints_of_instance_norm_load() -> None:
    norm = nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    x = np.random.default_rng(0).normal(2, 3, (4, 3, 5, 5)).astype(F32)
    norm(x)
    np.testing.assert_allclose(norm.running_mean, 0.1 * x.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(norm.running_var, 0.9 + 0.1 * x.var((2, 3), ddof=1).mean(0), rtol=1e-5)
    y = norm.eval()(x)
    mean, std = norm.running_mean[:, None, None], np.sqrt(norm.running_var[:, None, None] + 1e-5)
    np.testing.assert_allclose(y.data, (x - mean) / std, rtol=1e-4, atol=1e-5)
