"""Timed training steps: nfbench's and the textbook's have the same gradient, and each does what it says."""

import math

import pytest
import torch
from support.timed import QUICK, case_of, planned

from nfbench.foundation.errors import InputError
from nfbench.timing.contenders import autoencoder, steps
from nfbench.timing.contenders.contract import CONTENDERS, inputs
from nfbench.timing.measure.agreement import agreement, truth
from nfbench.timing.run import run

SPECKS = "specks:dim=3,hidden=5,pixels=12"
ENERGIES = [("u1", "planar:K=3"), ("u2", "radial:K=3"), ("u1", "gaussian"), ("u4", "nice:K=2")]


def _case(what="u1", spec="planar:K=3", **rest):
    given = {"mode": "step", "target": what, "dtype": "float64"} | rest
    if what.startswith("specks"):
        given = {"draws": 1, "batch": 20, "dim": 3} | given
    return case_of(spec, **given)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("what", "spec"), [*ENERGIES, (SPECKS, "gaussian")])
def test_gradient_is_the_textbooks(what, spec, seeds):
    """In float64 bound and gradient of model 0 are the textbook's to 1e-9, alone and among others; all have one."""
    case = _case(what, spec, seeds=seeds)
    given = inputs(case)
    ours, theirs = (CONTENDERS[name].work(case, given).outcome() for name in ("nfbench", "textbook"))
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert torch.allclose(ours[name].reshape(value.shape), value, rtol=1e-9, atol=1e-9 * float(value.abs().max()))
        assert value.abs().max() > 0 or not value.numel(), name


def test_a_wrong_gradient_is_seen(monkeypatch):
    """The comparison can fail: a textbook that forgets the prior disagrees with the reference."""
    case = _case(SPECKS, "gaussian")
    given = inputs(case)
    true = truth(case, given, [CONTENDERS["reference"]])
    assert agreement(case, CONTENDERS["textbook"].work(case, given), true).holds
    forward = autoencoder.Autoencoder.forward

    def careless(self, noise, x):
        log_q, log_p = forward(self, noise, x)
        return log_q, log_p + 0.01 * noise.square().sum(-1)

    monkeypatch.setattr(autoencoder.Autoencoder, "forward", careless)
    assert not agreement(case, CONTENDERS["textbook"].work(case, given), true).holds


@pytest.mark.parametrize("name", ["nfbench", "reference", "textbook"])
@pytest.mark.parametrize("what", ["u1", SPECKS])
def test_a_step_moves_the_parameters(name, what, monkeypatch):
    """A repetition is a whole update: after it, every parameter that is optimised has moved, for E models or one."""
    case = _case(what, "planar:K=2" if what == "u1" else "gaussian", seeds=2)
    moved = []
    for owner in (torch.optim.Adam, steps.Program):
        method = "step" if owner is torch.optim.Adam else "advance"
        monkeypatch.setattr(owner, method, _watched(getattr(owner, method), moved))
    work = CONTENDERS[name].work(case, inputs(case))
    work.run()
    work.run()
    assert moved == [True, True]
    assert work.models == (1 if name == "textbook" else 2)


def _watched(method, moved):
    def watching(self, *given, **named):
        params = self.update.leaves if isinstance(self, steps.Program) else self.param_groups[0]["params"]
        before = [value.detach().clone() for value in params]
        found = method(self, *given, **named)
        moved.append(all(not torch.equal(*pair) for pair in zip(before, params, strict=True)))
        return found

    return watching


def test_bare_products_are_those_of_the_gradient(monkeypatch):
    """The bare step multiplies as many numbers as a gradient of the model does, and passes once over its parameters."""
    case = _case("specks:dim=4,hidden=8,pixels=16", "gaussian", dim=4)
    flops, layers = 0, {"encoder": (16, 32), "head": (8, 8), "hidden": (4, 32), "logits": (8, 16)}
    for name, (rows, columns) in layers.items():
        flops += 2 * 20 * rows * columns * (2 if name == "encoder" else 3)
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("bare", "textbook"):
        counter = FlopCounterMode(display=False)
        work = CONTENDERS[name].work(case, inputs(case))
        with counter:
            work.run()
        assert counter.get_total_flops() == flops, name


@pytest.mark.parametrize("rest", [{"spec": "planar:K=2"}, {"what": "u1"}, {"seeds": 2}, {"draws": 2}])
def test_bare_is_for_one_diagonal_model(rest):
    """Where a step is more than matrix products, or of several models, there is no bare one."""
    case = _case(**({"what": SPECKS, "spec": "gaussian"} | rest))
    assert CONTENDERS["bare"].work(case, inputs(case)) is None


@pytest.mark.parametrize("change", [{"target": None}, {"batch": 3}])
def test_impossible_steps_are_one_line(change):
    """No target, or data points of a target without data, are said in one line."""
    case = _case().model_copy(update=change)
    with pytest.raises(InputError, match="expected"):
        CONTENDERS["nfbench"].work(case, inputs(case))


def test_steps_go_through_the_runner(tmp_path):
    """A stored step says how many models it trained; steps that agree have a ratio, the bare one has a time alone."""
    case = _case(SPECKS, "gaussian", dtype="float32")
    found = {one.contender: one for one in run([planned(case, "textbook", "bare")], tmp_path, QUICK)}
    assert {one.status for one in found.values()} == {"done"}, found
    assert found["textbook"].agreement.holds
    assert found["textbook"].ratio is not None
    assert found["bare"].ratio is None
    assert all(math.isfinite(one.spread.median) for one in found.values())
