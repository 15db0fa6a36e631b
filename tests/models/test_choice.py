"""Networks by name: the shapes that they take and give, and what is refused."""

import numpy as np
import pytest

from scratchgan.models import gan28, make_discriminator, make_generator, model_for


@pytest.mark.parametrize(
    ("model", "shape"), [("gan", (3, 16, 16)), ("gan28", (1, 28, 28)), ("gan28", (3, 16, 16)), ("mlp", (2,))]
)
def test_a_model_draws_what_its_discriminator_judges(model, shape):
    rng = np.random.default_rng(0)
    g = make_generator(model, shape, 5, 8, generator=rng)
    d = make_discriminator(model, shape, 8, "none", generator=rng)
    drawn = g(rng.standard_normal((3, 5), np.float32))
    assert drawn.shape == (3, *shape)
    assert d(drawn).shape == (3, 1)
    assert model_for(shape) in (model, "gan")


def test_gan28_is_the_benchmarks():
    ours = make_generator("gan28", (1, 28, 28), 64, 32, generator=np.random.default_rng(0))
    theirs, _ = gan28(generator=np.random.default_rng(0))
    mine = ours.state_dict()
    assert all(np.array_equal(mine[name], array) for name, array in theirs.state_dict().items())


@pytest.mark.parametrize(
    ("model", "shape", "norm", "words"),
    [
        ("mlp", (1, 28, 28), "none", "mlp is not for images; gan is"),
        ("gan", (2,), "none", "gan is not for points; mlp is"),
        ("gan28", (1, 30, 30), "none", "size 30 .* multiple of 4"),
        ("gan28", (1, 28, 28), "batch", "d_norm must be none, got 'batch'"),
        ("mlp", (2,), "layer", "none or spectral, got 'layer'"),
        ("vae", (2,), "none", "one of gan, gan28, mlp, got 'vae'"),
    ],
)
def test_refusals_say_what_would_do(model, shape, norm, words):
    with pytest.raises(ValueError, match=words):
        make_discriminator(model, shape, 8, norm, generator=np.random.default_rng(0))


def test_spectral_norm_bounds_the_gradient_of_the_mlp():
    d = make_discriminator("mlp", (2,), 16, "spectral", generator=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((200, 2)).astype(np.float32)
    for _ in range(30):  # power iterations
        d(x)
    values = d.eval()(x).data[:, 0]
    slopes = np.abs(np.diff(values)) / np.linalg.norm(np.diff(x, axis=0), axis=1)
    assert slopes.max() < 1.05
