"""The command that verifies flows: verify."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nfbench.foundation.errors import InputError
from nfbench.specification.choices import Dtype

if TYPE_CHECKING:
    from nfbench.verification.verify import Verdict

Named = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SPEC | FILE.py:NAME ...", help="planar:K=8, or a class or factory in a file; all families."
    ),
]


def verify(
    named: Named = None,
    *,
    dim: Annotated[int | None, typer.Option(min=1, help="D; 2 and 5 if omitted.")] = None,
    depth: Annotated[int | None, typer.Option(min=0, help="K in place of the spec's.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of trainings, compared with float64.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    libraries: Annotated[bool, typer.Option("--libraries", help="All families of other libraries too.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Look longer: more parameters, points and draws.")] = False,
    seconds: Annotated[
        float | None, typer.Option(help="Time limit for each family; checks left over count as not decided.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Families at once; chosen by the machine if omitted.")] = None,
    results: Annotated[Path | None, typer.Option(help="Store the verdicts in this folder of results.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check that flows are right; exit code 1 if a check fails, with code that shows why."""
    from nfbench.foundation.files import check_writable
    from nfbench.records.verdicts import write
    from nfbench.verification.several import Options, several
    from nfbench.verification.stored import check_registered
    from nfbench.verification.subjects import every, expanded

    if named and libraries:
        raise InputError("verify: --libraries beside names: expected one of them")
    texts = [each for text in named for each in expanded(text)] if named else every(libraries=libraries)
    verdicts: list[Verdict] = []
    if results is not None:
        check_writable(results)
        for text in texts:
            check_registered(text)
    options = Options(dim, depth, dtype, device, strict, seconds, stored=results is not None)
    for verdict, record in several(texts, options, jobs):
        verdicts.append(verdict)
        if results is not None and record is not None:
            write(results, record)
        if not as_json:
            print(
                verdict if named or verdict.failures else verdict.last_line,
                end="\n" * 2 if named else "\n",
            )
            sys.stdout.flush()
    if as_json:
        print(json.dumps([verdict.as_data() for verdict in verdicts], indent=1))
    return int(any(verdict.failures for verdict in verdicts))
