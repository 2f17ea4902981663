"""What is verified: how to build it at any size, with which parameters, and the code that builds it again."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.posteriors.contract import Flow, Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.posteriors.following import follow
from nfbench.posteriors.library_flow import LibraryFlow
from nfbench.targets.densities import conjugate

State = Literal["start", "trained-like", "wild", "scattered"]
STATES: tuple[State, ...] = get_args(State)[:3]
SHIFT = 0.3  # of trained-like parameters from the start
Module = TypeVar("Module", bound=torch.nn.Module)
Reference = Callable[[list[float], list[float], dict[str, Any]], tuple[list[float], float]]


@dataclass(frozen=True)
class Subject:
    """A family at one size.

    Attributes:
        name: as the user wrote it.
        make: (dim, depth, features or None, points, seed) -> the posterior at its start, in float32 on the CPU.
        code: (dim, depth) -> lines of Python that make ``q``, the posterior at its start.
        dim: D.
        depth: K; 0 for a family without depth.
        has_depth: whether the family has K at all.
        facts: K -> what the family declares of itself at that depth, by name.
        takes_features: whether it can be amortized.
        dtype: of the checks in the precision of trainings.
        device: of torch.
        reference: an oracle in plain Python, (z_0, theta, weights) -> (z_K, ln|det|); None where there is none.
    """

    name: str
    make: Callable[[int, int, int | None, int, int], Posterior]
    code: Callable[[int, int], tuple[str, ...]]
    dim: int
    depth: int
    has_depth: bool
    facts: Callable[[int], Mapping[str, bool]]
    takes_features: bool = True
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    reference: Reference | None = None

    def at(self, *, dim: int | None = None, depth: int | None = None) -> "Subject":
        """The same family at another size.

        Args:
            dim: D; None: as it is.
            depth: K; None: as it is.

        Returns:
            A new subject.
        """
        return replace(self, dim=self.dim if dim is None else dim, depth=self.depth if depth is None else depth)

    def can_have(self, dim: int) -> bool:
        """Whether the family can have so many dimensions.

        Args:
            dim: D.

        Returns:
            False where it refuses.
        """
        try:
            self.at(dim=dim).build()
        except InputError:
            return False
        return True

    def build(
        self,
        state: State = "start",
        seed: int = 0,
        *,
        features: int | None = None,
        points: int = 1,
        start_seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> Posterior:
        """Build the posterior with parameters of a state.

        Args:
            state: of the parameters.
            seed: of the parameters.
            features: F; None for free parameters.
            points: rows of a free posterior's numbers.
            start_seed: of the start and of what is random and fixed in the family.
            dtype: of the parameters.

        Returns:
            The posterior on the subject's device. One without a density at points follows the gradient of a conjugate
            model (`nfbench.targets.densities.conjugate`) where it is given no target.
        """
        q = self.make(self.dim, self.depth, features, points, start_seed).to(dtype=dtype)
        return follow(set_parameters(q, state, seed).to(device=self.device), conjugate.log_joint)

    def noise(self, q: Posterior, draws: int, points: int = 1, *, seed: int = 0, scale: float = 1.0) -> Tensor:
        """Normal noise of a seed of its own.

        Args:
            q: gives N, dtype and device.
            draws: S.
            points: B.
            seed: of the noise.
            scale: standard deviation.

        Returns:
            (S, B, N).
        """
        generator = stream(seed, "verify")
        size = (draws, points, q.noise_dim)
        return scale * torch.randn(size, generator=generator, dtype=torch.float64).to(next(q.parameters()))


def set_parameters(module: Module, state: State, seed: int = 0) -> Module:
    """Give every parameter of a module new values, in place; buffers stay.

    Args:
        module: at its start.
        state: ``start`` leaves the parameters, ``trained-like`` adds N(0, 0.3^2) to each, ``wild`` draws each from
            N(0, 1), nowhere near the start; ``scattered`` gives each three times the product of two such numbers,
            small ones and large ones side by side. All are in `units`.
        seed: of the values.

    Returns:
        The module.

    >>> first, again = (set_parameters(torch.nn.Linear(2, 3), "wild", seed=1) for _ in range(2))
    >>> torch.equal(first.weight, again.weight)
    True
    """
    generator = stream(seed, "parameters")
    with torch.no_grad():
        for parameter, unit in units(module) if state != "start" else ():
            numbers = unit * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if state == "scattered":
                numbers *= 3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(parameter + SHIFT * numbers.to(parameter) if state == "trained-like" else numbers)
    return module


def units(module: torch.nn.Module) -> Iterator[tuple[torch.nn.Parameter, float]]:
    """The size of each parameter that moves what it is multiplied into by about 1.

    nfbench's own families divide sums over hidden units by the root of their number; other libraries do not, so that
    their matrices come in units of 1 / sqrt(columns).

    Args:
        module: any.

    Yields:
        A parameter and its unit.
    """
    foreign = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, LibraryFlow)
        for parameter in part.parameters()
        if parameter.dim() > 1 and parameter.numel()
    }
    for parameter in module.parameters():
        yield parameter, parameter.shape[-1] ** -0.5 if id(parameter) in foreign else 1.0


def states(q_or_flow: Posterior | Flow) -> tuple[State, ...]:
    """The states at which a map's formulas hold exactly.

    Args:
        q_or_flow: of the family.

    Returns:
        All three; without ``wild`` for a family that integrates numerically, whose error is small near its start only.
    """
    return STATES[:2] if integration_error(q_or_flow) else STATES


def parameters(q_or_flow: Posterior | Flow, seeds: int, among: Sequence[State] = STATES) -> Iterator[tuple[State, int]]:
    """The parameters at which a check looks: each of `states` with so many seeds, the start, which has none, once.

    Args:
        q_or_flow: of the family.
        seeds: how many.
        among: the states that the check looks at.

    Yields:
        State and seed, as `Subject.build` takes them.
    """
    for state in (state for state in states(q_or_flow) if state in among):
        yield from ((state, seed) for seed in range(seeds if state != "start" else 1))


def integration_error(q_or_flow: Posterior | Flow) -> float:
    """The declared error of a numerical integration inside the family; 0 for closed forms.

    Args:
        q_or_flow: of the family.

    Returns:
        In nats of ln|det|, and in units of z of the round trip.
    """
    module = q_or_flow.flow if isinstance(q_or_flow, FlowPosterior) else q_or_flow
    return float(getattr(module, "integration_error", 0.0))


def literal(noise: Tensor) -> str:
    """A tensor as code.

    >>> literal(torch.zeros(1, 1, 2, dtype=torch.float64))
    'torch.tensor([[[0.0, 0.0]]], dtype=torch.float64)'

    Args:
        noise: of any shape.

    Returns:
        An expression.
    """
    return f"torch.tensor({noise.tolist()}, dtype={noise.dtype})"


_FILE = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")


def file_and_name(text: str) -> tuple[str, str] | None:
    """Split what names a flow in a file.

    >>> file_and_name("my.py:flow"), file_and_name("planar:K=8")
    (('my.py', 'flow'), None)

    Args:
        text: as the user wrote it.

    Returns:
        File and name, or None for anything else.
    """
    match = _FILE.fullmatch(text)
    return (match["file"], match["name"]) if match else None
