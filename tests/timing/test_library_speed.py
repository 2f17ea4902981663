"""The comparison of maps with networks with those of other libraries: who is beside whom, and its rows."""

import pytest

from benchmarks import library_speed
from nfbench.specification.registrations import registrations
from nfbench.specification.registry import posteriors
from nfbench.timing.measure.clock import Protocol


def test_every_library_family_of_our_kind_is_compared():
    """Whatever a library registers under a name of ours, or a second name of it, has its pair; no other has one."""
    paired = {other: name for name, others in library_speed.pairs([]) for other in others}
    known = registrations()
    for entry in posteriors:
        if entry.library is not None and entry.library.installed:
            short = entry.name.partition(":")[2]
            name = library_speed.SAME.get(short, short)
            assert (paired.get(entry.name) == name) == (known[name].kind == known[entry.name].kind)


@pytest.mark.parametrize("points", [1, 3])
def test_a_row(points, monkeypatch):
    """A row names the family, its size, the fastest library with version and parameters, and the other ones."""
    monkeypatch.setattr(
        library_speed, "PROTOCOL", Protocol(rounds=3, budget=0.01, sample=1e-4, warm_calls=2, warm_limit=0.01)
    )
    names = [name for name in ("zuko:realnvp", "nflows:realnvp") if posteriors[name].installed]
    if len(names) < 2:
        pytest.skip("zuko or nflows is not installed")
    cells = library_speed.case("realnvp", names, 2, 2, 8, points).strip("| ").split(" | ")
    assert cells[:4] == ["realnvp", "2", "8", str(points)]
    fastest, others = cells[6], cells[8]
    assert {fastest.split()[0], others.split()[0]} == {"zuko", "nflows"}
    assert float(cells[7].split()[0]) > 0


def test_what_no_library_can(monkeypatch, capsys):
    """Where every library refuses a size, the row says so, and why is told."""
    monkeypatch.setattr(
        library_speed, "PROTOCOL", Protocol(rounds=3, budget=0.01, sample=1e-4, warm_calls=2, warm_limit=0.01)
    )
    assert library_speed.case("bnaf", ["nflows:realnvp"], 1, 2, 8, 1).endswith("| none can | — | — |")
    assert "nflows:realnvp, D = 1, 1 points: " in capsys.readouterr().err
