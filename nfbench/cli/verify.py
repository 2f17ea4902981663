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
    results: Annotated[Path | None, typer.Option(help="Store the verdicts in this folder of results.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check that flows are right; exit code 1 if one is not, with code that shows why."""
    from nfbench.foundation.files import check_writable
    from nfbench.records.verdicts import write
    from nfbench.verification.stored import check_registered, record_of
    from nfbench.verification.subjects import every, expanded
    from nfbench.verification.verify import verify as run

    if named and libraries:
        raise InputError("verify: --libraries beside names: expected one of them")
    texts = [each for text in named for each in expanded(text)] if named else every(libraries=libraries)
    verdicts: list[Verdict] = []
    if results is not None:
        check_writable(results)
        for text in texts:
            check_registered(text)
    for place, text in enumerate(texts):
        verdicts.append(run(text, dim, depth, dtype=dtype, device=device, strict=strict))
        if results is not None:
            write(results, record_of(verdicts[-1], place, strict=strict, dtype=dtype, device=device))
        if not as_json:
            print(
                verdicts[-1] if named or not verdicts[-1].passed else verdicts[-1].last_line,
                end="\n" * 2 if named else "\n",
            )
            sys.stdout.flush()
    if as_json:
        print(json.dumps([verdict.as_data() for verdict in verdicts], indent=1))
    return int(not all(verdict.passed for verdict in verdicts))
