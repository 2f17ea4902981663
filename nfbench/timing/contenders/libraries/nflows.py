"""nflows (Durkan et al. 2020): additive couplings after permutations."""

import torch
from torch import Tensor, nn

from nfbench.posteriors.libraries.nflows import NFLOWS as LIBRARY
from nfbench.posteriors.libraries.nflows import composite, coupling, permutation
from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Contender, Inputs, Work, register
from nfbench.timing.contenders.form import Form, Model, Setting


class _Shift(nn.Module):
    """A coupling's network as it is called there, with a context."""

    def __init__(self, numbers: list[nn.Parameter]) -> None:
        super().__init__()
        self.network = form.network(*numbers)

    def forward(self, fixed: Tensor, context: Tensor | None = None) -> Tensor:
        shift: Tensor = self.network(fixed)
        return shift


def _nice(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
    """Its own base and composition, in the direction from the base to z; of its mixings the permutations are fixed."""
    orders = form.orders(setting)
    if setting.points > 1 or orders is None:
        return None
    (mean, log_sigma), maps = form.grouped(learned, 4)
    base = LIBRARY.load("distributions").DiagonalNormal((setting.dim,)).to(mean.device)
    base.mean_, base.log_std_ = mean, log_sigma
    layers: list[nn.Module] = []
    for order, numbers in zip(orders, maps, strict=True):
        moved = torch.arange(setting.dim) >= numbers[0].shape[1]
        additive = coupling("AdditiveCouplingTransform", moved, lambda kept, moved, given=numbers: _Shift(given))
        layers += [permutation(order), additive.to(order.device)]
    transform = composite(layers)

    def draw(noise: Tensor) -> tuple[Tensor, Tensor]:
        z = mean + torch.exp(log_sigma) * noise
        log_q = base.log_prob(z)
        z, log_det = transform(z)
        return z, log_q - log_det

    def density(z: Tensor) -> Tensor:
        z, log_det = transform.inverse(z)
        log_q: Tensor = base.log_prob(z) + log_det
        return log_q

    return Model(draw, density, rows=True)


def build(case: Case, inputs: Inputs) -> Work | None:
    """The case's work by nflows.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where the library has no such map or mode.
    """
    return form.work(case, inputs, {"nice": Form(form.couplings, _nice)})


NFLOWS = register(Contender("nflows", "nflows", build, ("nflows", "torch"), "peers"))
