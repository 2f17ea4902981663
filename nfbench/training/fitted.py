"""A fitted posterior with its curves and recipe, and the file that stores it."""

import hashlib
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

from nfbench.foundation.checks import instance, whole_number
from nfbench.foundation.environment import provenance
from nfbench.foundation.errors import InputError
from nfbench.foundation.files import AbsentError, read, replace
from nfbench.posteriors.build import posterior as build_posterior
from nfbench.posteriors.contract import Posterior
from nfbench.specification.choices import Dtype
from nfbench.specification.config import Strict, Training
from nfbench.specification.registry import sources_of
from nfbench.specification.spec import is_of_file
from nfbench.targets.build import target as build_target
from nfbench.targets.contract import LatentVariableModel, Target
from nfbench.training.evidence import Evidence
from nfbench.training.inference_data import datatree

if TYPE_CHECKING:
    from xarray import DataTree

_KEY, _DIGEST = "nfbench", "sha256"  # of the file's metadata
_FORMAT = 1
MOST_BYTES = 2**37  # of a file
_LENGTH = 8  # bytes at a file's start that say how long its JSON is


class _Facts(Strict):
    """What a file says of its tensors."""

    format: int
    posterior: str | None
    target: str | None
    dim: int
    features: int | None
    points: int
    dtype: Dtype
    training: Training
    seed: int
    curves: dict[str, list[float | None]]
    seconds: float
    diverged: int | None
    made_by: dict[str, Any]
    sources: dict[str, str] | None = None  # sha256 of the code of what is not nfbench's own
    evidence: dict[str, Any] | None = None  # why the training ended, as of `Evidence`


@dataclass(frozen=True, eq=False)
class Fitted:
    """A posterior that was fitted to a target.

    Attributes:
        posterior: the trained module.
        target: the target, with its trained decoder where it has one; None after `load` where the target was a
            function or a Python file, which `load` does not run.
        posterior_spec: canonical spec; None for a module of the user's own.
        target_spec: canonical spec; None for a target of the user's own.
        training: the recipe.
        seed: seed of initial parameters, noise and minibatch order.
        curves: columns step, free_energy (nats, mean over the updates since the row before), beta and learning_rate.
        seconds: duration of the training; seeds that trained together share it equally.
        diverged: number of updates after which the bound was found not finite; None where it stayed finite.
        evidence: why the training ended, with its numbers; None where its budget was fixed.
    """

    posterior: Posterior
    target: Target | None
    posterior_spec: str | None
    target_spec: str | None
    training: Training
    seed: int
    curves: pd.DataFrame = field(repr=False)
    seconds: float
    diverged: int | None = None
    evidence: Evidence | None = None

    def __repr__(self) -> str:
        names = self.posterior_spec or type(self.posterior).__name__, self.target_spec or "a function"
        state = f"diverged before update {self.diverged}" if self.diverged else f"F = {self.free_energy:.4g} nats"
        updates = self.training.updates if self.evidence is None else self.evidence.updates
        return f"<Fitted {names[0]} to {names[1]}: {updates:,} updates, {state}, {self.seconds:.2g} s>"

    @property
    def free_energy(self) -> float:
        """F in nats, the last row of the curve: a mean over updates of a still moving model; see `evaluate`."""
        return float(self.curves["free_energy"].iloc[-1])

    @property
    def num_params(self) -> int:
        """Number of learned parameters of the posterior."""
        return sum(parameter.numel() for parameter in self.posterior.parameters())

    def to_arviz(self, draws: int = 1000) -> "DataTree":
        """Draws for ArviZ, which the extra ``arviz`` installs; see `nfbench.training.inference_data.datatree`.

        Args:
            draws: how many.

        Returns:
            A DataTree with groups ``posterior``, in the space that the model is about, and ``sample_stats`` with
            ``lp``, ``log_q`` and ``log_weight``; one chain, this seed.

        Raises:
            InputError: arviz-base is not installed, or the target is unknown or has data.
        """
        return datatree([self], whole_number("to_arviz", "draws", draws, least=1))

    def save(self, file: str | Path) -> Path:
        """Store the posterior, and a target with parameters, as safetensors: numbers and JSON, no code.

        Args:
            file: path of the new file; an existing one is replaced, whole or not at all.

        Returns:
            The file's path.

        Raises:
            InputError: the file cannot be written.

        >>> import nfbench, tempfile
        >>> fitted = nfbench.fit("gaussian", "u1", updates=20)
        >>> again = nfbench.load(fitted.save(tempfile.mkdtemp() + "/q.safetensors"))
        >>> bool((again.posterior.sample(3) == fitted.posterior.sample(3)).all())
        True
        """
        instance("save", "file", file, (str, Path), "a path, as text or as a pathlib.Path")
        tensors = {f"posterior.{name}": value for name, value in self.posterior.state_dict().items()}
        if self.target is not None:
            tensors |= {f"target.{name}": value for name, value in self.target.state_dict().items()}
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        facts = json.dumps(self._facts())
        replace(Path(file), to_bytes(plain, {_KEY: facts, _DIGEST: _digest(facts, plain)}))
        return Path(file)

    def _facts(self) -> dict[str, Any]:
        parameter = next(self.posterior.parameters())
        source = getattr(self.posterior, "source", None)
        return {
            "format": _FORMAT,
            "posterior": self.posterior_spec,
            "target": self.target_spec,
            "dim": self.posterior.dim,
            "features": self.target.num_features if isinstance(self.target, LatentVariableModel) else None,
            "points": len(source.base) if source is not None and isinstance(source.base, torch.Tensor) else 1,
            "dtype": str(parameter.dtype).removeprefix("torch."),
            "training": self.training.model_dump(mode="json"),
            "seed": self.seed,
            "curves": self.curves.to_dict("list"),
            "seconds": self.seconds,
            "diverged": self.diverged,
            "made_by": provenance(),
            "sources": sources_of(self.posterior_spec, self.target_spec),
        } | ({} if self.evidence is None else {"evidence": self.evidence.as_data()})


