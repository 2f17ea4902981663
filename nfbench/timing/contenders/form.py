"""A flow posterior as somebody else writes it: numbers of its own, made from nfbench's, and what it does with them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from nfbench.records.timings import Case
from nfbench.specification.registry import posteriors
from nfbench.timing.contenders.contract import Inputs, Work

Number = TypeVar("Number", bound=Tensor)


class Setting(NamedTuple):
    """What a form is made for.

    Attributes:
        dim: D.
        points: rows of numbers: one for each data point, or 1.
        options: of the spec, K among them.
        state: nfbench's tensors by name, of the case's dtype and on its device.
    """

    dim: int
    points: int
    options: Mapping[str, Any]
    state: Mapping[str, Tensor]

    @property
    def depth(self) -> int:
        """K."""
        return int(self.options["K"])

    @property
    def base(self) -> list[Tensor]:
        """Mean and ln sigma, (points, D) each."""
        return list(self.state["source.base"].chunk(2, -1))

    def maps(self, *sizes: int) -> list[Tensor]:
        """The parts of theta, map by map: (points, size) each, or (size,) where all points share them.

        Args:
            sizes: of the kinds of numbers of a map, in the order of theta.

        Returns:
            K tensors for each kind, those of a map together.
        """
        theta = self.state.get("source.theta", self.state["source.base"][:, :0])
        shared = theta[0] if self.points == 1 else theta
        return list(torch.split(shared, self.depth * list(sizes), -1))


class Model(NamedTuple):
    """Draws and, where it can, the density at given points.

    Attributes:
        draw: noise -> z, ln q.
        density: points -> ln q; None where it has no inverse.
        rows: it takes tensors (S B, D), all draws of all points one below the other, instead of (S, B, D).
    """

    draw: Callable[[Tensor], tuple[Tensor, Tensor]]
    density: Callable[[Tensor], Tensor] | None = None
    rows: bool = False


class Form(NamedTuple):
    """How a family is written.

    Attributes:
        numbers: its learned tensors, made from nfbench's by differentiable steps: gradients find their way back.
        model: what it does with them; None where it cannot do this.
    """

    numbers: Callable[[Setting], list[Tensor]]
    model: Callable[[Setting, list[nn.Parameter]], Model | None]


def work(case: Case, inputs: Inputs, forms: Mapping[str, Form]) -> Work | None:
    """The work of a case by the form of its family; None where there is no such form or mode.

    Args:
        case: what is timed.
        inputs: the same for every contender.
        forms: by the name of a family.

    Returns:
        What the clock runs and what is compared.
    """
    choice = posteriors.choose(case.posterior)
    form = forms.get(choice.entry.name)
    if form is None or case.mode == "step":
        return None
    state = {name: _cast(value, case) for name, value in inputs.state.items()}
    setting = Setting(case.dim, case.batch if case.amortized else 1, choice.options, state)
    learned = [
        nn.Parameter(number.detach().clone(memory_format=torch.contiguous_format)) for number in form.numbers(setting)
    ]
    model = form.model(setting, learned)
    if model is None or (case.mode == "inverse" and model.density is None):
        return None
    return _work(case, inputs, model, learned, lambda gradients: back(form, setting, gradients))


def _work(
    case: Case,
    inputs: Inputs,
    model: Model,
    learned: list[nn.Parameter],
    back: Callable[[tuple[Tensor, ...]], dict[str, Tensor]],
) -> Work:
    noise, to_z, to_log_q, where = (
        _cast(tensor.flatten(0, 1) if model.rows else tensor, case)
        for tensor in (inputs.noise, inputs.to_z, inputs.to_log_q, inputs.points)
    )

    def backward() -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        z, log_q = model.draw(noise)
        return z, log_q, torch.autograd.grad((z, log_q), learned, (to_z, to_log_q))

    def drawn() -> dict[str, Tensor]:
        if case.mode != "backward":
            return _shaped(inputs, *run())
        z, log_q, gradients = backward()
        return _shaped(inputs, z, log_q) | back(gradients)

    @torch.no_grad()
    def sample() -> tuple[Tensor, Tensor]:
        return model.draw(noise)

    @torch.no_grad()
    def inverse() -> Tensor:
        assert model.density is not None
        return model.density(where)

    if case.mode == "inverse":
        return Work(inverse, lambda: {"log_q": inverse().reshape(inputs.to_log_q.shape)})
    run = sample if case.mode == "sample" else lambda: model.draw(noise)
    return Work(backward if case.mode == "backward" else run, drawn)


def _shaped(inputs: Inputs, z: Tensor, log_q: Tensor) -> dict[str, Tensor]:
    return {"z": z.detach().reshape(inputs.to_z.shape), "log_q": log_q.detach().reshape(inputs.to_log_q.shape)}


def back(form: Form, setting: Setting, gradients: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Gradients of nfbench's tensors from those of the form's numbers, by the chain rule.

    Args:
        form: how the family is written.
        setting: what it was made for.
        gradients: of the form's numbers, in their order.

    Returns:
        ``grad.NAME`` by the names of nfbench's tensors, where they have one.
    """
    leaves = {
        name: value.detach().requires_grad_() for name, value in setting.state.items() if value.is_floating_point()
    }
    numbers = form.numbers(setting._replace(state={**setting.state, **leaves}))
    grads = torch.autograd.grad(numbers, list(leaves.values()), gradients, allow_unused=True)
    return {f"grad.{name}": value for name, value in zip(leaves, grads, strict=True) if value is not None}


