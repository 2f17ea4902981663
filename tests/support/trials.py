"""Small plans of a trial experiment."""

from nfbench.experiments.plan import plan
from nfbench.specification.config import Evaluation, Training
from nfbench.specification.experiment import Experiment, Profile

TRAINING = Training(learning_rate=0.01, updates=12, draws=8, anneal_updates=4)
EVALUATION = Evaluation(draws=200, forward_draws=100, importance_draws=10, grid=8)


def trial_plan(posteriors, targets=("u1",), seeds=2, training: Training | None = TRAINING, push=None, asked=None):
    profile = Profile(seeds=seeds, training=None if push else training, push=push, evaluation=EVALUATION)
    experiment = Experiment(
        name="trial",
        title="Trial",
        summary="A trial.",
        targets=list(targets),
        posteriors=list(posteriors),
        profiles={"smoke": profile},
    )
    return plan(experiment, "smoke", seeds=asked)
