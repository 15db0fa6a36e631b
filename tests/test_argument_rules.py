"""Every argument of every operator and layer, with what it does not take: an error that names what was called."""

import inspect
from typing import Any

import numpy as np
import pytest

from scratchgan import DeviceError, Tensor, nn, ops
from scratchgan.ops.arguments import RULES

F32 = np.float32
REFUSALS = (TypeError, ValueError, IndexError, DeviceError)


def array(*shape: int) -> np.ndarray:
    return np.linspace(0.1, 0.9, int(np.prod(shape)), dtype=F32).reshape(shape)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


X = array(2, 4, 5, 5)
ONE = {"x": array(2, 3)}
#: Arguments that are right, by the name of the operator.
RIGHT: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("abs", "exp", "log", "negative", "relu", "sigmoid", "sqrt", "tanh", "clip", "softplus"), ONE),
    **dict.fromkeys(("sum", "mean", "var", "max", "min", "logsumexp", "softmax", "log_softmax", "flip"), ONE),
    **dict.fromkeys(("leaky_relu", "flatten"), ONE),
    **{
        name: {"a": array(2, 3), "b": array(2, 3)}
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")
    },
    "power": {"base": array(2, 3), "exponent": 2.0},
    "where": {"condition": np.ones((2, 3), bool), "a": array(2, 3), "b": array(2, 3)},
    "astype": {**ONE, "dtype": np.float64},
    "to_device": {**ONE, "device": "cpu"},
    "matmul": {"a": array(2, 3), "b": array(3, 2)},
    "linear": {"x": array(2, 3), "weight": array(4, 3), "bias": array(4)},
    "reshape": {**ONE, "shape": (3, 2)},
    "transpose": {**ONE, "axes": (1, 0)},
    "broadcast_to": {**ONE, "shape": (2, 2, 3)},
    "sum_to": {**ONE, "shape": (1, 3)},
    "concatenate": {"xs": [array(2, 3), array(2, 3)]},
    "stack": {"xs": [array(2, 3), array(2, 3)]},
    "getitem": {**ONE, "index": 0},
    "pad": {**ONE, "widths": [(0, 1), (1, 0)]},
    "embedding": {"indices": np.array([0, 1]), "weight": array(2, 3)},
    "dropout": {**ONE, "p": 0.5, "generator": rng()},
    "conv2d": {"x": X, "weight": array(2, 4, 3, 3), "bias": array(2)},
    "conv_transpose2d": {"x": X, "weight": array(4, 2, 3, 3), "bias": array(2)},
    "upsample_conv2d": {"x": X, "weight": array(2, 4, 3, 3), "bias": array(2)},
    "upsample_nearest2d": {"x": X},
    "upsample_bilinear2d": {"x": X},
    "max_pool2d": {"x": X, "kernel": 2},
    "avg_pool2d": {"x": X, "kernel": 2},
    "batch_norm": {
        "x": X,
        "running_mean": np.zeros(4, F32),
        "running_var": np.ones(4, F32),
        "weight": array(4),
        "bias": array(4),
    },
    "group_norm": {"x": X, "groups": 2, "weight": array(4), "bias": array(4)},
    "instance_norm": {"x": X, "weight": array(4), "bias": array(4)},
    "layer_norm": {"x": X, "shape": (5, 5), "weight": array(5, 5), "bias": array(5, 5)},
    "binary_cross_entropy_with_logits": {"logits": array(4, 1), "target": array(4, 1)},
    "cross_entropy": {"logits": array(4, 3), "labels": np.array([0, 1, 2, 0])},
    "mse_loss": {"prediction": array(4, 1), "target": array(4, 1)},
    "l1_loss": {"prediction": array(4, 1), "target": array(4, 1)},
    **dict.fromkeys(("cos", "elu", "erf", "floor", "gelu", "hardtanh", "round", "rsqrt", "silu", "sin"), ONE),
    **dict.fromkeys(("argmax", "argmin", "cumsum", "norm", "prod", "sort", "std"), ONE),
    "atan2": {"y": array(2, 3), "x": array(2, 3)},
    "prelu": {**ONE, "weight": array(3)},
    "gather": {**ONE, "axis": 1, "index": np.zeros((2, 2), int)},
    "scatter_add": {**ONE, "axis": 1, "index": np.zeros((2, 2), int), "source": array(2, 2)},
    "one_hot": {"index": np.array([0, 1]), "classes": 3},
    "topk": {**ONE, "k": 2},
    "split": {**ONE, "size": 2},
    "chunk": {**ONE, "chunks": 2},
    "einsum": {"equation": "ij,jk->ik", "operands": [array(2, 3), array(3, 2)]},
    "scaled_dot_product_attention": {"query": array(2, 3), "key": array(4, 3), "value": array(4, 2)},
    "huber_loss": {"prediction": array(4, 1), "target": array(4, 1)},
    "kl_div": {"input": array(4, 2), "target": array(4, 2)},
    "total_variation": {"x": X},
    "pixel_shuffle": {"x": X, "upscale_factor": 2},
    "pixel_unshuffle": {"x": X, "downscale_factor": 5},
    "unfold": {"x": X, "kernel": 2},
    "fold": {"x": array(2, 4, 4), "output_size": 3, "kernel": 2},
    "interpolate": {"x": X, "size": 3},
    "adaptive_avg_pool2d": {"x": X, "output_size": 3},
    "grid_sample": {"x": X, "grid": array(2, 3, 3, 2)},
    "affine_grid": {"theta": array(2, 2, 3), "size": (2, 1, 3, 3)},
    "scale_shift": {"x": X, "scale": array(2, 4), "shift": array(2, 4)},
    "spectral_normalize": {"weight": array(2, 3), "u": array(2), "v": array(3)},
    "upfirdn2d": {"x": X, "filter": [1.0, 2.0]},
    "upsample_fir2d": {"x": X},
    "downsample_fir2d": {"x": X},
}
#: Arguments that are checked in the operator itself, since several rules are one there.
WRONG = {
    ("power", "base"): ("a", None, 1j),
    ("power", "exponent"): ("a", None, 1j, object()),
    ("where", "condition"): (None, "a", array(2, 3), np.ones((2, 3), int), 1.5),
    ("where", "a"): ("a", None),
    ("where", "b"): ("a", None),
    ("getitem", "index"): (5, (0, 7), [9], 1.5, "a", (0, 0, 0), np.ones(5, bool)),
    ("pad", "widths"): (1.5, None, "a", [(1, 1)], [(1.5, 0), (0, 0)], [(-3, 0), (0, 0)], [(0, 2**70), (0, 0)], [1, 1]),
    ("einsum", "operands"): (["a", array(3, 2)], [None, array(3, 2)], [array(2, 3)], [array(2, 3), array(2)], []),
    ("interpolate", "size"): ("a", 1.5, True, (1,), (1, 1.5), 0, -1, 2**70),
    ("interpolate", "scale_factor"): (2.0, "a", True),  # a size is given too
}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_every_wrong_value_is_refused_by_name(name: str) -> None:
    apply(name, RIGHT[name])  # what is right is taken
    for argument, rule in RULES[name].items():
        for value in WRONG.get((name, argument), rule.wrong):
            with pytest.raises(REFUSALS) as caught:
                apply(name, {**RIGHT[name], argument: value})
            text = str(caught.value)
            assert text.startswith(f"{name}: "), f"{argument}={value!r}: {text}"
            assert len(text) > len(name) + 12, text


