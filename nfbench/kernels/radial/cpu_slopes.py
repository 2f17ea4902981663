"""What one radial map does to ln|det| at a radius r, compiled; alpha > 0 and s = alpha + beta_hat > 0."""

from typing import Any

from nfbench.kernels.simd.arithmetic import inlined


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
    """`grad_log` times d/dr, d/d alpha and d/ds of ln|det|, without differences that cancel; `count` is D - 1.

    With rho = alpha + r, a = r^2 + 2 alpha r + alpha s and e = (D - 1) / (r + s): (alpha - s) / rho (e + 2 alpha / a),
    ((r (s - 2 alpha) - alpha s) / a - (D - 1)) / rho, and e + alpha / a.
    """
    reach, outer = alpha + r, count / (r + s)
    inner = r * (reach + alpha) + alpha * s
    share = alpha / inner
    to_r = grad_log * ((alpha - s) / reach * (outer + share + share))
    to_alpha = grad_log * (((r * (s - alpha - alpha) - alpha * s) / inner - count) / reach)
    return to_r, to_alpha, grad_log * (outer + share)


@inlined
def slopes_with_q(r: Any, alpha: Any, s: Any, count: Any, grad_log: Any, grad_q: Any) -> Any:
    """The same through ln|det| and through q = (s - alpha) / (alpha + r), whose gradient is `grad_q`."""
    to_r, to_alpha, to_s = slopes(r, alpha, s, count, grad_log)
    to_beta = grad_q / (alpha + r)
    to_q = to_beta / (alpha + r)
    return to_r - to_q * (s - alpha), to_alpha - to_q * (r + s), to_s + to_beta
