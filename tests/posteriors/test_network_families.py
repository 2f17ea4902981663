"""Families with networks inside: wrong options are refused in one line, and they come close to a ring of two modes."""

import pytest
import torch

import nfbench
from nfbench import InputError, posterior
from nfbench.cli.app import main

WRONG = [
    ("realnvp:alpha=0", "alpha=0"),
    ("realnvp:alpha=inf", "alpha=inf"),
    ("realnvp:hidden=0", "hidden=0"),
    ("realnvp:layers=0", "layers=0"),
    ("realnvp:context=-1", "context=-1"),
    ("nsf:bins=1", "bins=1"),
    ("nsf:bins=501", "bins=501"),
    ("nsf:bound=0", "bound=0"),
    ("nsf:alpha=2", "no option 'alpha'"),
    ("iaf:mode=stable", "mode=stable"),
    ("iaf:hidden=2.5", "hidden=2.5"),
    ("bnaf:residual=none", "residual=none"),
    ("bnaf:units=0", "units=0"),
    ("cnf:steps=0", "steps=0"),
    ("cnf:K=-1", "K=-1"),
]


@pytest.mark.parametrize(("spec", "message"), WRONG)
def test_wrong_options_are_refused_in_one_line(spec, message, capsys):
    """The message names the option and its value; the command line ends with code 2."""
    with pytest.raises(InputError) as caught:
        posterior(spec, 2)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(SystemExit) as ended:
        main(["verify", spec])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("family", ["realnvp", "nsf", "iaf"])
def test_one_dimension_has_no_other(family):
    """What moves a coordinate by others needs at least two of them; all others take one."""
    with pytest.raises(InputError, match=f"'{family}': dim=1: expected at least 2"):
        posterior(family, 1)
    for spec in ("bnaf:K=2", "cnf:K=2"):
        assert posterior(spec, 1)(torch.zeros(3, 1, 1))[0].shape == (3, 1, 1)


@pytest.mark.parametrize(("spec", "updates", "bound"), [("nsf:K=4", 300, 0.1), ("iaf:K=8,mode=affine", 300, 0.2)])
def test_the_ring_is_learned(spec, updates, bound):
    """In a few hundred updates KL(q||u1) falls below the bound, at the rate that all families share."""
    fitted = nfbench.fit(spec, "u1", updates=updates, draws=256, learning_rate=0.02, seed=0)
    assert nfbench.evaluate(fitted, draws=20_000).loc["kl", "value"] < bound
