"""The engine: order, freedom of cycles, in-place changes, hooks, and what it says when something is wrong."""

import gc
import threading
import weakref

import numpy as np
import pytest

from scratchgan import AutogradError, Function, Tensor, backward, enable_grad, grad, is_grad_enabled, no_grad, ops


def leaf(*values: float, dtype: type = np.float64) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


class Double(Function):
    saves_inputs = saves_output = False

    def forward(self, x):
        return x * 2

    def backward(self, needs, gy, y, x):
        return gy * 2.0


class Add1(Function):
    saves_inputs = saves_output = False

    def forward(self, x):
        return x + 1

    def backward(self, needs, gy, y, x):
        return gy


def test_gradients_of_any_order():
    x = leaf(2.0)
    y = x**5
    expected = [5 * 2.0**4, 20 * 2.0**3, 60 * 2.0**2, 120 * 2.0, 120.0]
    for value in expected:
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == value


def test_an_input_used_twice_and_a_diamond_add_up():
    x = leaf(3.0)
    a = x * x
    y = a * a + a + x  # x**4 + x**2 + x
    assert grad(y, x)[0].item() == 4 * 27 + 2 * 3 + 1


def test_backward_accumulates_and_zero_grad_clears():
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for times in (1, 2):
        (x * w).sum().backward()
        np.testing.assert_array_equal(x.grad.data, times * w.data)
    x.zero_grad()
    assert x.grad is None
    np.testing.assert_array_equal(w.grad.data, 2 * x.data)


def test_accumulated_gradients_share_no_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    a.grad.data[0] = 100
    assert b.grad.data[0] == 1


def test_backward_can_run_twice_over_one_graph():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward()
    y.backward()
    assert x.grad.item() == 12


def test_a_graph_100_000_deep():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = Add1()(y)
    assert grad(y, x)[0].item() == 1
    del y  # nor does freeing it recurse


def test_a_graph_is_freed_with_its_result_and_without_the_garbage_collector():
    gc.disable()
    try:
        x = leaf(*range(5))
        hidden = x * x
        y = (hidden.exp() + hidden).sum()
        (first,) = grad(y, x, create_graph=True)
        hidden.retain_grad()
        first.sum().backward()
        alive = [weakref.ref(t) for t in (hidden, y, first, y._node, first._node)]
        del hidden, y, first
        assert [r() for r in alive] == [None] * len(alive)
    finally:
        gc.enable()


def test_what_backward_does_not_read_is_not_kept():
    x = leaf(*range(100))
    hidden = x + 1.0
    array = weakref.ref(hidden.data)
    y = hidden + 1.0
    del hidden
    assert array() is None
    assert grad(y.sum(), x)[0].shape == (100,)


class TestInPlaceChanges:
    def test_a_leaf_written_to_after_it_was_saved(self):
        values = np.ones(3)
        x = Tensor(values, requires_grad=True)
        y = (x * x).sum()
        values[1] = 2
        with pytest.raises(AutogradError, match=r"Multiply, applied at .*test_autograd\.py:\d+, .* changed in place"):
            grad(y, x)

    def test_through_a_view(self):
        x = Tensor(np.ones((2, 3)), requires_grad=True)
        y = ops.exp(x.reshape(6)[::-1] * x.reshape(6)).sum()
        x.data[0, 0] = 2
        with pytest.raises(AutogradError, match="changed in place"):
            grad(y, x)

    def test_swapped_elements_are_noticed_and_restored_ones_are_fine(self):
        x = leaf(1.0, 2.0)
        y = (x * x).sum()
        x.data[:] = [2.0, 1.0]
        with pytest.raises(AutogradError, match="changed in place"):
            grad(y, x)
        x.data[:] = [1.0, 2.0]
        assert grad(y, x)[0].tolist() == [2, 4]

    def test_what_is_not_saved_may_change(self):
        x = leaf(1.0, 2.0)
        y = (x + 1.0).sum()
        x.data[:] = 7
        assert grad(y, x)[0].tolist() == [1, 1]

    def test_results_are_read_only(self):
        y = leaf(1.0) * 2.0
        with pytest.raises(ValueError, match="read-only"):
            y.data[0] = 3

    def test_an_operator_that_returns_its_argument_does_not_lock_the_callers_array(self):
        values = np.ones(3)

        class Same(Function):
            def forward(self, x):
                return x

        Same()(Tensor(values))
        values[0] = 2

    def test_a_leaf_with_new_data_has_the_gradient_of_where_it_was(self):
        x = leaf(3.0)
        y = x * x
        x.data = np.array([10.0])
        assert grad(y, x)[0].item() == 6
        with pytest.raises(AutogradError, match="was given new data"):
            grad(y, x, create_graph=True)


