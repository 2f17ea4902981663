"""Diagnostics of a density's posterior: what each is called, how it is computed, and what it cannot see."""

from nfbench.records.measures import Measure

_BY_DRAWS_OF_Q = (
    "It comes from draws of q: a mode that no draw falls into leaves it as good as if the mode were not there."
)
_OF_SIZE = (
    "It depends on the number of draws: read it beside its floor, the same number for two halves of the reference."
)
_PSIS = "Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto Smoothed Importance Sampling, arXiv:1507.02646"
_BEYOND = "Blessing, Jia, Esslinger, Vargas & Neumann (2024), Beyond ELBOs, arXiv:2406.07423"

_OF_WEIGHTS = {
    "khat": Measure(
        "k-hat",
        "",
        "Shape of the generalised Pareto distribution that fits the tail of the importance weights w = p~ / q. Trust q "
        "where it is below `khat_threshold`. It is absent where the weights are all equal, as those of an exact q are.",
        better="lower",
        formula="shape of the Pareto fit to the 3 sqrt(S) largest of S weights",
        source=f"{_PSIS}, section 3",
        blind=f"{_BY_DRAWS_OF_Q} It grows with S where the tail of p is heavier than that of q.",
    ),
    "khat_threshold": Measure(
        "k-hat threshold",
        "",
        "The k-hat up to which so many draws can be trusted; 0.7 from 2,155 draws on, less for fewer.",
        formula="min(1 - 1 / log10 S, 0.7)",
        source=f"{_PSIS}, section 3.2.4",
        blind="It bounds the error of a mean, not that of a tail probability.",
    ),
    "psis_ess": Measure(
        "PSIS ESS",
        "draws",
        "Effective sample size of the Pareto-smoothed importance weights: as many as there are draws if q is exact.",
        better="higher",
        formula="(sum w)^2 / sum w^2",
        source="Kong (1992); smoothed as for k-hat",
        blind=f"{_BY_DRAWS_OF_Q} It means nothing where k-hat is above its threshold.",
    ),
    "psis_gap": Measure(
        "PSIS gap",
        "nats",
        "What a richer family can gain at most: F less -ln Z, with ln Z estimated by smoothed importance weights.",
        better="lower",
        formula="F + ln mean w",
        source=f"{_PSIS}; Burda, Grosse & Salakhutdinov (2016), eq. 8",
        blind=f"{_BY_DRAWS_OF_Q} Too small by about var w / 2 S of normalised weights.",
    ),
    "mean_shift": Measure(
        "shift of means",
        "sd",
        "How far Pareto-smoothed reweighting moves the mean of a coordinate, at most: the error of q's means as its "
        "own weights see it. With its Monte-Carlo error.",
        better="lower",
        formula="max_d |E_w[z_d] - E_q[z_d]| / sd_w[z_d]",
        source=f"{_PSIS}; errors: Owen (2013), Monte Carlo theory, methods and examples, eq. 9.8",
        blind=f"{_BY_DRAWS_OF_Q} The maximum of D coordinates is above 0 by noise: compare it with its error.",
    ),
    "log_sd_shift": Measure(
        "shift of ln sd",
        "",
        "How far Pareto-smoothed reweighting moves ln sd of a coordinate, at most: 0.1 is a standard deviation that is "
        "10 % off. With its Monte-Carlo error.",
        better="lower",
        formula="max_d |ln(sd_w[z_d] / sd_q[z_d])|",
        source=f"{_PSIS}; errors by the delta method",
        blind=f"{_BY_DRAWS_OF_Q} The maximum of D coordinates is above 0 by noise: compare it with its error.",
    ),
}
_OF_REFERENCE = {
    "eubo": Measure(
        "EUBO",
        "nats",
        "Evidence upper bound from draws of p: at least ln Z, as -F is at most; EUBO + F is the sum of both "
        "KL divergences.",
        better="lower",
        formula="E_p[ln p~ - ln q] = ln Z + KL(p||q)",
        source=_BEYOND,
        blind="Mass that q has where p has none. Reference draws of another method have errors of their own.",
    ),
    "forward_ess": Measure(
        "forward ESS",
        "share",
        "Effective sample size of q by draws of p, as a share: 1 where q is exact, near 0 where it misses a mode.",
        better="higher",
        formula="Z / E_p[w], w = p~ / q; without ln Z, 1 / (E_p[w] E_p[1 / w])",
        source=_BEYOND,
        blind="One draw in a tail decides where w is heavy-tailed: its error is then too small.",
    ),
    "mean_error": Measure(
        "error of means",
        "sd",
        "The largest error of a coordinate's mean against reference draws, in the reference's standard deviations.",
        better="lower",
        formula="max_d |mean_q[z_d] - mean_p[z_d]| / sd_p[z_d]",
        source="the customary comparison with MCMC, as in Welandawe et al. (2024), arXiv:2203.15945",
        blind=f"Everything but means. {_OF_SIZE}",
    ),
    "log_sd_ratio": Measure(
        "ln sd ratio",
        "",
        "Mean over coordinates of ln(sd of q / sd of the reference): below 0 where q is too narrow.",
        formula="mean_d ln(sd_q[z_d] / sd_p[z_d])",
        source="Yao, Vehtari, Simpson & Gelman (2018), arXiv:1802.02538, for what it is used for",
        blind="Marginal standard deviations only: a factorised q gets at most one of these, precisions and the "
        "generalised variance right (Margossian & Saul 2024, arXiv:2403.13748). Errors of opposite sign cancel.",
    ),
    "log_sd_error": Measure(
        "error of ln sd",
        "",
        "The largest |ln(sd of q / sd of the reference)| of a coordinate: 0.1 is an sd that is 10 % off.",
        better="lower",
        formula="max_d |ln(sd_q[z_d] / sd_p[z_d])|",
        source="as the ratio of standard deviations",
        blind=f"Correlations and shape. {_OF_SIZE}",
    ),
    "sliced_w2": Measure(
        "sliced W2",
        "sd",
        "Sliced 2-Wasserstein distance of q from the reference, coordinates in the reference's standard deviations.",
        better="lower",
        formula="sqrt(mean over 100 directions of W2^2 of the projections), mean of 5 disjoint parts",
        source="Bonneel, Rabin, Peyré & Pfister (2015), Sliced and Radon Wasserstein barycenters",
        blind=f"What is small in most projections, such as a wrong dependence in many dimensions. {_OF_SIZE}",
    ),
    "mmd2": Measure(
        "MMD²",
        "",
        "Squared maximum mean discrepancy of q from the reference, without bias: 0 on average if both are equal, and "
        "so sometimes below.",
        better="lower",
        formula="E k(x, x') + E k(y, y') - 2 E k(x, y), k Gaussian with the median distance as width; mean of blocks",
        source="Gretton et al. (2012), A kernel two-sample test, eq. 3; Zaremba et al. (2013) for its error",
        blind="Differences much finer or much coarser than the kernel's width.",
    ),
    "c2st": Measure(
        "C2ST",
        "accuracy",
        "How often a classifier tells draws of q from reference draws: 0.5 where it cannot, 1 where it always can.",
        better="lower",
        formula="held-out accuracy of a network with two layers of 32 units",
        source="Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests, arXiv:1610.06545",
        blind="What the classifier does not learn from so few draws: it depends on their number and on the network.",
    ),
}

