"""What is suggested for a name that nobody knows."""

import pytest
import torch

from nfbench.foundation.environment import check_device
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import did_you_mean, suggestions, unknown


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("plnar", ["gaussian", "planar", "radial"], ["planar"]),
        ("PLANAR", ["planar", "radial"], ["planar"]),
        ("mnsit", ["digits", "mnist", "frey"], ["mnist"]),
        ("mnsit", ["digits", "mnist:dynamic"], ["mnist:dynamic"]),
        ("updates", ["seeds", "training.updates", "training.anneal_updates"], ["training.updates"]),
        (
            "draws",
            ["training.draws", "evaluation.draws", "evaluation.forward_draws"],
            ["training.draws", "evaluation.draws"],
        ),
        ("xyz", ["planar", "radial"], []),
        ("anything", [], []),
    ],
)
def test_suggestions(name, known, nearest):
    """The likest known name comes first, by its whole or by a part, and nothing where nothing is like it."""
    assert suggestions(name, known) == nearest


def test_at_most_three_suggestions():
    """A message stays one line, the nearest names in it."""
    assert suggestions("name", ["nameabc", "name12", "name1", "nameab"]) == ["name1", "name12", "nameab"]


def test_the_message():
    """Kind, value, suggestion and what is known, in one line; what is known may be nothing."""
    error = unknown("thing", "wav", ["flat", "wave"], place=" here", note=", or a file")
    assert isinstance(error, InputError)
    assert str(error) == "no thing named 'wav' here; did you mean wave? known: flat, wave, or a file"
    assert str(unknown("thing", "wav", [])) == "no thing named 'wav'; known: none"
    assert did_you_mean("wav", ["flat"]) == ""


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "what torch calls cuda is not here"), (2, "did you mean cuda:0 or cuda:1? known: cpu, cuda:0")],
)
def test_other_words_for_a_device(monkeypatch, count, said):
    """``gpu`` is torch's ``cuda``: it is suggested where there is one, and said to be absent where there is none."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InputError) as caught:
        check_device("gpu")
    assert str(caught.value).startswith("no device named 'gpu' here;")
    assert said in str(caught.value)
