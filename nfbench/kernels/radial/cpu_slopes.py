"""The two factors of a radial map's |det| and the derivatives of its logarithm, as functions of numbers; compiled.

The map is z + q (z - c) with q = (s - alpha) / (alpha + r), r = |z - c|, alpha > 0 and s = alpha + beta_hat > 0
(Rezende & Mohamed 2015, eq. 14, App. A.2).
"""

from typing import Any

from nfbench.kernels.compiler.decorators import inlined


@inlined
def across(r: Any, alpha: Any, s: Any) -> Any:
    """The factor of |det| for each of the D - 1 directions at right angles to z - c.

    Args:
        r: radius |z - c|.
        alpha: of the map, positive.
        s: alpha + beta_hat of the map, positive.

    Returns:
        1 + q.
    """
    return (r + s) / (alpha + r)


@inlined
def along(r: Any, alpha: Any, s: Any) -> Any:
    """The factor of |det| along z - c.

    Args:
        r: radius |z - c|.
        alpha: of the map, positive.
        s: alpha + beta_hat of the map, positive.

    Returns:
        1 + alpha beta_hat / (alpha + r)^2.
    """
    reach = alpha + r
    return (r * (reach + alpha) + alpha * s) / (reach * reach)


@inlined
def slopes(r: Any, alpha: Any, s: Any, count: Any, grad_log: Any) -> Any:
    """The gradients in r, alpha and s that come through ln|det|, without differences that cancel.

    With rho = alpha + r, a = r^2 + 2 alpha r + alpha s and e = (D - 1) / (r + s) the derivatives of ln|det| are
    (alpha - s) / rho (e + 2 alpha / a), ((r (s - 2 alpha) - alpha s) / a - (D - 1)) / rho, and e + alpha / a.

    Args:
        r: radius |z - c|.
        alpha: of the map, positive.
        s: alpha + beta_hat of the map, positive.
        count: D - 1.
        grad_log: gradient in ln|det|.

    Returns:
        The three gradients.
    """
    reach, outer = alpha + r, count / (r + s)
    inner = r * (reach + alpha) + alpha * s
    share = alpha / inner
    to_r = grad_log * ((alpha - s) / reach * (outer + share + share))
    to_alpha = grad_log * (((r * (s - alpha - alpha) - alpha * s) / inner - count) / reach)
    return to_r, to_alpha, grad_log * (outer + share)


@inlined
def slopes_with_q(r: Any, alpha: Any, s: Any, count: Any, grad_log: Any, grad_q: Any) -> Any:
    """The gradients in r, alpha and s that come through ln|det| (`slopes`) and through q.

    Args:
        r: radius |z - c|.
        alpha: of the map, positive.
        s: alpha + beta_hat of the map, positive.
        count: D - 1.
        grad_log: gradient in ln|det|.
        grad_q: gradient in q.

    Returns:
        The three gradients, each the sum of both parts.
    """
    to_r, to_alpha, to_s = slopes(r, alpha, s, count, grad_log)
    to_beta = grad_q / (alpha + r)
    to_q = to_beta / (alpha + r)
    return to_r - to_q * (s - alpha), to_alpha - to_q * (r + s), to_s + to_beta
