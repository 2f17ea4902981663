"""The leaderboard: ranked by target, each number with where it is from, as pages that need nothing else."""

import datetime
import re

import pytest
from support.recorded import make
from support.synthetic_verdicts import verdict

from nfbench.analysis.leaderboard import boards
from nfbench.analysis.summary import summary
from nfbench.foundation.errors import InputError
from nfbench.present.report.chapter import chapter
from nfbench.present.report.front import main_block
from nfbench.present.report.leaderboard import leaderboard
from nfbench.present.results import results
from nfbench.records import rechecks
from nfbench.records.cells import Facts, Metric, Record
from nfbench.records.outcomes import Outcome
from nfbench.records.rechecks import Recheck
from nfbench.records.store import write
from nfbench.records.verdicts import write as write_verdict

SEEDS = range(3)


def configuration(posterior, kl, *, experiment="figure3", target="u1", metric="kl", label=None, **changes):
    """Records of one configuration over seeds; `kl` by seed, None for one that diverged."""
    made = []
    for seed, value in enumerate(kl):
        base = make(seed)
        cell = base.cell.model_copy(
            update={"posterior": posterior, "experiment": experiment, "target": target, **changes}
        )
        family, _, rest = posterior.partition(":K=")
        facts = base.facts.model_dump() | {"family": family, "K": int(rest or 0), "label": label or family}
        done = (
            {"metrics": {metric: Metric(value=value, se=0.001)}} if value is not None else {"metrics": {}, "curves": {}}
        )
        status = "done" if value is not None else "diverged"
        fields = dict(base) | {"id": cell.id, "cell": cell, "facts": Facts(**facts), "status": status, **done}
        made.append(Record(**fields))
    return made


def store(root, *configurations):
    """Write the records of configurations."""
    for record in (record for those in configurations for record in those):
        write(root, record)


def run_again(root, record, verdict="equal"):
    """Store a recheck of a record."""
    now = datetime.datetime.now(datetime.UTC).isoformat()
    facts = {"id": record.id, "numbers": Outcome.of(record).numbers, "verdict": verdict, "detail": ""}
    rechecks.write(root, Recheck(**facts, status="done", finished=now, provenance={}))


def entries(root):
    """The lines of the only board."""
    stored = results(root)
    (board,) = boards(stored.frame, rechecks.verdicts(stored))
    return board.entries


def test_the_best_stands_first_and_what_diverged_behind(tmp_path):
    """Ranks by the mean; a configuration that lost a seed is behind, one without a value has no rank."""
    good, fair = configuration("planar:K=8", [0.1, 0.11, 0.12]), configuration("radial:K=8", [0.3, 0.31, 0.32])
    close = configuration("planar:K=9", [0.11, 0.1, 0.13])
    lost = configuration("nice:K=8", [0.01, None, 0.01])
    gone = configuration("gaussian", [None, None, None])
    store(tmp_path, gone, lost, fair, close, good)
    ranked = entries(tmp_path)
    assert [(entry.posterior, entry.rank) for entry in ranked] == [
        ("planar:K=8", 1),
        ("planar:K=9", 2),
        ("radial:K=8", 3),
        ("nice:K=8", 4),
        ("gaussian", None),
    ]
    assert [(entry.seeds, entry.diverged) for entry in ranked] == [(3, 0), (3, 0), (3, 0), (3, 1), (3, 3)]
    assert [entry.standing for entry in ranked] == ["best", "tied", None, None, None]
    assert [entry.origin for entry in ranked] == ["reported"] * 5


def test_a_recheck_makes_a_number_re_run_while_it_is_of_these_numbers(tmp_path):
    """One that holds; not one that fell, and not one of a record that was replaced since."""
    held, fell, old = (configuration(name, [0.1, 0.2, 0.3]) for name in ("planar:K=1", "planar:K=2", "planar:K=3"))
    store(tmp_path, held, fell, old)
    run_again(tmp_path, held[0], "within error")
    run_again(tmp_path, fell[0])
    run_again(tmp_path, fell[1], "differs")
    run_again(tmp_path, old[0])
    write(tmp_path, configuration("planar:K=3", [0.15])[0])
    by_posterior = {entry.posterior: entry for entry in entries(tmp_path)}
    assert {name: entry.origin for name, entry in by_posterior.items()} == {
        "planar:K=1": "re-run",
        "planar:K=2": "reported",
        "planar:K=3": "reported",
    }
    assert by_posterior["planar:K=2"].remark == "1 of 2 that were run again did not hold"
    assert [verdict for _, _, verdict in by_posterior["planar:K=1"].records] == ["within error", "", ""]


