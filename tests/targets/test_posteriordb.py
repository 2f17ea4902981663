"""posteriordb in PyTorch: Stein's identity against the reference draws, values and constants computed elsewhere."""

import itertools
import json
import math
import zipfile

import pytest
import torch
from scipy import stats
from support.posteriordb_data import need

from nfbench.data.sets import posteriordb as archive
from nfbench.data.storage.files import find
from nfbench.foundation.errors import InputError, MissingDataError
from nfbench.foundation.randomness import stream
from nfbench.targets.build import target
from nfbench.targets.posteriordb.model import MODELS
from nfbench.targets.posteriordb.models import time_series
from nfbench.targets.posteriordb.target import CHAINS
from nfbench.verification.stein import stein

NAMES = MODELS.names()
SLOW = 2000  # of the draws are enough where a gradient goes through hundreds of steps
THINNED = {  # the others are tested by all of their draws
    *("bball_drive_event_0-hmm_drive_0", "bball_drive_event_1-hmm_drive_1", "low_dim_gauss_mix-low_dim_gauss_mix"),
    *("one_comp_mm_elim_abs-one_comp_mm_elim_abs", "hudson_lynx_hare-lotka_volterra", "hmm_example-hmm_example"),
}
# ln p at u = (0.1, 0.2, ..., D/10), computed apart from this package.
VALUES = {
    "arK-arK": -346.774578,
    "arma-arma11": -277.537374,
    "bball_drive_event_0-hmm_drive_0": -21494.989486,
    "bball_drive_event_1-hmm_drive_1": -182889.051385,
    "diamonds-diamonds": -18533.088149,
    "earnings-earn_height": -299080939724.825867,
    "earnings-log10earn_height": -29723.578834,
    "earnings-logearn_height": -6456.068489,
    "earnings-logearn_height_male": -5956.797700,
    "earnings-logearn_interaction": -101334.285073,
    "earnings-logearn_interaction_z": -21045.413076,
    "earnings-logearn_logheight_male": -21805.911956,
    "eight_schools-eight_schools_centered": -51.307793,
    "eight_schools-eight_schools_noncentered": -43.564500,
    "garch-garch11": -732.669509,
    "gp_pois_regr-gp_pois_regr": -629.584227,
    "gp_pois_regr-gp_regr": -61.798040,
    "hmm_example-hmm_example": -1679.440115,
    "hudson_lynx_hare-lotka_volterra": -955.133932,
    "kidiq-kidscore_interaction": -89720.214568,
    "kidiq-kidscore_momhs": -941839.698178,
    "kidiq-kidscore_momhsiq": -346703.971634,
    "kidiq-kidscore_momiq": -574360.423837,
    "kidiq_with_mom_work-kidscore_interaction_c": -620931.843760,
    "kidiq_with_mom_work-kidscore_interaction_c2": -619119.576712,
    "kidiq_with_mom_work-kidscore_interaction_z": -633197.224775,
    "kidiq_with_mom_work-kidscore_mom_work": -630026.292125,
    "kilpisjarvi_mod-kilpisjarvi": -10545405.904862,
    "low_dim_gauss_mix-low_dim_gauss_mix": -3551.276091,
    "mesquite-logmesquite": -193.053186,
    "mesquite-logmesquite_logva": -291.114989,
    "mesquite-logmesquite_logvas": -175.910907,
    "mesquite-logmesquite_logvash": -203.628231,
    "mesquite-logmesquite_logvolume": -459.683930,
    "mesquite-mesquite": -3305792.190360,
    "nes1972-nes": -4135.628108,
    "nes1976-nes": -3822.560706,
    "nes1980-nes": -2251.277903,
    "nes1984-nes": -3944.708286,
    "nes1988-nes": -3532.854487,
    "nes1992-nes": -4511.649801,
    "nes1996-nes": -3467.515781,
    "nes2000-nes": -1601.370974,
    "one_comp_mm_elim_abs-one_comp_mm_elim_abs": -81.835712,
    "sblrc-blr": -193503.204881,
    "sblri-blr": -421301.670806,
}


@pytest.fixture(params=NAMES)
def posterior(request):
    """Each posterior in turn, with its name."""
    need(request.param)
    return request.param, target(f"posteriordb:{request.param}")


