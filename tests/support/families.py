"""Every registered family as test parameters: found through the registry, listed nowhere."""

from typing import Any

import pytest
import torch
from torch import Tensor

import nfbench
from nfbench.posteriors.contract import Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.posteriors.following import follow
from nfbench.specification.entry import Entry
from nfbench.specification.registry import posteriors
from nfbench.targets.densities import conjugate
from nfbench.verification.check import Effort


def posterior(*arguments: Any, **options: Any) -> Posterior:
    """As `nfbench.posterior`; families that follow a target's gradient get the conjugate model where none is given."""
    return follow(nfbench.posterior(*arguments, **options), conjugate.log_joint)


def densities(specs: list[str]) -> list[str]:
    """Of the specs those of families that have a density at points."""
    return [spec for spec in specs if posterior(spec, 2).has_density]


def own() -> list[Entry]:
    """The families that no other library computes."""
    return [entry for entry in posteriors if entry.library is None]


def specs(*depths: int) -> list[str]:
    """The spec of every variant of every family of nfbench's own, at each depth where the family has one."""
    found = []
    for entry in own():
        for variant in entry.variants():
            join = "," if ":" in variant else ":"
            found += [f"{variant}{join}K={depth}" for depth in depths] if entry.has_depth else [variant]
    return found


def deep(*depths: int) -> list[str]:
    """The spec of every variant at each depth, of the families that have one."""
    return [spec for spec in specs(*depths) if posteriors.choose(spec).entry.has_depth]


def firsts(*depths: int) -> list[str]:
    """The spec of the first variant of every family that has a depth, at each depth."""
    return [f"{entry.name}:K={depth}" for entry in own() if entry.has_depth for depth in depths]


def flows(*depths: int) -> list[str]:
    """The spec of every variant at each depth, of the families that are flows: maps with an inverse after the base."""
    return [spec for spec in specs(*depths) if isinstance(posterior(spec, 2), FlowPosterior)]


def wild(
    spec: str,
    dim: int,
    seed: int,
    *,
    scale: float = 1.0,
    features: int | None = None,
) -> Posterior:
    """A float64 posterior whose every parameter is drawn from N(0, scale^2): nowhere near its start."""
    q = posterior(spec, dim, features, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in q.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return q


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard normal numbers of a seed of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


QUICK = Effort(seeds=1, points=20, draws=10_000, steps=20)  # of batteries, as tests have time for
FEATURES = 7  # F of amortized posteriors
EVERY = pytest.mark.parametrize("spec", [*specs(3), *firsts(0)])
MODES = pytest.mark.parametrize("features", [None, FEATURES], ids=["free", "amortized"])


def features_for(features: int | None, batch: int) -> Tensor | None:
    """Features (B, F) of as many data points, or None for a free posterior."""
    return None if features is None else normal(batch, features, seed=5)


def draw(q: Posterior, size: tuple[int, int], features: int | None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draws (S, B, D) and ln q (S, B) for `size` = (S, B)."""
    return q(normal(*size, q.noise_dim, seed=seed), features_for(features, size[1]))
