"""`nfbench choose` at small sizes: known densities, order and budget of families, failures, files, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import nfbench
from nfbench.experiments.candidates import families
from nfbench.experiments.choose import choose
from nfbench.foundation.errors import InputError
from nfbench.specification.registry import posteriors

MODELS = Path(__file__).parents[1] / "support" / "own_models"
SMALL = {"updates": 300, "seeds": 2, "rates": (0.03,), "diagnosis_draws": 4000}


def model(name):
    """The spec of a model in tests/support/own_models."""
    return f"file:{MODELS / name}.py"


def test_a_correlated_gaussian_needs_the_full_covariance_and_no_flow():
    """The diagonal Gaussian is refused with its reason, full covariance is chosen, and no flow is tried after it."""
    found = nfbench.choose(model("correlated"), ["gaussian", "full-covariance", "planar:K=4"], **SMALL)
    assert found.posterior == "full-covariance"
    assert [each.posterior for each in found.candidates] == ["gaussian", "full-covariance"]
    assert "nats worse" in found.verdict.remarks["gaussian"]
    assert found.candidates[0].most_to_gain > 0.3
    sds = [row["sd"] for row in found.moments]
    assert sds == pytest.approx([1.0, 1.0], abs=0.05)
    assert found.best.posterior_spec == "full-covariance"


def test_a_banana_needs_a_flow():
    """Both Gaussians are refused with a reason; a flow is at least half a nat better and closest to exact draws."""
    found = choose(model("banana"), ["gaussian", "full-covariance", "realnvp:K=4"], **(SMALL | {"updates": 800}))
    diagonal, full, flow = found.candidates
    assert found.posterior in (None, flow.posterior)
    assert not diagonal.trusted
    assert found.verdict.differences[diagonal.posterior].mean > 0.5
    assert found.verdict.differences[full.posterior].mean > 0.5
    assert flow.reference[1] < diagonal.reference[1]


def test_two_modes_need_a_mixture_and_gaussians_are_refused():
    """No Gaussian is chosen for two modes; a mixture with two places is better by more than the margin."""
    found = choose(model("two_modes"), ["gaussian", "full-covariance", "mixture:components=2"], **SMALL)
    assert found.posterior in (None, "mixture:components=2")
    assert found.verdict.differences["gaussian"].mean > 0.2
    assert "worse than the best" in found.verdict.remarks["gaussian"]


def test_the_funnel_is_honest():
    """Neither Gaussian can be trusted on Neal's funnel in ten dimensions, and the sentence says why."""
    found = choose(model("funnel"), ["gaussian", "full-covariance"], **SMALL)
    assert found.posterior is None
    assert found.verdict.sentence.startswith("none of these can be trusted here, because")
    assert "k-hat" in found.verdict.sentence
    assert found.moments == []
    assert found.best is None


def test_centred_schools_trust_no_gaussian_and_non_centred_ones_do():
    """The same posterior: centred no Gaussian has a k-hat below its threshold, non-centred a Gaussian has."""
    gaussians = ["gaussian", "full-covariance"]
    centred = choose(model("schools_centred"), gaussians, **SMALL)
    assert centred.posterior is None
    assert not any(each.trusted for each in centred.candidates)
    other = choose(model("schools_non_centred"), gaussians, all_families=True, **(SMALL | {"updates": 800}))
    assert other.posterior in gaussians
    assert other.moments[1]["name"] == "tau"


def test_logistic_regression_will_do_with_a_gaussian():
    """For the breast cancer data in 31 dimensions the full covariance is trusted, the diagonal Gaussian is worse."""
    found = choose(model("logistic"), ["gaussian", "full-covariance"], **(SMALL | {"updates": 2000}))
    assert found.posterior == "full-covariance"
    assert found.candidates[1].khat < 0.7


def test_families_come_by_cost_with_both_gaussians_first():
    """By default: both Gaussians, then all registered families that are neither linear nor volume preserving."""
    names = [posteriors.choose(spec).entry.name for spec in families(2)]
    assert names[:2] == ["gaussian", "full-covariance"]
    assert len(set(names)) == len(names)
    assert {"planar", "realnvp"} <= set(names)
    assert not {"householder", "nice", "low-rank"} & set(names)
    assert "realnvp" not in [posteriors.choose(spec).entry.name for spec in families(1)]


def test_every_family_has_the_same_recorded_budget():
    """Updates and draws are equal for all families, trials of learning rates included, and rates were tried."""
    found = choose(
        lambda z: -0.5 * z.square().sum(-1),
        ["gaussian", "planar:K=2", "hvi:steps=3"],
        dim=2,
        updates=200,
        seeds=2,
        rates=(0.003, 0.03),
        diagnosis_draws=500,
        all_families=True,
    )
    assert {each.updates for each in found.candidates} == {200}
    draws = (200 + 2 * 50) * 256 * 2
    assert [each.gradients for each in found.candidates] == [draws, draws, 5 * draws]  # the path of HVI takes four
    assert all(each.learning_rate in (0.003, 0.03) for each in found.candidates)