def test_grad_computes_no_other_gradient():
    needed = []

    class Product(Function):
        def forward(self, a, b):
            return a * b

        def backward(self, needs, gy, y, a, b):
            needed.append(needs)
            return (gy * b if needs[0] else None), (gy * a if needs[1] else None)

    z, w, v = leaf(2.0), leaf(3.0), leaf(4.0)
    y = Product()(Product()(z, w), v)
    assert grad(y, z)[0].item() == 12
    assert needed == [(True, False), (True, False)]
    needed.clear()
    assert grad(y, v)[0].item() == 6  # the branch behind z * w is not visited
    assert needed == [(False, True)]


def test_grad_of_an_intermediate_result_and_of_the_output_itself():
    x = leaf(3.0)
    a = x * x
    y = a * a
    ga, gx, gy = grad(y, [a, x, y])
    assert (ga.item(), gx.item(), gy.item()) == (18, 108, 1)


def test_vector_jacobian_products_of_several_outputs():
    x = leaf(1.0, 2.0)
    y, z = x * x, x * 3.0
    (g,) = grad([y, z.sum()], x, [Tensor(np.array([1.0, 10.0])), None])
    assert g.tolist() == [2 + 3, 40 + 3]


def test_a_function_of_several_outputs_gets_zeros_for_the_unused_ones():
    class SinCos(Function):
        def forward(self, x):
            return np.sin(x), np.cos(x)

        def backward(self, needs, gy, y, x):
            (gs, gc), (s, c) = gy, y
            return gs * c - gc * s

    x = leaf(0.3)
    s, c = SinCos()(x)
    np.testing.assert_allclose(grad(s, x)[0].data, np.cos(0.3))
    np.testing.assert_allclose(grad(c, x)[0].data, -np.sin(0.3))
    (g,) = grad(s * c, x, create_graph=True)
    np.testing.assert_allclose(grad(g, x)[0].data, -2 * np.sin(0.6))


class TestRecording:
    def test_no_grad_records_nothing_and_enable_grad_undoes_it(self):
        x = leaf(1.0)
        with no_grad():
            assert not (x * x).requires_grad
            with enable_grad():
                assert (x * x).requires_grad
        assert is_grad_enabled()

    def test_as_a_decorator(self):
        @no_grad()
        def double(x):
            return x * 2.0

        assert not double(leaf(1.0)).requires_grad

    def test_other_threads_are_not_affected(self):
        seen = []
        with no_grad():
            thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
            thread.start()
            thread.join()
        assert seen == [True]

    def test_the_gradient_is_a_constant_unless_a_graph_is_asked_for(self):
        x = leaf(1.0)
        y = x * x
        assert not grad(y, x)[0].requires_grad
        assert grad(y, x, create_graph=True)[0].requires_grad

    def test_detach(self):
        x = leaf(3.0)
        assert grad(x * x.detach(), x)[0].item() == 3


class TestHooks:
    def test_on_a_leaf_and_on_a_result_with_the_whole_gradient(self):
        x = leaf(2.0)
        a = x * 3.0
        seen = []
        remove = a.register_hook(lambda g: seen.append(g.item()))
        x.register_hook(lambda g: g * 10.0)
        y = a * a + a
        assert grad(y, x)[0].item() == (2 * 6 + 1) * 3 * 10
        remove()
        grad(y, x)
        assert seen == [13]

    def test_retain_grad(self):
        x = leaf(2.0)
        a = x * 3.0
        a.retain_grad()
        (a * a).backward()
        assert a.grad.item() == 12

    def test_the_grad_of_a_result_warns(self):
        with pytest.warns(UserWarning, match="retain_grad"):
            assert (leaf(1.0) * 2.0).grad is None


