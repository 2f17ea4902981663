"""The old place of what a family is made of, for plug-ins that were written for nfbench 0.1."""

from nfbench.foundation.deprecated import moved

_PLACES = {
    "contract": ("Flow", "Identity", "LogJoint", "Posterior"),
    "cost": ("Cost", "combine"),
    "flow_posterior": ("FlowPosterior",),
    "sources": ("Amortized", "Free"),
}

__getattr__ = moved(
    __name__, {name: f"nfbench.posteriors.{home}.{name}" for home, names in _PLACES.items() for name in names}
)
