"""Draws of fitted posteriors as ArviZ keeps them: a DataTree whose chains are seeds, in the space of the model."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from nfbench.foundation.environment import provenance
from nfbench.foundation.errors import InputError
from nfbench.foundation.randomness import stream
from nfbench.targets.contract import LatentVariableModel, Target

if TYPE_CHECKING:
    from xarray import DataTree

    from nfbench.training.fitted import Fitted

_INDEXED = re.compile(r"(.+)\[(\d+(?:,\s*\d+)*)\]")
_UNNAMED = "z"  # of a target without names


def datatree(fits: "Sequence[Fitted]", draws: int = 1000) -> "DataTree":
    """Draw from restarts of one posterior, and keep what comparisons need.

    Args:
        fits: one for each seed, of one family and one target without data.
        draws: of each seed.

    Returns:
        Groups ``posterior``: the model's variables, each (chain, draw, ...), in the space of `Target.constrain`; and
        ``sample_stats``: ``lp``, ln p~(z), ``log_q``, ln q(z), and ``log_weight``, their difference, in nats and in the
        space that ln p~ is a density on, (chain, draw). A chain is a seed.

    Raises:
        InputError: arviz-base is not installed, no fit, one without its target, or a target with data.
    """
    try:
        from arviz_base import from_dict
    except ImportError:
        raise InputError("ArviZ's arviz-base is not installed; expected pip install 'nfbench[arviz]'") from None
    if not fits:
        raise InputError("to_arviz: no fitted posterior; expected at least one")
    chains = [_chain(fitted, draws) for fitted in fits]
    target = _target(fits[0])
    joined = {name: np.stack([chain[name] for chain in chains]) for name in chains[0]}
    values = joined.pop("values")
    tree: DataTree = from_dict(
        {"posterior": variables(values, target.names), "sample_stats": joined},
        coords={"chain": [fitted.seed for fitted in fits]},
        attrs={"posterior": _attributes(fits)},
    )
    return tree


def variables(values: NDArray[np.float64], names: Sequence[str] | None) -> dict[str, NDArray[np.float64]]:
    """Split columns into variables: ``theta[1]`` and ``theta[2]`` are one array where no index is missing.

    Args:
        values: (..., C).
        names: of the columns; None: all are one variable, ``z``.

    Returns:
        Name -> array (...) or (..., shape of the indices).

    >>> {name: part.shape for name, part in variables(np.zeros((2, 5, 3)), ["mu", "theta[1]", "theta[2]"]).items()}
    {'mu': (2, 5), 'theta': (2, 5, 2)}
    """
    if names is None or len(names) != values.shape[-1]:
        return {_UNNAMED: values}
    places: dict[str, dict[tuple[int, ...], int]] = {}
    for column, name in enumerate(names):
        match = _INDEXED.fullmatch(name)
        base, index = (match[1], tuple(int(part) for part in match[2].split(","))) if match else (name, ())
        places.setdefault(base, {})[index] = column
    arrays: dict[str, NDArray[np.float64]] = {}
    for base, columns in places.items():
        whole = _whole(list(columns))
        if whole is None:
            own = {f"{base}[{','.join(map(str, index))}]" if index else base: at for index, at in columns.items()}
            arrays |= {name: values[..., at] for name, at in own.items()}
        else:
            ordered = values[..., [columns[index] for index in sorted(columns)]]
            arrays[base] = ordered.reshape((*values.shape[:-1], *whole))
    return arrays


def _whole(indices: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape that indices fill without a gap; None where they fill none."""
    if len({len(index) for index in indices}) > 1:
        return None
    columns = list(zip(*indices, strict=True))
    shape = tuple(max(column) - min(column) + 1 for column in columns)
    return shape if int(np.prod(shape)) == len(set(indices)) else None


def _target(fitted: "Fitted") -> Target:
    if fitted.target is None:
        raise InputError("to_arviz: the fit keeps no target, as it was code; expected load(file, target=the target)")
    if isinstance(fitted.target, LatentVariableModel):
        raise InputError("to_arviz: the target has a posterior for each data point; expected a target without data")
    return fitted.target


def _chain(fitted: "Fitted", draws: int) -> dict[str, NDArray[np.float64]]:
    """One seed's draws in the model's space, (draws, C), with lp, log_q and log_weight, (draws,)."""
    target, posterior = _target(fitted), fitted.posterior
    parameter = next(posterior.parameters())
    generator = stream(fitted.seed, "export", device=parameter.device)
    size = (draws, 1, posterior.noise_dim)
    noise = torch.randn(size, generator=generator, device=parameter.device, dtype=parameter.dtype)
    with torch.no_grad():
        z, log_q = posterior(noise, None, target.log_joint)
        lp = target.log_joint(z)
        values = target.constrain(z.squeeze(1))
    lp, log_q = lp.double().squeeze(1), log_q.double().squeeze(1)
    parts = {"values": values.double(), "lp": lp, "log_q": log_q, "log_weight": lp - log_q}
    return {name: part.cpu().numpy() for name, part in parts.items()}


def _attributes(fits: "Sequence[Fitted]") -> dict[str, Any]:
    first = fits[0]
    return {
        "inference_library": "nfbench",
        "inference_library_version": provenance()["nfbench"],
        "family": first.posterior_spec or type(first.posterior).__name__,
        "target": first.target_spec or "a function",
        "seeds": [fitted.seed for fitted in fits],
        "training": json.dumps(first.training.model_dump(mode="json")),
    }
