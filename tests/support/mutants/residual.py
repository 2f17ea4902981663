"""Planar, radial, Sylvester and Householder maps, right and wrong."""

import math

import torch
from torch.nn.functional import softplus

from nfbench.foundation.numerics import monotone_root
from support.mutants.chain import Chain


class Planar(Chain):
    """f(z) = z + u_hat tanh(w.z + b), u_hat = u + (m(w.u) - w.u) w / |w|^2 (Rezende & Mohamed 2015, App. A.1)."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth, 2 * dim + 1)

    def split(self, numbers):
        w, u, b = numbers.split([self.dim, self.dim, 1], -1)
        return w, self.hat(w, u), b

    def hat(self, w, u):
        wu = (w * u).sum(-1, keepdim=True)
        return u + (self.m(wu) - wu) * w / w.square().sum(-1, keepdim=True)

    def m(self, x):
        return softplus(x) - 1

    def log_det(self, h, w, u):
        return self.log(1 + (w * u).sum(-1) * (1 - h.square()).squeeze(-1))

    def log(self, det):
        return det.abs().log()

    def there(self, z, numbers, k):
        w, u, b = self.split(numbers)
        h = torch.tanh((z * w).sum(-1, keepdim=True) + b)
        return z + u * h, self.log_det(h, w, u)

    def back(self, z, numbers, k):
        w, u, b = self.split(numbers)
        along, wu = (z * w).sum(-1, keepdim=True), (u * w).sum(-1, keepdim=True)
        root = monotone_root(
            lambda a: (a + wu * torch.tanh(a + b) - along, 1 + wu * (1 - torch.tanh(a + b).square())),
            along - wu.abs() - 1,
            along + wu.abs() + 1,
        )
        slope = (1 + wu * (1 - torch.tanh(root + b).square())).detach()
        root = root - (root + wu * torch.tanh(root + b) - along) / slope  # carries the gradients
        h = torch.tanh(root + b)
        return z - u * h, -self.log_det(h, w, u)

    def initial(self):
        return torch.randn(self.num_params)


class PlanarByNorm(Planar):
    """u_hat divides by |w|, not by its square."""

    def hat(self, w, u):
        wu = (w * u).sum(-1, keepdim=True)
        return u + (self.m(wu) - wu) * w / w.norm(dim=-1, keepdim=True)


class PlanarUnconstrained(Planar):
    """No u_hat at all."""

    def hat(self, w, u):
        return u


class PlanarTwiceSoftplus(Planar):
    """m(x) = -1 + ln(1 + softplus(x)): invertible, but another map than the paper's."""

    def m(self, x):
        return torch.log1p(softplus(x)) - 1


class PlanarOverflow(Planar):
    """m by ln(1 + e^x) as it is written."""

    def m(self, x):
        return torch.log(1 + x.exp()) - 1


class PlanarBiased(Planar):
    """ln(1e-4 + |det|)."""

    def log(self, det):
        return (1e-4 + det.abs()).log()


class PlanarWithoutLog(Planar):
    """The determinant in place of its logarithm."""

    def log(self, det):
        return det.abs()


class PlanarAtBase(Planar):
    """Every map's ln|det| at the point of the base: z is not updated between maps."""

    def forward(self, z, theta):
        total = sum(self.there(z, numbers, 0)[1] for numbers in self.maps(theta))
        return super().forward(z, theta)[0], total


class PlanarAfter(Planar):
    """psi at the point after the map, as the ICML version prints it."""

    def there(self, z, numbers, k):
        moved, _ = super().there(z, numbers, k)
        return moved, super().there(moved, numbers, k)[1]


class PlanarDetached(Planar):
    """ln|det| carries no gradient."""

    def there(self, z, numbers, k):
        moved, log_det = super().there(z, numbers, k)
        return moved, log_det.detach()


class PlanarInverseDetached(Planar):
    """The root of the inverse carries no gradient."""

    def back(self, z, numbers, k):
        moved, log_det = super().back(z, numbers, k)
        return moved.detach(), log_det


def planar_reference(z, theta, weights):
    """The chain of planar maps in plain Python."""
    dim, total = len(z), 0.0
    for start in range(0, len(theta), 2 * dim + 1):
        w, u, b = theta[start : start + dim], theta[start + dim : start + 2 * dim], theta[start + 2 * dim]
        wu = sum(map(math.prod, zip(w, u, strict=True)))
        m = -1 + math.log1p(math.exp(wu)) if wu < 30 else -1 + wu
        u = [x + (m - wu) * y / sum(v * v for v in w) for x, y in zip(u, w, strict=True)]
        h = math.tanh(sum(map(math.prod, zip(w, z, strict=True))) + b)
        total += math.log(1 + sum(map(math.prod, zip(w, u, strict=True))) * (1 - h * h))
        z = [x + y * h for x, y in zip(z, u, strict=True)]
    return z, total


