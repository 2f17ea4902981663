"""What one radial map does to ln|det| at a radius r, compiled; alpha > 0 and s = alpha + beta_hat > 0."""

from typing import Any

from nfbench.kernels.arithmetic import inlined


@inlined
def across(r: Any, alpha: Any, s: Any) -> Any:
    """The factor of |det| for each of the D - 1 directions across the radius."""
    return (r + s) / (alpha + r)


@inlined
def along(r: Any, alpha: Any, s: Any) -> Any:
    """The factor along the radius."""
    reach = alpha + r
    return (r * (reach + alpha) + alpha * s) / (reach * reach)


@inlined
def slopes(r: Any, alpha: Any, s: Any, count: Any, grad_log: Any) -> Any:
    """`grad_log` times d/dr, d/d alpha and d/ds of ln|det|; `count` is D - 1.

    ln|det| = (D - 1) [ln(r + s) - ln(alpha + r)] + ln(r^2 + 2 alpha r + alpha s) - 2 ln(alpha + r).
    """
    reach, spread = alpha + r, r + s
    per_along, of_spread, outer = 1 / (r * (reach + alpha) + alpha * s), count / spread, (count + 2) / reach
    to_r = grad_log * (of_spread + 2 * reach * per_along - outer)
    to_alpha = grad_log * ((r + spread) * per_along - outer)
    to_s = grad_log * (of_spread + alpha * per_along)
    return to_r, to_alpha, to_s
