"""A training in words."""

import pytest

from nfbench.records.training_words import words
from nfbench.specification.config import Training

PAPER = Training(optimizer="rmsprop", learning_rate=1e-5, updates=500_000, anneal_updates=10_000)


def test_the_papers_recipe_in_words():
    """Everything that Section 6 states is said."""
    assert words(PAPER, data=True) == (
        "500,000 updates of RMSprop (rate 1e-05, constant, momentum 0.9), minibatches of 100 with 1 draw a data point, "
        "annealed over 10,000 updates"
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"optimizer": "adam"}, "Adam"),
        ({"learning_rate": 2e-3}, "rate 0.002"),
        ({"schedule": "one-cycle"}, "one-cycle"),
        ({"momentum": 0.5}, "momentum 0.5"),
        ({"updates": 20_000}, "20,000 updates"),
        ({"batch": 50}, "minibatches of 50"),
        ({"draws": 3}, "3 draws a data point"),
        ({"anneal_updates": 0}, "not annealed"),
        ({"dtype": "float64"}, "float64"),
        ({"autocast": True}, "bfloat16"),
    ],
)
def test_what_differs_is_said(change, word):
    """Two recipes that differ read differently, so that none is mistaken for the other."""
    text = words(PAPER.model_copy(update=change), data=True)
    assert word in text
    assert word not in words(PAPER, data=True)
