"""The registry's old place, for plug-ins that were written for nfbench 0.1: see `nfbench.specification.registry`."""

from nfbench.foundation.deprecated import moved

_ENTRIES = ("Choice", "Entry")
_REGISTRIES = ("Registry", "posteriors", "protocols", "targets")

__getattr__ = moved(
    __name__,
    {
        "posterior": "nfbench.register_posterior",
        "target": "nfbench.register_target",
        "protocol": "nfbench.register_data",
        **{name: f"nfbench.specification.entry.{name}" for name in _ENTRIES},
        **{name: f"nfbench.specification.registry.{name}" for name in _REGISTRIES},
    },
)
