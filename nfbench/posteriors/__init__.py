"""Posterior families: noise in, draws and their log-density out."""

from nfbench.foundation.deprecated import moved

__getattr__ = moved(__name__, {"posterior": "nfbench.posteriors.build.posterior"})
