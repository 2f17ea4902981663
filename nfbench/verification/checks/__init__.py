"""The checks of the battery, in the order of the report; each module adds its own to `nfbench.verification.check`."""

from nfbench.verification.checks import contract, density, geometry, integrals, precision, facts  # isort: skip

__all__ = ["contract", "density", "facts", "geometry", "integrals", "precision"]
