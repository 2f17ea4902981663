"""Layers of the models of data that have compiled forms: Bernoulli log-likelihood, maxout."""
