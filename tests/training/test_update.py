"""How an update is run changes nothing of what it computes: compiled, captured, alone or together."""

import pytest
import torch
from support.trained import models_of

from nfbench import target
from nfbench.foundation.errors import InputError
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.specification.config import Training
from nfbench.training.acceleration import PLAIN, Acceleration
from nfbench.training.cuda_graph import Captured
from nfbench.training.loop import train
from nfbench.training.objective import Inference
from nfbench.training.program import Program
from nfbench.training.schedules import annealing

CONFIG = Training(learning_rate=0.01, updates=40, draws=8, batch=20, anneal_updates=20, schedule="one-cycle")
IMAGES = "digits:dim=3,hidden=4"


def _program(
    target_spec: str, seeds: int, acceleration: Acceleration = PLAIN, device: str = "cpu", **rest: object
) -> Program:
    config = CONFIG.model_copy(update=rest)
    return Program(models_of("planar:K=2", target_spec, range(seeds)), range(seeds), config, device, acceleration)


def _replaying(run):
    """In place of a CUDA graph: replaying runs the same function on the same tensors, its result kept in one place."""
    result = run().clone()

    def replay():
        result.copy_(run())

    return replay, result


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("target_spec", ["u1", IMAGES])
def test_captured_updates_are_the_plain_ones(target_spec, optimizer):
    """Fixed input tensors, warm-up and recording leave no trace: the numbers are the same to float64's rounding."""
    plain, replayed = (_program(target_spec, 2, optimizer=optimizer, dtype="float64") for _ in range(2))
    captured = None
    for step in range(12):
        plain.advance()
        inputs = replayed.noise(step), replayed.batches and replayed.batches(step)
        captured = captured or _captured(replayed, *inputs)
        captured(*inputs, annealing(CONFIG)(step), replayed.rate(step))
    for name, value in plain.update.state().items():
        assert torch.allclose(replayed.update.state()[name], value, rtol=1e-12, atol=1e-12), name


def _captured(program: Program, noise: torch.Tensor, batch: torch.Tensor | None) -> Captured:
    def run(noise, batch, beta, rate):
        return program.update.apply(*program.update.gradient(noise, batch, beta), float(rate))

    scalar = noise.new_ones(())
    return Captured(run, [noise, batch, scalar, scalar], list(program.update.state().values()), _replaying)