_ROBUST = (
    "Dhaka et al. (2020), Robust, accurate stochastic optimization for VI; Welandawe et al. (2022), arXiv:2203.15945"
)
STOPPING = {
    "updates_made": Measure(
        "updates made",
        "updates",
        "Number of updates after which the training of a seed ended, by evidence or by its budget.",
        formula="a count",
        source="of the training",
        blind="How good the posterior is.",
    ),
    "slope": Measure(
        "slope of F",
        "nats a thousand updates",
        "How F moved over the last window of the training, by least squares through the means of blocks of updates.",
        formula="least squares; the error is that of the residuals",
        source=_ROBUST,
        blind="A plateau that is left later. Blocks are taken as independent.",
    ),
    "averaging_loss": Measure(
        "loss by averaging",
        "nats",
        "What the Monte-Carlo error of the averaged parameters costs in F.",
        better="lower",
        formula="(mean F of 8 parts' averages - F of the whole average) / 7, by the same draws",
        source=f"the second-order form of the MCSE of {_ROBUST}",
        blind="Correlation of the parts, which makes it too small where windows are short.",
    ),
    "rate_bias": Measure(
        "bias of the rate",
        "nats",
        "What the remaining bias of the halved learning rate costs in F, from the averages at both rates.",
        better="lower",
        formula="4 ((F_1 + F_2) / 2 - F at the middle of both) less the loss by averaging of each",
        source=_ROBUST,
        blind="A bias that is not in proportion to the rate, and another optimum.",
    ),
    "updates_needed": Measure(
        "updates needed",
        "updates",
        "Further updates that evidence would have needed at least, where the budget ended the training first; rough.",
        better="lower",
        formula="window times (loss / allowed loss - 1), twice that at half the rate; before that F's exponential fall",
        source="as an average of n updates has an error that falls as 1 / n",
        blind="What comes after a plateau.",
    ),
}


def _floor(of: Measure) -> Measure:
    return Measure(
        f"{of.label}, floor",
        of.unit,
        f"Floor of '{of.label}': its value between two halves of the reference draws, which an exact q would reach.",
        formula=of.formula,
        source=of.source,
        blind="The errors that both halves share.",
    )


DISTANCES = ("mean_error", "log_sd_ratio", "log_sd_error", "sliced_w2", "mmd2", "c2st")  # those that have a floor
FLOORS = {f"{name}_floor": _floor(_OF_REFERENCE[name]) for name in DISTANCES}
DIAGNOSTICS = _OF_WEIGHTS | {
    key: value
    for name in _OF_REFERENCE
    for key, value in ((name, _OF_REFERENCE[name]), (f"{name}_floor", FLOORS.get(f"{name}_floor")))
    if value is not None
}
