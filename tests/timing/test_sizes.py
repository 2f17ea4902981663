"""Which cases are timed: every family by the registry, in the sizes of a profile or of the command line."""

import pytest
from support.families import own, specs
from support.timed import MODES

from nfbench.foundation.errors import InputError
from nfbench.specification.registry import posteriors
from nfbench.timing import plan as sizes
from nfbench.timing.contenders.contract import BASE

WHERE = sizes.Where("test", "cpu", "float32", 1)


def test_every_family_has_the_same_sizes():
    """The product of sizes and registered variants, K where there is one, each case once."""
    one = sizes.Sizes(modes=["forward", "backward"], dims=[2, 3], depths=[1, 4], draws=[5], batches=[1, 2])
    plan = sizes.plan([one, one], WHERE)
    variants = sum(len(entry.variants()) * (2 if entry.has_depth else 1) for entry in own())
    assert len(plan) == 2 * 2 * 2 * variants
    assert {item.case.posterior for item in plan} == {str(posteriors.choose(spec)) for spec in specs(1, 4)}
    assert len({item.case.model_dump_json() for item in plan}) == len(plan)


def test_specs_may_fix_the_depth():
    """A K in the spec stands; a spec without one gets the sizes'; contenders of equal cases are united."""
    one = sizes.Sizes(modes=["backward"], depths=[1, 4], vs=["reference"])
    plan = sizes.plan([one, one.model_copy(update={"vs": []})], WHERE, specs=["planar:K=7|8", "radial", "gaussian"])
    assert [item.case.posterior for item in plan] == [
        *("planar:K=7", "planar:K=8", "radial:K=1", "gaussian", "radial:K=4")
    ]
    assert all(item.versus == [BASE, "reference"] for item in plan)
    assert [item.versus for item in sizes.plan([one], WHERE, specs=["gaussian"], vs=["nfbench"])] == [[BASE]]


def test_steps_have_a_target_and_its_dimension():
    """A step's D is the target's; other modes of the same sizes have neither target nor several models."""
    one = sizes.Sizes(modes=["step", "forward"], dims=[7], seeds=[1, 3], target="u1")
    plan = [item.case for item in sizes.plan([one], WHERE, specs=["gaussian"])]
    assert [(case.mode, case.dim, case.seeds, case.target) for case in plan] == [
        ("step", 2, 1, "u1"),
        ("step", 2, 3, "u1"),
        ("forward", 7, 1, None),
    ]
    with pytest.raises(InputError, match="needs a target"):
        sizes.plan([sizes.Sizes(modes=["step"])], WHERE)


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_packaged_profiles_can_be_planned(name):
    """Every contender that the file names is known, and every registered family is in every mode."""
    plan = sizes.plan(sizes.profile(name).sizes, WHERE)
    seen = {(item.choice.entry.name, item.case.mode) for item in plan}
    assert {(entry.name, mode) for entry in own() for mode in (*MODES, "step")} <= seen


def test_profiles_and_modes_that_are_not_there_are_named():
    """One line each, with what there is."""
    with pytest.raises(InputError, match="no timing profile named 'papr'; known: smoke, quick, full"):
        sizes.profile("papr")
    one = [sizes.Sizes(modes=["forward", "sample"]), sizes.Sizes(modes=["forward"])]
    assert [kept.modes for kept in sizes.narrowed(one, ["sample"])] == [["sample"]]
    assert [kept.modes for kept in sizes.narrowed(one, [])] == [["forward", "sample"], ["forward"]]
    with pytest.raises(InputError, match="no case of mode inverse in this profile; it has: forward, sample"):
        sizes.narrowed(one, ["inverse"])
