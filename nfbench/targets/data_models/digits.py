"""Scikit-learn's 8 x 8 digits, binarised, under a deep latent Gaussian model: data that need no download."""

from nfbench.data.load import load
from nfbench.specification.registry import register_target
from nfbench.targets.contract import Target
from nfbench.targets.data_models.dlgm import Count, DeepLatentGaussian


@register_target(
    "digits", label="Digits (D={dim})", cite="Alpaydin & Kaynak 1998; scikit-learn's load_digits", year=1998
)
def digits(dim: Count = 10, hidden: Count = 64) -> Target:
    """Deep latent Gaussian model of 8 x 8 handwritten digits, binarised once and for all.

    Args:
        dim: D, number of latent variables.
        hidden: units of the encoder's and of the decoder's one layer.

    Returns:
        The model, its weights drawn from torch's own generator.
    """
    return DeepLatentGaussian(dim, hidden, load("digits"))
