"""Timings as numbers: who may be compared with whom, and how time and memory grow, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from support.synthetic_timings import OWN_TIME, ROUNDS, layers, spread_of, timing

from nfbench.analysis.scaling import exponents, line, memory
from nfbench.analysis.timing_blocks import blocks, cases
from nfbench.analysis.timings import against
from nfbench.present.results import results as read

AGREED = {"error": 1e-7, "tolerance": 1e-4}
WRONG = {"error": 0.5, "tolerance": 1e-4}


def one(root, contender):
    """The row of a contender of the only case."""
    rows = read(root).timings.query("contender == @contender")
    assert len(rows) == 1
    return rows.iloc[0]


def test_no_records_are_an_empty_frame(tmp_path):
    """Where nothing was timed there are no rows, no blocks and no fits."""
    frame = read(tmp_path).timings
    assert frame.empty
    assert [list(blocks(frame)), list(cases(frame)), len(against(frame)), len(exponents(frame))] == [[], [], 0, 0]


def test_a_record_becomes_a_row(tmp_path):
    """Sizes, median and quartiles, memory, floor and what binds stand in the row of a contender."""
    floor = {"bytes": 2e6, "flops": 3e7, "bandwidth": 1e10, "rate": 1e11}  # 0.2 and 0.3 ms
    timing(tmp_path, "zuko", 4.0, {"posterior": "radial:K=8", "dim": 5, "draws": 7, "batch": 3}, floor=floor)
    row = one(tmp_path, "zuko")
    assert [row[name] for name in ("family", "K", "dim", "draws", "batch")] == ["radial", 8, 5, 7, 3]
    assert [row["median"], row["low"], row["high"]] == pytest.approx([4e-3, 3.6e-3, 4.4e-3])
    assert [row["peak_bytes"], row["compile_seconds"], row["rounds"]] == [2**20, 0.25, len(ROUNDS)]
    assert [row["floor_seconds"], row["fraction"]] == pytest.approx([3e-4, 0.075])
    assert [row["binds"], row["version"], row["source"]] == ["flops", "zuko 1.2.3", "own"]


def test_ratio_is_the_stored_one(tmp_path):
    """A contender that agrees, timed in turn with nfbench, has its ratio with quartiles; nfbench has none to itself."""
    timing(tmp_path)
    timing(tmp_path, "zuko", 8.0)
    row = one(tmp_path, "zuko")
    assert [row["ratio"], row["ratio_low"], row["ratio_high"]] == pytest.approx([8, 7.2, 8.8])
    assert row["remark"] == ""
    assert math.isnan(one(tmp_path, "nfbench")["ratio"])


@pytest.mark.parametrize(
    ("ours", "theirs", "remark"),
    [
        ({}, {"agreement": WRONG}, "disagrees: 5.0e-01 from the reference, 1e-04 allowed"),
        ({}, {"agreement": {"error": math.nan, "tolerance": 1e-4}}, "disagrees: nan"),
        ({}, {"agreement": None}, "not compared with the float64 reference"),
        ({"agreement": WRONG}, {}, "nfbench itself gave nothing to compare with"),
        ({"status": "failed", "message": "no"}, {}, "nfbench itself gave nothing to compare with"),
        ({"run": "run 2"}, {}, "not timed in turn with nfbench"),
        (None, {}, "nfbench was not timed beside it"),
        ({}, {"status": "lacking", "message": "no radial\n  map"}, "no radial map"),
        ({}, {"status": "failed", "message": "x" * 500}, "x" * 157 + "..."),
    ],
)
def test_no_ratio_where_it_would_mislead(tmp_path, ours, theirs, remark):
    """Disagreement on either side, another run, or no time at all: there is no ratio, and the remark says why."""
    if ours is not None:
        timing(tmp_path, **ours)
    timing(tmp_path, "zuko", 8.0, **theirs)
    row = one(tmp_path, "zuko")
    assert pd.isna(row["ratio"])
    assert row["remark"].startswith(remark)


def test_what_disagrees_reaches_no_fraction_of_the_floor(tmp_path):
    """Work that is not the same says nothing about the floor of the case; its time is still there."""
    timing(tmp_path, "zuko", 2.0, agreement=WRONG)
    row = one(tmp_path, "zuko")
    assert row["median"] == pytest.approx(2 * OWN_TIME)
    assert pd.isna(row["fraction"])


def test_pace_is_of_the_machines_best(tmp_path):
    """Rates are compared where they are of one machine, and none is made up where none was measured."""
    floor = {"bytes": 1e6, "flops": 1e6, "bandwidth": 1e10}
    for K, rate in ((2, 1e11), (4, 6e10)):
        timing(tmp_path, case={"posterior": f"planar:K={K}"}, floor=floor | {"rate": rate})
    timing(tmp_path, case={"posterior": "planar:K=8"}, floor=floor | {"rate": 3e10}, machine="Another CPU")
    timing(tmp_path, case={"posterior": "planar:K=16"}, floor=None)
    paces = dict(zip(*(read(tmp_path).timings[name] for name in ("K", "pace")), strict=True))
    assert [paces[K] for K in (2, 4, 8)] == pytest.approx([1.0, 0.6, 1.0])
    assert pd.isna(paces[16])


def step(root, contender, factor, models=1, **fields):
    timing(root, contender, factor, {"mode": "step", "target": "u1", "seeds": 100}, models=models, **fields)


def test_steps_count_models(tmp_path):
    """100 models in 2 ms beside one textbook step in 1 ms: two textbook steps, and 50 times less for a model."""
    step(tmp_path, "nfbench", 2.0, models=100)
    step(tmp_path, "textbook", 1.0, ratio=spread_of([0.5 * part for part in ROUNDS]))
    ours, textbook = one(tmp_path, "nfbench"), one(tmp_path, "textbook")
    assert [ours["steps"], ours["steps_low"], ours["steps_high"]] == pytest.approx([2, 2 / 1.1, 2 / 0.9])
    assert [textbook["steps"], textbook["steps_low"], textbook["steps_high"]] == pytest.approx([1, 1, 1])
    assert [textbook["ratio"], textbook["ratio_low"]] == pytest.approx([50, 45])


def test_steps_of_other_rounds_have_no_quartiles(tmp_path):
    """A contender that took part in fewer rounds is compared by its median alone."""
    step(tmp_path, "nfbench", 2.0)
    step(tmp_path, "textbook", 1.0)
    step(tmp_path, "compile", 3.0, seconds=[3e-3] * 3)
    row = one(tmp_path, "compile")
    assert row["steps"] == pytest.approx(3)
    assert pd.isna(row["steps_low"])


@pytest.mark.parametrize("fields", [{"agreement": WRONG}, {"run": "another day"}, {"status": "failed"}])
def test_steps_need_a_textbook_to_count_in(tmp_path, fields):
    """Nothing is counted in steps of a textbook that does something else, or did it on another day, or failed."""
    step(tmp_path, "nfbench", 2.0)
    step(tmp_path, "textbook", 1.0, **fields)
    assert pd.isna(one(tmp_path, "nfbench")["steps"])


def test_bare_products_are_a_bound_and_no_contender(tmp_path):
    """What trains nothing agrees with nothing: others are told in its time, and it is neither peer nor ratio."""
    nothing = {"agreement": {"error": math.nan, "tolerance": 1e-4}, "ratio": None}
    step(tmp_path, "nfbench", 3.0, seconds=[3e-3] * 5)
    step(tmp_path, "textbook", 1.0, agreement=WRONG)
    step(tmp_path, "bare", 2.0, **nothing)
    ours, bare = one(tmp_path, "nfbench"), one(tmp_path, "bare")
    assert [ours["bare"], ours["bare_low"], ours["bare_high"]] == pytest.approx([1.5, 1.5 / 1.1, 1.5 / 0.9])
    assert pd.isna(one(tmp_path, "textbook")["bare"])
    assert [bare["remark"], bare["agrees"]] == ["a bound: it trains nothing", False]
    assert against(read(tmp_path).timings).iloc[0]["peer"] == "none timed"


def test_against_takes_the_fastest_peer_that_agrees(tmp_path):
    """The faster peer that disagrees is passed over; compile and textbook are no peers."""
    timing(tmp_path)
    for contender, factor in (("textbook", 6.0), ("compile", 2.0), ("zuko", 9.0), ("nflows", 7.0)):
        timing(tmp_path, contender, factor)
    timing(tmp_path, "pyro", 3.0, agreement=WRONG)
    row = against(read(tmp_path).timings).iloc[0]
    assert row["peer"] == "nflows 1.2.3"
    assert [row["peer_ratio"], row["compile_ratio"], row["textbook_ratio"]] == pytest.approx([7, 2, 6])


@pytest.mark.parametrize(
    ("peers", "said"),
    [
        ({}, "none timed"),
        ({"pyro": "lacking", "zuko": "lacking"}, "none has it"),
        ({"pyro": "lacking", "zuko": "failed"}, "none ran"),
        ({"pyro": "lacking", "zuko": "done"}, "none agrees"),
    ],
)
def test_against_says_why_there_is_no_peer(tmp_path, peers, said):
    """No peer timed, none with the map, none that ran, none that agrees: four different facts."""
    timing(tmp_path)
    for name, status in peers.items():
        timing(tmp_path, name, status=status, message="so", **({"agreement": WRONG} if status == "done" else {}))
    assert against(read(tmp_path).timings).iloc[0]["peer"] == said


def test_blocks_never_mix(tmp_path):
    """Source, profile, mode, machine, threads and precision each make a block of their own."""
    for case in ({}, {"profile": "smoke"}, {"mode": "forward"}, {"threads": 2}, {"dtype": "float64"}):
        timing(tmp_path, case=case)
    timing(tmp_path, case={"dim": 3}, machine="Other CPU")
    timing(tmp_path / "reference")
    timing(tmp_path / "reference", "zuko")
    assert sorted(len(block.rows) for block in blocks(read(tmp_path).timings)) == [1, 1, 1, 1, 1, 1, 2]


def test_devices_of_one_kind_are_told_apart(tmp_path):
    """Two GPUs are two machines, although the device is called cuda in both."""
    for name in ("GPU A", "GPU B"):
        root = tmp_path / name
        timing(root, case={"device": "cuda"}, provenance={"processor": "Test CPU", "cores": 2, "device": name})
    assert one(tmp_path / "GPU A", "nfbench")["machine"] == "Test CPU, 2 cores, GPU A"
    assert one(tmp_path / "GPU B", "nfbench")["machine"] != one(tmp_path / "GPU A", "nfbench")["machine"]


@pytest.mark.parametrize(("size", "letter"), [("K", "K"), ("dim", "D"), ("draws", "S"), ("batch", "B"), ("seeds", "E")])
def test_exponent_of_a_power_law_is_exact(tmp_path, size, letter):
    """Times 3 n^0.75 ms give 0.75 and 3 ms, with no error, whichever size n is."""
    for n in (2, 8, 32, 128):
        case = {"posterior": f"planar:K={n}"} if size == "K" else {size: n}
        timing(tmp_path, "zuko", 3 * n**0.75, case)
    row = exponents(read(tmp_path).timings).iloc[0]
    assert [row["size"], row["n"], row["first"], row["last"]] == [letter, 4, 2, 128]
    assert [row["slope"], row["low"], row["high"]] == pytest.approx([0.75] * 3, abs=1e-7)
    assert [row["se"], row["seconds"]] == pytest.approx([0, 3e-3], abs=1e-7)


def test_a_sweep_has_three_sizes_and_nothing_else_changes(tmp_path):
    """Two depths make no sweep, nor do three at different D, from two machines, or of results that disagree."""
    cases = [({"posterior": f"planar:K={K}", "dim": dim}, {}) for K, dim in ((2, 2), (8, 2), (32, 3))]
    cases += [({"posterior": "planar:K=64", "dim": 2}, {"machine": "Other CPU"})]
    cases += [({"posterior": "planar:K=128", "dim": 2}, {"agreement": WRONG})]
    cases += [({"posterior": "planar:K=0", "dim": 2}, {})]  # has no logarithm
    for case, fields in cases:
        timing(tmp_path, "zuko", 1.0, case, **fields)
    assert exponents(read(tmp_path).timings).empty


def test_contenders_have_exponents_of_their_own(tmp_path):
    """Each contender and family is a sweep, and the records it was fitted to are named."""
    for family in ("planar", "radial"):
        for contender, power in (("nfbench", 0.5), ("textbook", 1.0)):
            for K in (1, 4, 16):
                timing(tmp_path, contender, K**power, {"posterior": f"{family}:K={K}"})
    found = exponents(read(tmp_path).timings)
    assert list(found["slope"]) == pytest.approx([0.5, 1, 0.5, 1])
    assert all(len(set(ids)) == 3 for ids in found["records"])


def test_line_is_that_of_the_text_books():
    """Slope, standard error and interval as by the formulas of simple regression."""
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0, 6.0])
    found = line(x, y)
    # sxx = 5, sxy = 7: slope 1.4, intercept 0.9; residuals .1, .7, -1.7, .9 with squares 4.2; s.e. = sqrt(4.2 / 2 / 5)
    assert [found.slope, found.intercept, found.se] == pytest.approx([1.4, 0.9, math.sqrt(0.42)], rel=1e-12)
    half = 4.302652729911275 * math.sqrt(0.42)
    assert [found.low, found.high] == pytest.approx([1.4 - half, 1.4 + half], rel=1e-9)


def test_bytes_a_layer(tmp_path):
    """Memory m + 12 bytes a layer and draw is told as such beside what a draw's z takes."""
    for K in (2, 8, 32):
        case = {"posterior": f"planar:K={K}", "dim": 40, "draws": 50, "batch": 3, "dtype": "float64"}
        timing(tmp_path, case=case, peak_bytes=4096 + 12 * 150 * K)
    row = memory(read(tmp_path).timings).iloc[0]
    assert [row["slope"], row["per_draw"], row["vector"]] == pytest.approx([1800, 12, 320])


def test_bytes_a_layer_need_a_sweep(tmp_path):
    """Without memory, or with two depths, nothing is fitted."""
    for K in (2, 8, 32):
        timing(tmp_path, case={"posterior": f"planar:K={K}"}, peak_bytes=None if K == 8 else 100)
    assert memory(read(tmp_path).timings).empty


def test_rows_stand_by_case(tmp_path):
    """The contenders of a case stand together, nfbench first, and K rises within a family."""
    layers(tmp_path)
    frame = read(tmp_path).timings
    groups = list(cases(frame))
    assert len(groups) == 24
    assert all(list(case.index) == list(range(case.index[0], case.index[0] + len(case))) for case in groups)
    assert all(case["contender"].iloc[0] == "nfbench" for case in groups)
    assert [case["K"].iloc[0] for case in groups] == [2, 8, 32, 80] * 6
