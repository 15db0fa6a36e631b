"""PyTorch's own sample inputs (OpInfo, ModuleInfo) against every operator and layer that shares a name.

Values, first gradients, and second ones where an input is small, in float32 and float64; contiguous and not; extremal
values; and inputs that PyTorch refuses, which must be refused here too, in a sentence. A sample that cannot be said in
our arguments is counted, by reason, and printed in the summary (``pytest -rP``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scratchgan import DeviceError, Tensor, grad, nn, ops

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")  # what torch.testing._internal stands on
pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

LIMIT = 60  # samples of an operator and dtype, evenly taken


class Inexpressible(Exception):
    """A sample that our arguments cannot say; the reason."""


def cannot(reason: str) -> Any:
    raise Inexpressible(reason)


def _allow_flags() -> None:
    """Undo what importing PyTorch's own test tools does: it forbids the whole process to set a backend's flags."""
    # The module that is imported by this name is a stand-in; the flag is a global of its functions.
    torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True


def only(options: dict[str, Any], **names: str) -> dict[str, Any]:
    """Rename PyTorch's options to ours; those without a name here must be at their defaults."""
    result = {}
    for key, value in options.items():
        if key in names:
            result[names[key]] = value
        elif value is not None and value is not False:
            cannot(f"option {key}")
    return result


def unary(name: str) -> Callable[..., Any]:
    return lambda x, *args, **options: cannot("more arguments") if args or only(options) else getattr(ops, name)(x)


def reduction(name: str) -> Callable[..., Any]:
    def call(x: Any, *args: Any, **options: Any) -> Any:
        named = only(options, dim="axis", keepdim="keepdims")
        if args:
            named["axis"] = args[0]
        if len(args) > 1:
            named["keepdims"] = args[1]
        if len(args) > 2:
            cannot("more arguments")
        if named.get("axis", 0) == () or named.get("axis", 0) == []:
            cannot("an empty tuple of axes: none here, all in PyTorch")
        if name == "log_softmax":
            named.setdefault("axis", -1)
        return getattr(ops, name)(x, **named)

    return call


def binary(name: str) -> Callable[..., Any]:
    def call(a: Any, b: Any, **options: Any) -> Any:
        if options.pop("alpha", 1) != 1 or options.pop("rounding_mode", None) is not None:
            cannot("alpha, rounding_mode")
        return getattr(ops, name)(a, b)

    return call


def loss(name: str) -> Callable[..., Any]:
    def call(x: Any, target: Any, weight: Any = None, **options: Any) -> Any:
        options = {k: v for k, v in options.items() if k not in ("size_average", "reduce")}
        if name in ("mse_loss", "l1_loss"):
            if weight is not None:
                cannot("weight of the regression losses")
            if x.shape != target.shape:
                cannot("losses of shapes that are broadcast")
            return getattr(ops, name)(x, target, **only(options, reduction="reduction"))
        if name == "cross_entropy":
            if x.ndim == 1:
                cannot("cross_entropy without a batch axis")
            named = only(options, reduction="reduction", ignore_index="ignore_index", label_smoothing="label_smoothing")
            if isinstance(target, Tensor) and target.dtype.kind in "iu":
                used = target.data != named.get("ignore_index", -100)
                if not used.any() and named.get("reduction", "mean") == "mean":
                    cannot("a mean over no label: NaN there, an error here")
            return ops.cross_entropy(x, target, weight, **named)
        if x.ndim and target.shape != x.shape:
            cannot("losses of shapes that are broadcast")
        return ops.binary_cross_entropy_with_logits(
            x, target, weight, **only(options, pos_weight="pos_weight", reduction="reduction")
        )

    return call


def conv2d(x: Any, w: Any, b: Any = None, *args: Any, **options: Any) -> Any:
    named = dict(zip(("stride", "padding", "dilation", "groups"), args, strict=False))
    return ops.conv2d(x, w, b, **{**named, **options})


def conv_transpose2d(x: Any, w: Any, b: Any = None, **options: Any) -> Any:
    return ops.conv_transpose2d(x, w, b, **options)


