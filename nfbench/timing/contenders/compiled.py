"""The textbook form through `torch.compile`, as it is published and as it is fastest."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from nfbench.foundation.inductor import importing_inductor
from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Inputs, Work
from nfbench.timing.contenders.form import Form, Model, Setting
from nfbench.timing.contenders.textbook import FORMS, SLICED

Result = TypeVar("Result")


def compiled(case: Case, inputs: Inputs) -> Work | None:
    """The very same module through `torch.compile` with inductor; the first call compiles it for the case's shapes.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where there is no such form.
    """
    return form.work(case, inputs, {family: _compiled(written) for family, written in (FORMS | SLICED).items()})


def split(case: Case, inputs: Inputs) -> Work | None:
    """`compiled`, with a tensor of its own for each map's numbers of all data points; None where points have none.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where there is no such form.
    """
    if not case.amortized:
        return None
    return form.work(case, inputs, {family: _compiled(FORMS[family]) for family in SLICED})


def _compiled(written: Form) -> Form:
    def model(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
        plain = written.model(setting, learned)
        if plain is None:
            return None
        density = plain.density and _compile(plain.density)
        return plain._replace(draw=_compile(plain.draw), density=density)

    return Form(written.numbers, model)


def _compile(function: Callable[[Tensor], Result]) -> Callable[[Tensor], Result]:
    return torch.compile(function, dynamic=False, backend=_inductor)


def _inductor(graph: torch.fx.GraphModule, example: list[Tensor]) -> Callable[..., Any]:
    """Inductor with an empty cache folder: else the first call's time tells what was compiled on this disk before."""
    with importing_inductor():
        from torch._inductor.compile_fx import compile_fx
        from torch._inductor.utils import fresh_cache
    with fresh_cache():
        return cast(Callable[..., Any], compile_fx(graph, example))
