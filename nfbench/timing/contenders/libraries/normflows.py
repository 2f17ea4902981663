"""normflows (Stimper et al. 2023): planar, radial, and additive coupling as an affine one without scale."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from nfbench.posteriors.libraries.normflows import NORMFLOWS as LIBRARY
from nfbench.posteriors.libraries.normflows import coupling_map, permutation, planar_maps, radial_maps
from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Contender, Inputs, Work, register
from nfbench.timing.contenders.form import Form, Model, Setting


def _model(base: list[nn.Parameter], flows: list[nn.Module], *, invertible: bool = False) -> Model:
    """The base with its own formulas and the flows in its own loop, `NormalizingFlow.sample` with the noise given."""
    normflows = LIBRARY.load()
    q0 = normflows.distributions.DiagGaussian(base[0].shape[-1])
    q0.loc, q0.log_scale = base
    model = normflows.NormalizingFlow(q0, flows)

    def draw(noise: Tensor) -> tuple[Tensor, Tensor]:
        z = q0.loc + torch.exp(q0.log_scale) * noise
        log_q = -0.5 * q0.d * math.log(2 * math.pi) - torch.sum(q0.log_scale + 0.5 * torch.pow(noise, 2), 1)
        for flow in model.flows:
            z, log_det = flow(z)
            log_q -= log_det
        return z, log_q

    return Model(draw, model.log_prob if invertible else None, rows=True)


def _planar_numbers(setting: Setting) -> list[Tensor]:
    """Its w and u are rows."""
    base, maps = form.grouped(form.planar(setting), 3)
    return base + [number for w, u, b in maps for number in (w[None], u[None], b)]


def _planar(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
    if setting.points > 1:
        return None
    base, maps = form.grouped(learned, 3)
    flows = planar_maps(setting.dim, len(maps))
    for flow, (w, u, b) in zip(flows, maps, strict=True):
        flow.w, flow.u, flow.b = w, u, b
    return _model(base, flows)


def _radial_numbers(setting: Setting) -> list[Tensor]:
    """Its centre is a row; its alpha is |a|, nfbench's is softplus(raw): a = softplus(raw) makes them equal."""
    base, maps = form.grouped(form.radial(setting), 3)
    return base + [number for centre, raw, beta in maps for number in (centre[None], softplus(raw), beta)]


def _radial(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
    if setting.points > 1:
        return None
    base, maps = form.grouped(learned, 3)
    flows = radial_maps(setting.dim, len(maps))
    for flow, (centre, alpha, beta) in zip(flows, maps, strict=True):
        flow.z_0, flow.alpha, flow.beta = centre, alpha, beta
    return _model(base, flows)


def _nice(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
    """Couplings with any network; of its mixings those that are not learned permute."""
    orders = form.orders(setting)
    if setting.points > 1 or orders is None:
        return None
    base, maps = form.grouped(learned, 4)
    flows: list[nn.Module] = []
    for order, numbers in zip(orders, maps, strict=True):
        flows += [permutation(order), coupling_map(form.network(*numbers), scale=False)]
    return _model(base, flows, invertible=True)


FORMS = {
    "planar": Form(_planar_numbers, _planar),
    "radial": Form(_radial_numbers, _radial),
    "nice": Form(form.couplings, _nice),
}


def build(case: Case, inputs: Inputs) -> Work | None:
    """The case's work by normflows.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where the library has no such map or mode.
    """
    return form.work(case, inputs, FORMS)


NORMFLOWS = register(Contender("normflows", "normflows", build, ("normflows", "torch"), "peers"))
