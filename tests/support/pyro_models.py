"""Source of a user's own Pyro models."""

HEAD = "import torch\nimport pyro\nimport pyro.distributions as dist\n"
SCHOOLS = f"""{HEAD}
y = torch.tensor([28.0, 8, -3, 7, -1, 1, 18, 12])
sd = torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18])


def model():
    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", 8):
        eta = pyro.sample("eta", dist.Normal(0.0, 1.0))
        theta = pyro.deterministic("theta", mu + tau * eta)
        pyro.sample("y", dist.Normal(theta, sd), obs=y)
"""