def test_what_one_family_raises_is_a_problem_of_that_one_alone():
    """A family that cannot have the dimension is refused with its error; another one is chosen."""
    found = choose(lambda z: -0.5 * z.square().sum(-1), ["realnvp:K=2", "gaussian"], dim=1, **SMALL)
    assert found.candidates[0].problem is not None
    assert found.posterior == "gaussian"


def test_a_family_whose_density_is_wrong_is_not_trusted():
    """Pyro's Sylvester transform has another ln|det| than its map: refused with its size, and not the best."""
    pytest.importorskip("pyro")
    found = choose(model("banana"), ["pyro:sylvester,K=4", "gaussian"], **(SMALL | {"rates": (0.01,)}))
    assert found.candidates[0].density_error > 1e-3
    assert "so that F is no bound" in found.candidates[0].faults()[0]
    assert list(found.verdict.differences) == ["gaussian"]


def test_a_model_that_raises_in_the_middle_is_no_crash(tmp_path):
    """A model that fails after 500 calls ends with a verdict of none, with the place in the user's file."""
    (tmp_path / "tired.py").write_text(
        "import torch\ndim = 2\ncalls = []\ndef log_joint(z):\n    calls.append(1)\n    if len(calls) > 100:\n"
        "        raise RuntimeError('enough')\n    return -0.5 * z.square().sum(-1)\n"
    )
    found = choose(f"file:{tmp_path / 'tired.py'}", ["gaussian"], **SMALL)
    assert found.posterior is None
    assert "RuntimeError: enough (tired.py:7)" in found.verdict.sentence


def test_the_minutes_are_kept():
    """With hardly any time a family that would take longer is given up, and the rest is not begun."""
    found = choose("u1", ["planar:K=8", "gaussian"], minutes=0.02, updates=200_000, seeds=2, rates=(0.01,))
    assert len(found.candidates) == 1
    assert "s are left" in found.candidates[0].problem
    assert found.posterior is None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"target": "digits"}, "has data"),
        ({"target": lambda z: z.sum(-1)}, "dim="),
        ({"target": "u1", "specs": "gaussian"}, "expected a list of specs"),
        ({"target": "u1", "specs": []}, "no families"),
        ({"target": "u1", "specs": ["plnar"]}, "did you mean planar?"),
        ({"target": "u1", "minutes": -1}, "minutes=-1"),
        ({"target": "u1", "margin": "a"}, "margin='a'"),
        ({"target": "u1", "rates": ()}, "rates"),
        ({"target": "u1", "learning_rate": 0.2}, "learning_rate=0.2: expected rates"),
        ({"target": "u1", "seeds": 0}, "seeds=0"),
        ({"target": lambda z: torch.zeros(3), "dim": 2}, "one value for each draw"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments, word):
    """Each wrong argument is an InputError of one line that names it, before anything is trained."""
    with pytest.raises(InputError) as caught:
        choose(**arguments)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def command(*words, folder):
    """Run the command line in a folder: exit code, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "nfbench", "choose", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(nfbench.__file__).parents[1])},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_prints_json_writes_its_files_and_has_exit_codes(tmp_path):
    """0 with a choice, 3 without, 2 for a wrong model; JSON stays JSON although the model prints."""
    (tmp_path / "mine.py").write_text(
        "import torch\nprint('hello')\ndim = 2\ndef log_joint(z):\n    return -0.5 * z.square().sum(-1)\n"
    )
    small = ["--updates", "300", "--seeds", "2", "--families", "gaussian"]
    code, out, errors = command("file:mine.py", "--json", *small, folder=tmp_path)
    assert code == 0, errors
    data = json.loads(out)
    assert data["posterior"] == "gaussian"
    assert set(data["sources"]) == {"target"}
    assert "[1/1] gaussian: F = " in errors
    (file,) = (tmp_path / "results" / "choose").glob("*.json")
    fits = {f"{file.stem}-seed{seed}.safetensors" for seed in (0, 1)}  # of the chosen family, for `nfbench export`
    assert {each.name for each in file.parent.iterdir()} == fits | {file.name}
    assert json.loads(file.read_text()) == data
    assert {each.suffix for each in (tmp_path / "reports" / "figures").iterdir()} == {".png", ".svg"}
    assert len(nfbench.results(tmp_path / "results").frame) == 0

    code, out, _ = command(model("funnel"), *small, folder=tmp_path)
    assert code == 3
    assert "none of these can be trusted here, because" in out
    code, _, errors = command("file:nowhere.py", *small, folder=tmp_path)
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
