"""FLOPs, bytes, inputs, and the harness's reference against the kernels' own references."""

import math

import numpy as np
import pytest

from benchmarks import reference
from benchmarks.descriptor import parse, read_shapes
from benchmarks.problem import flops, inputs, memory_needed, moved_bytes, read_by, reduction_length, shapes, written_by
from scratchgan.kernels.conv import reference as conv
from scratchgan.kernels.norm import reference as norm
from scratchgan.kernels.pool import reference as pool
from scratchgan.kernels.upfirdn import reference as upfirdn
from scratchgan.kernels.upsample import reference as upsample
from scratchgan.kernels.upsample_conv import reference as upsample_conv


def by_the_kernels_reference(p, a):
    """Loops that follow the definitions."""
    options = (p.stride, p.padding, p.dilation, p.groups)
    forward = p.direction.startswith("FWD")
    if p.op in ("conv", "deconv"):
        direction = p.direction
        if p.op == "conv":
            if forward:
                y = conv.conv2d(a["x"], a["w"], *options)
            elif direction == "BWD_D":
                y = conv.conv2d_input_grad(a["gy"], a["w"], p.image, *options)
            else:
                y = conv.conv2d_weight_grad(a["x"], a["gy"], p.kernel, *options)
        elif forward:
            y = conv.conv_transpose2d(a["x"], a["w"], p.stride, p.padding, (0, 0), p.dilation, p.groups)
        elif direction == "BWD_D":
            y = conv.conv2d(a["gy"], a["w"], *options)
        else:
            y = conv.conv2d_weight_grad(a["gy"], a["x"], p.kernel, *options)
    elif p.op == "upconv":
        if forward:
            y = upsample_conv.upsample_conv2d(a["x"], a["w"], p.scale, p.padding)
        elif p.direction == "BWD_D":
            y = upsample_conv.upsample_conv2d_input_grad(a["gy"], a["w"], p.scale, p.padding)
        else:
            y = upsample_conv.upsample_conv2d_weight_grad(a["x"], a["gy"], p.kernel, p.scale, p.padding)
    elif p.op == "resampling" and p.algorithm == "fir":
        padding = tuple(reference.fir_padding(scale) for scale in p.scale)
        taps = np.outer(reference.FIR, reference.FIR) * math.prod(p.scale)
        if forward:
            y = upfirdn.upfirdn2d(a["x"], taps, p.scale, (1, 1), padding)
        else:
            y = upfirdn.upfirdn2d_grad(a["gy"], taps, p.image, p.scale, (1, 1), padding)
    elif p.op == "resampling":
        name = "upsample_bilinear2d" if p.algorithm == "linear" else "upsample_nearest2d"
        function = getattr(upsample, name if forward else f"{name}_grad")
        y = function(a["x" if forward else "gy"], p.scale)
    elif p.op == "pool":
        return pooled(p, a, forward)
    elif p.op == "bnorm":
        y, _, _ = norm.batch_norm(a["x"], a["weight"], a["beta"], reference.EPSILON)
        if not forward:
            return None
    else:
        return None
    return y + a["bias"][:, None, None] if "bias" in a else y


def pooled(p, a, forward):
    if p.algorithm == "max":
        y, index = pool.max_pool2d(a["x"], p.kernel, p.stride, p.padding, (1, 1))
        return y if forward else pool.max_pool2d_grad(a["gy"], index, p.image)
    include = p.algorithm == "avg_p"
    if forward:
        return pool.avg_pool2d(a["x"], p.kernel, p.stride, p.padding, include)
    return pool.avg_pool2d_grad(a["gy"], p.image, p.kernel, p.stride, p.padding, include)


EDGES = [p.directed(d) for p in read_shapes("edge.txt") for d in p.directions]


@pytest.mark.parametrize("problem", EDGES, ids=str)
@pytest.mark.parametrize("fill", ["integers", "normal"])
def test_the_reference_is_the_definition(problem, fill):
    arrays = {name: array.astype(np.float64) for name, array in inputs(problem, fill).items()}
    expected = by_the_kernels_reference(problem, arrays)
    found = reference.compute(problem, arrays)
    assert [y.shape for y in found] == [shapes(problem)[name] for name in written_by(problem)]
    if expected is not None:
        np.testing.assert_allclose(found[0], expected, rtol=1e-12, atol=1e-12)


def test_flops_and_bytes_of_a_layer_by_hand():
    p = parse("conv mb64ic64ih32oc128kh4sh2ph1")
    assert flops(p) == 2 * 64 * 16 * 16 * 128 * 64 * 4 * 4
    x, w, y = 64 * 64 * 32 * 32, 128 * 64 * 4 * 4, 64 * 128 * 16 * 16
    assert moved_bytes(p.directed("FWD_B")) == 4 * (x + w + y + 128)
    assert moved_bytes(p.directed("BWD_D")) == 4 * (y + w + x)
    assert moved_bytes(p.directed("BWD_W")) == 4 * (x + y + w)
    assert flops(parse("conv g4mb2ic8ih6oc8kh3")) * 4 == flops(parse("conv mb2ic8ih6oc8kh3"))
    assert flops(parse("deconv mb2ic8ih6oc4kh4sh2ph1")) == 2 * 2 * 36 * 8 * 4 * 16
    assert flops(parse("upconv mb2ic8ih6oc4kh3ph1")) == 2 * 2 * 144 * 8 * 4 * 9
    assert flops(parse("ip mb2ic8oc4")) == 2 * 2 * 8 * 4
    assert flops(parse("bnorm mb2ic8ih4")) == 0


def test_lengths_of_sums():
    p = parse("conv mb64ic64ih32oc128kh4sh2ph1")
    assert reduction_length(p.directed("FWD_B")) == 64 * 16
    assert reduction_length(p.directed("BWD_D")) == 128 * 16
    assert reduction_length(p.directed("BWD_W")) == 64 * 16 * 16


def test_inputs_are_the_same_each_time_and_integers_are_small():
    p = parse("conv --dir=FWD_B mb2ic3ih8oc4kh3")
    one, other = inputs(p, "integers"), inputs(p, "integers")
    assert list(one) == list(read_by(p)) == ["x", "w", "bias"]
    for name in one:
        assert one[name].dtype == np.float32
        np.testing.assert_array_equal(one[name], other[name])
        assert set(np.unique(one[name])) <= set(range(-4, 5))
    with pytest.raises(ValueError, match="fill must be"):
        inputs(p, "ones")


def test_memory_grows_with_the_shape():
    small, large = (memory_needed(parse(f"conv mb64ic64ih{size}oc64kh3ph1")) for size in (32, 64))
    assert 3.9 * small < large < 4.1 * small
    assert small > 3 * 64 * 64 * 32 * 32 * 4
