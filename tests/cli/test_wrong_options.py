"""Wrong options of families on the command line: one line that names the option, its value and what was expected."""

import pytest

from nfbench.cli.app import main

WRONG = [
    ("full-covariance:K=2", ["no option 'K'", "full-covariance takes: none"]),
    ("low-rank:rank=0", ["rank=0", "greater than or equal to 1"]),
    ("low-rank:R=2", ["no option 'R'", "low-rank takes: rank"]),
    ("student-t:nu=4", ["no option 'nu'", "student-t takes: none"]),
    ("mixture:components=0", ["components=0", "greater than or equal to 1"]),
    ("mixture:components=two", ["components=two", "valid integer"]),
    ("mixture:component=2", ["no option 'component'", "did you mean components?"]),
    ("householder:K=-1", ["K=-1", "greater than or equal to 0"]),
    ("householder:depth=2", ["no option 'depth'", "householder takes: K"]),
    ("linear-iaf:components=0", ["components=0", "greater than or equal to 1"]),
    ("linear-iaf:K=2", ["no option 'K'", "linear-iaf takes: components"]),
    ("sylvester:mixing=qr", ["mixing=qr", "'orthogonal', 'householder' or 'triangular'"]),
    ("sylvester:units=0", ["units=0", "greater than or equal to 1"]),
    ("sylvester:units=most", ["units=most", "valid integer", "'all'"]),
    ("sylvester:reflections=0", ["reflections=0", "greater than or equal to 1"]),
]


@pytest.mark.parametrize(("spec", "words"), WRONG, ids=[spec for spec, _ in WRONG])
def test_a_wrong_option_is_one_line_and_exit_code_two(spec, words, capsys):
    """Nothing but one line on standard error, and exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(["info", spec])
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("nfbench: error: posterior ")
    assert all(word in err for word in words), err
