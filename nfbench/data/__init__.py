"""Observations with the sha256 of their content, under protocols that say which images, split and binarisation."""
