"""Tensors of unusual kinds: with the negative bit, of inference mode, under a default device; right, or one line."""

import pytest
import torch
from support.families import normal, posterior, specs
from support.refused import refused

from nfbench import target
from nfbench.kernels.cpu import memory

pytestmark = pytest.mark.usefixtures("compiled")
EVERY = pytest.mark.parametrize("spec", specs(3))
POINTS = pytest.mark.parametrize("points", [1, 3])


def negative(*shape, seed=0):
    """Normal numbers (float32) that are stored as their negatives: the imaginary part of a conjugate."""
    numbers = torch.complex(normal(*shape, seed=seed).float(), normal(*shape, seed=seed + 1).float()).conj().imag
    assert numbers.is_neg()
    return numbers


@EVERY
@POINTS
def test_the_negative_bit(spec, points):
    """Noise, and gradients from above, that are stored as their negatives give what ordinary ones give."""
    q = posterior(spec, 4, points=points)
    noise = negative(16, points, q.noise_dim)

    def results(noise, *, ordinary):
        z, log_q = q(noise)
        grads = [negative(*value.shape, seed=3) for value in (z, log_q)]
        grads = [grad.resolve_neg() for grad in grads] if ordinary else grads
        return z, log_q, *torch.autograd.grad((z, log_q), tuple(q.parameters()), grads)

    for ours, expected in zip(results(noise, ordinary=False), results(noise.resolve_neg(), ordinary=True), strict=True):
        torch.testing.assert_close(ours, expected)


def test_an_array_of_the_negative_bit():
    """A kernel sees the numbers, not what is stored."""
    assert memory.array(negative(5)).tolist() == negative(5).tolist()


@EVERY
@POINTS
def test_built_in_inference_mode(spec, points):
    """A posterior that is built in inference mode can be trained outside it, and draws within it."""
    with torch.inference_mode():
        q = posterior(spec, 4, points=points)
        assert q(torch.zeros(5, points, q.noise_dim))[0].shape == (5, points, 4)
    z, log_q = q(normal(5, points, q.noise_dim, seed=1).float())
    (z.square().sum() + log_q.sum()).backward()
    assert all(parameter.grad is not None for parameter in q.parameters())


@pytest.mark.parametrize("spec", ["gaussian", "planar:K=3", "radial:K=3", "nice:K=3", "low-rank", "iaf:K=2"])
def test_noise_of_inference_mode(spec):
    """It cannot be followed by gradients: one line where one is wanted, an answer where none is."""
    q, amortized = posterior(spec, 4), posterior(spec, 4, 5)
    with torch.inference_mode():
        noise, features = torch.ones(6, 3, q.noise_dim), torch.ones(3, 5)
    refused(lambda: q(noise), "torch.inference_mode", "noise")
    refused(lambda: amortized(noise.clone(), features), "torch.inference_mode", "features")
    with torch.no_grad():
        assert q(noise)[0].shape == (6, 3, 4)
    q(noise.clone())[1].sum().backward()


@EVERY
@POINTS
def test_a_default_device(spec, points):
    """Parameters are on the CPU, as `posterior` says, and kernels run, whatever device is torch's default."""
    expected = posterior(spec, 4, points=points)
    noise = normal(5, points, expected.noise_dim, seed=1).float()
    z, log_q = expected(noise)
    with torch.device("meta"):
        q = posterior(spec, 4, points=points)
        ours = q(noise)
        (ours[0].sum() + ours[1].sum()).backward()
    assert torch.equal(ours[0], z)
    assert torch.equal(ours[1], log_q)
    assert all(parameter.grad.device.type == "cpu" for parameter in q.parameters())
    on_meta = posterior(spec, 4, points=points, device="meta")
    assert {parameter.device.type for parameter in on_meta.parameters()} == {"meta"}


@pytest.mark.parametrize("spec", ["u1", "digits"])
def test_targets_under_a_default_device(spec):
    """A target is built on the CPU too, of tensors that gradients can be followed through."""
    with torch.device("meta"), torch.inference_mode():
        built = target(spec)
    tensors = [*built.parameters(), *built.buffers()] if isinstance(built, torch.nn.Module) else []
    assert all(tensor.device.type == "cpu" and not tensor.is_inference() for tensor in tensors)
    if spec == "digits":
        assert tensors
