"""Verdicts as records, so that tables can show them beside what trainings reached."""

from nfbench.foundation.environment import now, provenance, runtime
from nfbench.foundation.errors import InputError
from nfbench.records.verdicts import Checked, Examined, StoredVerdict, identity
from nfbench.specification.choices import Dtype
from nfbench.specification.registry import posteriors
from nfbench.specification.spec import Spec, parse
from nfbench.verification.limits import limits
from nfbench.verification.subject import file_and_name
from nfbench.verification.subjects import subject
from nfbench.verification.verify import Verdict


def check_registered(text: str) -> None:
    """Refuse what no table could find again: a flow that is in a file, not in the registry.

    Args:
        text: as the user wrote it.

    Raises:
        InputError: it is no spec.
    """
    if file_and_name(text):
        raise InputError(f"verify {text!r}: --results: expected specs of registered families, not a flow in a file")


def record_of(verdict: Verdict, order: int, *, strict: bool, dtype: Dtype, device: str) -> StoredVerdict:
    """A verdict as it is stored, with what the family cannot do.

    Args:
        verdict: of a spec of the registry.
        order: of the family among those of the command.
        strict: whether the searches were the long ones.
        dtype: of the checks in the precision of trainings.
        device: of torch.

    Returns:
        The record.
    """
    spec = parse(verdict.name)
    entry = posteriors.choose(spec).entry
    depth = (("K", str(verdict.depth)),) if entry.has_depth else ()
    choice = posteriors.choose(Spec(spec.name, (*depth, *spec.without("K").options)))
    examined = Examined(
        posterior=str(choice),
        library=entry.checked_library,
        dims=verdict.dims,
        strict=strict,
        dtype=dtype,
        device=device,
    )
    tried = subject(str(choice), max(verdict.dims), dtype=dtype, device=device)
    return StoredVerdict(
        id=identity(examined),
        examined=examined,
        label=choice.label,
        kind=entry.declared.kind if entry.declared else "other",
        order=order,
        checks=[
            Checked(check=result.check.name, status=result.status, detail=result.detail, size=result.size)
            for result in verdict.results
        ],
        lacking=limits(tried),
        seconds=sum(result.seconds for result in verdict.results),
        finished=now(),
        provenance=provenance() | runtime(device),
    )