def pool(name: str) -> Callable[..., Any]:
    def call(x: Any, kernel: Any = None, *args: Any, **options: Any) -> Any:
        places = ("stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
        options = {**dict(zip(places, args, strict=False)), **options}
        for absent in ("ceil_mode", "divisor_override", "return_indices"):
            value = options.pop(absent, None)
            if value is not None and value is not False:
                cannot(f"{name} with {absent}")
        if any(isinstance(value, (tuple, list)) and len(value) == 1 for value in options.values()):
            cannot(f"{name}: an argument of one number in a tuple")
        kernel = options.pop("kernel_size", kernel)
        named = only(
            options,
            stride="stride",
            padding="padding",
            dilation="dilation",
            count_include_pad="count_include_pad",
        )
        if name == "avg_pool2d":
            named.setdefault("count_include_pad", True)
        return getattr(ops, name)(x, kernel, **{k: v for k, v in named.items() if v is not None and v != ()})

    return call


def batch_norm(x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, **options: Any) -> Any:
    if x.ndim < 2:
        cannot("batch_norm of one axis")
    if isinstance(mean, Tensor) and mean.requires_grad:
        cannot("running statistics that carry a gradient")
    options.pop("cudnn_enabled", None)
    named = {"weight": weight, "bias": bias}
    named |= only(options, weight="weight", bias="bias", training="training", momentum="momentum", eps="eps")
    return ops.batch_norm(x, copied(mean), copied(var), **negative_eps(named))


def negative_eps(named: dict[str, Any]) -> dict[str, Any]:
    if named.get("eps", 0) < 0 or not 0 <= named.get("momentum", 0) <= 1:
        cannot("a negative eps, or a momentum outside 0 to 1")
    return named


def copied(array: Any) -> Any:
    return None if array is None else array.data.copy()


def instance_norm(
    x: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None, **options: Any
) -> Any:
    training = options.pop("use_input_stats", True)
    names = ("momentum", "eps", "weight", "bias", "running_mean", "running_var")
    named = {"weight": weight, "bias": bias, **only(options, **{name: name for name in names})}
    mean, var = options.get("running_mean", mean), options.get("running_var", var)
    named["running_mean"], named["running_var"] = copied(mean), copied(var)
    return ops.instance_norm(x, training=training, **negative_eps(named))


def group_norm(x: Any, groups: int, **options: Any) -> Any:
    named = negative_eps(only(options, weight="weight", bias="bias", eps="eps"))
    if x.size // max(x.shape[0] * groups, 1) == 1:
        cannot("statistics of one value: zeros there, an error here")
    return ops.group_norm(x, groups, **named)


def layer_norm(x: Any, shape: Any, *args: Any, **options: Any) -> Any:
    named = {
        **dict(zip(("weight", "bias", "eps"), args, strict=False)),
        **only(options, weight="weight", bias="bias", eps="eps"),
    }
    if int(np.prod(shape)) == 1:
        cannot("statistics of one value: zeros there, an error here")
    return ops.layer_norm(x, tuple(shape), **negative_eps(named))


def clip(x: Any, low: Any = None, high: Any = None, **options: Any) -> Any:
    low, high = options.get("min", low), options.get("max", high)
    if any(isinstance(v, Tensor) and v.dtype != x.dtype for v in (low, high)):
        cannot("two dtypes, which are promoted there")
    return ops.clip(x, low, high)


def shaped(name: str) -> Callable[..., Any]:
    def call(x: Any, *args: Any, **options: Any) -> Any:
        if options:
            cannot("options of shapes")
        return getattr(ops, name)(x, *args)

    return call


def transpose(x: Any, *axes: Any) -> Any:
    return ops.transpose(x, *(tuple(axes[0]) if isinstance(axes[0], (tuple, list)) else axes))


def softplus(x: Any, **options: Any) -> Any:
    threshold = options.pop("threshold", 20.0)
    return ops.softplus(x, threshold=threshold, **only(options, beta="beta"))


def var(x: Any, *args: Any, **options: Any) -> Any:
    correction = options.pop("unbiased", options.pop("correction", 1))
    if args or not isinstance(correction, int) or correction < 0:
        cannot("a correction that is a fraction, negative or None, or arguments by position")
    if options.get("dim") == [] or options.get("dim") == ():
        cannot("an empty tuple of axes: none here, all in PyTorch")
    axes = options.get("dim")
    count = x.size if axes is None else int(np.prod([x.shape[a] if x.ndim else 1 for a in np.atleast_1d(axes)]))
    if count <= correction:
        cannot("a variance of too few elements: NaN there, an error here")
    return ops.var(x, correction=int(correction), **only(options, dim="axis", keepdim="keepdims"))


def getitem(x: Any, index: Any) -> Any:
    return x[index]


def where(a: Any, condition: Any, b: Any) -> Any:
    return ops.where(condition, a, b)


def joined(name: str) -> Callable[..., Any]:
    def call(xs: Any, axis: int = 0, **options: Any) -> Any:
        axis = options.pop("dim", axis)
        only(options)
        if all(isinstance(x, Tensor) for x in xs) and any(x.shape == (0,) for x in xs) and any(x.ndim != 1 for x in xs):
            cannot("an empty one-axis tensor among others")
        return getattr(ops, name)(list(xs), axis)

    return call


# The name in OpInfo: how to call ours.
TABLE: dict[str, Callable[..., Any]] = {
    **{name: unary(name) for name in ("exp", "log", "sqrt", "abs", "tanh", "sigmoid")},
    "neg": unary("negative"),
    "nn.functional.relu": unary("relu"),
    "nn.functional.leaky_relu": lambda x, **o: ops.leaky_relu(x, **only(o, negative_slope="slope")),
    "nn.functional.softplus": softplus,
    **{name: binary(ours) for name, ours in [
        ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("div", "divide"), ("pow", "power"),
        ("maximum", "maximum"), ("minimum", "minimum"), ("matmul", "matmul"),
    ]},
    "clamp": clip,
    "where": where,
    **{name: reduction(ours) for name, ours in [
        ("sum", "sum"), ("mean", "mean"), ("amax", "max"), ("amin", "min"), ("logsumexp", "logsumexp"),
        ("softmax", "softmax"), ("log_softmax", "log_softmax"),
    ]},
    "var": lambda x, *args, **options: var(x, *args, **options),
    "reshape": shaped("reshape"),
    "flatten": lambda x, start=0, end=-1, **o: ops.flatten(x, o.get("start_dim", start), o.get("end_dim", end)),
    "permute": transpose,
    "broadcast_to": shaped("broadcast_to"),
    "flip": shaped("flip"),
    "cat": joined("concatenate"),
    "stack": joined("stack"),
    "__getitem__": getitem,
    "nn.functional.linear": lambda x, w, b=None: ops.linear(x, w, b) if w.ndim == 2 else cannot("linear with a vector"),
    "nn.functional.conv2d": conv2d,
    "nn.functional.conv_transpose2d": conv_transpose2d,
    "nn.functional.max_pool2d": pool("max_pool2d"),
    "nn.functional.avg_pool2d": pool("avg_pool2d"),
    "nn.functional.batch_norm": batch_norm,
    "nn.functional.instance_norm": instance_norm,
    "nn.functional.group_norm": group_norm,
    "nn.functional.layer_norm": layer_norm,
    "nn.functional.mse_loss": loss("mse_loss"),
    "nn.functional.l1_loss": loss("l1_loss"),
    "nn.functional.cross_entropy": loss("cross_entropy"),
    "nn.functional.binary_cross_entropy_with_logits": loss("binary_cross_entropy_with_logits"),
}  # fmt: skip

COUNTS: Counter[str] = Counter()
REASONS: Counter[str] = Counter()


def to_ours(value: Any, leaves: list[Tensor]) -> Any:
    """Return PyTorch's arguments as ours: the same memory layout, and a leaf for each that requires a gradient."""
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            cannot("complex numbers")
        array = value.detach().resolve_neg().numpy()
        tensor = Tensor(array, requires_grad=value.requires_grad)
        if value.requires_grad:
            leaves.append(tensor)
        return tensor
    if isinstance(value, (tuple, list)):
        return type(value)([to_ours(v, leaves) for v in value])
    if isinstance(value, dict):
        return {k: to_ours(v, leaves) for k, v in value.items()}
    if isinstance(value, torch.dtype):
        cannot("option dtype")
    return value


def torch_leaves(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value] if value.requires_grad else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return [leaf for part in parts for leaf in torch_leaves(part)]


def agree(ours: np.ndarray, theirs: Any, scale: float = 1.0) -> None:
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    tolerance = 2e-4 if ours.dtype == np.float32 else 1e-9
    finite = np.abs(theirs[np.isfinite(theirs)])
    atol = tolerance * scale * max(float(finite.max()) if finite.size else 0.0, 1e-3)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=atol)


