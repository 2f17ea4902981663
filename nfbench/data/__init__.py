"""Observations, each set under a protocol that says which images, split and binarisation, and their sha256."""
