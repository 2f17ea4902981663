"""Pyro models that are wrong: each is refused in one line that names the file and what is wrong in it."""

import functools

import pytest
from support.pyro_models import HEAD, SCHOOLS
from support.user_files import refused_in_one_line, written

from nfbench.foundation.errors import InputError
from nfbench.targets.build import target

pytest.importorskip("pyro", reason="Pyro is not installed: pip install pyro-ppl")

# name -> (body of the model, words that the one line has, the number of its line in the file or None)
WRONG = {
    "NaN on half the plane": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    pyro.factor('f', torch.log(x))",
        ["nan at z = [-", "first in site 'f' (Unit, mine.py:6)", "of 64"],
        None,
    ),
    "-inf everywhere": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    pyro.factor('f', x - float('inf'))",
        ["-inf at z = [", "site 'f'", "64 of 64"],
        None,
    ),
    "a scale below zero": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    pyro.sample('y', dist.Normal(0.0, x), obs=torch.ones(()))",
        ["nan at z = [-", "site 'y' (Normal, mine.py:6)"],
        None,
    ),
    "wrong shape": (
        "x = pyro.sample('x', dist.Normal(torch.zeros(3), 1.0).to_event(1))\n"
        "    pyro.sample('y', dist.Normal(x, 1.0).to_event(1), obs=torch.zeros(4))",
        ["site 'y'", "size"],
        None,
    ),
    "plate of another size than its data": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    with pyro.plate('n', 5):\n"
        "        pyro.sample('y', dist.Normal(x, 1.0), obs=torch.zeros(4))",
        ["site 'y'", "(4)", "(5)"],
        None,
    ),
    "not differentiable": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    pyro.factor('f', torch.tensor(float(x)))",
        ["RuntimeError", "mine.py:6", "vmap"],
        6,
    ),
    "detached": (
        "x = pyro.sample('x', dist.ImproperUniform(dist.constraints.real, (), ()))\n"
        "    pyro.factor('f', -x.detach() ** 2)",
        ["no gradient", "torch operations"],
        None,
    ),
    "a branch on values": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    if x > 0:\n        pyro.factor('f', -x)",
        ["RuntimeError", "data-dependent", "mine.py:6"],
        6,
    ),
    "a discrete latent variable": (
        "k = pyro.sample('k', dist.Bernoulli(0.5))\n    pyro.sample('y', dist.Normal(k, 1.0), obs=torch.zeros(()))",
        ["site 'k' is discrete (Bernoulli)", "continuous"],
        None,
    ),
    "a subsampled plate": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    with pyro.plate('n', 5, subsample_size=2):\n"
        "        pyro.sample('y', dist.Normal(x, 1.0), obs=torch.zeros(2))",
        ["plate 'n' takes 2 of 5 data"],
        None,
    ),
    "a parameter": (
        "w = pyro.param('w', torch.ones(()))\n    pyro.sample('x', dist.Normal(w, 1.0))",
        ["'w' is a parameter", "prior"],
        None,
    ),
    "no latent variable": (
        "pyro.sample('y', dist.Normal(0.0, 1.0), obs=torch.zeros(()))",
        ["no latent variable"],
        None,
    ),
    "a number that nothing depends on": (
        "pyro.sample('x', dist.Normal(0.0, 1.0))\n"
        "    pyro.sample('u', dist.ImproperUniform(dist.constraints.real, (), ()))",
        ["does not depend on z[1]"],
        None,
    ),
    "random inside": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    pyro.factor('f', -x ** 2 * torch.rand(()))",
        ["random", "mine.py:6"],
        6,
    ),
    "raises": ("x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    raise OSError('lost')", ["OSError: lost"], 6),
    "other numbers": (
        "x = pyro.sample('x', dist.Normal(0.0, 1.0))\n    pyro.factor('f', -x.half() ** 2 @ 1)",
        ["TypeError"],
        6,
    ),
}


@pytest.fixture
def file(tmp_path):
    """A function that writes a file's source and gives the spec of its function `model`."""
    return functools.partial(written, tmp_path, "pyro")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_model_is_refused_in_one_clear_line(name, file):
    """Each wrong model is an InputError of one line that names the file, what is wrong, and the site or line."""
    body, words, line = WRONG[name]
    place = [] if line is None else [f"mine.py:{line}"]
    refused_in_one_line(lambda: target(file(f"{HEAD}def model():\n    {body}\n")), ["mine.py::model", *words, *place])


def test_what_names_no_model_is_refused(file, tmp_path):
    """A spec without a function, a function that is not there or needs arguments, and a file that cannot be run."""
    spec = file(SCHOOLS)
    for text, words in {
        "pyro:": "no path; expected pyro:my.py::model",
        "pyro:my.py": "names no function of a file",
        "pyro:nowhere.py::model": "no file",
        spec.replace("::model", "::modle"): "has no 'modle'; did you mean model?",
        spec.replace("::model", "::y"): "expected a function, the model",
        file("def model(data):\n    pass\n", "needs.py"): "needs data: expected a model without arguments",
        file("def model(:\n", "syntax.py"): "SyntaxError",
    }.items():
        with pytest.raises(InputError, match=words):
            target(text)


def test_a_missing_library_is_one_line_with_the_command(file, monkeypatch):
    """Without Pyro the line says how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "pyro", None)
    with pytest.raises(InputError, match="pip install pyro-ppl"):
        target(file(SCHOOLS))
