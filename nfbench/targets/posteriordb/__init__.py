"""Bayesian posteriors with reference draws, from posteriordb (Magnusson et al. 2025), each written in PyTorch."""
