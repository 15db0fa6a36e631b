"""What `record` writes down is what the engine did."""

import threading

import numpy as np
import pytest

from scratchgan import Function, Tensor, grad, nn, no_grad, ops
from scratchgan.autograd import Node
from scratchgan.inspect import part, record
from scratchgan.optim import SGD


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


class Broken(Function):
    """Twice x, with a vjp that says three times."""

    def forward(self, x):
        return 2 * x

    def backward(self, needs, gy, y, x):
        return gy * 3.0


class Failing(Function):
    def forward(self, x):
        raise FloatingPointError("no forward today")


def test_nothing_stays_exchanged() -> None:
    before = Function.__call__, Node.backward, nn.Module.__call__, SGD.step
    with pytest.raises(ZeroDivisionError), record():  # noqa: PT012
        assert Function.__call__ is not before[0]
        1 / 0  # noqa: B018
    assert (Function.__call__, Node.backward, nn.Module.__call__, SGD.step) == before


def test_recording_changes_no_bit() -> None:
    x, w = leaf(3, 4), leaf(4, 2, seed=1)

    def program():
        y = ops.tanh(x @ w)
        (slope,) = grad(y.sum(), x, create_graph=True)
        return grad((slope * slope).sum(), [x, w])

    plain = program()
    with record():
        recorded = program()
    for a, b in zip(plain, recorded, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_the_events_of_a_chain() -> None:
    x = leaf(3)
    with record() as tape:
        y = ops.tanh(x)
        grad((y * y).sum(), x)
    assert [a.name for a in tape.applications if a.parent is None] == ["Tanh", "Multiply", "Sum"]
    assert [tape.application(p.of).name for p in tape.pullbacks] == ["Sum", "Multiply", "Tanh"]
    assert all(e.ns is not None and e.ns >= 0 for e in tape.events)
    assert tape.applications[0].source.file == __file__
    assert [leaf.name for leaf in tape.leaves if leaf.parameter] == ["x"]


def test_contributions_add_up_to_the_gradient() -> None:
    x = leaf(4)
    with record() as tape:
        y = x * 2.0
        loss = (y * y).sum() + y.sum() + (x * x * x).sum()
        (gx,) = grad(loss, x)
    (arrival,) = tape.walks[0].arrivals
    parts = [tape.store.values[f.value].array for f in arrival.flows]
    assert len(parts) == 4
    np.testing.assert_allclose(sum(parts), gx.data)
    assert sum(f.share for f in arrival.flows) == pytest.approx(1)
    of_y = next(p for p in tape.pullbacks if tape.application(p.of).outputs == tape.applications[0].outputs)
    assert len(of_y.flows[0]) == 3
    assert sum(f.share for f in of_y.flows[0]) == pytest.approx(1)


def test_second_order_leaves_nodes_and_an_ordinary_gradient_does_not() -> None:
    x = leaf(3)
    with record() as tape:
        (slope,) = grad(ops.tanh(x).sum(), x, create_graph=True)
        grad((slope * slope).sum(), x)
    first, second = tape.walks
    inside = {
        w.index: [a for a in tape.applications if a.parent is not None and _walk_of(tape, a) == w.index]
        for w in tape.walks
    }
    assert first.create_graph
    assert any(a.tracked for a in inside[first.index])
    assert not any(a.tracked for a in inside[second.index])


def _walk_of(tape, event):
    return tape.events[event.parent].parent


def test_names_parts_and_the_wall() -> None:
    rng = np.random.default_rng(0)
    generator, critic = nn.Linear(2, 3, generator=rng), nn.Sequential(nn.Linear(3, 1, generator=rng), nn.Tanh())
    noise = Tensor(rng.normal(size=(4, 2)).astype(np.float32))
    with record(critic_d=critic) as tape:
        tape.parts_of(critic, ["D on fake", "G through D"])
        with part("G"):
            fake = generator(noise)
        loss_d = critic(fake.detach()).mean()
        loss_g = critic(fake).mean()
        SGD(critic.named_parameters(), 0.1).step(grad(loss_d, critic.parameters()))
        grad(loss_g, generator.parameters())
    by_part = {a.part: a for a in tape.applications if a.name == "Linear"}
    assert set(by_part) == {"G", "D on fake", "G through D"}
    assert by_part["G"].module == "generator"
    assert by_part["D on fake"].module == "critic_d.0"
    walled, open_ = by_part["D on fake"].inputs[0], by_part["G through D"].inputs[0]
    assert walled.maker == open_.maker == by_part["G"].index
    assert (walled.flows, open_.flows) == (False, True)
    names = {leaf.name for leaf in tape.leaves}
    assert {"critic_d.0.weight", "generator.weight", "noise"} <= names
    moved = [{tape.leaves[a.leaf].name for a in w.arrivals} for w in tape.walks]
    assert moved == [{"critic_d.0.weight", "critic_d.0.bias"}, {"generator.weight", "generator.bias"}]
    assert len(tape.updates[0].changes) == 2


def test_a_part_outside_of_a_recording_is_nothing() -> None:
    with part("D"):
        assert leaf(1).size == 1


def test_an_exception_ends_the_tape_at_its_node() -> None:
    x = leaf(2)
    with pytest.raises(FloatingPointError), record() as tape:  # noqa: PT012
        y = x * 2.0
        Failing()(y)
    assert tape.application(tape.failed).name == "Failing"
    assert tape.events[tape.failed].ns is None
    assert tape.error[0] == "FloatingPointError: no forward today"
    assert tape.document()["error"]["event"] == tape.failed
    assert "no forward today" in tape.summary()


def test_an_exception_in_a_vjp() -> None:
    class Bad(Function):
        def forward(self, x):
            return x * 1.0

        def backward(self, needs, gy, y, x):
            raise KeyError("no vjp")

    x = leaf(2)
    with pytest.raises(KeyError), record() as tape:
        grad(Bad()(x).sum(), x)
    assert tape.application(tape.events[tape.failed].of).name == "Bad"


def test_nothing_recorded() -> None:
    with record() as tape:
        np.ones(3).sum()
    assert "nothing was recorded" in tape.summary()
    assert tape.document()["notices"][0].startswith("Nothing was recorded")


def test_beyond_the_limit_is_counted() -> None:
    x = leaf(2)
    with record(limit=10) as tape:
        y = x
        for _ in range(50):
            y = y * 1.01
        (gx,) = grad(y.sum(), x)
    np.testing.assert_allclose(gx.data, 1.01**50)
    assert len(tape.applications) == 10
    assert tape.skipped["Multiply"] >= 40
    assert any(n.startswith("Sampled") for n in tape.document()["notices"])
    assert len(tape.pullbacks) == 10  # those of the operators that were recorded


def test_other_threads_are_not_recorded() -> None:
    done = []
    with record() as tape:
        thread = threading.Thread(target=lambda: done.append(ops.tanh(leaf(3))))
        thread.start()
        thread.join()
    assert done
    assert not tape.events


def test_a_node_from_before_the_recording() -> None:
    x = leaf(3)
    y = ops.tanh(x)
    with record() as tape:
        grad((y * y).sum(), x)
    assert next(a for a in tape.applications if a.name == "Tanh").earlier
    tape.document()


def test_no_grad_is_recorded_without_nodes() -> None:
    x = leaf(3)
    with record() as tape, no_grad():
        ops.tanh(x)
    assert [a.tracked for a in tape.applications] == [False]


class TestMemory:
    def test_lifetimes_are_the_programs(self) -> None:
        with record() as tape:
            x = leaf(1000)
            a = ops.exp(x)
            b = a * 2.0
            del a
            c = b + 1.0
            del b
            assert c.size
        a, b, c = (tape.store.memories[tape.store.values[e.outputs[0]].memory] for e in tape.applications)
        assert (a.nbytes, b.nbytes, c.nbytes) == (8000, 8000, 8000)
        assert a.died is None or a.died >= 1  # exp keeps its output for backward
        assert b.died == 2

    def test_a_view_shares_memory(self) -> None:
        with record() as tape:
            y = leaf(4, 2).reshape(8)
            assert y.size == 8
        (event,) = tape.applications
        values = tape.store.values
        assert values[event.inputs[0].value].memory == values[event.outputs[0]].memory

    def test_an_array_that_is_written_to_is_another_value(self) -> None:
        data = np.ones(3)
        with record() as tape:
            ops.exp(Tensor(data))
            data[0] = 5
            ops.exp(Tensor(data))
        first, second = (tape.store.values[e.inputs[0].value] for e in tape.applications)
        assert first.array[0] == 1
        assert second.array[0] == 5

    def test_copies_stop_at_keep(self) -> None:
        with record(keep=100) as tape:
            ops.exp(leaf(1000))
        value = tape.store.values[tape.applications[0].outputs[0]]
        assert value.array is None
        assert value.facts.norm is not None
        assert any("not copied" in n for n in tape.document()["notices"])