def compare(call: Callable[..., Any], function: Any, sample: Any, second: bool = True) -> None:
    """Compare values and gradients of one sample; raises Inexpressible for what we cannot say."""
    leaves: list[Tensor] = []
    arguments = to_ours((sample.input, list(sample.args), dict(sample.kwargs)), leaves)
    y = call(arguments[0], *arguments[1], **arguments[2])
    theirs = function(sample.input, *sample.args, **sample.kwargs)
    agree(y.data, theirs)
    COUNTS["values"] += 1
    roots = torch_leaves((sample.input, list(sample.args), dict(sample.kwargs)))
    if not (y.requires_grad and theirs.requires_grad and roots):
        return
    gy = np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    first = grad(y, leaves, Tensor(gy), create_graph=second, allow_unused=True)
    expected = torch.autograd.grad(theirs, roots, torch.from_numpy(gy), create_graph=second, materialize_grads=True)
    for g, e in zip(first, expected, strict=True):
        agree(g.data, e)
    COUNTS["first gradients"] += 1
    if second and sum(r.numel() for r in roots) <= 200:
        ours = [g for g in first if g.requires_grad]
        others = [e for e in expected if e.requires_grad]
        if ours and others:
            total = (
                ours[0].sum() if len(ours) == 1 else sum(((g * g).sum() for g in ours[1:]), (ours[0] * ours[0]).sum())
            )
            exact = others[0].sum() if len(others) == 1 else sum((e * e).sum() for e in others)
            if len(ours) == len(others) and exact.requires_grad and total.requires_grad:
                again = grad(total, leaves, allow_unused=True)
                right = torch.autograd.grad(exact, roots, allow_unused=True, materialize_grads=True)
                for g, e in zip(again, right, strict=True):
                    agree(g.data, e, 10)
                COUNTS["second gradients"] += 1


