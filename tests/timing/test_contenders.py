"""Whoever is timed computes the same function as nfbench, or is lacking."""

import contextlib
import dataclasses
import sys

import pytest
import torch
from support.families import posterior, specs

from nfbench.foundation.errors import InputError
from nfbench.records.timings import Case
from nfbench.specification.registry import posteriors
from nfbench.timing.contenders import form, textbook
from nfbench.timing.contenders.contract import contenders, inputs

KNOWN = contenders()
MODES = ("sample", "forward", "backward", "inverse")
ROUNDING = 1e-13  # of float64, with room for sums over draws


def case(spec, mode="backward", *, amortized=False, dim=5, **changed):
    """A small case in float64: 4 draws for each of 3 data points."""
    fields = {"draws": 4, "batch": 3, "dtype": "float64", "threads": 1} | changed
    return Case(profile="test", posterior=spec, mode=mode, dim=dim, amortized=amortized, **fields)


def wanted(case, given):
    """What nfbench's own posterior gives: the outcome of each mode."""
    q = posterior(case.posterior, case.dim, points=case.batch if case.amortized else 1, dtype=torch.float64)
    q.load_state_dict(dict(given.state))
    if case.mode == "inverse":
        return {"log_q": q.log_prob(given.points).detach()}
    z, log_q = q(given.noise)
    found = {"z": z.detach(), "log_q": log_q.detach()}
    if case.mode == "backward":
        ((z * given.to_z).sum() + (log_q * given.to_log_q).sum()).backward()
        found |= {f"grad.{name}": value.grad for name, value in q.named_parameters() if value.grad is not None}
    return found


def built(contender, case, given):
    """A contender's work; skips where its library is absent."""
    try:
        return contender.work(case, given)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed: pip install nfbench[peers]")


def deviation(got, true):
    """Over all outputs that were given, the largest deviation relative to the output's largest value."""
    pairs = [(got[name].detach(), true[name]) for name in got]
    return max(float((one - other).abs().max() / other.abs().max().clamp_min(1e-3)) for one, other in pairs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("amortized", [False, True], ids=["shared", "amortized"])
@pytest.mark.parametrize("spec", specs(2))
@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("compile", "split")])
def test_a_contender_computes_what_nfbench_computes(name, spec, amortized, mode):
    """Draws, ln q and every gradient that it gives are nfbench's to rounding, in the shapes asked for."""
    small = case(spec, mode, amortized=amortized)
    given = inputs(small)
    work = built(KNOWN[name], small, given)
    if work is None:
        return
    work.run()
    got, true = work.outcome(), wanted(small, given)
    assert set(got) <= set(true)
    assert set(got) >= ({"log_q"} if mode == "inverse" else {"z", "log_q"})
    assert {name: value.shape for name, value in got.items()} == {name: true[name].shape for name in got}
    assert deviation(got, true) < ROUNDING


TEXTBOOK = [spec for spec in specs(2) if spec.partition(":")[0] in textbook.FORMS]


def test_the_paper_is_in_the_textbook():
    """Every family of Rezende & Mohamed (2015) has a textbook form; later families need none."""
    assert {spec.partition(":")[0] for spec in TEXTBOOK} >= {"gaussian", "planar", "radial", "nice"}


@pytest.mark.parametrize("spec", TEXTBOOK)
@pytest.mark.parametrize("amortized", [False, True], ids=["shared", "amortized"])
def test_the_textbook_gives_every_gradient(spec, amortized):
    """The textbook has every family of the paper, with all gradients that nfbench has."""
    small = case(spec, amortized=amortized)
    given = inputs(small)
    work = textbook.eager(small, given)
    assert work is not None
    assert set(work.outcome()) == set(wanted(small, given))


