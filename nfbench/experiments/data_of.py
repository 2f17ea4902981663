"""Which data the targets of a plan have, found by building them."""

from collections.abc import Sequence

from nfbench.executors.messages import Lost
from nfbench.executors.origins import is_trusted_target
from nfbench.executors.trial import try_each
from nfbench.foundation.errors import InputError, reason, traceback_of
from nfbench.foundation.randomness import seeded
from nfbench.targets.build import target
from nfbench.targets.contract import LatentVariableModel


def protocols_of(specs: Sequence[str]) -> dict[str, str | None]:
    """The data of targets, which are built to know them.

    Targets that are neither nfbench's own nor of the session are built in another process, which they can end.

    Args:
        specs: of the targets.

    Returns:
        By target the data protocol with its hash; None for a target without data.

    Raises:
        InputError: a target cannot be built as asked, or its data are not on this machine.
    """
    trusted = [spec for spec in specs if is_trusted_target(spec)]
    foreign = [spec for spec in specs if spec not in trusted]
    answers: dict[str, str | Lost | None] = {spec: _data_of_trusted(spec) for spec in trusted}
    if foreign:
        answers |= dict(zip(foreign, try_each(data_of, foreign), strict=True))
    data: dict[str, str | None] = {}
    for spec in specs:
        answer = answers[spec]
        if isinstance(answer, Lost):
            raise InputError(f"target {spec!r} cannot be built: {answer.message}")
        data[spec] = answer
    return data


def _data_of_trusted(spec: str) -> str | Lost | None:
    try:
        return data_of(spec)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # torch has its own errors for no memory
        return Lost(reason(error), traceback_of(error))


def data_of(spec: str) -> str | None:
    """Build a target, to know its data and that it can be built.

    Args:
        spec: of the target.

    Returns:
        The data protocol with its hash; None for a target without data.

    Raises:
        InputError: the target cannot be built as asked; or whatever a user's factory raises.
    """
    with seeded(0, "data"):
        built = target(spec)
    return built.data if isinstance(built, LatentVariableModel) else None