def _cast(tensor: Tensor, case: Case) -> Tensor:
    return tensor.to(device=case.device, dtype=getattr(torch, case.dtype))


def planar(setting: Setting) -> list[Tensor]:
    """Mean, ln sigma, and w, u, b of each map.

    Args:
        setting: K, D and the rows of numbers.

    Returns:
        2 + 3 K tensors.
    """
    return setting.base + setting.maps(setting.dim, setting.dim, 1)


def radial(setting: Setting) -> list[Tensor]:
    """Mean, ln sigma, and centre, raw alpha, raw beta of each map.

    Args:
        setting: K, D and the rows of numbers.

    Returns:
        2 + 3 K tensors.
    """
    return setting.base + setting.maps(setting.dim, 1, 1)


def couplings(setting: Setting) -> list[Tensor]:
    """Mean, ln sigma, and of each map the weights of two affine layers, laid out as in `nn.Linear`.

    The first layer's weight (H, A), bias (H,) or (points, H); the second layer's weight (M, H), bias (M,), with scale.

    Args:
        setting: K, D and the rows of numbers.

    Returns:
        2 + 4 K tensors.
    """
    hidden = int(setting.options["hidden"])
    scale = (hidden * max(1, setting.depth)) ** -0.5
    biases = setting.maps(hidden)
    layers = zip(*(setting.state[f"flow.{name}"] for name in ("w_in", "w_out", "b_out")), biases, strict=True)
    each = [[w_in.mT, b_in, scale * w_out.mT, scale * b_out] for w_in, w_out, b_out, b_in in layers]
    return setting.base + [number for numbers in each for number in numbers]


def network(w_in: nn.Parameter, b_in: nn.Parameter, w_out: nn.Parameter, b_out: nn.Parameter) -> nn.Module:
    """The shift of a coupling as torch's own layers.

    Args:
        w_in: (H, A).
        b_in: (H,).
        w_out: (M, H).
        b_out: (M,).

    Returns:
        (..., A) -> (..., M), with these very parameters.
    """
    hidden, inputs = w_in.shape
    layers = nn.Linear(inputs, hidden), nn.Linear(hidden, len(w_out))
    (layers[0].weight, layers[0].bias), (layers[1].weight, layers[1].bias) = (w_in, b_in), (w_out, b_out)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1])


def mixing(setting: Setting) -> Tensor:
    """The matrix before each coupling (K, D, D); the state has their products from the first on.

    Args:
        setting: of a NICE flow.

    Returns:
        Orthogonal matrices.
    """
    products = setting.state["flow.basis"]
    identity = torch.eye(products.shape[-1], dtype=products.dtype, device=products.device)
    before = torch.cat([identity.unsqueeze(0), products])[:-1]
    return before.mT @ products


def orders(setting: Setting) -> list[Tensor] | None:
    """The coordinates' order before each coupling, if the mixing only permutes: y_j = z_order(j).

    Args:
        setting: of a NICE flow.

    Returns:
        K tensors (D,), or None.
    """
    return list(mixing(setting).argmax(-2)) if setting.options["mixing"] == "permutation" else None


def grouped(numbers: list[Number], size: int) -> tuple[list[Number], list[list[Number]]]:
    """The base's two numbers, and those of each map.

    Args:
        numbers: the base's two, then those of the maps, one map after the other.
        size: numbers of a map.

    Returns:
        The base, and a list for each map.
    """
    rest = numbers[2:]
    return numbers[:2], [rest[first : first + size] for first in range(0, len(rest), size)]
