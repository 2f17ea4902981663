"""Layers that have compiled forms: of models of data (Bernoulli likelihood, maxout), of maps (networks, splines)."""
