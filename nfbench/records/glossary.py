"""What the stored numbers are called and what they mean: one text for tables, axes and reports."""

from nfbench.records.diagnostic_measures import DIAGNOSTICS, STOPPING
from nfbench.records.measures import RESULTS, Better, Measure

# The letters of shapes, and the kinds of things that there are: `help(nfbench)` says the same.
LETTERS = {
    "E": "seeds trained together",
    "S": "draws",
    "B": "data points",
    "D": "latent dimensions",
    "K": "depth: number of maps in a flow, as in the paper",
    "P": "numbers a flow wants for each data point",
    "N": "noise dimensions",
    "F": "features that an encoder gives for each data point",
}
KINDS = (
    "A family is a registered kind of posterior, a target what is inferred, an experiment a grid of cells (one target, "
    "family, K, seed and configuration), a record the stored outcome of a cell, a profile the size of an experiment's "
    "budget. Losses and bounds are in nats, times in seconds."
)
BEST = "best_"  # before a metric: of the parameters that were best on validation data
BEST_SHOWN = ("best_step", "best_free_energy", "best_nll")  # in tables; the rest of them stands in the records

MEASURES = RESULTS | DIAGNOSTICS | STOPPING

WORDS = {
    "interval": "95 %, over seeds: what a repetition of the whole training would vary. Printed as ± half its width, "
    "which is the larger one of t s / sqrt(n) (s: standard deviation over n seeds, t: Student's with n - 1 degrees of "
    "freedom) and 1.96 sqrt(mean e^2 / n) (e: a seed's Monte-Carlo standard error), so that a few seeds that agree by "
    "chance do not claim more than their draws can tell. Two seeds show both values instead, one seed has none.",
    "best, tied": "The best mean of a target by a metric, and every configuration whose difference to it, paired by "
    "seed, has a 95 % interval that contains 0; not corrected for their number. Two seeds tie nothing.",
    "paired difference": "The difference of two configurations seed by seed, so that what both share cancels.",
    "recipe": "A hash of everything that cells of one comparable set share: profile, training and evaluation. Results "
    "of different recipes are never averaged together, and neither are those of different data.",
    "own and reference": "Own records are those of the folder that is read, reference records those of its folder "
    "'reference'. The repository has such records in results/reference, the installed package has none; where that "
    "folder itself is read, they are called own.",
    "diverged": "The training of that seed met a value that is not finite. It is counted and shown, and left out of "
    "means: read a mean beside a count of diverged seeds as a mean over the survivors.",
    "reproduced": "Two one-sided t-tests at 5 % place our result within the printed margin of the paper's.",
    "lower, higher than the paper's": "Not shown to be within the margin, and the 95 % interval excludes the paper's "
    "result.",
    "undecided": "Neither of these: too few seeds, or too much spread, to tell.",
    "not tested": "A test needs two seeds, of both configurations where a difference is tested.",
    "not comparable": "The paper's number belongs to another problem; both are shown, nothing is concluded.",
    "cited": "A row of the paper's table that stands for the work of others, with a model of their own: ours of the "
    "same name are not compared with it.",
    "what others measured": "Other people's repetitions of the paper's experiment, each with its source: neither the "
    "paper's numbers nor ours.",
}

ABILITIES = {
    "density": "say its density at a point that was not drawn",
    "context": "let its maps depend on a data point",
    "one_dimension": "have one dimension",
    "seeds_together": "train several seeds as one program",
}  # what a family may lack, after "cannot"

MODES = {
    "sample": "draws and ln q, no gradient wanted",
    "forward": "draws and ln q, with what a gradient will need",
    "backward": "draws and ln q, then the gradient of all learned numbers",
    "inverse": "ln q at given points",
    "step": "a whole training update on a target",
}  # what a timing is of

TIMING_WORDS = {
    "contender": "Who does the timed work: nfbench, its plain reference form, the textbook form as it stands in "
    "tutorials, the same through torch.compile, or a peer, which is a library of other people.",
    "bare": "The matrix products and the optimizer pass of a training step alone: a bound in place of the floor.",
    "interleaved": "The contenders of a run are timed in turn, A B A B, so that a slow minute of the machine is "
    "slow for all of them.",
    "ratio": "A contender's time over nfbench's in the same round; the median over rounds with quartiles. Above 1, "
    "nfbench is faster.",
    "agreement": "A contender's results lie within the printed tolerance of the same mathematics in float64, relative "
    "to the largest value of each output. Without agreement no ratio is given.",
    "floor": "The time that a case needs at least on the machine at hand: the bytes that must move at the measured "
    "copy bandwidth, or the flops at the measured rate of a matrix product, whichever is longer.",
    "roofline": "Flops a second that were reached against flops for each byte that must move; bandwidth and the rate "
    "of a matrix product are the roof.",
    "quartiles": "A quarter of the rounds were below the first, a quarter above the third. They say how steady the "
    "machine was, not how sure a ratio is on another one.",
    "textbook step": "The time in which the textbook form trains one model by one update, in the same run.",
    "lacking": "The contender has no such map, or no such mode.",
}


def measure(name: str) -> Measure:
    """Label, unit and meaning of a metric.

    Args:
        name: of a metric.

    Returns:
        Its entry; for a metric that is not in `MEASURES`, one that has its name as label.

    >>> measure("kl").title, measure("my_score").title
    ('KL (nats)', 'my score')
    """
    if name.startswith(BEST) and name.removeprefix(BEST) in MEASURES:
        last = MEASURES[name.removeprefix(BEST)]
        where = "At the parameters with the lowest F on validation data, not at the last update."
        return Measure(f"{last.label}, best", last.unit, f"{where} {last.meaning}")
    return MEASURES.get(name) or Measure(name.replace("_", " "), "", "A metric of the experiment's own.")


def better(name: str) -> Better | None:
    """Which values of a metric are the better ones.

    Args:
        name: of a metric.

    Returns:
        ``lower`` or ``higher``; None where neither are, or where nobody knows.

    >>> better("kl"), better("ess"), better("entropy")
    ('lower', 'higher', None)
    """
    return measure(name).better


def ordered(names: list[str]) -> list[str]:
    """Sort metrics: those of `MEASURES` in the order they have there, then all others by name.

    Args:
        names: of metrics.

    Returns:
        The names in that order.
    """
    known = list(MEASURES)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))
