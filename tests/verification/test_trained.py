"""Whether ln q of a fitted posterior is the density of its draws: right for every family, and mutants are seen."""

import pytest
import torch
from support.families import EVERY, posterior
from support.mutants import residual

from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.verification.subject import set_parameters
from nfbench.verification.trained import density_error

_ROUNDING = 1e-7  # nats: the battery's own tolerance of ln q at a draw


@EVERY
def test_right_families_have_no_error(spec):
    """At parameters like trained ones ln q of every family is the density of its draws, to rounding."""
    q = set_parameters(posterior(spec, 3), "trained-like", 0)
    before = [value.clone() for value in q.parameters()]
    assert density_error(q, 0) < _ROUNDING
    assert all(torch.equal(one, other) for one, other in zip(before, q.parameters(), strict=True))


def test_a_wrong_log_det_is_measured_in_nats():
    """A constant of 0.25 nats for each of two maps is found with its size; a wrong determinant at all."""

    class Off(residual.Planar):
        def log_det(self, h, w, u):
            return super().log_det(h, w, u) + 0.25

    torch.manual_seed(0)
    assert density_error(FlowPosterior(Off(3, 2)), 0) == pytest.approx(0.5, abs=_ROUNDING)
    assert density_error(FlowPosterior(residual.Planar(3, 2)), 0) < _ROUNDING
    q = set_parameters(FlowPosterior(residual.PlanarBiased(3, 2)), "trained-like", 0)
    assert density_error(q, 0) > 1000 * _ROUNDING
