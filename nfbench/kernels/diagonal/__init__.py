"""Draws of a diagonal Gaussian and their log-density: the base of every flow."""