def some(name, draws):
    """All draws, or of a slow posterior every fifth, chain by chain."""
    return draws[:: len(draws) // SLOW] if name in THINNED else draws


def test_there_are_as_many_as_draws_and_each_has_a_value_to_test():
    """All sets of reference draws have a model, and the list of values is complete."""
    assert {MODELS[name].draws for name in NAMES} == {name for kind, name in archive._FILES if kind == "draws"}
    assert set(VALUES) == set(NAMES)


def test_stein_accepts_the_reference_draws(posterior):
    """E[score] = 0 and E[(u - mean) score'] = -I within four standard errors, in every coordinate."""
    name, density = posterior
    found = stein(density, some(name, density.reference()), CHAINS)
    assert found.worst < 4
    assert found.worst_second < 4.5  # of up to 676


def test_values_and_gradients(posterior):
    """The known value at a point, float32 points give float32, and the gradient is that of finite differences."""
    name, density = posterior
    u = 0.1 * torch.arange(1, density.dim + 1, dtype=torch.float64)
    value = float(density.log_joint(u))
    assert value == pytest.approx(VALUES[name], rel=1e-12, abs=1e-6)
    assert density.log_joint(u.float()).dtype == torch.float32
    point = density.reference()[0].requires_grad_()
    (slope,) = torch.autograd.grad(density.log_joint(point), point)
    step = 1e-5 * density.reference().std(0)
    ends = (torch.stack([point.detach() + sign * torch.diag(step) for sign in (1, -1)])).flatten(0, 1)
    ahead, behind = density.log_joint(ends).chunk(2)
    scale = 1 / density.reference().std(0)
    torch.testing.assert_close((ahead - behind) / (2 * step) / scale, slope / scale, atol=2e-4, rtol=1e-4)


def test_constrained_reference_draws_are_those_of_the_file(posterior):
    """Going to R^D and back gives the numbers of the file, in its order and under its names."""
    name, density = posterior
    chain = archive.content("draws", MODELS[name].draws)[0]
    assert density.names == list(chain)
    expected = torch.tensor([chain[key][:50] for key in density.names], dtype=torch.float64).T
    torch.testing.assert_close(density.constrain(density.reference()[:50]), expected, rtol=2e-7, atol=1e-9)


def test_ln_z_is_that_of_the_reference_draws(posterior):
    """E_p[g / p~] = 1 / Z within five standard errors, g a Gaussian around the draws, cut where half of its mass is."""
    name, density = posterior
    if density.log_z is None:
        pytest.skip("its ln Z is not known to .005 nats")
    draws = some(name, density.reference())
    centred = draws - draws.mean(0)
    factor = torch.linalg.cholesky(centred.T @ centred / (len(draws) - 1))
    squares = torch.linalg.solve_triangular(factor, centred.T, upper=False).square().sum(0)
    inside = squares < stats.chi2(density.dim).ppf(0.5)
    log_g = -0.5 * squares - factor.diagonal().log().sum() - 0.5 * density.dim * math.log(2 * math.pi) + math.log(2)
    ratio = torch.where(inside, (log_g - density.log_joint(draws) + density.log_z).exp(), 0.0)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / len(draws) ** 0.5 + 0.005
    assert ratio.std() / len(draws) ** 0.5 < (0.2 if "centered" in name else 0.06)


def test_exact_draws_of_flat_linear_regressions():
    """All 25 of them have a sampler, whose draws obey Stein's identity."""
    sampled = 0
    for name in NAMES:
        if find(archive._FILES[("draws", MODELS[name].draws)]) is None:
            pytest.skip("no data here: nfbench data get posteriordb")
        density = target(f"posteriordb:{name}")
        if density.has_sampler:
            sampled += 1
            assert stein(density, density.sample(2000, stream(0, name)).double(), second=False).worst < 4.5
    assert sampled == 25


@pytest.mark.parametrize("pair", [("eight_schools-eight_schools_centered", "eight_schools-eight_schools_noncentered")])
def test_one_model_in_two_coordinates_differs_by_the_jacobian(pair):
    """The centred eight schools have ln p of the others minus eight times ln tau, as theta = mu + tau t."""
    for name in pair:
        need(name)
    centred, other = (target(f"posteriordb:{name}") for name in pair)
    draws = centred.reference()[:100], other.reference()[:100]
    log_tau = draws[0][:, -1]
    torch.testing.assert_close(centred.log_joint(draws[0]), other.log_joint(draws[1]) - 8 * log_tau)


@pytest.mark.parametrize("name", ["eight_schools-eight_schools_noncentered", "earnings-earn_height"])
def test_standardised_coordinates(name):
    """Reference draws have mean 0 and sd 1 there, ln Z stays, and ln p has the Jacobian of the scales."""
    need(name)
    plain, standard = (target(f"posteriordb:{name},standardised={flag}") for flag in (False, True))
    draws = standard.reference()
    torch.testing.assert_close(draws.mean(0), torch.zeros(plain.dim).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(draws.std(0), torch.ones(plain.dim).double())
    assert plain.log_z == standard.log_z
    jacobian = plain.reference().std(0).log().sum()
    torch.testing.assert_close(standard.log_joint(draws[:9]), plain.log_joint(plain.reference()[:9]) + jacobian)
    torch.testing.assert_close(standard.constrain(draws[:9]), plain.constrain(plain.reference()[:9]))


def test_recurrences_and_paths_are_those_of_a_loop():
    """The doubling steps of ARMA and GARCH, and the product of matrices of the hidden Markov models."""
    from nfbench.targets.posteriordb.models.hidden_markov import log_paths

    factor, terms = torch.tensor([0.9, -0.5]).double(), torch.randn(2, 12, generator=stream(0, "terms")).double()
    x = [torch.ones(2).double()]
    for term in terms.T:
        x.append(factor * x[-1] + term)
    torch.testing.assert_close(time_series.first_order(x[0], factor, terms), torch.stack(x, -1))
    emissions = torch.randn(6, 2, generator=stream(0, "emissions")).double()
    moves = torch.randn(2, 2, generator=stream(0, "moves")).double()
    paths = [
        sum(emissions[t, state] for t, state in enumerate(path))
        + sum(moves[before, after] for before, after in itertools.pairwise(path))
        for path in itertools.product((0, 1), repeat=6)
    ]
    torch.testing.assert_close(log_paths(emissions, moves), torch.logsumexp(torch.stack(paths), 0))


def test_names_may_stand_alone_and_wrong_ones_are_refused():
    """A name is given with or without its key; a wrong one is one line with the nearest right one."""
    from nfbench.specification.registry import targets

    assert str(targets.choose("posteriordb:arK-arK")) == "posteriordb:name=arK-arK,standardised=False"
    assert str(targets.choose("posteriordb:name=arK-arK,standardised=True")).endswith("standardised=True")
    with pytest.raises(InputError, match=r"arK-arX.*did you mean arK-arK"):
        target("posteriordb:arK-arX")


def test_missing_data_are_one_line_that_says_how_to_get_them(tmp_path, monkeypatch):
    """Without the files there is one line with the option, the variable and the command."""
    monkeypatch.setenv("NFBENCH_DATA", str(tmp_path))
    monkeypatch.setattr("nfbench.data.storage.files.cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(MissingDataError) as caught:
        target("posteriordb:arK-arK")
    line = str(caught.value)
    assert "\n" not in line
    assert all(way in line for way in ("arK.json", "--data-dir", "NFBENCH_DATA=", "nfbench data get posteriordb"))


def test_the_database_is_found_by_its_own_folder_too(tmp_path, monkeypatch):
    """A copy of the repository's folder serves, named itself or by the folder around it."""
    need("arK-arK")
    file = archive._FILES["data", "arK"]
    copy = tmp_path / "posterior_database" / "data" / "data" / "arK.json.zip"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(find(file).read_bytes())
    monkeypatch.setattr("nfbench.data.storage.files.cache_folder", lambda: tmp_path / "cache")
    for named in (tmp_path, tmp_path / "posterior_database"):
        monkeypatch.setenv("NFBENCH_DATA", str(named))
        assert find(file) == copy


def test_other_data_of_that_name_are_refused(tmp_path, monkeypatch):
    """A text that differs by one number is not taken for the data set; unpacked, the right one is taken."""
    need("arK-arK")
    right = archive.content("data", "arK")
    folder = tmp_path / "posteriordb" / "data" / "data"
    folder.mkdir(parents=True)
    monkeypatch.setenv("NFBENCH_DATA", str(tmp_path))
    with zipfile.ZipFile(folder / "arK.json.zip", "w") as packed:
        packed.writestr("arK.json", json.dumps(right | {"K": 4}))
    with pytest.raises(InputError, match="expected a JSON text of 3969 bytes"):
        archive.content("data", "arK")
