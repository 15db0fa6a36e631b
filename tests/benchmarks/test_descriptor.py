"""The grammar: what it infers, that it survives a round trip, and where it says an error is."""

import pytest

from benchmarks.descriptor import SHAPES, DescriptorError, parse, read_arguments, read_shapes


@pytest.mark.parametrize("path", sorted(SHAPES.glob("*.txt")), ids=lambda path: path.name)
def test_every_shape_survives_the_round_trip(path):
    problems = read_shapes(path)
    assert problems
    assert len({p.name for p in problems}) == len(problems)
    for problem in problems:
        assert parse(str(problem)) == problem
        for direction in problem.directions:
            assert parse(str(problem.directed(direction))) == problem.directed(direction)


def test_one_axis_stands_for_both_and_sizes_are_computed():
    p = parse('conv mb64ic64ih32oc128kh4sh2ph1 n"D64.2"')
    assert (p.image, p.kernel, p.stride, p.padding, p.output) == ((32, 32), (4, 4), (2, 2), (1, 1), (16, 16))
    assert p.name == "D64.2"
    assert parse("conv mb64ic64iw32oc128kw4sw2pw1") == parse("conv mb64_ic64_ih32_oc128_kh4_sh2_ph1")
    assert parse("--conv mb64 ic64 ih32 oc128 kh4 sh2 ph1").image == (32, 32)
    assert parse("conv ic3ih8iw5oc4kh3").output == (6, 3)
    assert parse("conv ic3ih8oc4kh3").mb == 2


def test_the_missing_one_of_input_output_and_padding_is_computed():
    assert parse("conv ic3oc4ih32oh16kh4sh2").padding == (1, 1)
    assert parse("conv ic3oc4oh16kh4sh2ph1").image == (32, 32)
    assert parse("deconv ic3oc4ih4oh8kh4sh2").padding == (1, 1)
    assert parse("deconv ic3oc4oh8kh4sh2ph1").image == (4, 4)
    assert parse("upconv ic3ih7oc4kh3ph1").output == (14, 14)
    assert parse("resampling ic3ih7oh21").scale == (3, 3)


def test_dilation_counts_the_zeros_between():
    assert parse("conv ic1ih9oc1kh3dh0").dilation == (1, 1)
    assert parse("conv ic1ih9oc1kh3dh1").dilation == (2, 2)
    assert parse("conv ic1ih9oc1kh3dh1").output == (5, 5)
    assert "dh1" in str(parse("conv ic1ih9oc1kh3dh1"))


def test_options():
    p = parse("pool --dir=BWD_D --alg=avg_np --dt=f64 mb2ic3ih7kh3sh2ph1")
    assert (p.direction, p.algorithm, p.dtype, p.output) == ("BWD_D", "avg_np", "float64", (4, 4))
    assert parse("bnorm mb2ic3ih7").directions == ("FWD_D", "BWD_D")


MISTAKES = {
    "cnv mb1": (0, "no driver 'cnv'"),
    "": (0, "no driver"),
    "conv": (4, "dimensions are missing"),
    "conv ic4ih9oc6kh": (16, "kh needs a whole number"),
    "conv ic4ih9oc6kh3zz2": (17, "no dimension 'zz'"),
    "conv ic4ih9ic4": (11, "ic is given twice"),
    "conv ic4ih9oc6kh0": (16, "kh must be at least 1"),
    "conv ic4ih9oc6kh3ph-1": (19, "ph must be at least 0"),
    "conv ic4 ? ih9": (9, "expected a key and a number"),
    "conv ic4ih2oc6kh3": (8, "output would be empty"),
    "deconv ic4ih1oc6kh2ph1": (10, "output would be empty"),
    "conv ic4ih9oh5oc6kh3ph0": (11, "oh5 does not fit: with these dimensions it is 7"),
    "conv ic4ih9oc6": (14, "conv needs kh"),
    "conv g3ic4ih9oc6kh3": (5, "does not divide"),
    "conv --dir=UP ic4": (11, "--dir must be one of"),
    "conv --alg=max ic4": (11, "conv has one algorithm"),
    "conv --fast=1 ic4": (7, "no option --fast"),
    "pool --dir=BWD_W ic4ih4kh2": (11, "no weight gradient"),
    "resampling ic3ih4oh6": (17, "not a multiple"),
    "bnorm ic3": (9, "bnorm needs ih"),
    "pool ic3ih8kh2ph2": (14, "more than half"),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_the_column_of_a_mistake_is_marked(text):
    column, message = MISTAKES[text]
    with pytest.raises(DescriptorError, match=message) as caught:
        parse(text)
    assert caught.value.column == column
    lines = str(caught.value).splitlines()
    assert lines[-1].index("^") == column + 2
    assert lines[-1].endswith(f"column {column + 1}")


def test_a_mistake_in_a_file_names_the_line(tmp_path):
    path = tmp_path / "shapes.txt"
    path.write_text("# fine\nconv ic1ih4oc1kh1  # this too\nconv ic1ih4oc1kq1\n", "utf-8")
    with pytest.raises(DescriptorError, match=r"shapes.txt:3: conv has no dimension 'kq'"):
        read_shapes(path)
    with pytest.raises(FileNotFoundError, match=r"workloads\.txt"):
        read_shapes("nothing.txt")


def test_words_of_a_command_line():
    problems = read_arguments(["conv", "ic1ih4oc1kh1", 'n"a"', "@mnist.txt", 'bnorm ic3ih4 n"b"', "ip ic3oc4"])
    assert problems[0].name == "a"
    assert problems[-2].name == "b"
    assert problems[-1].op == "ip"
    assert len(problems) == len(read_shapes("mnist.txt")) + 3