def test_a_papers_values_are_cited_where_they_belong_and_have_no_rank(tmp_path):
    """Those of Table 2 for its model, a configuration once, between ours; those of a figure of differences never."""
    model = {"experiment": "table2", "target": "dlgm:data=binarized-mnist", "metric": "nll", "data": "x"}
    store(tmp_path, configuration("planar:K=80", [85.5] * 3, **model), configuration("gaussian", [95.0] * 3, **model))
    ranked = entries(tmp_path)
    cited = [entry for entry in ranked if entry.origin == "cited"]
    assert ("planar, K = 80", "<= 85.1", None) in [(entry.label, entry.printed, entry.rank) for entry in cited]
    assert len({entry.label for entry in cited}) == len(cited)
    assert all("Rezende & Mohamed 2015" in entry.remark for entry in cited)
    means = [entry.value.mean for entry in ranked]
    assert means == sorted(means)
    assert [entry.rank for entry in ranked if entry.origin == "reported"] == [1, 2]


def test_the_pages_are_static_and_escape_what_records_say(tmp_path):
    """No script, no address outside, a working link to each target, and a label's markup shown as text."""
    store(tmp_path / "results", configuration("planar:K=8", [0.1, 0.2, 0.3], label="<script>alert(1)</script>"))
    index = leaderboard(results(tmp_path / "results"), tmp_path / "out")
    pages = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert len(pages) == 2
    for text in pages.values():
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert re.findall(r"(?:src|href)=\"(?:https?:|//)", text) == []
        assert all(link in pages for link in re.findall(r"href=\"([^\"#]+)\"", text))
    (target,) = set(pages) - {index.name}
    assert all(make_id in pages[target] for make_id in [record.id for record in configuration("planar:K=8", [0.1] * 3)])


def test_what_cannot_be_ranked_is_wrong_input(tmp_path):
    """Records without a metric."""
    store(tmp_path, configuration("planar:K=8", [None] * 3))
    with pytest.raises(InputError, match=r"no record under .* can be ranked"):
        leaderboard(results(tmp_path), tmp_path / "out")


def test_a_refuted_posterior_has_no_rank(tmp_path):
    """The lowest value is last where `nfbench verify` refuted its posterior, with the reason and without a star."""
    store(tmp_path, configuration("planar:K=8", [0.5, 0.6, 0.7]), configuration("radial:K=8", [-9.0, -9.1, -9.2]))
    write_verdict(tmp_path, verdict("radial:K=8", failed=["ln|det|"], size=0.5, label="radial"))
    first, last = entries(tmp_path)
    assert (first.posterior, first.rank) == ("planar:K=8", 1)
    assert (last.posterior, last.rank, last.standing) == ("radial:K=8", None, None)
    assert "is not the density of the draws" in last.remark


def test_variations_have_boards_of_their_own_and_are_named(tmp_path):
    """No seed is paired across variations, and neither pages nor tables leave them to be told by a hash."""
    store(tmp_path, *(configuration("planar:K=8", [kl] * 3, variation=name) for name, kl in ((None, 0.5), ("kl", 0.1))))
    stored = results(tmp_path)
    assert {board.block.variation: board.entries[0].value.mean for board in boards(stored.frame, {})} == {
        "": 0.5,
        "kl": pytest.approx(0.1),
    }
    shown = leaderboard(stored, tmp_path / "out").read_text()
    assert shown.count("figure3, quick, kl<") == 1
    assert shown.count("figure3, quick<") == 1
    assert main_block(stored.frame, "figure3").variation == ""
    rows = summary(stored.frame)
    assert rows.loc[rows["variation"] == "kl", "kl"].tolist() == [pytest.approx(0.1)]
    titles = [entry["title"] for entry in chapter(stored, tmp_path / "out", "figure3").configurations]
    assert sum(title.endswith(", kl") for title in titles) == 1
