"""Planted faults in posteriors of posteriordb: Stein's identity refuses each; Jacobians beside autograd's."""

import pytest
import torch
from support.posteriordb_data import need
from torch.nn.functional import softplus

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.targets.build import target
from nfbench.targets.posteriordb import parameters
from nfbench.targets.posteriordb.models import schools
from nfbench.targets.posteriordb.target import CHAINS
from nfbench.verification.stein import stein

KINDS = [
    parameters.Real("x", 3),
    parameters.Positive("x", 3),
    parameters.Interval("x", 3),
    parameters.Interval("x", upper=lambda values: values["b"]),
    parameters.Pair("x", 2),
    parameters.Ordered("x", 3),
    parameters.PositiveOrdered("x", 3),
]


@pytest.mark.parametrize("parameter", KINDS, ids=lambda parameter: type(parameter).__name__)
def test_the_jacobian_of_each_kind_of_parameter_is_autograds(parameter):
    """Its ln|det dx/du| is slogdet of autograd's Jacobian, and the way back is the inverse, at random points."""
    before = {"b": torch.tensor(0.7, dtype=torch.float64)}
    for seed in range(5):
        u = 2 * torch.randn(parameter.width, generator=stream(seed, "u"), dtype=torch.float64)
        x, log_det = parameter.constrained(u, before)
        jacobian = torch.autograd.functional.jacobian(lambda v: parameter.constrained(v, before)[0][: len(v)], u)
        torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian)[1])
        torch.testing.assert_close(parameter.unconstrained(x, before), u)


class NoJacobian(parameters.Positive):
    """A planted fault: the Jacobian is forgotten."""

    def constrained(self, u, before):
        return u.exp(), torch.zeros_like(u[..., 0])


class OtherTransform(parameters.Positive):
    """A planted fault: softplus with the Jacobian of exp."""

    def constrained(self, u, before):
        return softplus(u), u.sum(-1)


class NoUpperBound(parameters.Interval):
    """A planted fault: b1 of GARCH lies between 0 and 1 - a1, whose logarithm is forgotten."""

    def constrained(self, u, before):
        x, log_det = super().constrained(u, before)
        return x, log_det - self._bound(u, before).log().sum(-1)


def _tau(kind):
    def plant(model):
        model.parameters = (*model.parameters[:2], kind("tau"))

    return plant


def _no_upper_bound(model):
    last = model.parameters[3]
    model.parameters = (*model.parameters[:3], NoUpperBound(last.name, last.size, last.upper))


def _variance_squared(model):
    right = model._cholesky
    model._cholesky = lambda values, noise: right(values, noise.square())


def _normal_prior_of_tau(model):
    right = model.log_density
    cauchy, normal = schools.cauchy, schools.normal
    model.log_density = lambda values: right(values) - cauchy(values["tau"], 5.0) + normal(values["tau"], 0.0, 5.0)


def _other_sign(model):
    """The errors of ARMA are fed back with the other sign."""
    right = model.log_density
    model.log_density = lambda values: right(values | {"theta": -values["theta"]})


SCHOOLS = "eight_schools-eight_schools_noncentered"


FAULTS = [
    ("a missing Jacobian", SCHOOLS, _tau(NoJacobian)),
    ("a missing Jacobian", "garch-garch11", _no_upper_bound),
    ("sd taken for variance", "gp_pois_regr-gp_regr", _variance_squared),
    ("a wrong transform", SCHOOLS, _tau(OtherTransform)),
    ("another prior", SCHOOLS, _normal_prior_of_tau),
    ("another likelihood", "arma-arma11", _other_sign),
]


@pytest.mark.parametrize(("fault", "name", "plant"), FAULTS, ids=[f"{fault}, {name}" for fault, name, _ in FAULTS])
def test_stein_catches_planted_faults(fault, name, plant):
    """The same test that accepts the right density refuses it with one fault, by more than four standard errors."""
    need(name)
    density = target(f"posteriordb:{name}")
    draws = density.reference()
    assert stein(density, draws, CHAINS).worst < 4
    plant(density.model)
    assert stein(density, draws, CHAINS).worst > 4


def test_stein_counts_dependent_draws_as_fewer():
    """Draws that each come twenty times have a standard error of sqrt(20) times that of as many independent ones."""
    normal = target("normal:dim=1")
    draws = normal.sample(500, stream(0, "few")).double()
    once, often = stein(normal, draws).first, stein(normal, draws.repeat_interleave(20, 0)).first
    assert abs(often[0]) < 2 * abs(once[0])
    with pytest.raises(InputError, match="multiple of chains"):
        stein(normal, draws, chains=7)
