"""Pictures from a trained model: samples and reconstructions."""

import numpy as np
import torch
from support.linear import LinearGaussian, Stretched

from nfbench import posterior, target
from nfbench.evaluation.evaluate import evaluate
from nfbench.evaluation.likelihood import observed
from nfbench.evaluation.model_samples import RECONSTRUCTIONS, SAMPLES, pictures
from nfbench.foundation.randomness import seeded
from nfbench.specification.config import Evaluation
from nfbench.training.objective import Inference

CONFIG = Evaluation(draws=2, importance_draws=2)


def _model() -> Inference:
    with seeded(0, "target"):
        built = target("specks:pixels=16,dim=3,hidden=5")
    return Inference(built, posterior("planar:K=2", built.dim, built.num_features, seed=0)).double()


def _pictures(model: Inference, seed: int) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return pictures(model, model.target, observed(model, model.target), seed)


def test_pictures_have_the_stored_form():
    """Bytes, 64 samples and 32 originals with as many reconstructions, and the shape that makes rows pictures."""
    arrays = evaluate(_model(), CONFIG, seed=0).arrays
    assert arrays["picture_shape"].tolist() == [1, 1, 16]
    sizes = {"samples": SAMPLES, "originals": RECONSTRUCTIONS, "reconstructions": RECONSTRUCTIONS}
    for name, number in sizes.items():
        assert (arrays[name].dtype, arrays[name].shape) == (np.uint8, (number, 16))
    model = _model()
    test = model.target.splits().test
    chosen = [i * len(test) // RECONSTRUCTIONS for i in range(RECONSTRUCTIONS)]
    assert (arrays["originals"] == 255 * test[chosen].numpy()).all()


def test_pictures_repeat_and_come_from_streams_of_their_own():
    """The same seed gives the same pictures, another seed others of the same originals."""
    first, again, other_seed = (_pictures(_model(), seed) for seed in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["originals"] == other_seed["originals"]).all()
    assert (first["samples"] != other_seed["samples"]).any()
    assert (first["reconstructions"] != other_seed["reconstructions"]).any()


class _Shown(LinearGaussian):
    """Pixels 0.5 + W z / 20, so that all of them can be shown."""

    def mean(self, z):
        return 0.5 + z @ self.weight.T / 20

    def log_joint(self, z, batch=None):
        return torch.zeros(z.shape[:2])


def test_samples_come_from_the_prior_and_reconstructions_from_the_posterior():
    """Reconstructions lie where q(z|x) puts them, one column a data point; samples spread as the prior does."""
    model = _Shown()
    _, mean, _ = model.exact()
    images = _pictures(Inference(model, Stretched(model, 1e-12)), 0)
    expected = 255 * model.mean(mean).numpy()
    assert abs(images["reconstructions"] - expected).max() <= 0.5 + 1e-3
    spread = 255 * model.weight.norm(dim=1).numpy() / 20
    # The standard deviation of 64 draws has a relative error of 1 / sqrt(128); rounding to bytes is smaller by far.
    assert abs(images["samples"].std(0) / spread - 1).max() < 5 / np.sqrt(128)


def test_pixels_beyond_white_are_white():
    """Bytes do not wrap around where a mean lies outside [0, 1]."""
    model = LinearGaussian()
    images = _pictures(Inference(model, Stretched(model, 1e-12)), 0)
    _, mean, _ = model.exact()
    expected = (255 * model.mean(mean)).clamp(0, 255).numpy()
    assert expected.min() == 0
    assert expected.max() == 255
    assert abs(images["reconstructions"] - expected).max() <= 0.5 + 1e-3


def test_no_picture_of_what_is_no_number():
    """A mean that is not finite leaves the pictures out."""
    model = LinearGaussian()
    model.weight[0, 0] = torch.nan
    assert _pictures(Inference(model, Stretched(LinearGaussian(), 1.0)), 0) == {}
