"""Tensor: what it holds, how it is made, and how it leaves for NumPy."""

import subprocess
import sys

import numpy as np
import pytest

from scratchgan import DeviceError, Tensor, ops


class TestMaking:
    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            (1.5, np.float32),
            ([1.0, 2.0], np.float32),
            ([1, 2], np.int64),
            (np.ones(2), np.float64),
            (np.ones(2, np.float32), np.float32),
            (np.float64(2), np.float64),
        ],
    )
    def test_python_floats_become_float32_and_arrays_stay(self, data, dtype):
        assert Tensor(data).dtype == dtype

    def test_an_array_is_shared(self):
        values = np.ones(2)
        assert Tensor(values).data is values

    def test_dtype(self):
        assert Tensor([1.0], dtype=np.float64).dtype == np.float64

    def test_integers_cannot_require_a_gradient(self):
        with pytest.raises(TypeError, match="int64"):
            Tensor([1, 2], requires_grad=True)

    def test_ragged_lists(self):
        with pytest.raises(ValueError, match="inhomogeneous"):
            Tensor([[1.0], [1.0, 2.0]])


class TestOperators:
    def test_arithmetic_with_numbers_and_arrays_on_either_side(self):
        x, a = Tensor([1.0, 2.0]), np.array([3.0, 4.0], np.float32)
        for result in (x + a, a + x):
            assert isinstance(result, Tensor)
            assert result.tolist() == [4, 6]
        assert (2 - x).tolist() == [1, 0]
        assert (6 / x).tolist() == [6, 3]
        assert (2**x).tolist() == [2, 4]
        assert (a - x).tolist() == [2, 2]
        assert (np.eye(2, dtype=np.float32) @ x).tolist() == [1, 2]
        assert (x @ x).item() == 5
        assert abs(-x).tolist() == [1, 2]

    @pytest.mark.parametrize("number", [2, 2.5, np.float64(2.5), True])
    def test_a_number_takes_the_tensors_dtype(self, number):
        for dtype in (np.float32, np.float64):
            assert (Tensor(np.ones(2, dtype)) * number).dtype == dtype

    def test_dtypes_do_not_mix(self):
        with pytest.raises(TypeError, match="multiply: the operands are float32 and float64"):
            Tensor([1.0]) * np.ones(1)

    def test_comparisons_are_masks(self):
        x = Tensor([1.0, 2.0, 3.0])
        assert (x > 2).tolist() == [False, False, True]
        assert (x == 2).tolist() == [False, True, False]
        assert (x * (x >= 2)).tolist() == [0, 2, 3]

    def test_tensors_are_hashed_by_identity(self):
        x, y = Tensor([1.0]), Tensor([1.0])
        assert len({x: 0, y: 1}) == 2

    def test_iteration_and_indexing(self):
        x = Tensor(np.arange(6.0).reshape(2, 3))
        assert [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]
        assert x[1, ::-1].tolist() == [5, 4, 3]
        assert x[[0, 0]].shape == (2, 3)

    def test_torch_names_for_axes(self):
        x = Tensor(np.arange(6.0).reshape(2, 3))
        np.testing.assert_array_equal(x.sum(dim=1, keepdim=True), x.sum(axis=1, keepdims=True))
        with pytest.raises(TypeError, match="axis and dim"):
            x.sum(axis=1, dim=1)
        with pytest.raises(TypeError, match="'axes'"):
            x.sum(axes=1)


class TestLeaving:
    def test_numpy_shares_and_array_protocol_converts(self):
        x = Tensor([1.0, 2.0])
        assert x.numpy() is x.data
        assert np.asarray(x, dtype=np.float64).dtype == np.float64

    def test_dlpack(self):
        x = Tensor(np.arange(3.0))
        np.testing.assert_array_equal(np.from_dlpack(x), x.data)

    def test_item_float_bool(self):
        assert Tensor([[2.5]]).item() == 2.5
        assert float(Tensor(2.5)) == 2.5
        assert bool(Tensor(0.0)) is False
        with pytest.raises(ValueError, match=r"shape \(2,\)"):
            Tensor([1.0, 2.0]).item()

    def test_repr(self):
        x = Tensor([1.0], requires_grad=True)
        assert repr(x) == "Tensor([1.], requires_grad=True)"
        assert "made by Exp" in repr(x.exp())
        assert "dtype=float64" in repr(Tensor(np.ones(1)))

    def test_a_grad_of_the_wrong_shape(self):
        with pytest.raises(ValueError, match=r"float32 \(1,\)"):
            Tensor([1.0]).grad = Tensor([1.0, 2.0])


class TestDevices:
    def test_to_the_same_device_is_the_same_tensor(self):
        x = Tensor([1.0])
        assert x.to("cpu") is x

    def test_an_unknown_device(self):
        with pytest.raises(ValueError, match="unknown device 'tpu'"):
            Tensor([1.0]).to("tpu")

    def test_cuda_without_cupy_says_what_to_install(self):
        try:
            import cupy  # noqa: F401
        except ImportError:
            with pytest.raises(DeviceError, match="pip install"):
                ops.to_device(Tensor([1.0]), "cuda")
        else:
            pytest.skip("CuPy is installed here")


def test_import_scratchgan_is_light():
    program = "import sys, scratchgan; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "cupy", "scipy", "matplotlib", "PIL", "rich", "torch", "hypothesis"} & set(loaded)
