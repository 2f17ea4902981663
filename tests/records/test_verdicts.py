"""Verdicts as records: stored, read, refused where they are damaged, the best one of each family."""

import warnings

import pytest
from support.synthetic import Plan, figure3
from support.synthetic_verdicts import verdict

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.records.merge import merge
from nfbench.records.verdicts import maps_of, newest, read, verdicts, write


def test_a_verdict_comes_back(tmp_path):
    """What is stored is read again, with a digest; a later verdict on the same takes its place."""
    file = write(tmp_path, verdict(failed=["finite"]))
    assert file.parent == tmp_path / "verdicts"
    assert read(file).with_status("fail") == ["finite"]
    assert read(file).digest
    assert write(tmp_path, verdict(seconds=9.0)) == file
    assert [each.seconds for each in verdicts(tmp_path)] == [9.0]


def test_an_edited_verdict_is_refused(tmp_path):
    """A failure that somebody turns into a pass is found out, and so is a file under another name."""
    file = write(tmp_path, verdict(failed=["finite"]))
    file.write_text(file.read_text().replace('"fail"', '"pass"'))
    with pytest.raises(InputError, match="changed after it was stored"):
        read(file)
    with pytest.warns(UserWarning, match="changed after it was stored"):
        assert list(verdicts(tmp_path)) == []
    moved = write(tmp_path, verdict()).rename(tmp_path / "verdicts" / "0123456789abcdef.verdict")
    with pytest.raises(InputError, match="not the verdict that its name says"):
        read(moved)


def test_the_longest_search_counts_then_the_last():
    """Of one family the strict verdict stands, whatever a shorter one says later; versions of a library stay apart."""
    early, late = (verdict(finished=f"2026-01-0{day}", label=f"day {day}") for day in (1, 2))
    strict = verdict(strict=True, finished="2025-01-01", label="strict")
    assert [each.label for each in newest([late, early]).values()] == ["day 2"]
    assert [each.label for each in newest([strict, late, early]).values()] == ["strict"]
    assert len(newest([verdict(library="zuko 1.6.0"), verdict(library="zuko 1.7.0"), verdict()])) == 3


def test_which_failures_refute_a_bound(tmp_path):
    """A wrong ln|det|, or two points with one image that show in E_q[p/q]; not rounding, nor a hole in the image."""
    hole = "E_q[p/q] = 1"
    assert verdict(failed=["ln|det|"], size=0.01).refuted
    assert not verdict(failed=["ln|det|", hole], size=1e-8).refuted
    assert not verdict(failed=["ln|det|", hole], size=None).refuted  # of before sizes were kept
    assert verdict(failed=["injective", hole]).refuted
    assert not any(verdict(failed=[each]).refuted for each in [hole, "injective", "finite"])
    figure3(Plan(tmp_path, seeds=1))
    assert "refuted" not in nfbench.results(tmp_path).frame
    write(tmp_path, verdict("radial:K=8", failed=["ln|det|"], label="Radial flow", size=0.5))
    frame = nfbench.results(tmp_path).frame
    assert set(frame.loc[frame["refuted"], "posterior"]) == {"radial:K=2", "radial:K=8", "radial:K=32"}


def test_a_verdict_holds_of_every_number_of_maps_and_of_its_version_alone():
    """The maps are the same at any K; no map is no wrong one, and where versions stand side by side one is meant."""
    at = maps_of("pyro:sylvester,K=4,reflections=8", "Sylvester, pyro 1.9.2")
    assert maps_of("pyro:sylvester,K=2,reflections=8", "Sylvester, pyro 1.9.2") == at
    assert (
        maps_of("pyro:sylvester,K=2,reflections=8,source=pyro 1.9.2", "Sylvester, pyro 1.9.2 (source pyro 1.9.2)") == at
    )
    others = [("K=0,reflections=8", "1.9.2"), ("K=4,reflections=2", "1.9.2"), ("K=4,reflections=8", "1.9.3")]
    assert at not in [maps_of(f"pyro:sylvester,{options}", f"Sylvester, pyro {version}") for options, version in others]


def test_own_verdicts_go_before_the_packages(tmp_path):
    """Results know both; records of cells are not looked for in the folder of verdicts."""
    write(tmp_path / "reference", verdict(label="packaged"))
    write(tmp_path / "reference", verdict("radial:K=8"))
    write(tmp_path, verdict(label="own"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = nfbench.results(tmp_path)
        assert results.frame.empty
    assert {key[0]: each.label for key, each in results.verdicts.items()} == {
        "planar:K=8": "own",
        "radial:K=8": "radial:K=8",
    }


def test_verdicts_are_merged(tmp_path):
    """Folders of verdicts become one: equal once, an unequal one beside it, a damaged one named."""
    for name, seconds in (("a", 3.0), ("b", 3.0), ("c", 4.0)):
        write(tmp_path / name, verdict(seconds=seconds))
    into = tmp_path / "into"
    assert [each.kind for each in merge([tmp_path / name for name in "abc"], into)] == ["new", "equal", "differs"]
    (file,) = (tmp_path / "a" / "verdicts").iterdir()
    file.write_text(file.read_text().replace('"planar:K=8"', '"planar:K=2"'))
    assert [each.kind for each in merge([tmp_path / "a"], into)] == ["damaged"]
