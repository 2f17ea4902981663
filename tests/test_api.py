"""The public face: fit, evaluate, compare, run, save and load, and what each says to wrong input."""

import json
import math
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from support.families import specs

import nfbench
from nfbench.foundation.errors import InputError
from nfbench.specification.registry import posteriors
from nfbench.training.fitted import Fitted


def ring(z):
    """An unnormalised density that is not in the package: a ring of radius 2 around the origin."""
    return -2 * (z.norm(dim=-1) - 2).square()


@pytest.fixture(scope="module")
def fitted():
    """A planar flow fitted to the ring."""
    return nfbench.fit("planar:K=4", ring, dim=2, updates=300, seed=1)


def test_fit_lowers_the_bound_and_tells_how(fitted):
    """The last stretch of the curve lies below the first once beta is 1, and the facts are those of the call."""
    curve = fitted.curves[fitted.curves["beta"] == 1]["free_energy"]
    assert len(curve) > 10
    assert curve.iloc[-1] < curve.iloc[0]
    assert (fitted.posterior_spec, fitted.target_spec, fitted.seed) == ("planar:K=4", None, 1)
    assert fitted.training.updates == 300
    assert fitted.seconds > 0
    assert "planar:K=4" in repr(fitted)


@pytest.mark.parametrize("spec", specs())
def test_every_family_can_be_fitted_saved_and_loaded(spec, tmp_path):
    """A loaded posterior gives the draws and the log-densities of the saved one, bit by bit."""
    made = nfbench.fit(spec, "u1", updates=5, seed=2)
    again = nfbench.load(made.save(tmp_path / "q.safetensors"))
    assert again.posterior_spec == str(posteriors.choose(spec))
    drawn = [each.posterior.sample_and_log_prob(7, seed=3, log_joint=each.target.log_joint) for each in (made, again)]
    for one, other in zip(*drawn, strict=True):
        assert torch.equal(one, other)
    pd.testing.assert_frame_equal(again.curves, made.curves)
    assert again.training == made.training


def test_a_model_of_data_is_saved_with_its_decoder(tmp_path):
    """Posterior and decoder come back, so the bound on the test data is the same."""
    made = nfbench.fit("gaussian", "digits", updates=5)
    again = nfbench.load(made.save(tmp_path / "q.safetensors"))
    one, other = (nfbench.evaluate(each, draws=2, importance_draws=2) for each in (made, again))
    pd.testing.assert_frame_equal(one, other)


def test_fit_trains_the_cell_of_an_experiment(tmp_path):
    """With a cell's configuration `fit` gives the cell's record: the same metrics."""
    run = nfbench.run("figure3", "smoke", targets=["u1"], posteriors=["planar:K=2"], seeds=[0], results=tmp_path)
    record = json.loads(next((tmp_path / "figure3").glob("*.json")).read_text())
    training, evaluation = record["cell"]["training"], record["cell"]["evaluation"]
    made = nfbench.fit("planar:K=2", "u1", seed=0, **training)
    found = nfbench.evaluate(made, **evaluation)
    assert (run.counts["done"], len(run.results)) == (1, 1)
    assert run.results.record(run.results.frame.iloc[0]).id == record["id"]
    assert found.loc["free_energy", "value"] == record["metrics"]["free_energy"]["value"]


def test_evaluate_gives_standard_errors(fitted):
    """F of a fixed number of draws comes with its Monte-Carlo error, and the posterior itself is left as it was."""
    before = fitted.posterior.sample(3)
    small, large = (nfbench.evaluate(fitted, draws=draws).loc["free_energy"] for draws in (1000, 100_000))
    assert abs(small["value"] - large["value"]) < 5 * math.hypot(small["se"], large["se"])
    assert large["se"] < small["se"]
    assert torch.equal(fitted.posterior.sample(3), before)


def test_sampling_is_seeded_and_fits_the_density(fitted):
    """The same seed gives the same draws; ln q of the draws is ln q at the points."""
    q = fitted.posterior
    z, log_q = q.sample_and_log_prob(50, seed=4)
    assert (z.shape, log_q.shape) == ((50, 2), (50,))
    assert torch.equal(q.sample(50, seed=4), z)
    assert not torch.equal(q.sample(50, seed=5), z)
    torch.testing.assert_close(q.log_prob(z), log_q, atol=1e-4, rtol=1e-4)


def test_sampling_with_features_keeps_the_data_points():
    """With features the draws are (S, B, D)."""
    q = nfbench.posterior("planar:K=2", dim=3, features=4)
    z, log_q = q.sample_and_log_prob(5, features=torch.randn(6, 4, generator=torch.Generator().manual_seed(0)))
    assert (z.shape, log_q.shape) == ((5, 6, 3), (5, 6))