def load(file: str | Path, posterior: Posterior | None = None, target: Target | None = None) -> Fitted:
    """Read what `Fitted.save` stored. No code is executed: the file has numbers and JSON only.

    Args:
        file: the path.
        posterior: the module that the stored numbers are copied into, where it is the user's own and has no spec.
        target: the target of the fit, where that was a function or a Python file; it may stay None.

    Returns:
        The fitted posterior, on the CPU.

    Raises:
        InputError: no such file, not a fitted posterior, an unknown spec, or tensors of other shapes.
    """
    instance("load", "file", file, (str, Path), "a path, as text or as a pathlib.Path")
    instance("load", "posterior", posterior, (Posterior, NoneType), "a Posterior, or None")
    instance("load", "target", target, (Target, NoneType), "a Target, or None")
    facts, tensors = _read(Path(file))
    _tell_changed(file, facts, posterior, target)
    if posterior is None:
        if facts["posterior"] is None:
            raise InputError(f"{file} keeps a module that has no spec; expected load(file, posterior=the same module)")
        spec, dtype = facts["posterior"], getattr(torch, facts["dtype"])
        options = {name: facts[name] for name in ("features", "points", "seed")}
        head = Training.model_validate(facts["training"]).head
        posterior = build_posterior(spec, facts["dim"], **options, dtype=dtype, head=head)
    if target is None and facts["target"] is not None and not is_of_file(facts["target"]):
        target = build_target(facts["target"]).to(dtype=getattr(torch, facts["dtype"]))
    for name, module in (("posterior", posterior), ("target", target)):
        if module is not None:
            _fill(file, name, module, tensors)
    return Fitted(
        posterior,
        target,
        facts["posterior"],
        facts["target"],
        Training.model_validate(facts["training"]),
        facts["seed"],
        pd.DataFrame(facts["curves"]),
        facts["seconds"],
        facts["diverged"],
        None if facts.get("evidence") is None else Evidence.of_data(facts["evidence"]),
    )


def _read(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What a file holds: facts and tensors, which are those that were stored."""
    try:
        content = read(file, MOST_BYTES, "fitted posterior")
        tensors = from_bytes(content)
        start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
        metadata = json.loads(content[_LENGTH:start]).get("__metadata__") or {}
        text = metadata[_KEY]
        facts = json.loads(text)
    except AbsentError:
        raise InputError(f"{file} is not a fitted posterior: No such file; expected a file of Fitted.save") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"{file} is not a fitted posterior: {error}; expected a file of Fitted.save") from None
    version = facts.get("format") if isinstance(facts, dict) else None
    if version != _FORMAT:
        raise InputError(f"{file} has format {version!r}; this nfbench reads format {_FORMAT}")
    if metadata.get(_DIGEST, expected := _digest(text, tensors)) != expected:
        raise InputError(f"{file} is not as it was stored: its content has digest {expected[:12]}, not the one it says")
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{file} is not a fitted posterior: {where}: {first['msg']}") from None
    return facts, tensors


def _digest(facts: str, tensors: dict[str, torch.Tensor]) -> str:
    """The sha256 over facts and tensors: names, dtypes, shapes and bytes."""
    total = hashlib.sha256(facts.encode())
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _tell_changed(file: str | Path, facts: dict[str, Any], posterior: Posterior | None, target: Target | None) -> None:
    """Warn where a posterior or target is built by other code than that which was fitted."""
    used = {
        "posterior": None if posterior else facts["posterior"],
        "target": None if target or is_of_file(facts["target"] or "") else facts["target"],
    }
    then, now = facts.get("sources") or {}, sources_of(**used) or {}
    changed = [kind for kind, code in now.items() if code != then.get(kind, code)]
    if changed:
        names = " and ".join(f"{kind} {used[kind]!r}" for kind in changed)
        warnings.warn(f"{file} was made by other code of {names} than there is now", stacklevel=3)


def _fill(file: str | Path, name: str, module: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    state = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: the numbers do not fit the {name}: {reason}") from None