class Radial(Chain):
    """f(z) = z + beta (z - c) / (alpha + r), beta = s - alpha, s > 0 (Rezende & Mohamed 2015, App. A.2)."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth, dim + 2)

    def split(self, numbers):
        centre, alpha, s = numbers.split([self.dim, 1, 1], -1)
        return centre, softplus(alpha), self.positive(s)

    def positive(self, s):
        return softplus(s)

    def log_det(self, r, alpha, s):
        first, last = (r + s) / (alpha + r), self.slope(r, alpha, s)
        return ((self.dim - 1) * first.abs().log() + last.abs().log()).squeeze(-1)

    def slope(self, r, alpha, s):
        return (r.square() + 2 * alpha * r + alpha * s) / (alpha + r).square()

    def there(self, z, numbers, k):
        centre, alpha, s = self.split(numbers)
        r = (z - centre).norm(dim=-1, keepdim=True)
        return z + (s - alpha) * (z - centre) / (alpha + r), self.log_det(r, alpha, s)

    def back(self, z, numbers, k):
        centre, alpha, s = self.split(numbers)
        t = (z - centre).norm(dim=-1, keepdim=True)
        half = t - s
        r = 0.5 * (half + (half.square() + 4 * alpha * t).sqrt())
        return centre + (z - centre) * (alpha + r) / (r + s), -self.log_det(r, alpha, s)


class RadialWithoutBeta(Radial):
    """h' r without its factor beta, as the ICML version prints it."""

    def slope(self, r, alpha, s):
        return (r + s) / (alpha + r) - r / (alpha + r).square()


class RadialPlusBeta(Radial):
    """No softplus: beta below -alpha is possible."""

    def positive(self, s):
        return s


class Sylvester(Chain):
    """z + Q R tanh(Rt Q'z + b), Q (D, D) orthogonal by QR (van den Berg et al. 2018)."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth, 3 * dim * dim + dim)

    def split(self, numbers):
        square = self.dim**2
        q, r, rt, b = numbers.split([square, square, square, self.dim], -1)
        q, r, rt = (matrix.unflatten(-1, (self.dim, self.dim)) for matrix in (q, r, rt))
        r, rt = (torch.triu(m, 1) + torch.diag_embed(m.diagonal(dim1=-2, dim2=-1).tanh()) for m in (r, rt))
        return self.orthogonal(q), r, rt, b

    def orthogonal(self, q):
        eye = 3 * torch.eye(self.dim, dtype=q.dtype, device=q.device)
        return torch.linalg.qr(q + eye).Q

    def log_det(self, h, z, r, rt):
        both = (r * rt).diagonal(dim1=-2, dim2=-1)
        return self.sum(h, z, both, r)

    def sum(self, h, z, both, r):
        return torch.log1p((1 - h.square()) * both).sum(-1)

    def there(self, z, numbers, k):
        q, r, rt, b = self.split(numbers)
        y = torch.einsum("bij,sbi->sbj", q, z)
        h = torch.tanh(torch.einsum("bij,sbj->sbi", rt, y) + b)
        moved = z + torch.einsum("bij,bjk,sbk->sbi", q, r, h)
        return moved, self.log_det(h, y, r, rt)

    def back(self, z, numbers, k):
        q, r, rt, b = self.split(numbers)
        y = torch.einsum("bij,sbi->sbj", q, z)
        roots, h = [None] * self.dim, [None] * self.dim
        for i in reversed(range(self.dim)):
            c = b[..., i] + sum((rt[:, i, j] * roots[j] for j in range(i + 1, self.dim)), torch.zeros_like(y[..., i]))
            rest = y[..., i] - sum((r[:, i, j] * h[j] for j in range(i + 1, self.dim)), torch.zeros_like(c))
            a, s = r[:, i, i], rt[:, i, i]

            def function(x, a=a, s=s, c=c, rest=rest):
                t = torch.tanh(s * x + c)
                return x + a * t - rest, 1 + a * s * (1 - t.square())

            root = monotone_root(function, rest - a.abs() - 1, rest + a.abs() + 1)
            value, slope = function(root)
            roots[i] = root - value / slope.detach()
            h[i] = torch.tanh(s * roots[i] + c)
        stacked = torch.stack(h, -1)
        moved = z - torch.einsum("bij,bjk,sbk->sbi", q, r, stacked)
        return moved, -self.log_det(stacked, torch.stack(roots, -1), r, rt)


class SylvesterOneDiagonal(Sylvester):
    """r_ii in place of r_ii rt_ii."""

    def sum(self, h, z, both, r):
        return torch.log1p((1 - h.square()) * r.diagonal(dim1=-2, dim2=-1)).sum(-1)


class SylvesterOtherPlace(Sylvester):
    """h' at Q'z in place of Rt Q'z + b."""

    def sum(self, h, z, both, r):
        return torch.log1p((1 - z.tanh().square()) * both).sum(-1)


class SylvesterTenSteps(Sylvester):
    """Q by ten of Bjorck's steps, which have not converged."""

    def orthogonal(self, q):
        eye = torch.eye(self.dim, dtype=q.dtype, device=q.device)
        q = q / torch.linalg.matrix_norm(q)[..., None, None]
        for _ in range(10):
            q = q @ (eye + (eye - q.mT @ q) / 2)
        return q


class Householder(Chain):
    """z - 2 v (v.z) / |v|^2 (Tomczak & Welling 2016)."""

    def __init__(self, dim, depth):
        super().__init__(dim, depth, dim)

    def divisor(self, v):
        return v.square().sum(-1, keepdim=True)

    def there(self, z, numbers, k):
        return z - 2 * numbers * (z * numbers).sum(-1, keepdim=True) / self.divisor(numbers), z.new_zeros(z.shape[:-1])

    back = there

    def initial(self):
        return torch.randn(self.num_params)


class HouseholderByNorm(Householder):
    """The division is by |v|, not by its square."""

    def divisor(self, v):
        return v.norm(dim=-1, keepdim=True)
