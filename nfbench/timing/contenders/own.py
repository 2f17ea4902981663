"""nfbench itself through its public API, and the same with plain PyTorch chains, the reference of all contenders."""

from collections.abc import Callable

import torch
from torch import Tensor

from nfbench.foundation.settings import using_backend
from nfbench.posteriors.build import posterior
from nfbench.posteriors.following import follow
from nfbench.records.timings import Case
from nfbench.targets.densities import conjugate
from nfbench.timing.contenders.contract import Inputs, Work


def own(case: Case, inputs: Inputs) -> Work | None:
    """`q(noise)`, its gradient or `q.log_prob` with the backend that ``NFBENCH_BACKEND`` says.

    Gradients are taken as those of all contenders are, by `torch.autograd.grad`: nothing is added up in a ``grad``. A
    family that follows a target's gradient follows that of a Gaussian model, which costs next to nothing.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None for ``inverse`` where the family has no density at points.
    """
    dtype = getattr(torch, case.dtype)
    points = case.batch if case.amortized else 1
    q = posterior(case.posterior, case.dim, points=points, dtype=dtype, device=case.device)
    q.load_state_dict(dict(inputs.state))
    if case.mode == "inverse" and not q.has_density:
        return None
    follow(q, conjugate.log_joint)
    noise, to_z, to_log_q, where = (
        tensor.to(device=case.device, dtype=dtype)
        for tensor in (inputs.noise, inputs.to_z, inputs.to_log_q, inputs.points)
    )

    def forward() -> dict[str, Tensor]:
        z, log_q = q(noise)
        return {"z": z, "log_q": log_q}

    learned = dict(q.named_parameters())

    def backward() -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
        z, log_q = q(noise)
        pairs = [(value, to) for value, to in ((z, to_z), (log_q, to_log_q)) if value.requires_grad]
        values, upstream = zip(*pairs, strict=True)
        return z, log_q, torch.autograd.grad(values, tuple(learned.values()), upstream, allow_unused=True)

    def outcome() -> dict[str, Tensor]:
        z, log_q, gradients = backward()
        pairs = zip(learned.items(), gradients, strict=True)
        named = {
            f"grad.{name}": torch.zeros_like(parameter) if grad is None else grad for (name, parameter), grad in pairs
        }
        return {"z": z, "log_q": log_q} | named

    def inverse() -> dict[str, Tensor]:
        return {"log_q": q.log_prob(where)}

    if case.mode == "backward":
        return Work(backward, outcome)
    run = {"sample": _without_graph(forward), "forward": forward, "inverse": _without_graph(inverse)}[case.mode]
    return Work(run, run)


def plain(case: Case, inputs: Inputs) -> Work | None:
    """`own`, with every chain in plain PyTorch.

    Args:
        case: of any mode but ``step``.
        inputs: the same for every contender.

    Returns:
        What the clock runs and what is compared; None as of `own`.
    """
    work = own(case, inputs)
    return work and Work(with_reference(work.run), with_reference(work.outcome))


def _without_graph(run: Callable[[], dict[str, Tensor]]) -> Callable[[], dict[str, Tensor]]:
    def quiet() -> dict[str, Tensor]:
        with torch.no_grad():
            return run()

    return quiet


def with_reference(run: Callable[[], object]) -> Callable[[], dict[str, Tensor]]:
    """`run` with every chain in plain PyTorch.

    Args:
        run: a repetition.

    Returns:
        The same repetition under ``NFBENCH_BACKEND=reference``.
    """

    def switched() -> dict[str, Tensor]:
        with using_backend("reference"):
            return run()  # type: ignore[return-value]

    return switched
