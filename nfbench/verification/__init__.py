"""Is this flow right? A battery of checks that needs only the contract of `nfbench.posteriors.contract`."""
