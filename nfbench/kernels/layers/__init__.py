"""Layers with compiled forms: of models of data (Bernoulli, maxout), of maps (networks, splines), and of mixtures."""
