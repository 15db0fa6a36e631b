"""Every rung of the ladder is right, on shapes other than the one that the command times."""

import pytest

from benchmarks import correctness, ladder
from benchmarks.descriptor import parse

SHAPES = ("mb2ic3ih4iw32oc4kh3ph1", "mb3ic40ih10iw64oc20kh3ph1", "mb1ic7ih32oc12kh3ph1")


@pytest.mark.parametrize("number", range(1, len(ladder.RUNGS) + 1))
def test_a_rung_is_right(number):
    rung = ladder.load(number)
    assert rung.__doc__.startswith(f"Rung {number}: ")
    assert ladder.title(rung)
    for shape in SHAPES:
        outcome = correctness.check(parse(f"conv --dir=FWD_D {shape}"), ladder.Rung(rung))
        assert outcome.verdict == correctness.PASSED, (shape, outcome.reason)


@pytest.mark.parametrize("number", [5, 6, 7, 8, 9])
def test_sizes_that_are_no_whole_tiles_are_refused(number):
    outcome = correctness.check(parse("conv --dir=FWD_D mb1ic3ih7oc4kh3ph1"), ladder.Rung(ladder.load(number)))
    assert outcome.verdict == correctness.FAILED
    assert "width that is a multiple of" in outcome.reason
