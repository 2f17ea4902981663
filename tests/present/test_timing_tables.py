"""Tables of timings: what is shown, what is withheld and why, in every format."""

import io
import json
import re

import pandas as pd
import pytest
from support.commands import run_command
from support.synthetic_timings import layers, steps, timing

from nfbench.foundation.errors import InputError
from nfbench.present.results import results as read
from nfbench.present.tables.latex import latex
from nfbench.present.tables.render import markdown
from nfbench.present.tables.timings import table, tables

FORMATS = ("md", "latex", "csv", "json")
WRONG = {"error": 0.5, "tolerance": 1e-4}


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    root = tmp_path_factory.mktemp("results")
    layers(root)
    steps(root)
    layers(root / "reference", provenance={})  # records that know nothing of their machine
    return read(root).timings


@pytest.fixture(scope="module")
def found_tables(frame):
    return tables(frame)


def shown(root, title):
    """Lines of the tables whose title ends so, each as a mapping from head to cell."""
    found = [one for one in tables(read(root).timings) if one.title.endswith(title)]
    return [dict(zip(one.head, row, strict=True)) for one in found for row in one.rows]


@pytest.mark.parametrize("fmt", FORMATS)
def test_nothing_prints_nan(frame, fmt):
    """Lacking, failed, without floor, without machine: no format prints a NaN or a None."""
    text = table(frame, fmt)
    assert not re.search(r"\b(nan|none|inf)\b(?! (has|agrees|timed|ran))", text, flags=re.IGNORECASE)