VARIANTS = ("", "no_rounding_mode")


def infos() -> dict[str, Any]:
    from torch.testing._internal.common_methods_invocations import op_db

    _allow_flags()

    return {info.name: info for info in op_db if info.name in TABLE and info.variant_test_name in VARIANTS}


INFOS = infos()


def some(samples: Any, limit: int = LIMIT) -> list[Any]:
    samples = list(samples)
    return samples[:: max(1, len(samples) // limit)][: limit + 20]


def noncontiguous(sample: Any) -> Any:
    return sample.noncontiguous()


@pytest.mark.parametrize("name", sorted(TABLE))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_samples(name: str, dtype: Any) -> None:
    info, faults = INFOS[name], []
    torch.manual_seed(0)
    samples = some(info.sample_inputs("cpu", dtype, requires_grad=info.supports_autograd))
    both = [(s, "") for s in samples] + [(s.noncontiguous(), "not contiguous, ") for s in samples[::3]]
    for sample, how in both:
        try:
            compare(TABLE[name], info.op, sample)
        except Inexpressible as reason:
            REASONS[f"{name}: {reason}"] += 1
        except Exception as error:
            faults.append(f"{how}{sample.summary()}: {type(error).__name__}: {str(error)[:300]}")
    assert not faults, f"{len(faults)} of {len(both)}\n" + "\n".join(faults[:5])


EXTREMAL = ["exp", "log", "sqrt", "abs", "tanh", "sigmoid", "neg", "nn.functional.relu", "nn.functional.softplus"]


@pytest.mark.parametrize("name", EXTREMAL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_extremal_values(name: str, dtype: Any) -> None:
    finfo = torch.finfo(dtype)
    x = torch.tensor(
        [0.0, -0.0, float("inf"), -float("inf"), float("nan"), finfo.max, -finfo.max, finfo.tiny, -finfo.tiny, 1.0],
        dtype=dtype,
    )
    with np.errstate(all="ignore"):
        y = TABLE[name](Tensor(x.numpy()))
        np.testing.assert_allclose(y.data, INFOS[name].op(x).numpy(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", sorted(name for name in TABLE if name in INFOS))
def test_what_is_refused_there_is_refused_here(name: str) -> None:
    info = INFOS[name]
    if info.error_inputs_func is None:
        pytest.skip("no error inputs")
    accepted = []
    for item in info.error_inputs("cpu"):
        sample = item.sample_input
        try:
            arguments = to_ours((sample.input, list(sample.args), dict(sample.kwargs)), [])
            TABLE[name](arguments[0], *arguments[1], **arguments[2])
        except Inexpressible as reason:
            REASONS[f"{name}, error input: {reason}"] += 1
        except (TypeError, ValueError, DeviceError):
            COUNTS["refused"] += 1
        else:
            accepted.append(f"{sample.summary()} ({item.error_regex})")
    assert len([a for a in accepted if not any(text in a for text in ALLOWED)]) == 0, accepted


# What PyTorch refuses and we take, with the reason (docs/operators.md).
ALLOWED: tuple[str, ...] = ("args=(2)", "input=2")  # an operand that is a number, or both


MODULES: dict[str, Callable[..., Any]] = {
    "Linear": lambda a, b, **o: nn.Linear(a, b, generator=np.random.default_rng(0), **only(o, bias="bias")),
    "Conv2d": lambda *a, **o: nn.Conv2d(*a, generator=np.random.default_rng(0), **o),
    "ConvTranspose2d": lambda *a, **o: nn.ConvTranspose2d(*a, generator=np.random.default_rng(0), **o),
    "BatchNorm1d": nn.BatchNorm1d,
    "BatchNorm2d": nn.BatchNorm2d,
    "InstanceNorm2d": nn.InstanceNorm2d,
    "GroupNorm": nn.GroupNorm,
    "LayerNorm": nn.LayerNorm,
    "Embedding": lambda **o: nn.Embedding(generator=np.random.default_rng(0), **o),
    "ReLU": lambda *a, **o: nn.ReLU(),
    "LeakyReLU": nn.LeakyReLU,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "Softplus": lambda beta=1, threshold=20.0: (
        nn.Softplus(beta, threshold) if threshold >= 0 else cannot("a negative threshold of softplus")
    ),
    "MaxPool2d": lambda *a, **o: nn.MaxPool2d(*a, **o),
    "AvgPool2d": lambda *a, **o: nn.AvgPool2d(*a, **o),
}


@pytest.mark.parametrize("name", sorted(MODULES))
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_module_samples(name: str, training: bool) -> None:
    from torch.testing._internal.common_modules import module_db

    _allow_flags()

    info = next(m for m in module_db if m.module_cls.__name__ == name)
    torch.manual_seed(0)
    faults = []
    samples = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=training)
    for sample in some(samples, 20):
        make, forward = sample.constructor_input, sample.forward_input
        theirs = info.module_cls(*make.args, **make.kwargs).train(training)
        try:
            try:
                ours = MODULES[name](*make.args, **make.kwargs).train(training)
            except TypeError as error:
                if "unknown argument" in str(error):
                    cannot(f"constructor: {str(error).split(';')[0]}")
                raise
            ours.load_state_dict({k: v.numpy().copy() for k, v in theirs.state_dict().items()})
            leaves: list[Tensor] = []
            given, named = to_ours((list(forward.args), dict(forward.kwargs)), leaves)
            if given and "Batch" in name and training and not given[0].size:
                cannot("statistics of an empty batch: an error here")
            y, exact = ours(*given, **named), theirs(*forward.args, **forward.kwargs)
            agree(y.data, exact)
            if leaves and exact.requires_grad:
                gy = np.cos(np.arange(y.size, dtype=y.dtype)).reshape(y.shape)  # norms have no gradient of a sum
                (g,) = grad(y, leaves[0], Tensor(gy), allow_unused=True)
                roots = torch_leaves((list(forward.args), dict(forward.kwargs)))
                (e,) = torch.autograd.grad(exact, roots[0], torch.from_numpy(gy))
                agree(g.data, e)
            COUNTS["modules"] += 1
        except Inexpressible as reason:
            REASONS[f"{name}: {reason}"] += 1
        except Exception as error:
            faults.append(f"{make.args} {make.kwargs}: {type(error).__name__}: {str(error)[:300]}")
    assert not faults, "\n".join(faults[:5])


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """What was compared, and what could not be said in our arguments; printed by ``pytest -rP``."""
    print(", ".join(f"{n} {what}" for what, n in COUNTS.items()))
    for reason, n in REASONS.most_common():
        print(f"{n:5} x {reason}")
    with capsys.disabled():
        print(f"\nPyTorch's samples: {dict(COUNTS)}; {sum(REASONS.values())} inexpressible, of {len(REASONS)} kinds")
