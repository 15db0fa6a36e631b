"""Module and Parameter: names, modes, state, and the rule that a parameter's array is never written to."""

import copy

import numpy as np
import pytest

from scratchgan import DeviceError, Tensor, grad, nn, no_grad, ops


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Block(nn.Module):
    """A module with everything: a parameter, a buffer, two children of which one is shared."""

    def __init__(self, seed: int = 0):
        self.scale = nn.Parameter([2.0])
        self.first = nn.Linear(3, 3, generator=rng(seed))
        self.register_buffer("seen", np.zeros((), np.int64))
        self.again = self.first
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        if self.training:
            self.seen += 1
        return self.norm(self.again(self.first(x))) * self.scale


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def test_names_come_from_the_attributes():
    block = Block()
    assert [name for name, _ in block.named_modules()] == ["", "first", "norm"]
    assert [name for name, _ in block.named_parameters()] == [
        "scale", "first.weight", "first.bias", "norm.weight", "norm.bias",
    ]  # fmt: skip
    assert [name for name, _ in block.named_buffers()] == [
        "seen", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    ]  # fmt: skip
    assert list(block.state_dict()) == [
        "scale", "seen", "first.weight", "first.bias", "again.weight", "again.bias",
        "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked",
    ]  # fmt: skip


def test_training_mode_belongs_to_the_module():
    block = Block()
    assert block.training
    assert block.norm.training
    assert block.eval() is block
    assert not any(module.training for module in block.modules())
    block(X)
    assert block.seen == 0
    assert block.norm.num_batches_tracked == 0
    block.train()
    block(X)
    assert block.seen == 1
    assert block.norm.num_batches_tracked == 1
    assert Block().training  # another instance was never touched


def test_gradients_accumulate_and_are_cleared():
    block = Block()
    block(X).sum().backward()
    assert all(p.grad is not None for p in block.parameters())
    block.zero_grad()
    assert all(p.grad is None for p in block.parameters())
    block.requires_grad_(False)
    assert not block(X).requires_grad


def test_apply_visits_every_module_with_this_one_last():
    visited = []
    block = Block()
    block.apply(visited.append)
    assert visited == [block.norm, block.first, block]


def test_a_parameter_owns_its_array_and_is_read_only():
    mine = np.ones((2, 2))
    p = nn.Parameter(mine)
    mine[:] = 5
    assert p.dtype == np.float64
    np.testing.assert_array_equal(p.numpy(), np.ones((2, 2)))
    with pytest.raises(ValueError, match="read-only"):
        p.data[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        p.data += 1
    new = np.zeros((2, 2))
    p.data = new
    assert p.data is new
    with pytest.raises(ValueError, match="read-only"):
        new[0] = 1


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones(3, np.float32), ValueError, r"float32 \(2,\) cpu cannot become float32 \(3,\) cpu"),
        (np.ones(2), ValueError, r"float32 \(2,\) cpu cannot become float64 \(2,\) cpu"),
        ([1.0, 2.0], TypeError, "expected a NumPy or CuPy array, got builtins.list"),
    ],
)
def test_a_parameter_refuses_data_of_another_kind(value, error, message):
    p = nn.Parameter([1.0, 2.0])
    with pytest.raises(error, match=message):
        p.data = value
    assert p.tolist() == [1.0, 2.0]


def test_a_graph_outlives_a_change_of_its_parameters():
    p = nn.Parameter([1.0, 2.0])
    before = (p * p).sum()
    p.data = np.array([10.0, 20.0], np.float32)
    (gradient,) = grad(before, p)
    assert gradient.tolist() == [2.0, 4.0]


def test_state_dict_is_a_snapshot():
    block = Block()
    state = block.state_dict()
    kept = copy.deepcopy(state)
    block(X)
    block.scale.data = np.array([7.0], np.float32)
    for key, array in state.items():
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, kept[key], err_msg=key)


def test_state_dict_round_trip_is_exact():
    source, target = Block(seed=1), Block(seed=2)
    source(X)
    report = target.load_state_dict(source.state_dict())
    assert report == nn.LoadReport([], [])
    assert target.first.weight.data is not source.first.weight.data
    for key, array in source.state_dict().items():
        assert target.state_dict()[key].dtype == array.dtype
        np.testing.assert_array_equal(target.state_dict()[key], array, err_msg=key)
    with no_grad():
        np.testing.assert_array_equal(target.eval()(X).numpy(), source.eval()(X).numpy())


