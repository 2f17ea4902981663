"""Spec strings."""

import pytest

from nfbench.foundation.errors import InputError
from nfbench.specification.spec import Spec, expand, parse


def test_lists_expand_with_the_last_option_fastest():
    """Two lists make their product, in the order in which they are written."""
    texts = [str(spec) for spec in expand("nice:mixing=permutation|orthogonal,K=2|8")]
    assert texts == [
        "nice:mixing=permutation,K=2",
        "nice:mixing=permutation,K=8",
        "nice:mixing=orthogonal,K=2",
        "nice:mixing=orthogonal,K=8",
    ]


def test_text_round_trip():
    """A spec's text parses to the same spec, whatever blanks it was written with."""
    spec = parse(" planar : K = 8 , tail=a ".replace(" :", ":"))
    assert spec == Spec("planar", (("K", "8"), ("tail", "a")))
    assert parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["''", "name:option=value"]),
        ("Planar", ["'Planar'", "not a name"]),
        ("pla nar", ["'pla nar'", "not a name"]),
        ("planar:", ["'planar:'", "option=value"]),
        ("planar:K", ["'K'", "option=value"]),
        ("planar:k=", ["'k='", "option=value"]),
        ("planar:K=2|", ["'K=2|'", "option=value"]),
        ("planar:=2", ["'=2'", "option=value"]),
        ("planar:K=2,,", ["''", "option=value"]),
        ("planar:K=2,K=3", ["'K'", "twice"]),
        ("planar:K=2,8", ["'8'", "did you mean 'K=2|8'?"]),
        ("nice:K=2,8,40,mixing=orthogonal", ["'8'", "did you mean 'K=2|8|40'?"]),
    ],
)
def test_what_is_no_spec_is_refused(text, names):
    """Malformed text is refused in one line with the text and the form that was expected."""
    with pytest.raises(InputError) as caught:
        expand(text)
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in names)


def test_a_list_is_refused_where_one_is_needed():
    """`parse` names how many things a list stands for."""
    with pytest.raises(InputError, match="names 2 things where exactly one is needed"):
        parse("planar:K=2|8")
