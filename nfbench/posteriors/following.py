"""Posteriors that follow a target's gradient, tied to one target, so that they can be called without it."""

from typing import Any, TypeVar

from torch import nn

from nfbench.posteriors.contract import LogJoint, Posterior

P = TypeVar("P", bound=Posterior)


def follow(q: P, log_joint: LogJoint) -> P:
    """Let a posterior follow a target wherever it is called without one.

    Checks and timings, which are of a posterior alone, do that with a model whose evidence is known.

    Args:
        q: a posterior, changed in place where it has no density at points; others follow no target.
        log_joint: z (S, B, D) -> ln p(x, z) (S, B), in nats.

    Returns:
        The posterior.
    """

    def with_target(
        module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        missing = len(arguments) < 3 and named.get("log_joint") is None
        return arguments, named | ({"log_joint": log_joint} if missing else {})

    if not q.has_density:
        q.register_forward_pre_hook(with_target, with_kwargs=True)
    return q
