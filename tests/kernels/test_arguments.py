"""The checks that every kernel shares: what they let pass, and what they say when they do not."""

import numpy as np
import pytest

from scratchgan.kernels import arguments

X = np.zeros((2, 3), np.float32)


def test_pair() -> None:
    assert arguments.pair("f", "stride", 3, 1) == (3, 3)
    assert arguments.pair("f", "stride", [np.int64(2), 0], 0) == (2, 0)  # type: ignore[list-item]
    for wrong in (2.0, True, "2", None, (1, 2, 3), (1, 2.0), ()):
        with pytest.raises(TypeError, match=r"f: stride must be an int or a pair of ints \(height, width\), got"):
            arguments.pair("f", "stride", wrong, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"f: stride must be at least 1, got \(2, 0\)"):
        arguments.pair("f", "stride", (2, 0), 1)


def test_arrays_come_back_in_c_order_and_writable() -> None:
    frozen = np.arange(6, dtype=np.float32).reshape(2, 3)
    frozen.setflags(write=False)
    x, y, zero = arguments.arrays("f", x=frozen, y=X.T, zero=np.array(1, np.float32))
    assert all(array.flags.c_contiguous and array.flags.writeable for array in (x, y, zero))
    np.testing.assert_array_equal(x, frozen)
    assert y.shape == (3, 2)
    assert zero.shape == ()


def test_arrays_of_the_wrong_kind() -> None:
    with pytest.raises(TypeError, match=r"f: w must be a NumPy or CuPy array, got builtins.list"):
        arguments.arrays("f", x=X, w=[1.0])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"f: w must be float32 or float64, got int64; convert it with .astype"):
        arguments.arrays("f", w=np.zeros(2, np.int64))
    with pytest.raises(TypeError, match=r"f: w must be float32 or float64, got >f4"):
        arguments.arrays("f", w=np.zeros(2, ">f4"))
    with pytest.raises(TypeError, match=r"f: w is float64 but x is float32; nothing is promoted silently"):
        arguments.arrays("f", x=X, w=np.zeros(2))


def test_dimensions() -> None:
    arguments.dimensions("f", "x", X, "N,C")
    with pytest.raises(ValueError, match=r"f: x must have 4 axes \(N,C,H,W\), got shape \(2, 3\)"):
        arguments.dimensions("f", "x", X, "N,C,H,W")


def test_output() -> None:
    fresh = arguments.output("f", None, (4,), (X,))
    assert (fresh.shape, fresh.dtype) == ((4,), np.float32)
    given = np.zeros((4, 2), np.float32)
    assert arguments.output("f", given, (4, 2), (X,)) is given
    for wrong in (np.zeros((2, 4), np.float32), np.zeros((4, 2))):
        with pytest.raises(ValueError, match=r"f: out must be float32 \(4, 2\), got"):
            arguments.output("f", wrong, (4, 2), (X,))
    with pytest.raises(TypeError, match=r"f: out must be a NumPy array on the CPU, .*, got builtins.list"):
        arguments.output("f", [], (4, 2), (X,))  # type: ignore[arg-type]
    frozen = given.copy()
    frozen.setflags(write=False)
    for wrong in (np.zeros((2, 4), np.float32).T, frozen):
        with pytest.raises(ValueError, match="f: out must be writable and in C order"):
            arguments.output("f", wrong, (4, 2), (X,))
    with pytest.raises(ValueError, match="f: out shares memory with an input"):
        arguments.output("f", given, (4, 2), (X, given[1:]))


def test_in_place() -> None:
    a, b = np.zeros((2, 4, 3), np.float32)
    first, second = arguments.in_place("f", a=a, b=b)
    assert first is a
    assert second is b
    with pytest.raises(ValueError, match=r"f: b.shape=\(3,\) but a.shape=\(4, 3\)"):
        arguments.in_place("f", a=a, b=b[0])
    with pytest.raises(ValueError, match="f: a is changed in place, so it must be writable and in C order"):
        arguments.in_place("f", a=a[:, ::-1])
    with pytest.raises(ValueError, match="f: a and b share memory"):
        arguments.in_place("f", a=a, b=a)


def test_number() -> None:
    assert arguments.number("f", "lr", np.float32(0.5)) == 0.5  # type: ignore[arg-type]
    for wrong in ("1", None, True, np.zeros(1), 1j):
        with pytest.raises(TypeError, match="f: lr must be a number, got"):
            arguments.number("f", "lr", wrong)  # type: ignore[arg-type]
    for infinite in (np.inf, -np.inf, np.nan):
        with pytest.raises(ValueError, match="f: lr must be finite, got"):
            arguments.number("f", "lr", infinite)


def test_the_writable_alias_is_the_same_memory_and_the_original_stays_read_only() -> None:
    array = np.arange(5.0)
    assert arguments.writable_alias(array) is array
    array.setflags(write=False)
    alias = arguments.writable_alias(array)
    assert alias.flags.writeable
    assert np.shares_memory(alias, array)
    assert not array.flags.writeable
    del array
    np.testing.assert_array_equal(alias, np.arange(5.0))  # it keeps its owner alive
