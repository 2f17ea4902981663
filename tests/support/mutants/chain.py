"""A chain of maps as the recipe for a family of one's own makes it: one map forwards, one map back."""

import torch

from nfbench.posteriors.contract import Flow


class Chain(Flow):
    """K maps with R numbers each; a map is `there` and `back`, which return the point and their own ln|det|."""

    def __init__(self, dim, depth, numbers=0):
        super().__init__(dim, depth, depth * numbers)
        self.numbers = numbers

    def maps(self, theta):
        return theta.reshape(len(theta), self.depth, self.numbers).unbind(1)

    def order(self):
        """In which order `inverse` undoes the maps."""
        return reversed(range(self.depth))

    def forward(self, z, theta):
        total, maps = z.new_zeros(z.shape[:-1]), self.maps(theta)
        for k in range(self.depth):
            z, log_det = self.there(z, maps[k], k)
            total = total + log_det
        return z, total

    def inverse(self, z, theta):
        total, maps = z.new_zeros(z.shape[:-1]), self.maps(theta)
        for k in self.order():
            z, log_det = self.back(z, maps[k], k)
            total = total + log_det
        return z, total

    def initial(self):
        return 0.1 * torch.randn(self.num_params)