class TestErrors:
    def test_a_vector_needs_grad_outputs(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"shape \(2,\).*grad_outputs"):
            grad(x * x, x)

    def test_no_graph(self):
        with pytest.raises(ValueError, match="was not computed from anything"):
            Tensor(1.0).backward()

    def test_an_input_without_requires_grad(self):
        x, c = leaf(1.0), Tensor(np.ones(1))
        with pytest.raises(ValueError, match=r"inputs\[1\] \(1,\) does not require a gradient"):
            grad(x * c, [x, c])

    def test_an_unused_input(self):
        x, unused = leaf(1.0), leaf(1.0, 2.0)
        with pytest.raises(ValueError, match=r"do not depend on inputs\[0\] \(2,\)"):
            grad(x * x, unused)
        assert grad(x * x, unused, allow_unused=True)[0].tolist() == [0, 0]

    def test_a_cotangent_of_another_shape_or_dtype(self):
        x = leaf(1.0, 2.0)
        with pytest.raises(
            ValueError, match=r"grad_outputs\[0\] is float64 \(3,\), but outputs\[0\] is float64 \(2,\)"
        ):
            grad(x * x, x, Tensor(np.ones(3)))
        with pytest.raises(ValueError, match="float32"):
            backward(x * x, Tensor(np.ones(2, np.float32)))

    @pytest.mark.parametrize(
        ("returned", "message"),
        [
            (lambda gy: (gy, gy), "returned 2 gradients for 1 inputs"),
            (lambda gy: gy.sum(), r"must return a Tensor float64 \(2,\) for input 0, got float64 \(\)"),
            (lambda gy: gy.astype(np.float32), r"got float32 \(2,\)"),
            (lambda gy: gy.data, "got a ndarray"),
        ],
    )
    def test_a_backward_that_returns_something_wrong(self, returned, message):
        class Wrong(Double):
            def backward(self, needs, gy, y, x):
                return returned(gy)

        x = leaf(1.0, 2.0)
        y = Wrong()(x).sum()
        with pytest.raises(AutogradError, match=message) as caught:
            grad(y, x)
        assert "Wrong" in str(caught.value)
        assert "test_autograd.py:" in str(caught.value)

    def test_an_exception_in_backward_is_noted_with_the_function_and_the_users_line(self):
        class Broken(Double):
            def backward(self, needs, gy, y, x):
                raise ZeroDivisionError("oh")

        y = Broken()(leaf(1.0))
        with pytest.raises(ZeroDivisionError) as caught:
            y.backward()
        assert "in the gradient of Broken, applied at" in caught.value.__notes__[0]
        assert "test_autograd.py" in caught.value.__notes__[0]


def test_retain_graph_false_frees_what_was_saved_and_says_so_on_the_next_use():
    freed = []
    x, w = (Tensor(np.full((3, 3), v, np.float32), requires_grad=True) for v in (2.0, 3.0))
    a = x * w
    b = ops.exp(a * 0.01)
    for t in (a, b):
        weakref.finalize(t.data, freed.append, t.shape)
    loss = (b * w).sum()
    expected = grad(loss, [x, w])
    del a, b
    assert freed == []  # the graph has them
    for g, e in zip(grad(loss, [x, w], retain_graph=False), expected, strict=True):
        np.testing.assert_array_equal(g.data, e.data)
    assert freed == [(3, 3)] * len(freed)
    assert freed  # the loss is still there, what lay behind it is not
    with pytest.raises(AutogradError, match=r"Sum, applied at .*test_autograd.py:\d+: .* retain_graph=False"):
        grad(loss, [x, w])


def test_retain_graph_false_leaves_what_was_not_used():
    x, y = (Tensor(np.float32(v), requires_grad=True) for v in (2.0, 3.0))
    shared = y * y
    loss = x * x + shared
    grad(loss, x, retain_graph=False)
    (g,) = grad(shared, y)
    assert g.item() == 6
    with pytest.raises(ValueError, match="create_graph=True makes a graph that leads through this one"):
        grad(x * x, x, create_graph=True, retain_graph=False)
