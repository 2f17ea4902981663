"""The old place of what a target is made of, for plug-ins that were written for nfbench 0.1."""

from nfbench.foundation.deprecated import moved

_NAMES = ("Box", "LatentVariableModel", "Splits", "Target")

__getattr__ = moved(__name__, {name: f"nfbench.targets.contract.{name}" for name in _NAMES})
