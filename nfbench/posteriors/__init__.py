"""Posterior families: noise in, draws and their log-density out."""
