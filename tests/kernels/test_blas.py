"""NumPy's matrix products on one thread: the same numbers, and the library's setting is put back."""

import numpy as np
import pytest

from scratchgan.kernels import blas, matmul


class Library:
    """Stands in for OpenBLAS: records what its number of threads is set to."""

    def __init__(self, threads: int):
        self.threads, self.calls = threads, list[int]()

    def set_threads(self, count: int) -> None:
        self.threads = count
        self.calls.append(count)

    def functions(self) -> tuple[object, object]:
        return self.set_threads, lambda: self.threads


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library(4)
    monkeypatch.setattr(blas, "openblas", library.functions)
    return library


def product(rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(rows * 4.0).reshape(rows, 4), np.arange(8.0).reshape(4, 2)


def test_a_small_product_takes_one_thread(library: Library) -> None:
    a, b = product()
    np.testing.assert_array_equal(matmul(a, b), a @ b)
    assert library.calls == [1, 4]


def test_a_large_one_takes_all(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = product()
    monkeypatch.setattr(blas, "LARGE", a.size * b.shape[1])
    np.testing.assert_array_equal(matmul(a, b), a @ b)
    assert library.calls == []


def test_a_single_thread_stays_one(library: Library) -> None:
    library.threads = 1
    matmul(*product())
    assert library.calls == []


@pytest.mark.parametrize(("a_shape", "b_shape"), [((3, 1), (1, 5)), ((2, 1, 3, 1), (4, 1, 5)), ((1, 1), (1, 1))])
def test_sums_of_one_term(a_shape: tuple[int, ...], b_shape: tuple[int, ...], library: Library) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(a_shape), rng.standard_normal(b_shape)
    product = matmul(a, b)
    np.testing.assert_array_equal(product, a @ b)
    assert product.shape == (a @ b).shape
    assert library.calls == []


def test_after_an_error_the_number_is_put_back(library: Library) -> None:
    a, b = product()
    with pytest.raises(ValueError, match="matmul"):
        matmul(a, b.T)
    assert library.calls == [1, 4]


def test_another_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "openblas", lambda: None)
    a, b = product()
    np.testing.assert_array_equal(matmul(a, b), a @ b)


def test_the_library_that_numpy_has() -> None:
    """On NumPy's own wheels there is one, and it counts."""
    found = blas.openblas()
    if found is None:
        pytest.skip("NumPy here is not built with OpenBLAS")
    set_threads, get_threads = found
    before = get_threads()
    assert before >= 1
    set_threads(1)
    assert get_threads() == 1
    set_threads(before)
    matmul(*product())
    assert get_threads() == before
