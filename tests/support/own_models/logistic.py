"""Logistic regression with N(0, 1) coefficients on scikit-learn's breast cancer data, inputs standardised."""

import torch
from sklearn.datasets import load_breast_cancer

_data = load_breast_cancer()
inputs = torch.tensor((_data.data - _data.data.mean(0)) / _data.data.std(0), dtype=torch.float32)
signs = torch.tensor(2.0 * _data.target - 1, dtype=torch.float32)
dim = inputs.shape[1] + 1


def log_joint(z):
    """`(..., 31) -> (...)`: an intercept, then a coefficient for each input."""
    logits = z[..., :1] + z[..., 1:] @ inputs.T
    return torch.nn.functional.logsigmoid(signs * logits).sum(-1) - 0.5 * z.square().sum(-1)