def test_a_capture_reads_its_inputs_anew():
    """What is replayed sees the numbers of the call, as tensors or floats, and the state goes on from call to call."""
    total = torch.zeros(())
    captured = Captured(
        lambda x, none, scale: total.add_(x.sum() * scale), [torch.ones(3), None, torch.ones(())], [total], _replaying
    )
    assert total == 0
    assert captured(torch.full((3,), 2.0), None, 0.5) == 3
    assert captured(torch.full((3,), 2.0), None, torch.tensor(10.0)) == 63


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of inductor's own imports
def test_compiled_updates_are_the_plain_ones():
    """Two seeds through `torch.compile` end after five updates at the plain numbers, to float64's rounding."""
    plain = _program("u1", 2, dtype="float64")
    compiled = _program("u1", 2, Acceleration(compile=True), dtype="float64")
    for _ in range(5):
        plain.advance()
        compiled.advance()
    for name, value in plain.update.state().items():
        assert torch.allclose(compiled.update.state()[name], value, rtol=1e-10, atol=1e-10), name


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_a_cuda_graph_wants_cuda(device):
    """On another device it is refused in one line that names the device."""
    with pytest.raises(InputError, match=f"a CUDA graph on device '{device}': expected cuda"):
        train(
            models_of("gaussian", "u1", range(1)),
            [0],
            CONFIG,
            device=device,
            acceleration=Acceleration(cuda_graph=True),
        )


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
@pytest.mark.parametrize("target_spec", ["u1", IMAGES])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_cuda_graph_trains_as_plain_updates_do(seeds, target_spec, optimizer):
    """On a GPU the captured training ends where the plain one does, but for the float32 of Adam's captured rate.

    Over 12 updates: RMSprop's first steps are ten times its rate, and for some noise 20 of them make 1e-15 to 1e-3.
    """
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    config = CONFIG.model_copy(
        update={"optimizer": optimizer, "learning_rate": 0.002, "dtype": "float64", "updates": 12}
    )
    plain, graph = (
        train(
            models_of("planar:K=2", target_spec, range(seeds)),
            range(seeds),
            config,
            device="cuda",
            acceleration=acceleration,
        )
        for acceleration in (PLAIN, Acceleration(cuda_graph=True))
    )
    for ours, theirs in zip(graph.models, plain.models, strict=True):
        for name, value in theirs.state_dict().items():
            assert torch.allclose(ours.state_dict()[name], value, rtol=1e-7, atol=1e-7), name
    for ours, theirs in zip(graph.curves, plain.curves, strict=True):
        assert ours["free_energy"] == pytest.approx(theirs["free_energy"], rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("spec", ["full-covariance", "sylvester:K=2", "iaf:K=2,hidden=4", "nsf:K=2,hidden=4,bins=4"])
def test_seeds_of_a_family_with_buffers_that_are_not_stored_train_together(spec):
    """Buffers outside the state dict (indices, masks) do not keep several seeds from having their numbers delivered."""
    trained = train(
        models_of(spec, "u1", range(2)), [0, 1], CONFIG.model_copy(update={"updates": 3, "anneal_updates": 1})
    )
    assert trained.diverged == [None, None]
    first, second = (list(model.posterior.parameters()) for model in trained.models)
    assert any(not torch.equal(left, right) for left, right in zip(first, second, strict=True))
    start = list(models_of(spec, "u1", range(1))[0].posterior.parameters())
    assert any(not torch.equal(left, right) for left, right in zip(first, start, strict=True))


class _Recomputed(torch.autograd.Function):
    """A scaled exponential, whose backward pass asks the module again, as a quadrature by autograd does."""

    @staticmethod
    def forward(ctx, module, z, *numbers):
        ctx.module = module
        ctx.save_for_backward(z)
        return module.scaled(z)

    @staticmethod
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        with torch.enable_grad():
            value = ctx.module.scaled(z := z.detach().requires_grad_())
        return (None, *torch.autograd.grad(value, [z, *ctx.module.parameters()], gradient))


class _Recomputing(Flow):
    """z exp(a), by `_Recomputed` or by plain autograd."""

    def __init__(self, dim, recompute):
        super().__init__(dim, 1, 0)
        self.a, self.recompute = torch.nn.Parameter(0.1 * torch.randn(dim)), recompute

    def scaled(self, z):
        return z * self.a.exp()

    def forward(self, z, theta):
        moved = _Recomputed.apply(self, z, self.a) if self.recompute else self.scaled(z)
        return moved, self.a.sum().expand(z.shape[:-1])

    def inverse(self, z, theta):
        raise NotImplementedError

    def initial(self):
        return torch.zeros(0)


def test_modules_that_are_called_again_have_their_seeds_numbers():
    """Where vmap cannot follow, each seed's module is called with its own numbers, in the backward pass too."""
    trained = {}
    for recompute in (True, False):
        models = []
        for seed in range(3):
            torch.manual_seed(seed)
            models.append(Inference(target("u1"), FlowPosterior(_Recomputing(2, recompute))).double())
        config = CONFIG.model_copy(update={"dtype": "float64"})
        if recompute:
            with pytest.warns(UserWarning, match="3 seeds train one by one"):
                trained[recompute] = train(models, range(3), config)
        else:
            trained[recompute] = train(models, range(3), config)
    assert trained[True].one_by_one
    for ours, theirs in zip(trained[True].models, trained[False].models, strict=True):
        for name, value in theirs.state_dict().items():
            own = ours.state_dict()[name]
            torch.testing.assert_close(own, value, rtol=1e-9, atol=1e-12)
            assert own.untyped_storage().nbytes() == own.nbytes, "a view of all seeds' numbers"
    assert not torch.equal(trained[True].models[0].posterior.flow.a, trained[True].models[1].posterior.flow.a)
