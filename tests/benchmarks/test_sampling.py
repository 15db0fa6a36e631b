"""Taking turns, stopping, batches and cold caches, with a clock that counts instead of one that times."""

import numpy as np
import pytest

from benchmarks import statistics
from benchmarks.gpu import BATCH_BELOW, EventClock, no_device
from benchmarks.sampling import Settings, WallClock, decide, sample


class Scripted:
    """A clock that returns given seconds and writes down who ran."""

    def __init__(self, seconds):
        self.seconds, self.order = seconds, []

    def calls_for(self, seconds, cold):
        return 1

    def sample(self, run, calls, cold):
        name = run()
        self.order.append(name)
        value = self.seconds[name]
        return value() if callable(value) else value


def test_candidates_take_turns():
    clock = Scripted({"a": 1e-6, "b": 2e-6, "c": 3e-6})
    found = sample({name: (lambda name=name: name) for name in "abc"}, Settings(1, 0, 4, 4), clock)
    assert "".join(clock.order[9:]) == "abc" + "bca" + "cab" + "abc"  # after three each for the calibration
    assert all(len(m.samples) == 4 for m in found.values())


def test_it_stops_at_the_relative_error_or_at_the_limit():
    steady = sample({"a": lambda: "a"}, Settings(60, 0.01), Scripted({"a": 1e-5}))["a"]
    assert (len(steady.samples), steady.stopped) == (7, "relative error")
    rng = np.random.default_rng(0)
    noisy = sample({"a": lambda: "a"}, Settings(60, 0.001, most_rounds=50), Scripted({"a": lambda: rng.uniform(1, 2)}))
    assert len(noisy["a"].samples) == 50
    assert noisy["a"].stopped == "time limit"
    assert noisy["a"].warning


def noisy(seconds, spread, rng):
    """Seconds with a tail to the slow side, and now and then five times as many."""
    return lambda: seconds * (1 + spread * rng.gamma(2.0, 0.5)) * (5 if rng.random() < 0.05 else 1)


def test_a_comparison_in_turns_goes_on_until_it_is_decided():
    counts, verdicts = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        clock = Scripted({"a": noisy(1e-3, 0.15, rng), "b": noisy(1.1e-3 if seed % 3 == 0 else 1e-3, 0.15, rng)})
        verdict, ratio, low, high, before, after = decide(lambda: "a", lambda: "b", 60, clock=clock)
        assert low <= ratio <= high
        assert len(before) == len(after)
        counts.append(len(before))
        verdicts.append(verdict)
    assert "FASTER" not in verdicts
    assert verdicts[::3].count("SLOWER") >= 19
    assert [v for i, v in enumerate(verdicts) if i % 3].count("SAME") >= 38
    assert len(set(counts)) > 3, "it stops where it knows"
    assert set(counts) <= set(statistics.looks())


def test_a_comparison_without_end_is_ambiguous():
    rng = np.random.default_rng(0)
    clock = Scripted({name: lambda: rng.uniform(1, 9) for name in "ab"})
    verdict, *_, before, _ = decide(lambda: "a", lambda: "b", 60, clock=clock)
    assert (verdict, len(before)) == ("AMBIGUOUS", statistics.looks()[-1])
    verdict, *_, before, _ = decide(lambda: "a", lambda: "b", 0, clock=clock)
    assert (verdict, len(before)) == ("AMBIGUOUS", statistics.looks()[0])


def test_a_slow_candidate_gets_fewer_samples_and_says_so():
    clock = Scripted({"fast": 1e-5, "slow": 5.0})
    found = sample({name: (lambda name=name: name) for name in ("fast", "slow")}, Settings(2.0), clock)
    assert len(found["fast"].samples) == 7
    assert len(found["slow"].samples) == 3
    assert "one call takes 5.0 s" in found["slow"].stopped


def test_the_wall_clock_batches_short_calls_and_never_cold_ones():
    clock = WallClock()
    assert clock.calls_for(1e-6, cold=False) in (500, 501)
    assert clock.calls_for(1.0, cold=False) == 1
    assert clock.calls_for(1e-6, cold=True) == 1
    count = []
    assert clock.sample(lambda: count.append(1), 10, False) < 1e-3
    assert len(count) == 11
    clock.sample(lambda: count.append(1), 1, True)
    assert clock._flush is not None


def test_the_first_call_is_the_compile_time():
    import time

    calls = []

    def run():
        if not calls:
            time.sleep(0.05)
        calls.append(1)

    found = sample({"a": run}, Settings(0.05))["a"]
    assert 0.04 < found.compile_seconds < 1
    assert max(found.samples) < 0.04


class FakeCuda:
    """As much of CuPy as the clock uses: Python takes 30 us to launch anything, the GPU as long as it is told."""

    def __init__(self):
        fake = self
        self.host = self.gpu = 0.0  # what the time is, and when the GPU will be done with what is queued
        self.log, self.zeroed = [], None

        class Event:
            def record(self):
                self.at = max(fake.gpu, fake.host)

            def synchronize(self):
                fake.host = max(fake.gpu, fake.host)

        class Device:
            attributes = {"L2CacheSize": 4096}  # noqa: RUF012

        self.cuda = self
        self.Event, self.Device = Event, Device

    def get_elapsed_time(self, begin, end):
        return (end.at - begin.at) * 1e3

    def zeros(self, count, dtype):
        self.zeroed = count
        return self

    def fill(self, value):
        self.launch(40e-6, "flush")

    def RawKernel(self, source, name):
        assert f"void {name}(long long nanoseconds)" in source
        return lambda grid, block, arguments: self.launch(arguments[0] * 1e-9, "wait")

    def launch(self, seconds, what="launch"):
        self.host += 30e-6
        self.gpu = max(self.gpu, self.host) + seconds
        self.log.append(what)


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("seconds", [2e-6, 5e-6, 1e-3])
def test_events_do_not_time_python(seconds, cold):
    cuda = FakeCuda()
    clock = EventClock(cuda)
    assert clock.median(lambda: cuda.launch(seconds), cold, 5) == pytest.approx(seconds)


def test_events_time_batches_of_short_kernels():
    cuda = FakeCuda()
    clock = EventClock(cuda)
    assert clock.calls_for(BATCH_BELOW, False) == 1
    calls = clock.calls_for(5e-6, False)
    assert calls == 100
    assert clock.sample(lambda: cuda.launch(5e-6), calls, False) == pytest.approx(5e-6)
    assert cuda.log == ["launch", "wait"] + ["launch"] * 100  # one to warm up
    assert cuda.zeroed is None


def test_a_cold_launch_follows_a_flush_of_twice_the_cache():
    cuda = FakeCuda()
    clock = EventClock(cuda)
    assert clock.calls_for(5e-6, True) == 1
    clock.sample(lambda: cuda.launch(5e-6), 1, True)
    assert cuda.zeroed * 4 == 2 * 4096
    assert cuda.log == ["launch", "flush", "wait", "launch"]


@pytest.mark.gpu
def test_events_on_a_gpu():
    if no_device():
        pytest.skip(no_device())
    import cupy

    x = cupy.ones(1 << 20, "float32")
    assert 0 < EventClock(cupy).sample(lambda: x + x, 10, False) < 1
