"""Pyro (Bingham et al. 2019): planar and radial, by its conditional forms also with numbers for each data point."""

from typing import Any

from torch import Tensor, nn

from nfbench.posteriors.libraries.pyro import PYRO as LIBRARY
from nfbench.posteriors.libraries.pyro_residual import conditioned
from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Contender, Inputs, Work, register
from nfbench.timing.contenders.form import Form, Model, Setting


def _model(setting: Setting, base: list[nn.Parameter], transforms: list[Any]) -> Model:
    """A base distribution, and transforms that remember the log-determinant of their last call."""
    normal = LIBRARY.load("distributions").Normal
    mean, log_sigma = base

    def draw(noise: Tensor) -> tuple[Tensor, Tensor]:
        sigma = log_sigma.exp()
        z = mean + sigma * noise
        log_q = normal(mean, sigma, validate_args=False).to_event(1).log_prob(z)
        for transform in transforms:
            before, z = z, transform(z)
            log_q = log_q - transform.log_abs_det_jacobian(before, z)
        return z, log_q

    return Model(draw, rows=setting.points == 1)


def _planar(setting: Setting, learned: list[nn.Parameter]) -> Model:
    base, maps = form.grouped(learned, 3)
    if setting.points > 1:
        return _model(setting, base, [conditioned("ConditionalPlanar", (b, u, w)) for w, u, b in maps])
    planar = LIBRARY.load("distributions.transforms").Planar
    transforms = [planar(setting.dim) for _ in maps]
    for transform, (w, u, b) in zip(transforms, maps, strict=True):
        transform.w, transform.u, transform.bias = w, u, b
    return _model(setting, base, transforms)


def _radial(setting: Setting, learned: list[nn.Parameter]) -> Model:
    base, maps = form.grouped(learned, 3)
    if setting.points > 1:
        return _model(setting, base, [conditioned("ConditionalRadial", numbers) for numbers in maps])
    radial = LIBRARY.load("distributions.transforms").Radial
    transforms = [radial(setting.dim) for _ in maps]
    for transform, (centre, alpha, beta) in zip(transforms, maps, strict=True):
        transform.x0, transform.alpha_prime, transform.beta_prime = centre, alpha, beta
    return _model(setting, base, transforms)


FORMS = {"planar": Form(form.planar, _planar), "radial": Form(form.radial, _radial)}


def build(case: Case, inputs: Inputs) -> Work | None:
    """The case's work by Pyro.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where the library has no such map or mode.
    """
    return form.work(case, inputs, FORMS)


PYRO = register(Contender("pyro", "Pyro", build, ("pyro-ppl", "torch"), "peers"))
