"""Variations: a grid once more with one thing changed."""

import pytest
from pydantic import ValidationError

from nfbench.experiments.plan import plan
from nfbench.experiments.variations import varied, with_options
from nfbench.foundation.errors import InputError
from nfbench.specification.experiment import Experiment

TRAINING = {"learning_rate": 0.1, "updates": 10, "anneal_updates": 4}


def experiment(variations, **changes):
    """Two posteriors on digits, and what is varied."""
    content = {
        "name": "mine",
        "title": "A title",
        "summary": "A summary",
        "targets": ["digits:dim=4"],
        "posteriors": ["gaussian", "planar:K=2"],
        "profiles": {"quick": {"seeds": 2, "training": TRAINING}},
        "variations": variations,
    }
    return Experiment.model_validate(content | changes)


def test_the_grid_comes_first_then_each_variation():
    """A variation changes options of all targets, or the training, for all posteriors or those that it names."""
    whole = experiment(
        {
            "wide": {"target": {"hidden": 9}},
            "shared": {"training": {"head": "base"}, "posteriors": ["planar:K=2"]},
        }
    )
    groups = plan(whole, "quick")
    cells = [group.cells[0] for group in groups]
    assert [(cell.variation, cell.posterior) for cell in cells] == [
        *((None, name) for name in ("gaussian", "planar:K=2")),
        *(("wide", name) for name in ("gaussian", "planar:K=2")),
        ("shared", "planar:K=2"),
    ]
    assert ["hidden=9" in cell.target for cell in cells] == [False, False, True, True, False]
    assert [cell.training.head for cell in cells] == ["scaled"] * 4 + ["base"]
    assert len({cell.id for cell in cells}) == len({cell.recipe for cell in cells}) + 2 == 5
    assert [group.order for group in groups] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)]
    grid = cells[0]
    assert [cell.origin and cell.origin.recipe for cell in cells] == [None, None, *[grid.recipe] * 3]
    assert {cell.origin.target for cell in cells[2:]} == {grid.target}
    alone = plan(experiment({}), "quick")
    assert [group.cells for group in alone] == [group.cells for group in groups[:2]]


def test_what_is_asked_for_holds_for_variations_too():
    """Posteriors, targets and seeds of the command line replace those of the grid in every variation."""
    whole = experiment(
        {"wide": {"target": {"hidden": 9}}, "shared": {"training": {"head": "base"}, "posteriors": ["planar:K=2"]}}
    )
    groups = plan(whole, "quick", posteriors=["gaussian"], targets=["digits:dim=3"], seeds=[7])
    assert [(group.cells[0].variation, group.posterior, group.seeds) for group in groups] == [
        (None, "gaussian", (7,)),
        ("wide", "gaussian", (7,)),
    ]
    assert all("dim=3" in group.target for group in groups)
    assert with_options(["u1"], {}) == ["u1"]


@pytest.mark.parametrize(
    ("variations", "changes", "message"),
    [
        (
            {"long": {"training": {"anneal_updates": 99}}},
            {},
            "'long' of mine: profiles.quick.training: .*anneal_updates=99",
        ),
        ({"odd": {"training": {"momentun": 0.5}}}, {}, "variation 'odd' of mine: .*momentun"),
        ({"kl": {"training": {"anneal": "kl"}}}, {"targets": ["u1"]}, "'kl': training.anneal=kl: expected joint.*'u1'"),
        ({"base": {"training": {"head": "base"}}}, {"targets": ["u1"]}, "'base': training.head=base: expected scaled"),
        ({"big": {"target": {"hiden": 3}}}, {}, "hiden"),
        (
            {"none": {"target": {"hidden": 9}}},
            {"profiles": {"quick": {"seeds": 1, "push": {}}}},
            "expected profiles that train",
        ),
        (
            {"deep": {"target": {"hidden": 9}, "posteriors": ["planar:K=3"]}},
            {},
            "'planar:K=3' in the grid of variation 'deep' of mine; did you mean planar:K=2",
        ),
    ],
)
def test_a_variation_that_cannot_be_is_one_line(variations, changes, message):
    """It is named before anything is trained."""
    with pytest.raises(InputError, match=message) as caught:
        plan(experiment(variations, **changes), "quick")
    assert "\n" not in str(caught.value)


def test_an_unknown_variation_is_named():
    with pytest.raises(InputError, match="no variation named 'wied' in experiment mine; did you mean wide"):
        varied(experiment({"wide": {"target": {"hidden": 9}}}), "wied")


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "bell\a", "wide ", "w" * 101])
def test_a_name_fits_a_line(name):
    """Records of an empty name would be taken for the grid's own."""
    with pytest.raises(ValidationError, match="expected 1 to 100 characters on one line"):
        experiment({name: {"target": {"hidden": 9}}})


def test_a_variation_changes_something():
    with pytest.raises(ValidationError, match="that it changes"):
        experiment({"same": {"posteriors": ["gaussian"]}})


def test_a_posterior_of_a_profile_alone_can_be_varied():
    """The grid is that of all profiles."""
    profiles = {"quick": {"seeds": 1, "training": TRAINING, "posteriors": ["planar:K=3"]}}
    wide = {"wide": {"target": {"hidden": 9}, "posteriors": ["planar:K=3"]}}
    groups = plan(experiment(wide, profiles=profiles), "quick")
    assert [(group.cells[0].variation, group.posterior) for group in groups] == [
        (None, "planar:K=3"),
        ("wide", "planar:K=3"),
    ]


def test_a_variation_can_have_several_values():
    """Each target of the grid becomes several, and all differ from it."""
    several = {"sizes": {"target": {"hidden": "8|9"}}, "kl": {"training": {"anneal": "kl"}}}
    groups = plan(experiment(several, posteriors=["gaussian"]), "quick")
    assert [group.target for group in groups[1:3]] == ["digits:dim=4,hidden=8", "digits:dim=4,hidden=9"]
    assert {group.cells[0].origin.target for group in groups[1:]} == {groups[0].target}
    assert [group.order for group in groups] == [(0, 0), (1, 0), (2, 0), (3, 0)]  # none stands between another's rows


def test_two_targets_that_become_one_are_refused():
    """Of such a variation nobody could say what it differs from."""
    whole = experiment({"narrow": {"target": {"dim": 3}}}, targets=["digits:dim=4|5"])
    with pytest.raises(
        InputError, match=r"variation 'narrow' of mine: 'digits:dim=4.*' and 'digits:dim=5.*' become one"
    ):
        plan(whole, "quick")
