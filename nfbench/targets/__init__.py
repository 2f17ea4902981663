"""What is being inferred, with whatever is exactly known about it."""

from nfbench.foundation.deprecated import moved

_NAMES = ("Box", "LatentVariableModel", "Splits", "Target")

__getattr__ = moved(
    __name__,
    {"target": "nfbench.targets.build.target", **{name: f"nfbench.targets.contract.{name}" for name in _NAMES}},
)
