"""The models on the page of Pyro, NumPyro and Stan are chosen for by the command, end to end."""

import importlib.util
import json

import pytest
from support.pages import ROOT, example

from nfbench.cli.app import main

PAGE = ROOT / "docs" / "pyro-stan.md"
# language -> (files by the name of their example, spec, what has to be installed, name of the first school's effect)
MODELS = {
    "pyro": ({"pyro": "schools.py"}, "pyro:schools.py::model", ["pyro"], "theta[0]"),
    "numpyro": ({"numpyro": "schools_jax.py"}, "numpyro:schools_jax.py::model", ["numpyro"], "theta[0]"),
    "stan": (
        {"stan": "schools.stan", "data": "schools.json"},
        "stan:schools.stan,schools.json",
        ["stanli", "bridgestan"],
        "theta[1]",
    ),
}


@pytest.mark.parametrize("language", MODELS)
def test_choose_takes_the_model_of_the_page(language, tmp_path, monkeypatch, capsys):
    """Files as they stand on the page: a verdict, its file by the model's name, and moments by the variables' names."""
    files, spec, needed, effect = MODELS[language]
    for library in needed:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    monkeypatch.chdir(tmp_path)
    for name, file in files.items():
        (tmp_path / file).write_text(example(PAGE, name))
    with pytest.raises(SystemExit) as ended:
        main(["choose", spec, "--families", "gaussian", "--updates", "50", "--seeds", "2", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["target"] == spec
    assert len(data["sources"]["target"]) == 64
    (file,) = (tmp_path / "results" / "choose").glob("*.json")
    assert file.name.startswith(f"{language}-schools-")
    names = [row["name"] for row in data["moments"]]
    assert ended.value.code == (0 if names else 3)
    assert not names or {"mu", "tau", effect} <= set(names)


@pytest.mark.parametrize("spec", ["pyro:nowhere.py::model", "numpyro:nowhere.py::model", "stan:nowhere.stan"])
def test_a_model_that_is_not_there_ends_the_command_with_2(spec, tmp_path, monkeypatch, capsys):
    """A missing file, or a missing library, is one line and exit code 2."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["choose", spec])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"nfbench: error: target '{spec}'")
