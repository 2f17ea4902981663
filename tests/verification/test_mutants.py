"""Every mutant is killed by the check that the table names, and what it was made from passes the whole battery."""

import pytest
from support.mutants import auxiliary, coupling, gaussians, neural, residual

import nfbench
from nfbench.verification.subjects import subject
from nfbench.verification.verify import DIMS, battery

RIGHT = [
    (residual.Planar, residual.planar_reference),
    (residual.Radial, None),
    (residual.Sylvester, None),
    (residual.Householder, None),
    (coupling.RealNVP, None),
    (coupling.IAF, None),
    (coupling.Spline, coupling.spline_reference),
    (neural.BNAF, None),
    (neural.Continuous, None),
    (gaussians.LowRank, None),
    (gaussians.Mixture, None),
    (auxiliary.HVI, auxiliary.hvi_reference),
    (auxiliary.HVAE, None),
    (auxiliary.UHA, None),
    (auxiliary.ULA, None),
]
MUTANTS = [
    (coupling.RealNVPInverseSign, "round trip", None),
    (coupling.RealNVPOrder, "round trip", None),
    (coupling.RealNVPOnePermutation, "round trip", None),
    (coupling.IAFWithoutGateBias, "ln|det|", None),
    (coupling.IAFReversalForgotten, "round trip", None),
    (coupling.SplineNextBin, "ln|det|", None),
    (coupling.SplineTails, "reference", coupling.spline_reference),
    (residual.SylvesterOneDiagonal, "ln|det|", None),
    (residual.SylvesterOtherPlace, "ln|det|", None),
    (residual.SylvesterTenSteps, "ln|det|", None),
    (residual.HouseholderByNorm, "ln|det|", None),
    (residual.PlanarByNorm, "orientation", None),
    (residual.PlanarUnconstrained, "orientation", None),
    (residual.PlanarUnconstrained, "injective", None),
    (residual.PlanarTwiceSoftplus, "reference", residual.planar_reference),
    (residual.PlanarOverflow, "finite", None),
    (residual.PlanarBiased, "ln|det|", None),
    (residual.PlanarWithoutLog, "ln|det|", None),
    (residual.PlanarAtBase, "ln|det|", None),
    (residual.PlanarAfter, "ln|det|", None),
    (residual.PlanarDetached, "gradients", None),
    (residual.PlanarInverseDetached, "gradients", None),
    (residual.RadialWithoutBeta, "ln|det|", None),
    (residual.RadialPlusBeta, "injective", None),
    (neural.BNAFWithoutResidual, "E_q[p/q] = 1", None),
    (neural.ContinuousRedrawn, "noise is an argument", None),
    (gaussians.LowRankVariance, "E_q[p/q] = 1", None),
    (gaussians.MixtureOneEntropy, "density at draws", None),
    (gaussians.MixtureHardChoice, "gradients of means", None),
    (auxiliary.HVIReverseForgotten, "auxiliary bound", None),
    (auxiliary.HVIMomentumForgotten, "auxiliary bound", None),
    (auxiliary.HVIKick, "reference", auxiliary.hvi_reference),
    (auxiliary.ULAForthForgotten, "auxiliary bound", None),
    (auxiliary.ULAReverseAtOwnMean, "auxiliary bound", None),
    (auxiliary.HVIWithoutPrior, "reference", auxiliary.hvi_reference),
    (auxiliary.HVIDownhill, "reference", auxiliary.hvi_reference),
    (auxiliary.HVIReverseAtStart, "auxiliary bound", None),
    (auxiliary.HVAETwice, "auxiliary bound", None),
    (auxiliary.UHABeforeRefreshment, "auxiliary bound", None),
]


@pytest.mark.parametrize(("family", "reference"), RIGHT, ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_right_passes(family, reference):
    """A right family of somebody else, written by the recipe for one's own, passes every check."""
    verdict = nfbench.verify(
        family, depth=None if family.__module__.endswith(("gaussians", "auxiliary")) else 3, reference=reference
    )
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize(("mutant", "check", "reference"), MUTANTS, ids=lambda value: getattr(value, "__name__", value))
def test_mutants_are_killed(mutant, check, reference):
    """The named check fails, with code that builds the mutant again."""
    depth = None if mutant.__module__.endswith(("gaussians", "auxiliary")) else 3
    verdict = battery(subject(mutant, depth=depth, reference=reference), DIMS, only=[check])
    assert list(verdict.failures) == [check], str(verdict)
    assert mutant.__name__ in verdict.results[0].code


def test_there_are_enough_mutants():
    """At least twenty, and every wrong class of the support files is in the table."""
    modules = auxiliary, coupling, gaussians, neural, residual
    bases = {family for family, _ in RIGHT}
    wrong = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and bases & set(value.__mro__[1:])
    }
    assert wrong == {mutant for mutant, _, _ in MUTANTS}
    assert len(wrong) >= 20
