"""The textbook form: what is written from the paper, a module a map, with its own constraint and log-determinant.

Written apart from the package's kernels, in torch's own operations over all draws at once, and with no step that a
careful author would not take. Numbers for each data point come as what an inference network puts out, one tensor
(B, K, D) a kind, of which each map takes its slice: so it is published (van den Berg et al. 2018, released code, and
what was made from it). The contender `split` has instead a tensor of its own for each map, which nothing has to slice.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Inputs, Work
from nfbench.timing.contenders.form import Form, Model, Setting
from nfbench.timing.contenders.textbook_layers import (
    Chain,
    Coupling,
    Invertible,
    Permutation,
    Planar,
    Radial,
    Rotation,
    Sliced,
)

FORMS: dict[str, Form] = {}


def textbook(family: str, numbers: Callable[[Setting], list[Tensor]], per_map: int) -> Callable[..., None]:
    """Decorate the layers of a family, ``(setting, numbers of each map) -> layers``, to make its form known.

    Args:
        family: its registered name.
        numbers: the family's learned tensors, made from nfbench's.
        per_map: how many of them a map has.

    Returns:
        A decorator that enters the form in `FORMS`; the decorated name is then None.
    """

    def decorate(layers: Callable[[Setting, list[list[nn.Parameter]]], list[nn.Module]]) -> None:
        def model(setting: Setting, learned: list[nn.Parameter]) -> Model:
            base, maps = form.grouped(learned, per_map)
            return _drawing(Chain(base[0], base[1], layers(setting, maps)))

        FORMS[family] = Form(numbers, model)

    return decorate


def sliced(written: Form, function: Callable[..., tuple[Tensor, Tensor]], *sizes: int | None) -> Form:
    """The form in which data points that have numbers of their own find them in one tensor a kind.

    Args:
        written: the family's form, which stays what it is where one set of numbers serves all points.
        function: a map, ``(z, its numbers) -> f(z), ln|det|``.
        sizes: of a map's numbers, kind by kind; None stands for D.

    Returns:
        The form, with one tensor (B, K, size) a kind where B > 1 and K > 0.
    """

    def numbers(setting: Setting) -> list[Tensor]:
        if setting.points == 1:
            return written.numbers(setting)
        widths = [setting.dim if size is None else size for size in sizes]
        theta = setting.state["source.theta"].reshape(setting.points, setting.depth, sum(widths))
        return setting.base + list(torch.split(theta, widths, -1))

    def model(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
        if setting.points == 1 or setting.depth == 0:
            return written.model(setting, learned)
        return _drawing(Chain(learned[0], learned[1], [Sliced(function, learned[2:])]))

    return Form(numbers, model)


def _drawing(chain: Chain) -> Model:
    invertible = all(isinstance(layer, Invertible) for layer in chain.layers)
    return Model(chain, chain.log_prob if invertible else None)


@textbook("gaussian", lambda setting: setting.base, 1)
def _gaussian(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    return []


@textbook("planar", form.planar, 3)
def _planar(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    return [Planar(*numbers) for numbers in maps]


@textbook("radial", form.radial, 3)
def _radial(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    return [Radial(*numbers) for numbers in maps]


@textbook("nice", form.couplings, 4)
def _nice(setting: Setting, maps: list[list[nn.Parameter]]) -> list[nn.Module]:
    orders = form.orders(setting)
    mixing = map(Permutation, orders) if orders is not None else map(Rotation, form.mixing(setting))
    couplings = [Coupling(*numbers) for numbers in maps]
    return [layer for pair in zip(mixing, couplings, strict=True) for layer in pair]


SLICED = {
    "planar": sliced(FORMS["planar"], Planar.map, None, None, 1),
    "radial": sliced(FORMS["radial"], Radial.map, None, 1, 1),
}


def eager(case: Case, inputs: Inputs) -> Work | None:
    """The textbook form, run operation by operation.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where there is no such form.
    """
    return form.work(case, inputs, FORMS | SLICED)
