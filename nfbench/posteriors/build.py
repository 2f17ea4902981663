"""Builds the posterior that a spec names."""

import contextlib

import torch

from nfbench.foundation.checks import brief, whole_number
from nfbench.foundation.errors import InputError
from nfbench.foundation.names import unknown
from nfbench.foundation.randomness import seeded
from nfbench.foundation.tensors import ordinary_tensors
from nfbench.posteriors.contract import Flow, Posterior
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.specification.choices import HEADS, Head
from nfbench.specification.registry import posteriors
from nfbench.specification.spec import Spec


def posterior(
    spec: str | Spec,
    dim: int,
    features: int | None = None,
    *,
    points: int = 1,
    seed: int = 0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    head: Head = "scaled",
) -> Posterior:
    """Build a posterior family.

    Args:
        spec: such as ``planar:K=8`` or ``nice:K=4,mixing=orthogonal``.
        dim: D, latent dimensions.
        features: F; None for free parameters, else numbers come from a head on features (B, F).
        points: free parameters for each of that many data points; 1: the same for all.
        seed: of the start and of whatever is random and fixed in the family.
        dtype: torch's default if None.
        device: CPU if None, whatever device is torch's default.
        head: how features give the numbers of a flow's maps: ``scaled``, as an affine function of features over
            sqrt(F K); ``unscaled``, of the features as they are; ``base``, not at all: data points share them.

    >>> q = posterior("planar:K=8", dim=2)
    >>> z, log_q = q(torch.zeros(5, 1, q.noise_dim))
    >>> z.shape, log_q.shape
    (torch.Size([5, 1, 2]), torch.Size([5, 1]))

    Returns:
        The posterior at its start, a module that turns noise into draws and ln q; a flow with its diagonal base.

    Raises:
        InputError: unknown family or option, a dimension that the family cannot have, or an argument that is no whole
            number, too small, or in conflict with another.
        TypeError: the family's factory returned neither a `Flow` nor a `Posterior`.
    """
    choice = posteriors.choose(spec)
    owner = f"posterior {str(spec)!r}"
    for name, value, least in (("dim", dim, 1), ("points", points, 1), ("seed", seed, 0)):
        whole_number(owner, name, value, least)
    if features is not None:
        whole_number(owner, "features", features, 1)
        if points != 1:
            raise InputError(f"{owner}: points={points} beside features={features}: expected one of them")
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise InputError(
            f"{owner}: dtype={brief(dtype)}: expected a floating-point dtype such as torch.float64, or None"
        )
    if not isinstance(head, str):
        raise InputError(f"{owner}: head={brief(head)}: expected one of {', '.join(HEADS)}")
    if head not in HEADS:
        raise unknown("head", head, HEADS)
    _check_device(owner, device)
    with seeded(seed, "posterior"), ordinary_tensors():
        built = choice.build(dim=dim, features=features, points=points)
        module = FlowPosterior(built, features, points=points, head=head) if isinstance(built, Flow) else built
    if head != "scaled" and not (isinstance(built, Flow) and features is not None):
        raise InputError(f"{owner}: head={head!r}: expected 'scaled', as no features give numbers of maps")
    if isinstance(module, Posterior) and module.points != points:
        raise InputError(f"{owner}: points={points}: expected 1, as the family has no numbers for each data point")
    if not isinstance(module, Posterior):
        raise TypeError(f"posterior {choice.entry.name!r}: its factory returned {type(built).__name__}, not a Flow")
    with torch.inference_mode(mode=False):
        return module.to(device=device, dtype=dtype)


def _check_device(owner: str, device: object) -> None:
    """Refuse a device that torch does not know, or that is not here."""
    if device is None:
        return
    if isinstance(device, str | torch.device):
        with contextlib.suppress(RuntimeError, AssertionError, NotImplementedError):
            torch.empty(0, device=device)
            return
    raise InputError(f"{owner}: device={brief(device)}: expected a device that is here, such as cpu, or None")
