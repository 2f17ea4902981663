"""One file for each family of models; a file adds its posteriors to `nfbench.targets.posteriordb.model.MODELS`."""
