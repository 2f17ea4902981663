"""One set of metrics for every family: bounds, divergences, likelihoods, in nats."""
