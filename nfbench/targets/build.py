"""Builds the target that a spec names."""

from nfbench.foundation.tensors import ordinary_tensors
from nfbench.specification import registry
from nfbench.targets.contract import Box, LatentVariableModel, Splits, Target

__all__ = ["Box", "LatentVariableModel", "Splits", "Target", "target"]


def target(spec: str) -> Target:
    """Build a target.

    Args:
        spec: name and options, such as ``u1`` or ``u3:walls=none``. A target with parameters (a decoder) draws their
            start from torch's own generator.

    >>> round(target("u1").log_z, 6)
    1.877502

    Returns:
        The target, on the CPU, whatever device is torch's default.

    Raises:
        InputError: unknown name, unknown option, or a value outside its type.
    """
    with ordinary_tensors():
        built: Target = registry.targets.choose(spec).build()
    return built
