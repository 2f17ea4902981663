"""Exports that ArviZ reads: space, names, chains, densities; by file, by outcome of `nfbench choose`, by record."""

from pathlib import Path

import numpy as np
import pytest
import torch

import nfbench
from nfbench.cli.app import main
from nfbench.experiments.choose_files import write
from nfbench.experiments.export import export, fits_of
from nfbench.foundation.errors import InputError
from nfbench.targets.function import FunctionTarget
from nfbench.training.fit import fit_seeds
from nfbench.training.inference_data import datatree, variables

pytest.importorskip("arviz_base", reason="the extra arviz is not installed")
pytest.importorskip("h5py", reason="the extra arviz is not installed")

MODELS = Path(__file__).parents[1] / "support" / "own_models"


class Positive(FunctionTarget):
    """A log-normal scale and two normal means, constrained and named."""

    def __init__(self):
        super().__init__(lambda z: -0.5 * z.square().sum(-1), 3, log_z=1.5 * np.log(2 * np.pi))
        self.names = ["scale", "mean[1]", "mean[2]"]

    def constrain(self, z):
        return torch.cat([z[:, :1].exp(), z[:, 1:]], 1)


@pytest.fixture(scope="module")
def fits():
    """Two seeds of a Gaussian."""
    return fit_seeds("gaussian", Positive(), [3, 5], updates=300)


def read(file):
    """What xarray reads of a file."""
    import xarray

    with xarray.open_datatree(file) as tree:
        return tree.load()


def test_chains_are_seeds_and_variables_are_the_models(fits):
    """Draws are in the model's space, indexed names are arrays, chains have the seeds' numbers."""
    tree = datatree(fits, 500)
    assert dict(tree["posterior"].sizes) == {"chain": 2, "draw": 500, "mean_dim_0": 2}
    assert tree["posterior"]["chain"].values.tolist() == [3, 5]
    assert (tree["posterior"]["scale"] > 0).all()
    assert float(tree["posterior"]["scale"].median()) == pytest.approx(1.0, abs=0.15)
    assert tree["posterior"].attrs["family"] == "gaussian"


def test_the_weights_are_those_of_importance_sampling(fits):
    """The log weight is lp - log_q, and its log mean exp is ln Z within 4 standard errors."""
    stats = datatree(fits, 4000)["sample_stats"]
    assert np.allclose(stats["log_weight"], stats["lp"] - stats["log_q"])
    weight = np.exp(stats["log_weight"].values.ravel())
    error = weight.std() / np.sqrt(weight.size)
    assert abs(weight.mean() - (2 * np.pi) ** 1.5) < 4 * error


def test_lp_and_log_q_belong_to_the_draws(fits):
    """Both densities at the draws, mapped back to the space of z, are those that the file has."""
    tree = fits[0].to_arviz(50)
    posterior = tree["posterior"]
    z = torch.tensor(np.stack([np.log(posterior["scale"]), *np.moveaxis(posterior["mean"].values, -1, 0)], -1))[0]
    q = fits[0].posterior.double()
    assert np.allclose(
        q.log_prob(z.unsqueeze(1)).detach().squeeze(1), tree["sample_stats"]["log_q"].values[0], atol=1e-4
    )
    assert np.allclose(-0.5 * z.square().sum(-1), tree["sample_stats"]["lp"].values[0], atol=1e-4)
    q.float()


def test_names_with_gaps_stay_single_variables():
    """Only indices that fill a grid become an array; other names stay as they are, and no name is lost."""
    values = np.arange(5.0)
    parts = variables(values, ["a[1]", "a[3]", "b[1,1]", "b[1,2]", "c"])
    assert {name: part.tolist() for name, part in parts.items()} == {
        **{"a[1]": 0.0, "a[3]": 1.0, "b": [[2.0, 3.0]], "c": 4.0}
    }
    assert variables(values, ["too", "few"])["z"].shape == (5,)
    assert variables(np.arange(2.0), ["a", "a[1]"]).keys() == {"a", "a[1]"}


def test_a_saved_fit_is_exported(fits, tmp_path, capsys):
    """By the command: a file of `Fitted.save` gives a netCDF file of one chain that xarray reads."""
    fitted = nfbench.fit("gaussian", "u1", updates=50, seed=4)
    file, out = fitted.save(tmp_path / "q.safetensors"), tmp_path / "q.nc"
    with pytest.raises(SystemExit) as code:
        main(["export", str(file), "--to", "netcdf", "--draws", "20", "--out", str(out)])
    assert code.value.code == 0
    assert str(out) in capsys.readouterr().out
    tree = read(out)
    assert tree["posterior"]["z"].shape == (1, 20, 2)
    assert np.array_equal(tree["posterior"]["z"], fitted.to_arviz(20)["posterior"]["z"])


def test_a_record_is_trained_again_to_the_same_posterior(tmp_path):
    """A record's id, or its beginning, gives all stored seeds of its configuration, with the metrics that it stores."""
    run = nfbench.run("figure3", "smoke", targets=["u1"], posteriors=["gaussian"], results=tmp_path)
    row = run.results.frame.iloc[0]
    repeated = fits_of(row["id"][:10], tmp_path, None)
    assert [fitted.seed for fitted in repeated] == run.results.frame["seed"].tolist()
    metrics = nfbench.evaluate(repeated[0], draws=100_000)
    assert metrics.loc["free_energy", "value"] == pytest.approx(row["free_energy"], abs=4 * row["free_energy_se"])
    assert read(export(row["id"], tmp_path, tmp_path / "r.nc", draws=10))["posterior"].sizes["chain"] == len(repeated)


def test_what_choose_found_is_exported_by_its_name_and_a_file_is_not_run_unasked(tmp_path):
    """Fits of the chosen family lie beside its outcome; a target that is code must be named again."""
    spec = f"file:{MODELS / 'correlated.py'}"
    chosen = nfbench.choose(spec, ["full-covariance"], updates=300, seeds=2, rates=(0.03,), diagnosis_draws=2000)
    files = write(chosen.as_data(), tmp_path, tmp_path / "figures", chosen.fitted["full-covariance"])
    assert [file.suffix for file in files] == [".json", ".safetensors", ".safetensors", ".png", ".svg"]
    with pytest.raises(InputError, match="not run unasked; expected --target"):
        export(files[0].stem, tmp_path, tmp_path / "c.nc")
    tree = read(export(files[0].stem, tmp_path, tmp_path / "c.nc", target=spec, draws=10))
    assert tree["posterior"].sizes["chain"] == 2


@pytest.mark.parametrize("identity", ["ab", "0123456789abcdef", "nothing.safetensors"])
def test_what_there_is_not_is_one_line(tmp_path, identity):
    """An id of no record, too short a one and a file that is not there name what was expected."""
    with pytest.raises(InputError, match="expected"):
        export(identity, tmp_path, tmp_path / "x.nc")


def test_a_target_with_data_and_a_lacking_target_are_refused():
    """Neither has one posterior to draw from."""
    fitted = nfbench.fit("gaussian", "digits:dim=2,hidden=4", updates=2)
    with pytest.raises(InputError, match="for each data point"):
        fitted.to_arviz()
    with pytest.raises(InputError, match="draws=0"):
        fitted.to_arviz(0)
