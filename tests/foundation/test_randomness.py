"""Named streams under threads."""

from concurrent.futures import ThreadPoolExecutor

import torch

from nfbench import posterior


def test_a_family_built_in_threads_is_the_one_built_alone():
    """Eight threads that build at once give each seed the parameters and the fixed numbers that it has alone."""
    seeds = list(range(24))

    def build(seed):
        return posterior("nice:K=20", dim=20, seed=seed).state_dict()

    alone = [build(seed) for seed in seeds]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(build, seeds))
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
