"""The command line: ``nfbench --help``. Nothing heavy is imported before a command needs it.

Exit codes: 0 done (a diverged cell is an outcome, not an error), 1 a cell failed or a check does not hold, 2 wrong
input, 3 no family can be trusted, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP; a worker also 138 and 140
by SIGUSR1 and SIGUSR2.
"""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from nfbench import __version__
from nfbench.cli import choose, data, diff, export, folder, leaderboard, merge, recheck, run, worker
from nfbench.cli import list as listing
from nfbench.cli import show as outputs
from nfbench.cli import time as timing
from nfbench.cli import verify as verification
from nfbench.cli.verbosity import with_verbosity
from nfbench.foundation.errors import InputError
from nfbench.foundation.terminal import fill_closed_streams, say, spell_what_is_missing

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ls")(listing.ls)
app.command("info")(listing.info)
app.command("run")(with_verbosity(run.run))
app.command("worker")(with_verbosity(worker.worker))
app.command("status")(folder.status)
app.command("clean")(folder.clean)
app.command("diff")(with_verbosity(diff.diff))
app.command("recheck")(with_verbosity(recheck.recheck))
app.command("merge")(with_verbosity(merge.merge))
app.command("time")(with_verbosity(timing.time))
app.command("table")(with_verbosity(outputs.table))
app.command("rank")(with_verbosity(outputs.rank))
app.command("plot")(with_verbosity(outputs.plot))
app.command("report")(with_verbosity(outputs.report))
app.command("leaderboard")(leaderboard.leaderboard)
app.command("choose")(with_verbosity(choose.choose))
app.command("export")(with_verbosity(export.export))
app.command("verify")(with_verbosity(verification.verify))
app.command("reproduce")(with_verbosity(run.reproduce))
app.command("env")(listing.env)
app.add_typer(data.app, name="data")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, ``sys.argv`` if none is given, and exit with its code; what is wrong stands in one line.

    Args:
        arguments: words of a command line without the program; None: those of this process.
    """
    fill_closed_streams()
    spell_what_is_missing()
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _each_once()
        sys.exit(_outcome(arguments))


def _outcome(arguments: Sequence[str] | None) -> int:
    try:
        words = [_at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
        code = int(app(words, prog_name="nfbench", standalone_mode=False) or 0)
        print(end="", flush=True)
        return code
    except InputError as error:
        _line("error", str(error))
        return 2
    except KeyboardInterrupt:
        _line("error", "interrupted")
        return run.INTERRUPTED
    except OSError as error:
        if error.filename is not None:  # not of the standard output, which has no name
            raise
        if not isinstance(error, BrokenPipeError):
            _line("error", f"cannot write to standard output: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _usage(error)


def _at_home(word: str) -> str:
    """An argument ``--option=~/folder`` with the home folder in full: a shell expands ``~`` only where a word begins.

    >>> _at_home("--set=name=~/x"), _at_home("~/x")
    ('--set=name=~/x', '~/x')
    """
    option, is_there, value = word.partition("=")
    if option.startswith("--") and is_there and value.startswith("~"):
        return f"{option}={os.path.expanduser(value)}"  # noqa: PTH111  Path.expanduser raises for a user that is unknown
    return word


def _usage(error: Any) -> int:
    """Typer's own complaint (its exception classes moved between versions, `format_message` did not)."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "nfbench"
    reason = error.format_message().replace("Value error, ", "").rstrip(".")
    _line("error", f"{reason}; see '{command} --help'")
    return 2


def _line(kind: str, text: str) -> None:
    say(f"nfbench: {kind}: {' '.join(text.split())}")


def _each_once() -> Callable[..., None]:
    """What shows a warning as one line, and the same text only once, wherever it comes from."""
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in said:
            said.add(str(message))
            _line("warning", str(message))

    return show


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Compare approximate-posterior families for variational inference on the same targets, training and evaluation."""
    if version:
        print(f"nfbench {__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