def test_compare_ranks_by_free_energy():
    """On the ring a flow is better than a Gaussian; the rows have intervals that hold their means."""
    found = nfbench.compare(["gaussian", "planar:K=8"], ring, dim=2, seeds=3, updates=600)
    assert found.best == "planar:K=8"
    frame = found.frame
    assert (frame["free_energy_low"] < frame["free_energy"]).all()
    assert (frame["free_energy"] < frame["free_energy_high"]).all()
    assert [len(cells) for cells in found.fitted.values()] == [3, 3]
    assert "planar:K=8" in repr(found)
    assert "<table" in found._repr_html_()


def test_two_seeds_are_shown_and_three_have_an_interval():
    """Of two seeds the ends are both values; three that happen to agree do not hide the error of their draws."""
    from nfbench.analysis.summary import estimate
    from nfbench.experiments.compare import _columns

    two = _columns("kl", estimate([1.5, 1.0], [0.1, 0.1]))
    assert two == {"kl": 1.25, "kl_low": 1.0, "kl_high": 1.5}
    three = _columns("kl", estimate([1.0 - 1e-6, 1.0, 1.0 + 1e-6], [0.1] * 3))
    assert three["kl_high"] - three["kl"] > 1.9 * 0.1 / math.sqrt(3)


def test_a_seed_whose_bound_is_infinite_counts_as_diverged():
    """Of a normal that is cut off one seed has a draw beyond the cut; where all have, the row has no numbers."""

    def cut(at):
        return lambda z: torch.where(z.abs().amax(-1) > at, -math.inf, -0.5 * z.square().sum(-1))

    options = {"dim": 1, "updates": 400, "draws": 16, "anneal_updates": 0}
    found = nfbench.compare(["gaussian"], cut(4.75), seeds=5, **options)
    cells = [cell for cell in found.fitted["gaussian"] if cell.diverged is None]
    lost = ["free_energy" not in nfbench.evaluate(cell).index for cell in cells]
    assert 0 < sum(lost) < len(lost)
    assert found.frame["seeds"].tolist() == [len(lost) - sum(lost)]
    none = nfbench.compare(["gaussian"], cut(2.0), seeds=2, **options).frame
    assert none["seeds"].tolist() == [0]
    assert none["free_energy"].isna().all()


def test_a_function_that_cannot_be_stacked_is_fitted_seed_by_seed():
    """A Python branch on values breaks vmap; the seeds then train one after the other."""

    def branching(z):
        return ring(z) if z.mean().item() > -1e9 else 0 * ring(z)

    found = nfbench.compare(["gaussian"], branching, dim=2, seeds=2, updates=5)
    assert len(found.fitted["gaussian"]) == 2


