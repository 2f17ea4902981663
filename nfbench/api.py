"""The public face of nfbench in Python: fit, evaluate, compare, run experiments, read results.

Everything here can be reached as ``nfbench.NAME``; the first use of a name imports what it needs. This module has no
logic of its own: each function says where its work is done. Wrong input raises `InputError`, which is a `ValueError`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfbench.executors.limits import Limits
from nfbench.experiments.choose import Chosen
from nfbench.experiments.choose import choose as _choose
from nfbench.experiments.compare import Comparison
from nfbench.experiments.compare import compare as _compare
from nfbench.experiments.evaluate_fitted import evaluate_fitted
from nfbench.experiments.execute import Run, execute, plan_experiment
from nfbench.foundation.checks import instance
from nfbench.foundation.environment import check_device
from nfbench.foundation.errors import InputError
from nfbench.posteriors.build import posterior
from nfbench.present.results import results
from nfbench.targets.build import target
from nfbench.training.acceleration import Acceleration
from nfbench.training.fit import AnyPosterior, AnyTarget, fit_seeds
from nfbench.training.fitted import Fitted, load
from nfbench.verification.subject import Reference
from nfbench.verification.subjects import Factory
from nfbench.verification.verify import Verdict
from nfbench.verification.verify import verify as _verify

if TYPE_CHECKING:
    import pandas as pd

    from nfbench.targets.contract import Target

__all__ = [
    "Chosen",
    "Comparison",
    "Fitted",
    "InputError",
    "Run",
    "Verdict",
    "choose",
    "compare",
    "evaluate",
    "fit",
    "load",
    "posterior",
    "results",
    "run",
    "target",
    "verify",
]


def fit(
    posterior: AnyPosterior,
    target: AnyTarget,
    *,
    dim: int | None = None,
    updates: int = 2000,
    seed: int = 0,
    device: str = "cpu",
    report: Callable[[int, float], None] | None = None,
    **settings: Any,
) -> Fitted:
    """Fit a posterior to a target by minimising the annealed free energy (Rezende & Mohamed 2015, eq. 20).

    Args:
        posterior: a spec such as ``planar:K=8``, or a `Posterior` module, which is trained in place.
        target: a spec such as ``u1``, a `Target`, or a function ``log_joint(z (..., D)) -> (...)`` in nats, up to a
            constant and differentiable by autograd.
        dim: D, needed where the target is a function.
        updates: number of updates. The default recipe is Adam with one cycle of the learning rate, annealed over the
            first two fifths: 256 draws an update at rate 0.02 for a density, minibatches of 100 at 0.005 for data.
        seed: seed of the initial parameters, the noise and the order of minibatches.
        device: torch device: cpu, cuda or cuda:N.
        report: called with (updates done, mean bound in nats) about 100 times.
        settings: fields of `nfbench.specification.config.Training` in place of the default recipe's, such as
            ``learning_rate``, ``draws``, ``schedule="constant"`` or ``dtype="float64"``.

    Returns:
        The fitted posterior with its curves, duration and target. Divergence raises no error: see `Fitted.diverged`.

    Raises:
        InputError: an unknown spec or setting, a function without `dim`, shapes that break the contract.

    >>> import nfbench
    >>> def log_joint(z):  # two independent normals with standard deviation 2
    ...     return -0.125 * z.square().sum(-1)
    >>> fitted = nfbench.fit("gaussian", log_joint, dim=2, updates=300)
    >>> bool(abs(fitted.posterior.sample(4000).std() - 2) < 0.2)
    True
    """
    return fit_seeds(posterior, target, [seed], dim=dim, updates=updates, device=device, report=report, **settings)[0]


def evaluate(
    fitted: Fitted, target: "Target | None" = None, *, seed: int | None = None, **settings: Any
) -> "pd.DataFrame":
    """Evaluate a fitted posterior: bounds, divergences and likelihoods, whichever the target allows.

    Args:
        fitted: a fitted posterior, from `fit` or `load`.
        target: a target in place of the one of the fit.
        seed: seed of the evaluation's draws; None: the training's seed.
        settings: fields of `nfbench.specification.config.Evaluation`: ``draws`` (100,000 for a density, 100 for
            each data point otherwise), ``forward_draws``, ``importance_draws``, ``dtype``, and ``diagnosis_draws`` and
            ``reference_draws``, which switch diagnostics on, and others.

    Returns:
        One row for each metric: `value` in nats, and `se`, its Monte-Carlo standard error.

    Raises:
        InputError: no fitted posterior, no target, or an unknown setting.

    >>> import nfbench
    >>> fitted = nfbench.fit("gaussian", "normal:dim=2", updates=200)
    >>> bool(nfbench.evaluate(fitted, draws=10_000).loc["kl", "value"] < 0.05)
    True
    """
    return evaluate_fitted(fitted, target, seed=seed, **settings)


def compare(
    posteriors: Sequence[str],
    target: AnyTarget,
    *,
    seeds: int = 5,
    updates: int = 2000,
    evaluation: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Comparison:
    """Fit several posteriors to one target and compare them in one table, in memory.

    Args:
        posteriors: specs, such as ``["gaussian", "planar:K=8"]``.
        target: a spec, a `Target` or a function, as in `fit`.
        seeds: number of seeds for each posterior, at least 2; they train as one program where the target allows it.
        updates: number of updates of each training.
        evaluation: settings of `evaluate`, such as ``{"diagnosis_draws": 10_000}``.
        settings: further arguments of `fit`: ``dim``, ``device``, ``learning_rate`` and others.

    Returns:
        The table, the lowest free energy first, and the fitted posteriors. From three seeds on, ``_low`` and ``_high``
        are the ends of a 95 % interval over seeds, never narrower than the Monte-Carlo error of the values behind it;
        of two seeds they are the two values themselves.

    Raises:
        InputError: no list of specs, fewer than two seeds, or an argument that `fit` refuses.

    >>> import nfbench
    >>> table = nfbench.compare(["gaussian", "planar:K=4"], "u1", seeds=2, updates=400)
    >>> table.best
    'planar:K=4'
    """
    return _compare(posteriors, target, seeds=seeds, updates=updates, evaluation=evaluation, **settings)


def choose(
    target: AnyTarget,
    families: Sequence[str] | None = None,
    *,
    dim: int | None = None,
    updates: int = 2000,
    minutes: float | None = None,
    seeds: int = 3,
    margin: float = 0.05,
    **options: Any,
) -> Chosen:
    """Choose the cheapest posterior family that is good enough for a density, or say that none can be trusted.

    Families are fitted in the order of cost, diagonal and full-covariance Gaussian first, until one can be trusted and
    the importance weights leave less than the margin to gain.

    Args:
        target: a function ``log_joint(z (..., D)) -> (...)``, a spec such as ``file:my_model.py``, or a `Target`.
        families: specs in the order of cost; None: all registered ones.
        dim: D of a function.
        updates: number of updates of each restart of each family.
        minutes: after which no further family is tried; None: no limit.
        seeds: number of restarts of each family, trained as one program.
        margin: by how many nats a cheaper family may be worse.
        options: further arguments of `nfbench.experiments.choose.choose`, such as ``rates`` or ``all_families``, and
            fields of `Training`.

    Returns:
        The chosen spec, one sentence with what supports it, and the numbers of every family that was tried.

    Raises:
        InputError: no density, or an argument that is not as described.

    >>> import nfbench
    >>> def log_joint(z):  # two independent normals
    ...     return -0.5 * z.square().sum(-1)
    >>> nfbench.choose(log_joint, ["gaussian", "planar:K=4"], dim=2, updates=300, rates=[0.03]).posterior
    'gaussian'
    """
    return _choose(target, families, dim=dim, updates=updates, minutes=minutes, seeds=seeds, margin=margin, **options)


def run(
    experiment: str | Path,
    profile: str = "quick",
    *,
    posteriors: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    seeds: Sequence[int] | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    results: str | Path = "results",
    device: str = "cpu",
    jobs: int | None = 1,
    force: bool = False,
    compile: bool = False,
    cuda_graph: bool | None = None,
    group_seconds: float | None = None,
    group_memory: float | None = None,
) -> Run:
    """Run an experiment: what ``nfbench run`` runs, with the same records.

    Args:
        experiment: a packaged experiment's name, such as ``figure3``, or a ``.yaml`` file.
        profile: size of the budget: smoke, quick, paper or another that the experiment has.
        posteriors: specs in place of the experiment's; a list expands: ``planar:K=2|8``.
        targets: specs in place of the experiment's.
        seeds: seeds in place of the profile's: numbers, or a text such as ``0-9``.
        overrides: dotted keys of the profile with new values, such as ``{"training.updates": 100}``.
        results: folder of the records.
        device: torch device.
        jobs: processes at once; None: one for each core. With 1, only what a module outside nfbench registers gets a
            process of its own. A script that registers a family or target itself and asks for several needs
            ``if __name__ == "__main__":``.
        force: run finished cells again.
        compile: compile the training's gradient by ``torch.compile``.
        cuda_graph: capture an update once as a CUDA graph and replay it; None: wherever the device is CUDA.
        group_seconds: time in seconds after which a target with a posterior is ended, all its seeds together; None: no
            limit. It has failed records then, and the same call resumes what it has stored.
        group_memory: resident memory in GiB above which the process of a group is ended; None: no limit.

    Returns:
        The records of these cells as results, and how many cells ended how.

    Raises:
        InputError: an unknown experiment, profile, spec or override, or a folder that cannot be written.

    >>> import nfbench, tempfile
    >>> run = nfbench.run("figure3", "smoke", targets=["u1"], posteriors=["planar:K=2"], results=tempfile.mkdtemp())
    >>> run.counts["done"], run.results.frame["K"].tolist()
    (2, [2, 2])
    """
    for name, value in (("experiment", experiment), ("results", results)):
        instance("run", name, value, (str, Path), "a name or a path, as text or as a pathlib.Path")
    graph = False if cuda_graph is None else cuda_graph
    for name, flag in (("force", force), ("compile", compile), ("cuda_graph", graph)):
        instance("run", name, flag, bool, "True or False")
    check_device(device)
    groups = plan_experiment(str(experiment), profile, posteriors, targets, seeds, overrides)
    acceleration = Acceleration.on(device, compile=compile, cuda_graph=cuda_graph)
    limits = Limits(group_seconds, group_memory)
    return execute(groups, Path(results), device, jobs, force=force, acceleration=acceleration, limits=limits)


def verify(
    flow: str | Factory,
    *,
    dim: int | None = None,
    depth: int | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    strict: bool = False,
    seconds: float | None = None,
    reference: Reference | None = None,
) -> Verdict:
    """Verify that a flow is right: what ``nfbench verify`` does.

    Args:
        flow: a spec such as ``planar:K=8``, ``file.py:flow``, or a class or factory that takes ``(dim, depth)`` and
            gives a `Flow` or a `Posterior`.
        dim: D; None: 2 and 5, as far as the family can have them.
        depth: K in place of the spec's.
        dtype: precision of trainings, which is compared with float64.
        device: torch device.
        strict: look longer: more parameters, points and draws.
        seconds: after which the checks that are not decided are left so; None: without limit.
        reference: an oracle in plain Python: a function (z_0, theta, weights) -> (z_K, ln|det|) of lists of numbers;
            weights are the flow's parameters and buffers by name, as nested lists. For a `Posterior` that is no flow:
            of the noise, an empty list and the weights, with ln q in place of ln|det|.

    Returns:
        What every check found, with code that shows each failure.

    Raises:
        InputError: an unknown spec, file, name or device, or something that makes neither a `Flow` nor a `Posterior`.

    >>> import nfbench
    >>> nfbench.verify("gaussian", dim=2).passed
    True
    """
    return _verify(flow, dim, depth, dtype=dtype, device=device, strict=strict, seconds=seconds, reference=reference)
