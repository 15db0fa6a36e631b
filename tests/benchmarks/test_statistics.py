"""The test that compares samples: how often it is wrong when nothing changed, and how often it sees ten per cent."""

import numpy as np
from planted import samples

from benchmarks import statistics


def test_the_same_distribution_is_the_same():
    verdicts = [
        statistics.verdict(samples(1e-3, 0.04, 40, 2 * seed), samples(1e-3, 0.04, 40, 2 * seed + 1))[0]
        for seed in range(200)
    ]
    assert verdicts.count("SAME") >= 190
    assert not {"FASTER", "SLOWER"} & set(verdicts)


def test_ten_per_cent_are_seen_both_ways():
    for seed in range(50):
        before, after = samples(1e-3, 0.04, 40, seed), samples(1.1e-3, 0.04, 40, seed + 1000)
        assert statistics.verdict(before, after)[0] == "SLOWER"
        assert statistics.verdict(after, before)[0] == "FASTER"


def test_rounds_that_are_slow_for_both_are_divided_out():
    rng = np.random.default_rng(3)
    machine = rng.uniform(1, 3, 40)
    before, after = list(machine * rng.normal(1, 0.01, 40)), list(1.1 * machine * rng.normal(1, 0.01, 40))
    assert statistics.verdict(before, after)[0] == "AMBIGUOUS"
    assert statistics.paired_verdict(before, after)[0] == "SLOWER"
    assert statistics.paired_verdict(after, before)[0] == "FASTER"
    again = list(machine * rng.normal(1, 0.01, 40))
    assert statistics.paired_verdict(before, again)[0] == "SAME"
    assert statistics.paired_verdict(before[:5], again)[0] == "AMBIGUOUS"


def test_noise_is_ambiguous_and_few_samples_are_too():
    rng = np.random.default_rng(0)
    before, after = list(rng.uniform(1, 3, 12)), list(rng.uniform(1, 3, 12))
    assert statistics.verdict(before, after)[0] == "AMBIGUOUS"
    assert statistics.verdict([1.0] * 5, [2.0] * 5)[0] == "AMBIGUOUS"


def test_the_interval_covers_the_ratio():
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        _, low, high = statistics.ratio_interval(list(rng.normal(2, 0.1, 30)), list(rng.normal(1, 0.05, 30)), 0.9)
        inside += low <= 2 <= high
    assert inside >= 80


def test_relative_error_falls_with_samples():
    rng = np.random.default_rng(1)
    values = list(rng.normal(1, 0.1, 1000))
    assert statistics.relative_error(values[:5]) == float("inf")
    assert statistics.relative_error(values[:20]) > statistics.relative_error(values) > 0
    assert statistics.relative_error([1.0] * 9) == 0


def test_instability_is_said():
    assert statistics.instability([1.0] * 20) == ""
    assert "drifts by +30%" in statistics.instability([1.0] * 10 + [1.3] * 10 + [1.3])
    assert "spread over" in statistics.instability([1.0, 1.5, 1.0, 1.5] * 5)
