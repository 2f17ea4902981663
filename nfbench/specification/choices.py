"""Words that users choose from and that records keep, each list written down once. Nothing is imported for it."""

from typing import Literal, get_args

Optimizer = Literal["adam", "rmsprop"]
Schedule = Literal["constant", "one-cycle"]
Estimator = Literal["reparameterised", "path", "importance-weighted"]  # of the gradient of the bound
Stop = Literal["budget", "evidence"]  # what ends a training
Anneal = Literal["joint", "kl"]  # what the annealing factor is on: all of ln p(x, z), or the divergence from the prior
Head = Literal["scaled", "unscaled", "base"]  # which numbers an encoder gives, the maps' at what scale
Executor = Literal["local", "slurm", "ray"]  # where groups run
Dtype = Literal["float32", "float64"]  # of tensors
Mode = Literal["sample", "forward", "backward", "inverse", "step"]  # of a timed case
Status = Literal["pass", "fail", "does not apply", "reported", "not decided"]  # what a check of the battery comes to
Over = Literal["fixed", "random"]  # whether the targets are all that is meant, or a sample of such targets
Format = Literal["md", "latex", "csv", "json"]  # of a table
Drawing = Literal["png", "svg", "pdf"]  # form of a picture's file
Kind = Literal[  # of posterior families, their groups in tables
    "gaussian",
    "heavy-tailed",
    "mixture",
    "linear",
    "residual",
    "coupling",
    "autoregressive",
    "continuous",
    "auxiliary",
    "other",
]

HEADS: tuple[Head, ...] = get_args(Head)
MODES: tuple[Mode, ...] = get_args(Mode)
FORMATS: tuple[Format, ...] = get_args(Format)
DRAWINGS: tuple[Drawing, ...] = get_args(Drawing)
USUAL_DRAWINGS: tuple[Drawing, ...] = ("png", "svg")
KINDS: tuple[Kind, ...] = get_args(Kind)

REFERENCE = "reference"  # the folder under a root of results that holds the committed records
CHOICES = "choose"  # the folder under a root of results that holds what 'nfbench choose' found
CLAIMS = "claims"  # what the command line calls a paper's claims beside the records
LOGS = "logs"  # the folder under a root of results that holds what workers said that an engine has started
PLANS = "plans"  # the folder under a root of results that holds what is to be run there
RECHECKS = "rechecks"  # the folder under a root of results that holds what came out when cells were run again
SHOOTOUT = "shootout"  # the experiment of every family and library, which has tables of its own
VERDICTS = "verdicts"  # the folder under a root of results that holds verdicts, and what the command line calls them
TIMING = "timing"  # the folder under a root of results that holds timings, and what the command line calls them
