"""Every parameter of every public function, given None or a wrong type, gives one line that says so, or fits."""

import inspect

import pytest
import torch

import nfbench
from nfbench import InputError
from nfbench.present.results import Results


class Unprintable:
    """A value whose `repr` fails."""

    def __repr__(self):
        raise RuntimeError("no")


WRONG = (None, -1, 2.5, float("nan"), "wrong", "", b"bytes", [], [None], {}, {"a": 1}, object(), Unprintable())
WRONG = (*WRONG, torch.zeros(3, 3), torch.zeros(()), "\ud800")
BRIEF = {"updates": 2, "draws": 4}
CLASSES = ("Chosen", "Comparison", "Fitted", "InputError", "Run", "Verdict")  # made by nfbench, not by its users
ELSEWHERE = ("verify",)  # its own tests give it wrong input, as it takes seconds where a value fits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("types")


@pytest.fixture(scope="module")
def fitted():
    return nfbench.fit("gaussian", "u1", **BRIEF)


@pytest.fixture(scope="module")
def calls(folder, fitted):
    """Public name -> the function with arguments that are right."""
    q = fitted.posterior
    run = {"experiment": "figure3", "profile": "smoke", "posteriors": ["gaussian"], "targets": ["u1"], "seeds": [0]}
    run |= {"results": folder / "run", "overrides": {"training.updates": 2, "training.anneal_updates": 1}}
    nfbench.run(**run)
    results = nfbench.results(folder / "run")
    register = {"name": "types", "label": "Types", "cite": "nobody"}
    return {
        "posterior": (nfbench.posterior, {"spec": "gaussian", "dim": 2}),
        "target": (nfbench.target, {"spec": "u1"}),
        "fit": (nfbench.fit, {"posterior": "gaussian", "target": "u1", **BRIEF}),
        "evaluate": (nfbench.evaluate, {"fitted": fitted, "draws": 20, "forward_draws": 20}),
        "compare": (nfbench.compare, {"posteriors": ["gaussian"], "target": "u1", "seeds": 2, **BRIEF}),
        "choose": (nfbench.choose, {"target": "u1", "families": ["gaussian"], "updates": 2, "seeds": 2}),
        "run": (nfbench.run, run),
        "load": (nfbench.load, {"file": fitted.save(folder / "q.safetensors")}),
        "results": (nfbench.results, {"root": folder / "run"}),
        "register_posterior": (nfbench.register_posterior, register),
        "register_target": (nfbench.register_target, register),
        "register_data": (nfbench.register_data, register),
        "Fitted.save": (fitted.save, {"file": folder / "again.safetensors"}),
        "Posterior.sample": (q.sample, {"num": 3}),
        "Posterior.sample_and_log_prob": (q.sample_and_log_prob, {"num": 3}),
        "Results.table": (results.table, {"name": "figure3"}),
        "Results.plot": (results.plot, {"name": "figure3", "out": folder / "plots"}),
        "Results.record": (results.record, {"row_or_id": results.frame.iloc[0]}),
        "Results.curves": (results.curves, {"row_or_id": results.frame.iloc[0]}),
        "Results.arrays": (results.arrays, {"row_or_id": results.frame.iloc[0]}),
        "Results.narrowed": (results.narrowed, {"ids": []}),
    }


def parameters():
    """Each public function with each of its parameters, but for `self` and further keywords."""
    methods = ((nfbench.posterior("gaussian", 2), "Posterior", ("sample", "sample_and_log_prob")),)
    methods += ((Results, "Results", ("table", "plot", "record", "curves", "arrays", "narrowed")),)
    functions = {name: getattr(nfbench, name) for name in nfbench.__all__ if name not in CLASSES + ELSEWHERE}
    functions |= {f"{kind}.{name}": getattr(owner, name) for owner, kind, names in methods for name in names}
    functions["Fitted.save"] = nfbench.Fitted.save
    for name, function in functions.items():
        for key, parameter in inspect.signature(function).parameters.items():
            if key != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                yield name, key


@pytest.mark.parametrize(("name", "key"), list(parameters()))
@pytest.mark.filterwarnings("ignore")
def test_a_wrong_type_is_one_line(name, key, calls, monkeypatch, folder, capsys):
    """The error is an `InputError` of one line, whatever the value is; a value that fits is taken."""
    monkeypatch.chdir(folder)
    function, right = calls[name]
    for value in WRONG:
        if (name, key) in (("run", "jobs"), ("choose", "families")) and value is None:
            continue  # right, and long
        message = ""
        try:
            result = function(**{**right, key: value})
            if name.startswith("register"):
                result(factory)
        except InputError as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 2000


def factory(dim: int = 2):
    """Make nothing."""


def test_every_public_function_is_walked(calls):
    """A public name that is new is a function that this file calls, or a class that it lists."""
    assert set(nfbench.__all__) <= {*calls, *CLASSES, *ELSEWHERE}
