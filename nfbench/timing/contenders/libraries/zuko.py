"""zuko (Rozet et al. 2022): additive couplings after permutations."""

from torch import Tensor, nn

from nfbench.posteriors.libraries.zuko import ZUKO as LIBRARY
from nfbench.posteriors.libraries.zuko import couplings
from nfbench.records.timings import Case
from nfbench.timing.contenders import form
from nfbench.timing.contenders.contract import Contender, Inputs, Work, register
from nfbench.timing.contenders.form import Form, Model, Setting


def _nice(setting: Setting, learned: list[nn.Parameter]) -> Model | None:
    """Lazy transformations, made anew in each call as its documentation does; its rotations are learned, and proper."""
    orders = form.orders(setting)
    if setting.points > 1 or not orders:
        return None
    normal = LIBRARY.load("distributions").DiagNormal
    (mean, log_sigma), maps = form.grouped(learned, 4)
    lazy = couplings(setting.dim, orders, [numbers[0].shape[1] for numbers in maps], len(maps[0][0]))
    for coupling, numbers in zip(lazy.transforms[1::2], maps, strict=True):
        linear, _, last = coupling.hyper
        linear.weight, linear.bias, last.weight, last.bias = numbers

    def draw(noise: Tensor) -> tuple[Tensor, Tensor]:
        sigma = log_sigma.exp()
        z = mean + sigma * noise
        log_q = normal(mean, sigma).log_prob(z)
        z, log_det = lazy().call_and_ladj(z)
        return z, log_q - log_det

    def density(z: Tensor) -> Tensor:
        z, log_det = lazy().inv.call_and_ladj(z)
        log_q: Tensor = normal(mean, log_sigma.exp()).log_prob(z) + log_det
        return log_q

    return Model(draw, density, rows=True)


def build(case: Case, inputs: Inputs) -> Work | None:
    """The case's work by zuko.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None where the library has no such map or mode.
    """
    return form.work(case, inputs, {"nice": Form(form.couplings, _nice)})


ZUKO = register(Contender("zuko", "zuko", build, ("zuko", "torch"), "peers"))