@pytest.mark.parametrize(
    ("name", "spec", "amortized"),
    [
        ("normflows", "planar:K=2", False),
        ("normflows", "radial:K=2", False),
        ("normflows", "nice:K=2", False),
        ("pyro", "planar:K=2", False),
        ("pyro", "planar:K=2", True),
        ("pyro", "radial:K=2", False),
        ("pyro", "radial:K=2", True),
        ("zuko", "nice:K=2", False),
        ("nflows", "nice:K=2", False),
    ],
)
def test_a_peer_has_its_maps(name, spec, amortized):
    """What a library ships is measured: none of these is passed over as lacking, none leaves a gradient out."""
    pytest.importorskip(name, reason=f"{name} is not installed: pip install nfbench[peers]")
    small = case(spec, amortized=amortized)
    given = inputs(small)
    work = KNOWN[name].build(small, given)
    assert work is not None
    assert set(work.outcome()) == set(wanted(small, given))


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("spec", ["planar:K=2", "radial:K=2", "planar:K=0"])
@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("compile", "split")])
def test_small_dimensions_and_depths_agree_too(name, spec, dim):
    """One dimension, where a row of weights and a bias have the same shape, and a chain of no maps."""
    small = case(spec, dim=dim)
    given = inputs(small)
    work = built(KNOWN[name], small, given)
    assert work is None or deviation(work.outcome(), wanted(small, given)) < ROUNDING


def test_another_function_is_seen_as_another():
    """The comparison can fail: with all its numbers halved, the textbook's planar flow is far off."""
    small = case("planar:K=2")
    given = inputs(small)
    halved = form.Form(
        lambda setting: [0.5 * number for number in form.planar(setting)], textbook.FORMS["planar"].model
    )
    work = form.work(small, given, {"planar": halved})
    got, true = work.outcome(), wanted(small, given)
    assert min(deviation({name: got[name]}, true) for name in ("z", "log_q")) > 1e-2


@pytest.mark.parametrize("name", [name for name, one in KNOWN.items() if one.group in ("textbook", "compile", "peers")])
def test_a_family_that_nobody_wrote_is_lacking(name, monkeypatch):
    """A family of one's own has no textbook form and no peer: lacking, not an error."""
    monkeypatch.setitem(posteriors._entries, "shear", dataclasses.replace(posteriors["planar"], name="shear"))
    small = case("shear:K=2")
    assert built(KNOWN[name], small, inputs(small)) is None


@pytest.mark.parametrize("name", [name for name, one in KNOWN.items() if one.group == "peers"])
def test_an_absent_library_raises(name, monkeypatch):
    """Without its library a peer's build says how to install it, in the line that a run shows."""
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    small = case("planar:K=2") if name in ("normflows", "pyro") else case("nice:K=2")
    with pytest.raises(InputError, match=rf"{name} is not installed; .*pip install"):
        KNOWN[name].build(small, inputs(small))


@pytest.mark.parametrize(("name", "batch"), [("compile", 1), ("compile", 3), ("split", 3)])
def test_the_compiled_textbook_agrees(name, batch, monkeypatch):
    """torch.compile of the textbook's module computes the same, gradients included (here with inductor's cache)."""
    monkeypatch.setattr("torch._inductor.utils.fresh_cache", contextlib.nullcontext)
    torch._dynamo.reset()
    small = case("planar:K=2", dim=2, batch=batch, amortized=batch > 1)
    given = inputs(small)
    work = KNOWN[name].build(small, given)
    assert deviation(work.outcome(), wanted(small, given)) < ROUNDING


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS:UserWarning")  # the first product of a backward pass
@pytest.mark.parametrize("amortized", [False, True], ids=["shared", "amortized"])
@pytest.mark.parametrize("spec", specs(2))
@pytest.mark.parametrize("name", [name for name in KNOWN if name not in ("compile", "split")])
def test_a_contender_computes_it_on_a_gpu(name, spec, amortized):
    """Whoever does a family's work on the CPU does the same on a CUDA device."""
    where = [case(spec, amortized=amortized, device=device) for device in ("cpu", "cuda")]
    given = inputs(where[0])
    works = [built(KNOWN[name], one, given) for one in where]
    assert (works[0] is None) == (works[1] is None)
    if works[0] is None or works[1] is None:
        return
    true, got = ({key: value.detach().cpu() for key, value in work.outcome().items()} for work in works)
    assert set(got) == set(true)
    assert deviation(got, true) <= ROUNDING


def test_mixings_lie_where_the_numbers_lie():
    """Orders of coordinates are on the device of the posterior's tensors, wherever that is."""
    given = inputs(case("nice:K=2"))
    state = {name: value.to("meta") for name, value in given.state.items()}
    found = form.orders(form.Setting(5, 1, {"K": 2, "mixing": "permutation"}, state))
    assert [order.device.type for order in found] == ["meta", "meta"]
