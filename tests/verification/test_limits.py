"""What a family cannot do is tried, and the command stores it with the verdict."""

import pytest
import torch
from support.families import firsts

import nfbench
from nfbench.cli.app import main
from nfbench.foundation.libraries import Library
from nfbench.posteriors.contract import Flow
from nfbench.records.verdicts import verdicts
from nfbench.specification.registry import posteriors
from nfbench.verification.limits import limits
from nfbench.verification.subjects import subject
from nfbench.verification.verify import CHECKS


@pytest.mark.parametrize("spec", firsts(2))
def test_own_families_lack_only_what_they_say(spec):
    """Every family of nfbench's own trains seeds together and lets its maps depend on data points."""
    q = nfbench.posterior(spec, 2)
    assert set(limits(subject(spec))) <= {"one_dimension"} | (set() if q.has_density else {"density"})


class Fixed(Flow):
    """A learned shift that is the same for all data points, has no inverse, wants two dimensions and defies vmap."""

    def __init__(self, dim, depth):
        if dim < 2:
            raise nfbench.InputError("two dimensions, please")
        super().__init__(dim, depth, 0)
        self.invertible = False
        self.shift = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, z, theta):
        if float(z.sum()) == 1e9:
            raise AssertionError
        return z + self.shift, z.new_zeros(z.shape[:-1])

    def inverse(self, z, theta):
        raise NotImplementedError

    def initial(self):
        return torch.zeros(0)


def test_all_that_a_flow_can_lack():
    """A flow that lacks everything is seen to."""
    found = limits(subject(Fixed, depth=1))
    assert set(found) == {"density", "context", "one_dimension", "seeds_together"}
    assert found["one_dimension"] == "two dimensions, please"
    assert "vmap" in found["seeds_together"] or "item" in found["seeds_together"]


@pytest.fixture
def two_checks(monkeypatch):
    """A battery that is over at once."""
    monkeypatch.setattr("nfbench.verification.verify.CHECKS", CHECKS[:2])


def test_the_command_stores_verdicts(tmp_path, capsys, two_checks):
    """With --results each verdict is a record under the canonical spec; a flow of a file has no such place."""
    with pytest.raises(SystemExit) as caught:
        main(["verify", "gaussian", "planar:K=1", "--dim", "2", "--jobs", "1", "--results", str(tmp_path)])
    assert caught.value.code == 0
    stored = {each.examined.posterior: each for each in verdicts(tmp_path)}
    assert list(stored) == sorted(stored, key=lambda name: stored[name].id)
    assert set(stored) == {"gaussian", "planar:K=1"}
    assert stored["planar:K=1"].examined.dims == (2,)
    assert (stored["gaussian"].order, stored["planar:K=1"].order) == (0, 1)
    assert stored["planar:K=1"].kind == posteriors.choose("planar").entry.declared.kind
    with pytest.raises(SystemExit) as caught:
        main(["verify", "my.py:flow", "--results", str(tmp_path)])
    assert caught.value.code == 2
    assert "--results: expected specs of registered families" in capsys.readouterr().err


@pytest.mark.skipif(not Library("normflows", "normflows").installed, reason="normflows is not installed")
def test_a_library_is_stored_with_its_version(tmp_path, two_checks):
    """The version is part of what was examined, so that a verdict is not shown of another one."""
    with pytest.raises(SystemExit):
        main(["verify", "normflows:planar,K=1", "--dim", "2", "--results", str(tmp_path)])
    (stored,) = verdicts(tmp_path)
    assert stored.examined.library == str(Library("normflows", "normflows"))
    assert set(stored.lacking) == {"density", "context"}
