"""nfbench compares approximate-posterior families for variational inference.

Letters used in every docstring:

====== =====================================================================
E      seeds trained together
S      draws
B      data points
D      latent dimensions
K      depth: number of maps in a flow, as in the paper
P      numbers a flow wants for each data point
N      noise dimensions
F      features that an encoder gives for each data point
====== =====================================================================

A *family* is a registered kind of posterior, a *target* what is inferred, an *experiment* a grid of *cells*
(one target, family, K, seed and configuration), a *record* the stored outcome of a cell, a *profile* the size of an
experiment's budget. Losses and bounds are in nats, times in seconds.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nfbench.api import Chosen, Comparison, Fitted, Run, Verdict, choose, compare, evaluate, fit, load, run, verify
    from nfbench.foundation.errors import InputError
    from nfbench.posteriors.build import posterior
    from nfbench.present.results import results
    from nfbench.specification.registry import register_data, register_posterior, register_target
    from nfbench.targets.build import target

__all__ = [
    "Chosen",
    "Comparison",
    "Fitted",
    "InputError",
    "Run",
    "Verdict",
    "choose",
    "compare",
    "evaluate",
    "fit",
    "load",
    "posterior",
    "register_data",
    "register_posterior",
    "register_target",
    "results",
    "run",
    "target",
    "verify",
]
__version__ = "0.1.0"

_HOMES = {
    "InputError": "nfbench.foundation.errors",
    "posterior": "nfbench.posteriors.build",
    "register_data": "nfbench.specification.registry",
    "register_posterior": "nfbench.specification.registry",
    "register_target": "nfbench.specification.registry",
    "results": "nfbench.present.results",
    "target": "nfbench.targets.build",
}
_FACE = "nfbench.api"  # where all other public names are


def __getattr__(name: str) -> Any:
    """Import a public name on first use: ``import nfbench`` loads no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'nfbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, _FACE)), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
