"""Command lines of nfbench, run in this process."""

import pytest

from nfbench.cli.app import main


def run_command(capsys, *words):
    """Exit code, standard output and standard error of a command line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return caught.value.code, *capsys.readouterr()