class TestInput:
    """Bad input to every public function is one clear `InputError`, which is a `ValueError`."""

    CASES = (
        ("unknown family", lambda: nfbench.posterior("planer", dim=2), "planer"),
        ("unknown option", lambda: nfbench.posterior("planar:L=2", dim=2), "L"),
        ("no dimensions", lambda: nfbench.posterior("planar", dim=0), "dim=0"),
        ("dimensions of another type", lambda: nfbench.posterior("planar", dim="two"), "dim='two'"),
        ("a seed that is no number", lambda: nfbench.posterior("planar", dim=2, seed=1.7), "seed=1.7"),
        ("no features at all", lambda: nfbench.posterior("planar", dim=2, features=0), "features=0"),
        ("a spec that is none", lambda: nfbench.posterior(None, dim=2), "None"),
        ("unknown target", lambda: nfbench.target("u9"), "u9"),
        ("a target that is no name", lambda: nfbench.target(3), "3"),
        ("draws below 0", lambda: nfbench.posterior("planar", dim=2).sample(-1), "-1"),
        ("draws of another type", lambda: nfbench.posterior("planar", dim=2).sample(2.5), "2.5"),
        ("fit: a function without dim", lambda: nfbench.fit("planar", ring), "dim"),
        ("fit: a target that is none", lambda: nfbench.fit("planar", 7), "7"),
        ("fit: another dim", lambda: nfbench.fit("planar", "u1", dim=3), "dim=3"),
        ("fit: a posterior that is none", lambda: nfbench.fit(torch.nn.Linear(1, 1), "u1"), "Linear"),
        ("fit: a setting that there is not", lambda: nfbench.fit("planar", "u1", rate=1), "rate"),
        ("fit: no updates", lambda: nfbench.fit("planar", "u1", updates=0), "updates"),
        ("fit: updates as text", lambda: nfbench.fit("planar", "u1", updates="10"), "updates"),
        ("fit: a rate below 0", lambda: nfbench.fit("planar", "u1", learning_rate=-1.0), "learning_rate"),
        ("fit: no such device", lambda: nfbench.fit("planar", "u1", device="gpu"), "gpu"),
        ("fit: a seed below 0", lambda: nfbench.fit("planar", "u1", seed=-1), "-1"),
        ("fit: a sum over draws", lambda: nfbench.fit("planar", lambda z: ring(z).sum(), dim=2), "()"),
        ("fit: an axis too many", lambda: nfbench.fit("planar", lambda z: ring(z)[..., None], dim=2), "1"),
        ("fit: no tensor", lambda: nfbench.fit("planar", lambda z: 0.0, dim=2), "float"),
        ("evaluate: nothing fitted", lambda: nfbench.evaluate("planar"), "planar"),
        ("compare: a single text", lambda: nfbench.compare("planar", "u1"), "planar"),
        ("compare: nothing", lambda: nfbench.compare([], "u1"), "[]"),
        ("compare: one seed", lambda: nfbench.compare(["planar"], "u1", seeds=1), "1"),
        ("run: unknown experiment", lambda: nfbench.run("figure33"), "figure33"),
        ("run: unknown profile", lambda: nfbench.run("figure3", "quik"), "quik"),
        ("run: a text for a list", lambda: nfbench.run("figure3", posteriors="planar"), "planar"),
        ("run: a seed below 0", lambda: nfbench.run("figure3", seeds=[-1]), "-1"),
        ("run: seeds that are none", lambda: nfbench.run("figure3", seeds="0..3"), "0..3"),
        ("run: unknown override", lambda: nfbench.run("figure3", overrides={"training.updats": 1}), "updats"),
        ("results: no folder", lambda: nfbench.results("/nowhere/at/all"), "/nowhere/at/all"),
        ("results: nothing", lambda: nfbench.results(None), "None"),
        ("load: no file", lambda: nfbench.load("/nowhere.safetensors"), "/nowhere.safetensors"),
    )

    @pytest.mark.parametrize(("call", "named"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
    def test_is_named(self, call, named):
        """The message names the value that is wrong, in one line."""
        with pytest.raises(InputError) as error:
            call()
        assert isinstance(error.value, ValueError)
        assert named in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_setting_of_the_evaluation_that_there_is_not(self, fitted):
        """`evaluate` names an unknown setting, and one of the wrong type."""
        with pytest.raises(InputError, match="drawz"):
            nfbench.evaluate(fitted, drawz=3)
        with pytest.raises(InputError, match="draws"):
            nfbench.evaluate(fitted, draws="many")

    def test_broken_files_are_named(self, fitted, tmp_path):
        """A file that is none of ours, a truncated one, and one whose numbers do not fit are refused by name."""
        file = fitted.save(tmp_path / "q.safetensors")
        whole = file.read_bytes()
        for content in (b"", b"hello", whole[:-10], whole.replace(b"planar:K=4", b"planar:K=5")):
            file.write_bytes(content)
            with pytest.raises(InputError, match=r"q\.safetensors"):
                nfbench.load(file)

    def test_a_changed_number_is_named(self, fitted, tmp_path):
        """One other bit in a stored parameter is refused; a file of before there were digests is read as it is."""
        file = fitted.save(tmp_path / "q.safetensors")
        whole = bytearray(file.read_bytes())
        whole[-1] ^= 1
        file.write_bytes(whole)
        with pytest.raises(InputError, match=r"q\.safetensors is not as it was stored"):
            nfbench.load(file)
        start = int.from_bytes(whole[:8], "little")
        header = json.loads(whole[8 : 8 + start])
        del header["__metadata__"]["sha256"]
        text = json.dumps(header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + start :])
        assert nfbench.load(file).training == fitted.training

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        """A pipe in a file's place is named at once."""
        os.mkfifo(tmp_path / "q.safetensors")
        with pytest.raises(InputError, match="it is a pipe or device"):
            nfbench.load(tmp_path / "q.safetensors")

    def test_a_folder_that_cannot_be_written(self, fitted, tmp_path):
        """Saving below a file names the file."""
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match=r"q\.safetensors"):
            fitted.save(tmp_path / "file" / "q.safetensors")


def test_a_module_of_ones_own_is_saved_and_filled_again(tmp_path):
    """A posterior without a spec comes back into a module that the caller makes; without one the error says so."""
    made = nfbench.fit(nfbench.posterior("planar:K=2", dim=2, seed=5), ring, updates=5, dim=2)
    file = made.save(tmp_path / "q.safetensors")
    with pytest.raises(InputError, match="no spec"):
        nfbench.load(file)
    again = nfbench.load(file, posterior=nfbench.posterior("planar:K=2", dim=2))
    assert torch.equal(again.posterior.sample(3), made.posterior.sample(3))
    assert isinstance(again, Fitted)
    with pytest.raises(InputError, match="no target"):
        nfbench.evaluate(again)


def test_import_is_light():
    """`import nfbench` loads neither torch nor pandas."""
    script = "import sys, nfbench; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_has_a_docstring_with_an_example():
    """Functions of the public face say what they take, give and refuse, and have an example that doctest runs."""
    from nfbench import api

    for name in ("fit", "evaluate", "compare", "run"):
        text = getattr(api, name).__doc__
        for part in ("Args:", "Returns:", "Raises:", ">>>"):
            assert part in text, f"{name} lacks {part}"
