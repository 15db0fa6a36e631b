"""Result files, comparisons, reports."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from planted import samples

from benchmarks import charts, compare, report, tables
from benchmarks.ceilings import Ceilings
from benchmarks.descriptor import parse
from benchmarks.problem import flops, moved_bytes
from benchmarks.results import ResultError, Results, google_benchmark, load, save
from benchmarks.runner import Record

MACHINE = {
    "cpu": "Example 1",
    "cpu_flags": ["avx2", "fma"],
    "cores": 2,
    "architecture": "x86_64",
    "system": "Linux",
    "gpu": None,
    "threads": 2,
    "vector_unit": "avx2",
    "commit": "0123456789abcdef",
    "uncommitted": False,
    "clock_mhz": 3000.0,
    "governor": None,
    "load_average": [0.1, 0.1, 0.1],
    "date": "2026-01-01T00:00:00+00:00",
    "versions": {"numpy": "2.4.0"},
}


def record(implementation, milliseconds, seed=0, text='conv --dir=FWD_B mb4ic8ih16oc8kh3ph1 n"a"', **more):
    p = parse(text)
    times = samples(milliseconds * 1e-3, 0.02, 30, seed)
    return Record(
        text,
        p.name,
        p.direction,
        implementation,
        flops(p),
        moved_bytes(p),
        "PASSED",
        samples=times,
        visits=[6] * 5,
        **more,
    )


def results(scale=1.0, seed=0, **machine):
    records = [
        record("ours", scale, seed),
        record("pytorch:nchw", 1.6, 1),
        record("pytorch:nhwc", 2.0, 2),
        record("ours", 3 * scale, seed + 3, 'bnorm --dir=FWD_D mb4ic8ih16 n"<b>"'),
        Record(
            "conv --dir=FWD_B mb4ic8ih16oc8kh3ph1", "c", "FWD_B", "broken", 1, 1, "FAILED", "1 & 2 differ", "repeat"
        ),
    ]
    return Results({**MACHINE, **machine}, records, Ceilings(200.0, 25.0, "float32", 2), {}, ["jax is skipped: why"])


def test_a_result_survives_its_file(tmp_path):
    path = tmp_path / "folder" / "r.json"
    save(path, results())
    assert load(path) == results()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "no result of this benchmark"),
        ('{"format": "other/2"}', "format is 'other/2'"),
        ('{"format": "scratchgan-benchmark/1"}', "missing or of the wrong kind"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, text, message):
    path = tmp_path / "r.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ResultError, match=message):
        load(path)
    with pytest.raises(ResultError, match="No such file"):
        load(tmp_path / "missing.json")


def test_google_benchmark_reads_it():
    document = google_benchmark(results())
    assert {"date", "num_cpus", "mhz_per_cpu", "caches", "load_avg", "library_build_type"} <= set(document["context"])
    mine = [b for b in document["benchmarks"] if b["run_name"] == "a/forward/ours"]
    assert [b["run_type"] for b in mine] == ["iteration"] * 30 + ["aggregate"] * 2
    for b in mine:
        assert b["time_unit"] == "ns"
        assert b["real_time"] == pytest.approx(1e6, rel=0.2)
        assert b["repetitions"] == 30
    json.dumps(document)


def test_the_same_faster_and_slower():
    same = compare.compare(results(), results(seed=50))
    assert {c.verdict for c in same} == {"SAME"}
    slower = compare.compare(results(), results(1.1, seed=50))
    assert [c.verdict for c in slower if c.implementation == "ours"] == ["SLOWER", "SLOWER"]
    assert compare.too_slow(slower, 0.05)
    assert not compare.too_slow(slower, 0.2)
    faster = compare.compare(results(1.1, seed=50), results())
    assert "FASTER" in compare.table(faster)
    assert "| FASTER |" in compare.table(faster, as_markdown=True)


def test_another_machine_is_refused_and_named():
    with pytest.raises(compare.CompareError, match="--force") as caught:
        compare.compare(results(), results(cpu="Example 2", cpu_flags=["avx2"], threads=1))
    text = str(caught.value)
    assert "'Example 1' against 'Example 2'" in text
    assert "only A has fma" in text
    assert "threads: 2 against 1" in text
    assert compare.compare(results(), results(cpu="Example 2"), force=True)


def test_nothing_in_common():
    other = results()
    other.records = [record("ours", 1.0, 0, 'conv --dir=BWD_D mb4ic8ih16oc8kh3ph1 n"z"')]
    with pytest.raises(compare.CompareError, match="in common"):
        compare.compare(results(), other)


def test_percentages():
    assert compare.percentage("10%") == compare.percentage("10") == pytest.approx(0.1)
    for text in ("ten", "-3%", ""):
        with pytest.raises(ValueError, match="percentage"):
            compare.percentage(text)


def test_what_is_no_version_is_refused(tmp_path):
    with pytest.raises(compare.CompareError, match="neither a result file"), compare.checkout("no-such-branch"):
        pass
    with pytest.raises(compare.CompareError, match="no folder kernels"), compare.checkout(str(tmp_path)):
        pass


def test_tables_show_the_best_of_a_family():
    (row,) = tables.ratio_rows(results(), "pytorch")
    assert row[:3] == ("a", "forward", "pytorch:nchw")
    assert row[3] == pytest.approx(1.6, rel=0.05)
    assert row[4] < 1.6 < row[5]
    assert "1.6" in tables.summary_lines(results())[0]
    lines = tables.text(tables.HEADER, [tables.row(r, results().ceilings) for r in results().records]).splitlines()
    assert len({len(line.split("  ")[0]) for line in lines}) >= 1
    assert "FAILED" in lines[-1]


def test_the_page_is_whole_and_escaped(tmp_path):
    path = tmp_path / "report.html"
    report.write(path, results())
    page = path.read_text("utf-8")
    assert page.count("<svg") == 3
    assert "<b>" not in page.replace("<b>1.", "")  # the layer's name is text
    assert "1 &amp; 2 differ" in page
    assert "jax is skipped: why" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_drawings_are_well_formed_and_inside():
    r = results()
    colours = charts.palette(["ours", "pytorch:nchw", "pytorch:nhwc"])
    assert len(set(colours.values())) == 3
    for drawing in (
        charts.roofline(r.timed, r.ceilings, colours),
        charts.bars(r.timed, colours),
        charts.ratios(tables.ratio_rows(r, "pytorch"), "pytorch"),
    ):
        tree = ElementTree.fromstring(drawing)
        _, _, width, height = map(float, tree.attrib["viewBox"].split())
        for element in tree.iter():
            for key, most in (
                ("x", width),
                ("cx", width),
                ("y", height),
                ("cy", height),
                ("x2", width),
                ("y2", height),
            ):
                if key in element.attrib:
                    assert -1 <= float(element.attrib[key]) <= most + 1
    assert charts.bars([], {}) == charts.roofline([], r.ceilings, {}) == charts.ratios([], "pytorch") == ""