def test_load_state_dict_lists_every_fault_and_changes_nothing():
    block = Block()
    before = block.state_dict()
    state = Block(seed=9).state_dict()
    del state["norm.bias"], state["seen"]
    state["scale"] = np.ones((1, 1), np.float32)
    state["norm.running_var"] = np.ones(3, np.int64)
    state["extra"] = np.ones(1)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole message is compared)
        block.load_state_dict(state)
    assert str(caught.value).splitlines() == [
        "load_state_dict: the state does not fit Block:",
        "  missing: seen",
        "  missing: norm.bias",
        "  unexpected: extra",
        "  shape: scale is (1,) here and (1, 1) in the state dict",
        "  dtype: norm.running_var is float32 here and int64 in the state dict",
    ]
    for key, array in block.state_dict().items():
        np.testing.assert_array_equal(array, before[key], err_msg=key)


def test_load_state_dict_that_is_not_strict_says_what_it_passed_over():
    block = Block()
    report = block.load_state_dict({"scale": np.array([3.0]), "extra": np.ones(1)}, strict=False)
    assert block.scale.tolist() == [3.0]
    assert block.scale.dtype == np.float32
    assert report.unexpected == ["extra"]
    assert "first.weight" in report.missing
    assert "scale" not in report.missing
    with pytest.raises(ValueError, match="shape: scale"):
        block.load_state_dict({"scale": np.ones(2)}, strict=False)


def test_a_copy_shares_nothing():
    block = Block()
    block(X).sum().backward()
    twin = copy.deepcopy(block)
    assert twin.again is twin.first
    assert twin.first.weight is not block.first.weight
    assert all(p.grad is None and not p.data.flags.writeable for p in twin.parameters())
    twin(X)
    assert (block.seen, twin.seen) == (1, 2)
    assert twin.norm.num_batches_tracked == 2
    assert block.norm.num_batches_tracked == 1


def test_to_another_dtype_keeps_the_objects_and_the_integers():
    block = Block()
    parameters = block.parameters()
    assert block.to(dtype=np.float64) is block
    assert all(p is q for p, q in zip(block.parameters(), parameters, strict=True))
    assert {p.dtype for p in parameters} == {np.dtype(np.float64)}
    assert block.norm.running_mean.dtype == np.float64
    assert block.norm.num_batches_tracked.dtype == np.int64
    assert block(X.astype(np.float64)).dtype == np.float64
    with pytest.raises(TypeError, match="float32 or float64, not int32"):
        block.to(dtype=np.int32)


def test_to_a_missing_device_changes_nothing():
    block = Block()
    before = block.scale.data
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        block.to("tpu", np.float64)
    assert block.scale.data is before
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(DeviceError, match="needs CuPy"):
            block.to("cuda")
    assert block.scale.data is before
    assert block.to("cpu").scale.device == "cpu"


def test_modules_in_a_plain_list_are_refused():
    class Careless(nn.Module):
        def __init__(self, value):
            self.layers = value

    for value in ([nn.ReLU()], (nn.ReLU(),), {"a": nn.Parameter([1.0])}):
        with pytest.raises(TypeError, match=rf"Careless.layers: .* inside a {type(value).__name__} are not found"):
            Careless(value)


def test_errors_of_a_module():
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(X)
    with pytest.raises(AttributeError, match="Linear has no attribute 'wieght'"):
        _ = nn.Linear(1, 1, generator=rng()).wieght
    with pytest.raises(ValueError, match=r"Block.scale exists already and is no buffer"):
        Block().register_buffer("scale", np.zeros(1))


def test_text_is_a_tree():
    class Net(nn.Module):
        def __init__(self):
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, generator=rng()), nn.Tanh())
            self.head = nn.Identity()

    assert repr(Net()) == (
        "Net(\n"
        "  (body): Sequential(\n"
        "    (0): Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))\n"
        "    (1): Tanh()\n"
        "  )\n"
        "  (head): Identity()\n"
        ")"
    )


def test_sequential():
    net = nn.Sequential(nn.Linear(3, 4, generator=rng()), nn.ReLU())
    assert len(net) == 2
    assert list(net) == [net[0], net[1]]
    assert isinstance(net[-1], nn.ReLU)
    x = Tensor(X)
    np.testing.assert_array_equal(net(x).numpy(), ops.relu(net[0](x)).numpy())
    with pytest.raises(TypeError, match="Sequential: item 1 must be a Module, got function"):
        nn.Sequential(nn.ReLU(), ops.relu)


def test_sequential_says_which_module_failed():
    net = nn.Sequential(nn.ReLU(), nn.Linear(5, 2, generator=rng()))
    with pytest.raises(ValueError, match="linear: x is") as caught:
        net(X)
    assert caught.value.__notes__ == ["in module 1 of a Sequential, Linear(in_features=5, out_features=2, bias=True)"]


def test_module_list():
    class Net(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList(nn.Linear(2, 2, generator=rng(i)) for i in range(2))
            self.layers.append(nn.Tanh())

    assert list(Net().state_dict()) == [
        "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias",
    ]  # fmt: skip
    assert len(Net().layers) == 3