def test_every_line_has_the_cells_of_its_head(found_tables):
    """All tables are rectangular, have a key for each line, and Markdown keeps every column."""
    for found in found_tables:
        assert {len(row) for row in found.rows} == {len(found.head)}
        assert len(found.keys) == len(found.rows)
        lines = [line for line in markdown(found).splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {len(found.head) + 1}


def test_a_block_has_its_four_tables(found_tables):
    """Comparison, contenders, growth and memory of each block; steps, which are no sweep, have the first two."""
    titles = [found.title for found in found_tables]
    ends = ["nfbench against the others", "every contender", "how time grows", "how peak memory grows with K"]
    blocks = ["backward, own records", "step, own records", "backward, reference records"]
    expected = [[f"timing, profile quick, {block}: {end}" for end in ends] for block in blocks]
    assert titles == [*expected[0], *expected[1][:2], *expected[2]]


def test_own_and_reference_and_machines_have_tables_of_their_own(tmp_path):
    """One source, one machine, one number of threads: no table has two, and each says which."""
    timing(tmp_path)
    timing(tmp_path, case={"threads": 2})
    timing(tmp_path, case={"dim": 3}, machine="Other CPU")
    timing(tmp_path / "reference")
    found = [one for one in tables(read(tmp_path).timings) if one.title.endswith("contender")]
    assert [len(one.rows) for one in found] == [1, 1, 1, 1]
    assert len({(one.title, one.protocol) for one in found}) == 4
    assert "Test CPU, 2 cores; 2 threads, device cpu, float32" in " ".join(one.protocol for one in found)


def test_a_contender_that_disagrees_has_no_ratio(tmp_path):
    """Its time and deviation are shown; in place of a speed-up stand dashes and the reason, in both tables."""
    timing(tmp_path)
    timing(tmp_path, "zuko", 9.0)
    timing(tmp_path, "pyro", 2.0, agreement=WRONG)
    row = next(row for row in shown(tmp_path, "contender") if row["Contender"] == "pyro 1.2.3")
    assert [row["time (µs)"], row["times nfbench"], row["of the floor (%)"]] == ["2,000 [1,800, 2,200]", "—", "—"]
    assert row["deviation"] == "5e-01"
    assert row["remark"] == "disagrees: 5.0e-01 from the reference, 1e-04 allowed"
    compared = shown(tmp_path, "others")[0]
    assert [compared["fastest peer"], compared["against it"]] == ["zuko 1.2.3", "9.00 [8.10, 9.90]"]


def test_numbers_by_hand(tmp_path):
    """8 times 1 ms with quartiles 0.9 and 1.1, a floor of 0.1 ms, 1 MiB: what is printed follows."""
    timing(tmp_path)
    timing(tmp_path, "zuko", 8.0)
    row = shown(tmp_path, "contender")[1]
    assert row == {
        "Posterior": "Planar flow", "amortized": "no", "K": "32", "S": "100", "B": "1", "D": "2",
        "Contender": "zuko 1.2.3", "time (µs)": "8,000 [7,200, 8,800]", "times nfbench": "8.00 [7.20, 8.80]",
        "deviation": "1e-07", "of the floor (%)": "1.2", "bound": "bytes", "peak (KiB)": "1,024",
        "compile (s)": "0.250",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("factor", "unit", "text"),
    [(0.0412, "µs", "41.2 [41.2, 41.2]"), (466, "ms", "466 [466, 466]"), (2e5, "s", "200 [200, 200]")],
)
def test_unit_suits_the_longest_time(tmp_path, factor, unit, text):
    """One unit in a table: of 41.2 µs, 466 ms and 200 s each comes out with three digits."""
    timing(tmp_path, factor=factor)
    assert shown(tmp_path, "contender")[0][f"time ({unit})"] == text


@pytest.mark.parametrize("status", ["lacking", "failed"])
def test_what_is_not_done_is_shown_as_such(tmp_path, status):
    """The word stands in place of the time, the reason in the remark; nothing else is known."""
    timing(tmp_path)
    timing(tmp_path, "pyro", status=status, message="no such map: a|b")
    row = shown(tmp_path, "contender")[1]
    assert [row["time (µs)"], row["remark"]] == [status, "no such map: a|b"]
    assert {cell for head, cell in row.items() if head in ("times nfbench", "deviation", "bound", "peak (KiB)")} == {
        "—"
    }
    assert r"a\|b" in table(read(tmp_path).timings, "md")


def test_columns_without_any_entry_are_left_out(tmp_path):
    """Where no case has a floor, nothing failed and nothing was measured of memory, there are no such columns."""
    timing(tmp_path, floor=None, peak_bytes=None)
    heads = set(shown(tmp_path, "contender")[0])
    assert not heads & {"of the floor (%)", "bound", "peak (KiB)", "remark"}
    assert "Floor:" not in table(read(tmp_path).timings, "md")


def test_the_machines_pace_is_shown(tmp_path):
    """A case that was timed at half of the machine's best rate says so beside its time."""
    for depth, rate in ((2, 1e11), (4, 5e10)):
        floor = {"bytes": 1e6, "flops": 1e6, "bandwidth": 1e10, "rate": rate}
        timing(tmp_path, case={"posterior": f"planar:K={depth}"}, floor=floor)
    assert [row["pace (%)"] for row in shown(tmp_path, "others")] == ["100", "50"]


def test_steps_count_textbook_steps(found_tables):
    """100 models in 2 ms are 2 textbook steps, 0.02 for a model, and 50 times less than the textbook takes."""
    found = next(one for one in found_tables if one.title.endswith("step, own records: every contender"))
    rows = [dict(zip(found.head, row, strict=True)) for row in found.rows]
    ours = next(row for row in rows if row["E"] == "100" and row["Contender"] == "nfbench")
    assert [ours["models"], ours["textbook steps"][:4], ours["a model"][:6]] == ["100", "2.00", "0.0200"]
    textbook = next(row for row in rows if row["E"] == "100" and row["Contender"] == "textbook")
    assert textbook["times nfbench, a model"] == "50.0 [45.0, 55.0]"
    assert {row["step on"] for row in rows} == {"u1", "dlgm"}


def test_exponents_are_shown_with_their_sweep(tmp_path):
    """A sweep over D at K=32: exponent 0.5, its interval, its sizes, and the letter in place of D."""
    for dim in (4, 16, 64):
        timing(tmp_path, "zuko", dim**0.5, {"dim": dim})
    row = shown(tmp_path, "grows")[0]
    assert [row["size"], row["from"], row["to"], row["n"], row["D"], row["K"]] == ["D", "4", "64", "3", "D", "32"]
    assert [row["exponent a"], row["95 % interval"]] == ["0.500", "[0.500, 0.500]"]


def test_bytes_a_layer_stand_beside_a_copy_of_z(tmp_path):
    """800 bytes a layer for 100 draws are 8 a draw, where z takes 160."""
    for K in (2, 8, 32):
        timing(tmp_path, case={"posterior": f"planar:K={K}", "dim": 40}, peak_bytes=1000 + 800 * K)
    row = shown(tmp_path, "with K")[0]
    cells = [row[name] for name in ("bytes a layer", "95 % interval", "bytes a layer and draw", "bytes of a draw's z")]
    assert cells == ["800", "[800, 800]", "8.00", "160"]


def test_notes_say_how_it_was_measured(found_tables):
    """Rounds, quartiles, turns, tolerance, ceilings and versions stand under the table of contenders."""
    notes = " ".join(next(one for one in found_tables if one.title.endswith("contender")).notes)
    for part in ("medians over 5 rounds", "in turn", "tolerance (1e-04)", "12 GB/s", "90 Gflop/s", "pyro 1.2.3, torch"):
        assert part in notes


def test_a_family_without_depth_shows_a_dash(tmp_path):
    """A diagonal Gaussian has no K, in a case as in a sweep."""
    for dim in (2, 8, 32):
        timing(tmp_path, case={"posterior": "gaussian", "dim": dim})
    assert {row["K"] for title in ("contender", "grows") for row in shown(tmp_path, title)} == {"—"}


def test_latex_is_plain(found_tables):
    """Rules of booktabs, a left-aligned remark that wraps, no symbol that needs an input encoding."""
    text = "\n".join(latex(found) for found in found_tables)
    assert text.count(r"\toprule") == 2 * len(found_tables)
    assert "p{34mm}" in text
    assert all(line.isascii() for line in text.splitlines())
    assert r"$\mu$s" in text


def test_csv_and_json_hold_the_numbers(frame):
    """CSV has a row for each record at full precision; JSON the same and the fits, with null for what is missing."""
    flat = pd.read_csv(io.StringIO(table(frame, "csv")))
    stored = json.loads(table(frame, "json"))
    assert set(stored) == {"records", "against", "exponents", "memory"}
    assert len(flat) == len(stored["records"]) == len(frame)
    pd.testing.assert_series_equal(flat["median"], frame["median"].astype(float), rtol=1e-12)
    assert [row["median"] for row in stored["records"]] == [None if pd.isna(x) else x for x in frame["median"]]
    wrong = flat[flat["remark"].str.startswith("disagrees", na=False)]
    assert len(wrong) == 16
    assert wrong["ratio"].isna().all()


def test_unknown_format_is_named(frame):
    """A format that is not known is refused with those that are."""
    with pytest.raises(InputError, match=r"'xls'.*md, latex, csv, json"):
        table(frame, "xls")


def run(capsys, *arguments):
    return run_command(capsys, *arguments)


def test_command_prints_the_table(tmp_path, capsys):
    """`nfbench table timing` prints what the function gives."""
    timing(tmp_path)
    code, out, _ = run(capsys, "table", "timing", "--results", tmp_path, "--format", "csv")
    assert code == 0
    assert out.strip() == table(read(tmp_path).timings, "csv").strip()


@pytest.mark.parametrize("command", ["table", "plot"])
def test_no_timings_are_one_line_and_code_2(tmp_path, capsys, command):
    """Where nothing was timed the command says so in one line, and what writes timings."""
    code, out, err = run(capsys, command, "timing", "--results", tmp_path)
    assert [code, out, len(err.splitlines())] == [2, "", 1]
    assert "no timing records" in err
    assert "nfbench time" in err
