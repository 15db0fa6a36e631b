"""The test that compares samples: how often it is wrong when nothing changed, and how often it sees ten per cent."""

import numpy as np
import pytest
from planted import samples

from benchmarks import statistics


def visits(median, drift, seed, count=5, rounds=30):
    """A run of several visits, each of them as fast as the machine is at the time."""
    rng = np.random.default_rng(seed)
    speeds = np.exp(drift * rng.standard_normal(count))
    return [samples(median * speed, 0.04, rounds, 100 * seed + i) for i, speed in enumerate(speeds)]


def test_two_runs_of_the_same_give_at_most_one_false_alarm_in_a_hundred():
    for drift in (0.005, 0.02, 0.1):
        verdicts = [
            statistics.separate_verdict(visits(1e-3, drift, 2 * seed), visits(1e-3, drift, 2 * seed + 1))[0]
            for seed in range(300)
        ]
        assert verdicts.count("FASTER") + verdicts.count("SLOWER") <= 3
        if drift == 0.005:
            assert verdicts.count("SAME") >= 285


def test_ten_per_cent_between_two_runs_are_seen_both_ways():
    for seed in range(50):
        before, after = visits(1e-3, 0.005, seed), visits(1.1e-3, 0.005, seed + 1000)
        assert statistics.separate_verdict(before, after)[0] == "SLOWER"
        assert statistics.separate_verdict(after, before)[0] == "FASTER"


def test_a_machine_that_slowed_down_between_two_runs_is_no_slower_kernel():
    before, after = visits(1e-3, 0.005, 1), visits(1.15e-3, 0.005, 2)
    assert statistics.separate_verdict(before, after)[0] == "SLOWER"
    steady, slowed = [[1e-3, 2e-3]] * 5, [[1.15e-3, 2e-3]] * 5  # one of the two anchors saw it
    verdict, ratio, low, high = statistics.separate_verdict(before, after, steady, slowed)
    assert verdict == "AMBIGUOUS"
    assert low < 1.03 < 1.28 < high
    assert abs(ratio - 1.15) < 0.02
    assert statistics.separate_verdict(before, after, steady, steady)[0] == "SLOWER"


def test_one_visit_says_nothing_of_another_run():
    before, after = [samples(1e-3, 0.01, 40, 1)], [samples(2e-3, 0.01, 40, 2)]
    assert statistics.separate_verdict(before, after)[0] == "AMBIGUOUS"
    assert statistics.paired_verdict(before, after)[0] == "SLOWER"  # the same samples, taken in turns


def test_rounds_that_are_slow_for_both_are_divided_out():
    rng = np.random.default_rng(3)
    machine = rng.uniform(1, 3, 40)
    before, after = [list(machine * rng.normal(1, 0.01, 40))], [list(1.1 * machine * rng.normal(1, 0.01, 40))]
    assert statistics.paired_verdict(before, after)[0] == "SLOWER"
    assert statistics.paired_verdict(after, before)[0] == "FASTER"
    again = [list(machine * rng.normal(1, 0.01, 40))]
    assert statistics.paired_verdict(before, again)[0] == "SAME"
    assert statistics.paired_verdict([before[0][:5]], again)[0] == "AMBIGUOUS"


def test_students_quantiles_are_those_of_the_tables():
    for degrees, quantile in ((1, 63.657), (4, 4.604), (10, 3.169), (30, 2.750)):
        assert statistics._student(degrees) == pytest.approx(quantile, rel=1e-3)
    assert statistics._student(4, 0.95) == pytest.approx(2.776, rel=1e-3)


def test_who_asks_several_times_gets_a_wider_interval():
    before, after = [samples(1e-3, 0.1, 40, 1)], [samples(1e-3, 0.1, 40, 2)]
    _, ratio, low, high = statistics.paired_verdict(before, after)
    _, again, lower, higher = statistics.paired_verdict(before, after, chances=8)
    assert lower < low < ratio == again < high < higher


def test_visits_that_disagree_are_ambiguous_however_many_rounds_they_have():
    before = [[1.0] * 50] * 5
    after = [[factor] * 50 for factor in (1.0, 1.3, 1.1, 1.4, 1.2)]
    assert statistics.paired_verdict(before, after)[0] == "AMBIGUOUS"
    assert statistics.paired_verdict(before, [[1.2] * 50] * 5)[0] == "SLOWER"


def test_noise_is_ambiguous():
    rng = np.random.default_rng(0)
    before, after = [list(rng.uniform(1, 3, 12))], [list(rng.uniform(1, 3, 12))]
    assert statistics.paired_verdict(before, after)[0] == "AMBIGUOUS"


@pytest.mark.parametrize("shape", [(1, 9), (1, 40), (5, 3), (5, 8), (10, 6), (20, 6), (40, 3)])
def test_the_interval_covers_the_ratio(shape):
    inside = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        # What a visit's layout of memory does; one visit cannot know what it would be in another.
        own = 1 + 0.05 * rng.standard_normal((shape[0], 1)) if shape[0] > 1 else 1
        _, low, high = statistics.paired_ratio(2 * own * rng.normal(1, 0.05, shape), rng.normal(1, 0.05, shape))
        inside += low <= 2 <= high
    assert inside >= 390


def test_signed_ranks_are_counted_as_by_hand():
    # Of five values' 32 choices of signs, one has the sum 0, one 1, one 2 and two 3: 1/32, 2/32, 3/32, 5/32 up to it.
    for tail, rank in ((0.03, 0), (1 / 32, 0), (2.5 / 32, 1), (3.5 / 32, 2), (5 / 32, 3)):
        assert statistics._signed_rank(5, 1 - 2 * tail) == rank
    # Wilcoxon's table (1945) for a chance of 0.01 both ways: a sum of 19 for 16 pairs, of 37 for 20.
    assert (statistics._signed_rank(16, 0.99), statistics._signed_rank(20, 0.99)) == (19, 37)


def test_rare_visits_on_another_footing_do_not_widen_an_interval_of_many():
    rng = np.random.default_rng(5)
    ratios = np.exp(0.02 * rng.standard_normal(30))
    ratios[7] = 1.6
    before, after = [[1.0] * 9] * 30, [[ratio] * 9 for ratio in ratios]
    assert statistics.paired_verdict(before, after)[0] == "SAME"
    assert statistics.paired_verdict(before, [[1.1 * ratio] * 9 for ratio in ratios])[0] == "SLOWER"
    assert statistics.paired_verdict(before[:15], after[:15])[0] == "AMBIGUOUS"  # as Student's, which it widens


def test_many_visits_give_at_most_one_false_alarm_in_a_hundred():
    alarms = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        # Two candidates that are alike, each in a process that is sometimes slow for its lifetime.
        sides = np.exp(0.04 * rng.standard_normal((2, 20)) + 0.5 * (rng.random((2, 20)) < 0.05))
        before, after = ([[value] * 8 for value in side] for side in sides)
        alarms += statistics.paired_verdict(before, after, effect=0)[0] != "AMBIGUOUS"
    assert alarms <= 18  # ten are expected; more than 18 would be one chance in a hundred


def test_rounds_that_only_one_has_are_left_out():
    ratio, low, high = statistics.paired_ratio([[2.0, 2.0, 2.0], [2.0]], [[1.0, 1.0], [1.0, 9.0]])
    assert ratio == low == high == pytest.approx(2)


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
    assert statistics.instability([1.0, 1.2, 1.1]) == statistics.instability([1.0]) == ""
    assert "its 3 samples range over 42%" in statistics.instability([1.0, 1.5, 1.2])