def apply(name: str, arguments: dict[str, Any]) -> Any:
    """By position, as most are called; what comes after a gap by name."""
    function = getattr(ops, name)
    arguments = dict(arguments)
    if name in ("reshape", "transpose"):
        return function(*arguments.values())
    if name == "einsum":
        return function(arguments["equation"], *arguments["operands"])
    given = []
    for parameter in RULES[name]:
        if parameter not in arguments:
            break
        given.append(arguments.pop(parameter))
    return function(*given, **arguments)


def shapes_to_try(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """What the shape is not: an axis more, fewer, longer, none at all."""
    return [(), (1,), (7,), (2, 7), (*shape, 2), shape[1:], (shape[0] + 1, *shape[1:]) if shape else (3,), (0, 3)]


@pytest.mark.parametrize("name", sorted(RIGHT))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_shapes_and_dtypes_that_do_not_fit_say_so_by_name(name: str) -> None:
    for argument, value in RIGHT[name].items():
        if not isinstance(value, np.ndarray):
            continue
        others: list[Any] = [np.ones(shape, value.dtype) for shape in shapes_to_try(value.shape)]
        others += [value.astype(kind) for kind in (np.float64, np.int64, bool, np.float16)]
        for other in others:
            try:
                apply(name, {**RIGHT[name], argument: other})
            except REFUSALS as error:
                text = str(error)
                assert text.startswith(f"{name}: "), f"{argument} {other.dtype} {other.shape}: {text}"
                for bare in ("operands could not", "shape mismatch", "gufunc", "object has no", "ufunc '"):
                    assert bare not in text, text


def test_every_operator_has_rules_for_every_argument() -> None:
    assert set(RIGHT) == set(RULES) & set(ops.__all__)
    for name in RIGHT:
        parameters = inspect.signature(getattr(ops, name)).parameters
        assert set(RULES[name]) == set(parameters), name


LAYERS: dict[str, dict[str, Any]] = {
    "Linear": {"in_features": 3, "out_features": 2, "generator": rng()},
    "Embedding": {"num_embeddings": 3, "embedding_dim": 2, "generator": rng()},
    "Conv2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "generator": rng()},
    "ConvTranspose2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "generator": rng()},
    "UpsampleConv2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "generator": rng()},
    "BatchNorm1d": {"num_features": 2},
    "BatchNorm2d": {"num_features": 2},
    "InstanceNorm2d": {"num_features": 2},
    "GroupNorm": {"num_groups": 2, "num_channels": 4},
    "LayerNorm": {"normalized_shape": 4},
    "Upsample": {"scale_factor": 2},
    "MaxPool2d": {"kernel_size": 2},
    "AvgPool2d": {"kernel_size": 2},
    "Dropout": {"generator": rng()},
    "LeakyReLU": {},
    "Softplus": {},
    "Flatten": {},
    "Unflatten": {"dim": 1, "unflattened_size": (2, 2)},
    "Conv1d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "generator": rng()},
    "ConvAvgPool2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "generator": rng()},
    "EqualizedConv2d": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, "generator": rng()},
    "EqualizedLinear": {"in_features": 3, "out_features": 2, "generator": rng()},
    "AdaptiveAvgPool2d": {"output_size": 2},
    "PixelShuffle": {"upscale_factor": 2},
    "PixelUnshuffle": {"downscale_factor": 2},
    "ZeroPad2d": {"padding": 1},
    "ReflectionPad2d": {"padding": 1},
    "ReplicationPad2d": {"padding": (1, 0, -1, 2)},
    "ELU": {},
    "GELU": {},
    "Hardtanh": {},
    "PReLU": {},
    "PixelNorm": {},
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layers_refuse_when_they_are_made(name: str) -> None:
    kind = getattr(nn, name)
    kind(**LAYERS[name])
    rules = kind.__init__.rules
    assert set(rules) == set(inspect.signature(kind).parameters)
    for argument, rule in rules.items():
        for value in rule.wrong:
            with pytest.raises(REFUSALS, match=rf"^{name}: .*{argument}"):
                kind(**{**LAYERS[name], argument: value})
    with pytest.raises(TypeError, match=rf"^{name}: unknown argument 'colour'"):
        kind(**LAYERS[name], colour=1)


def test_every_layer_with_arguments_has_rules() -> None:
    base = {nn.Module, nn.ModuleList, nn.Sequential, nn.Parameter}
    made = {n for n in nn.__all__ if inspect.isclass(getattr(nn, n)) and issubclass(getattr(nn, n), nn.Module)}
    with_arguments = {n for n in made if getattr(nn, n) not in base and inspect.signature(getattr(nn, n)).parameters}
    assert with_arguments == set(LAYERS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.min(array(0, 3)), "min: there is nothing to reduce"),
        (lambda: ops.softmax(array(2, 3), 5), "softmax: axis 5 is outside"),
        (lambda: ops.log_softmax(array(2, 3), (0, -2)), "log_softmax: axis .* twice"),
        (lambda: ops.group_norm(X.astype(int), 2), "group_norm: x must be float32 or float64"),
        (lambda: ops.mse_loss(array(0, 1), array(0, 1)), "mse_loss: there is nothing to take the mean of"),
        (lambda: ops.cross_entropy(array(0, 3), np.zeros(0, int)), "cross_entropy: there is nothing"),
        (lambda: ops.sum_to(array(2, 3), (3, 2)), r"sum_to: .*\(3, 2\) cannot be broadcast to \(2, 3\)"),
        (lambda: ops.flatten(array(2, 3), 5), "flatten: start=5 is outside"),
        (lambda: ops.flatten(array(2, 3), -5), "flatten: start=-5 is outside"),
        (lambda: ops.transpose(array(2, 3), (0, -3)), "transpose: .*not an order"),
        (lambda: ops.pad(array(2, 3), 1.5), "pad: widths must be 2 pairs"),
        (lambda: ops.sum(array(2, 3), axis=True), "sum: axis must be an int"),
        (lambda: ops.sum(array(2, 3), keepdims=True, keepdim=True), "sum: keepdims and keepdim mean the same"),
        (lambda: ops.conv2d(X), "conv2d: the argument weight is missing"),
        (lambda: ops.add(array(2, 3), array(4)), r"add: \(2, 3\) and \(4,\) cannot be broadcast"),
        (lambda: ops.binary_cross_entropy_with_logits(array(2), 2.0), "binary_cross_entropy_with_logits: target must"),
        (
            lambda: ops.binary_cross_entropy_with_logits(array(2), np.full(2, 2.0, F32)),
            r"binary_cross_entropy_with_logits: targets must be in \[0, 1\]",
        ),
        (lambda: ops.group_norm(X, 2, array(1)), r"group_norm: weight must be \(4,\)"),
        (lambda: ops.layer_norm(X, (5,), array(2, 5)), r"layer_norm: weight must be \(5,\)"),
        (lambda: ops.batch_norm(X, np.zeros(1, F32), np.ones(1, F32)), r"batch_norm: running_mean must be \(4,\)"),
        (lambda: ops.batch_norm(X, np.zeros(4, F32), np.ones(4, F32), eps=-2), "batch_norm: eps must be .* at least 0"),
        (lambda: ops.batch_norm(X, np.zeros(4, F32), None, training=True), "batch_norm: .*belong together"),
        (lambda: ops.where(True, "a", 1.0), "where: a cannot be a Tensor"),
        (lambda: nn.Conv2d(0, 4, 3, generator=rng()), "Conv2d: in_channels must be an int of at least 1"),
        (lambda: nn.Upsample(scale_factor=1.5), "Upsample: scale_factor must be an int or a pair"),
        (lambda: nn.MaxPool2d(0), "MaxPool2d: kernel_size must be at least 1"),
        (lambda: nn.AvgPool2d(-1), "AvgPool2d: kernel_size must be at least 1"),
        (lambda: nn.BatchNorm2d(4, eps="a"), "BatchNorm2d: eps must be a finite number at least 0"),
        (lambda: Tensor("a"), "Tensor: it holds real numbers"),
        (lambda: Tensor(array(2)) < array(3), "lt: "),
    ],
)
def test_the_operator_that_was_called_is_named(call, message) -> None:
    with pytest.raises(REFUSALS, match=f"^{message}"):
        call()


def test_pytorchs_names_mean_the_same() -> None:
    x = array(2, 3)
    assert ops.sum(input=x, dim=1, keepdim=True).shape == (2, 1)
    assert ops.leaky_relu(x, negative_slope=0.5).shape == (2, 3)
    assert nn.Linear(3, 2, generator=rng())(input=x).shape == (2, 2)
