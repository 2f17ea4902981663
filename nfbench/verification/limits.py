"""What a family cannot do, however right it is: seen by trying, not declared."""

import warnings

import torch

from nfbench.foundation.errors import InputError, reason
from nfbench.posteriors.contract import Flow
from nfbench.posteriors.flow_posterior import FlowPosterior
from nfbench.records.verdicts import Ability
from nfbench.specification.config import Training
from nfbench.targets.build import target
from nfbench.training.objective import Inference
from nfbench.training.update import Update
from nfbench.verification.subject import Subject

_SEEDS, _DRAWS = 2, 3  # of the update that is tried


def limits(subject: Subject) -> dict[Ability, str]:
    """Try what families can do beside draws with their ln q.

    >>> from nfbench.verification.subjects import subject
    >>> limits(subject("planar:K=2")), limits(subject("realnvp"))["one_dimension"]
    ({}, "posterior 'realnvp': dim=1: expected at least 2")

    Args:
        subject: at a D that the family can have.

    Returns:
        What it cannot do -> how that was seen, in words.
    """
    found: dict[Ability, str] = {}
    q = subject.build()
    if not q.has_density:
        found["density"] = "ln q is known of draws only"
    flow = q.flow if isinstance(q, FlowPosterior) else None
    if flow is not None and _has_fixed_maps(flow):
        found["context"] = "its maps take no numbers of a data point: only the base depends on it"
    elif not subject.takes_features:
        found["context"] = "it takes no features of a data point"
    if subject.dim > 1 and (refused := _refused(subject.at(dim=1))):
        found["one_dimension"] = refused
    if one_by_one := _one_by_one(subject):
        found["seeds_together"] = one_by_one
    return found


def _has_fixed_maps(flow: Flow) -> bool:
    """Whether a chain has learned maps that do not depend on a data point."""
    return flow.depth > 0 and flow.num_params == 0


def _refused(subject: Subject) -> str:
    """Why a family cannot have a size; empty where it can."""
    try:
        subject.build()
    except InputError as error:
        return str(error)
    return ""


def _one_by_one(subject: Subject) -> str:
    """Why several seeds do not train as one program; empty where they do."""
    to = target(f"normal:dim={subject.dim}")
    models = [
        Inference(to, subject.make(subject.dim, subject.depth, None, 1, seed)).to(subject.device, subject.dtype)
        for seed in range(_SEEDS)
    ]
    update = Update(models, Training(learning_rate=0.01, updates=1, anneal_updates=0))
    noise = torch.ones(_SEEDS, _DRAWS, 1, models[0].posterior.noise_dim, dtype=subject.dtype, device=subject.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it says is in the result
        try:
            update.gradient(noise, None, 1.0)
        except Exception as error:
            return reason(error)
    return update.one_by_one or ""
