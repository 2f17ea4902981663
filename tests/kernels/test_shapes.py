"""Tensors that do not fit each other are refused in one line, before a kernel reads memory that is not theirs."""

import pytest
import torch
from support.families import normal
from support.refused import refused, zeros

from nfbench import InputError, posterior
from nfbench.kernels import shapes
from nfbench.kernels.coupling import reference as coupling
from nfbench.kernels.diagonal import reference as diagonal
from nfbench.kernels.layers import bernoulli
from nfbench.kernels.layers.maxout import maxout
from nfbench.kernels.planar import reference as planar
from nfbench.kernels.radial import reference as radial

MAPS = {"planar": planar, "radial": radial}


@pytest.mark.parametrize("name", MAPS)
def test_kernels_called_by_themselves(name):
    """The chains' own entries know only what the tensors say, and that is enough."""
    module = MAPS[name]
    row = module.numbers(2)
    z, base = zeros(6, 5, 2), zeros(1, 4)
    for call in (module.chain, module.inverse):
        refused(lambda call=call: call(z, zeros(3, 4, row)), "B = 5", f"maps (3, 4, {row}) has 3")
        refused(lambda call=call: call(z, zeros(1, 4, row + 1)), row, row + 1)
        refused(lambda call=call: call(z, zeros(4, row)), "2 axes")
        refused(lambda call=call: call(z[0], zeros(1, 4, row)), "2 axes")
        refused(lambda call=call: call(z.half(), zeros(1, 4, row)), torch.float16, torch.float32)
        refused(lambda call=call: call(z.long(), zeros(1, 4, row).long()), torch.int64)
    refused(lambda: module.draw(z, base, zeros(3, 2 * row)), "B = 5", f"theta (3, {2 * row}) has 3")
    refused(lambda: module.draw(z, base, zeros(1, 2 * row + 1)), 2 * row + 1, row)
    refused(lambda: module.draw(z[:, :1], zeros(2, 4), zeros(3, row)), "base (2, 4) has 2", f"theta (3, {row}) has 3")
    refused(lambda: module.draw(z, base, zeros(1, 2 * row), 3), 2 * row, 3 * row)
    refused(lambda: module.draw(z, base, zeros(2, 1, row)), "3 axes")


BAD_BASE = [((5, 3, 2), (2, 4)), ((5, 3, 2), (0, 4)), ((5, 3, 2), (1, 6)), ((5, 3, 2), (4,)), ((3, 2), (1, 4))]


@pytest.mark.parametrize(("noise", "base"), BAD_BASE)
def test_the_base_by_itself(noise, base):
    """The diagonal Gaussian's own entry."""
    refused(lambda: diagonal.draw(zeros(*noise), zeros(*base)), "diagonal")


def _network():
    """Points (20, 3, 5), K = 4 couplings with H = 6 units, and marks of what is read and moved."""
    z, basis = normal(20, 3, 5, seed=1), torch.eye(5, dtype=torch.float64).repeat(4, 1, 1)
    sizes = (4, 3, 6), (1, 4, 6), (4, 6, 2), (4, 2)
    return [z, basis, *(normal(*size, seed=seed) for seed, size in enumerate(sizes))], coupling.used(basis, 3)


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        (0, (20, 3, 4)),
        (0, (20, 5)),
        (1, (3, 5, 5)),
        (1, (4, 5, 4)),
        (2, (4, 2, 6)),
        (2, (4, 3, 7)),
        (3, (2, 4, 6)),
        (3, (0, 4, 6)),
        (3, (1, 3, 6)),
        (4, (4, 6, 3)),
        (4, (4, 5, 2)),
        (5, (4, 3)),
        (5, (3, 2)),
    ],
)
def test_couplings_by_themselves(place, shape):
    """Each tensor of a coupling network in turn does not fit the others."""
    given_, rows = _network()
    assert coupling.chain(*given_, rows).shape == (20, 3, 5)
    given_[place] = normal(*shape, seed=9)
    for call in (coupling.chain, coupling.inverse):
        refused(lambda call=call: call(*given_), "coupling")


def test_couplings_of_other_dtypes_and_marks():
    """Weights of another dtype, and marks for another chain."""
    given_, rows = _network()
    for place in range(6):
        mixed = [one.float() if at == place else one for at, one in enumerate(given_)]
        refused(lambda mixed=mixed: coupling.chain(*mixed), torch.float32, torch.float64)
    refused(lambda: coupling.chain(*given_, (rows[0][:3], rows[1])), "reads (3, 5)", "K = 3", "K = 4")


def test_the_likelihood_by_itself():
    """Logits and observations of other pixels, data points or kinds."""
    logits, x = zeros(2, 3, 5), zeros(3, 5)
    refused(lambda: bernoulli.log_prob(logits, x[:, :4]), 5, 4)
    refused(lambda: bernoulli.log_prob(logits, x[:2]), "B = 3", 2)
    refused(lambda: bernoulli.log_prob(logits[0], x[:2]), "B = 3", 2)
    refused(lambda: bernoulli.log_prob(logits, x[0]), "1 axes")
    refused(lambda: bernoulli.log_prob(logits[0, 0], x), "1 axes")
    refused(lambda: bernoulli.log_prob(logits, x.byte()), torch.uint8)


def test_maxout_by_itself():
    """A layer whose bias is longer than its outputs, of other inputs, windows or kinds."""
    x, weight, bias = zeros(7, 3), zeros(8, 3).requires_grad_(), zeros(8)
    refused(lambda: maxout(x, weight, zeros(12), 4), "weight (8, 3)", "bias (12,)")
    refused(lambda: maxout(zeros(7, 2), weight, bias, 4), 2, 3)
    refused(lambda: maxout(x, weight, bias, 3), 8, 3)
    refused(lambda: maxout(x, weight, bias, 0), 8, 0)
    refused(lambda: maxout(x[0], weight, bias, 4), "1 axes")
    refused(lambda: maxout(x, weight, bias.double(), 4), torch.float64, torch.float32)
    refused(lambda: maxout(x.double(), weight, bias, 4), torch.float64, torch.float32)


def test_another_device():
    """Tensors on several devices are refused, with both named."""
    far = zeros(1, 4).to("meta")
    refused(lambda: diagonal.draw(zeros(5, 3, 2), far), "cpu", "meta")
    refused(lambda: posterior("planar:K=2", 2)(zeros(5, 3, 2).to("meta")), "cpu", "meta")


def test_forms_name_both_tensors():
    """The message of a form says which two tensors disagree, about which size."""
    given_ = ("x", zeros(7, 3), "R I"), ("weight", zeros(8, 2), "O I")
    with pytest.raises(InputError, match=r"^layer: x \(7, 3\) has I = 3, weight \(8, 2\) has I = 2: expected the same"):
        shapes.check_forms("layer", *given_)
