"""Gradient flow of the full matrices of N deep linear networks: the limit of gradient descent for small learning rates.

    dW_a/dt = -grad_{W_a} - eta W_a,   dV/dt = -kappa (grad_V + eta V),   dW'_a/dt = tau (W_a - W'_a)

with the population gradients of models.population (theory, section 1; kappa, eta and tau: section 6 A to C). W' is the
teacher of an EMA target; without tau the target is the encoder itself (JEPA) or the input (MAE).

Every matrix is padded with zeros to D x D, D the largest width: gradients of the padding are zero, so it stays zero, and all
layers of all networks are one tensor. Shapes: N networks, L layers, M = L + 1 matrices (layers, then the head), or 2 L + 1
with a teacher (its layers last); P = M D^2 numbers per network.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from models.population import gradients, products, residual


def square(matrices: list[Tensor], D: int) -> Float[Tensor, "N M D D"]:
    """Matrices [N, out, in] of any shape, padded and stacked."""
    return torch.stack([pad(m, (0, D - m.shape[2], 0, D - m.shape[1])) for m in matrices], 1)


@dataclass(frozen=True)
class GradientFlow:
    """The right-hand side for N networks of one depth.

    Attributes:
        depth: L.
        latent: JEPA (predict an encoder's features of y) or MAE (predict y).
        Sxx: E[x x^T] of each network's data, padded.
        Syx: E[y x^T], padded.
        kappa: learning rate of the head over that of the encoder.
        weight_decay: eta.
        tau: rate at which the teacher follows, or None where the target is no teacher.
    """

    depth: int
    latent: bool
    Sxx: Float[Tensor, "N D D"]
    Syx: Float[Tensor, "N D D"]
    kappa: Float[Tensor, "N 1 1"]
    weight_decay: Float[Tensor, "N 1 1"]
    tau: Float[Tensor, "N 1 1"] | None = None

    def pack(self, layers: list[Tensor], head: Tensor) -> Float[Tensor, "N P"]:
        """All weights as one vector per network; a teacher starts as a copy of the encoder."""
        return square([*layers, head, *(layers if self.tau is not None else [])], self.Sxx.shape[-1]).flatten(1)

    def unpack(self, y: Float[Tensor, "N P"]) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """Layers, head and the teacher's layers."""
        D, L = self.Sxx.shape[-1], self.depth
        matrices = list(y.unflatten(1, (-1, D, D)).unbind(1))
        return matrices[:L], matrices[L], matrices[L + 1 :]

    def product(self, y: Float[Tensor, "N P"]) -> Float[Tensor, "N D D"]:
        """Wbar of the (online) encoder, padded."""
        return products(self.unpack(y)[0])[-1]

    def product_rate(self, y: Float[Tensor, "N P"]) -> Float[Tensor, "N D D"]:
        """dWbar/dt."""
        layers, rates = self.unpack(y)[0], self.unpack(self.velocity(y))[0]
        Wbar, rate = layers[0], rates[0]
        for layer, change in zip(layers[1:], rates[1:], strict=True):
            Wbar, rate = layer @ Wbar, change @ Wbar + layer @ rate
        return rate

    @property
    def identity(self) -> Float[Tensor, "1 D D"]:
        """The target matrix of MAE."""
        return torch.eye(self.Sxx.shape[-1], dtype=self.Sxx.dtype, device=self.Sxx.device)[None]

    def velocity(self, y: Float[Tensor, "N P"]) -> Float[Tensor, "N P"]:
        """dy/dt."""
        layers, head, teacher = self.unpack(y)
        partial = products(layers)
        T = products(teacher)[-1] if teacher else partial[-1] if self.latent else self.identity
        moved = [-self.weight_decay * w for w in (*layers, head)]
        for i, left, right in gradients(layers, partial, head, residual(head, partial[-1], T, self.Sxx, self.Syx)):
            moved[i] -= left if right is None else left @ right
        moved[-1] *= self.kappa
        if self.tau is not None:
            moved += [self.tau * (w - average) for w, average in zip(layers, teacher, strict=True)]
        return torch.stack(moved, 1).flatten(1)

    def jacobian(self, y: Float[Tensor, "N P"]) -> Float[Tensor, "N P P"]:
        """d velocity / dy, written out: many times faster than forward-mode differentiation of small matrices.

        With A_i = W_L ... W_{i+1}, B_i = W_{i-1} ... W_1, C_{ij} = W_{i-1} ... W_{j+1} and G = V^T R, the derivative of
        every grad is a sum of maps dW -> X dW Y and dW -> X dW^T Y. The networks are the last dimension here, so that
        arithmetic on very small matrices runs along them.
        """
        D, L = self.Sxx.shape[-1], self.depth
        W = y.T.unflatten(0, (-1, D, D)).contiguous()
        V, Sxx, Syx = W[L], self.Sxx.movedim(0, -1), self.Syx.movedim(0, -1)
        eye = torch.eye(D).to(y)[..., None].expand(D, D, len(y))
        A, B, Wbar = around(W[:L], eye)
        A_T, B_T, T = (A, B, Wbar) if self.tau is None else around(W[L + 1 :], eye)
        R = times(times(V, Wbar), Sxx) - times(T if self.latent else eye, Syx)
        VA, RB, VR = times(V, A), times(R, mT(B)), times(mT(V), R)
        # Rows: equations of W_1 ... W_L, then the head's, whose gradient R Wbar^T has no V^T on its left and B = Wbar.
        left, right = torch.cat([mT(VA), eye[None]])[:, None], torch.cat([mT(B), mT(Wbar)[None]])[:, None]
        out = y.new_zeros(*[len(W), D, D] * 2, len(y))  # [i, p, q, j, r, s, N]
        online, head, rows = slice(0, L), slice(L, L + 1), slice(0, L + 1)
        out[rows, :, :, online] = maps(times(-left, VA), times(times(B, Sxx), right))
        out[rows, :, :, head] = maps(-left, times(times(Wbar, Sxx), right))
        if self.latent:
            follows = online if self.tau is None else slice(L + 1, None)
            out[rows, :, :, follows] += maps(times(left, A_T), times(times(B_T, Syx), right))
        C, AGB = between(W[:L], eye), times(times(mT(A), VR)[:, None], mT(B))  # C_{ij}, A_i^T G B_j^T
        lower = torch.ones(L, L, dtype=torch.bool, device=y.device).tril(-1)[..., None, None, None]
        out[online, :, :, online] -= transposed_maps(torch.where(lower, AGB, 0.0), mT(C))
        out[online, :, :, online] -= transposed_maps(mT(C).transpose(0, 1), torch.where(lower, AGB, 0.0).transpose(0, 1))
        out[online, :, :, head] -= transposed_maps(mT(A)[:, None], RB[:, None])
        out[head, :, :, online] -= transposed_maps(RB[None], mT(A)[None])
        out = out.flatten(3, 5).flatten(0, 2)
        trained, size = (L + 1) * D * D, D * D
        out.diagonal()[:, :trained] -= self.weight_decay[:, 0]
        out[L * size : trained] *= self.kappa[:, 0, 0]
        if self.tau is not None:
            out.diagonal()[:, trained:] = -self.tau[:, 0]
            out.diagonal(offset=-trained)[:] = self.tau[:, 0]
        return out.movedim(-1, 0)

    def take(self, index: Int[Tensor, "K"]) -> "GradientFlow":
        """The same for some of the networks."""
        tau = None if self.tau is None else self.tau[index]
        parts = {name: getattr(self, name)[index] for name in ("Sxx", "Syx", "kappa", "weight_decay")}
        return replace(self, **parts, tau=tau)


def mT(a: Float[Tensor, "*b p q N"]) -> Float[Tensor, "*b q p N"]:
    """Transposes, where the last dimension counts networks."""
    return a.transpose(-3, -2)


def times(a: Float[Tensor, "*a p q N"], b: Float[Tensor, "*b q r N"]) -> Float[Tensor, "*c p r N"]:
    """a b, where the last dimension counts networks."""
    return (a[..., None, :] * b[..., None, :, :, :]).sum(-3)


def around(W: Float[Tensor, "L D D N"], eye: Tensor) -> tuple[Tensor, Tensor, Float[Tensor, "D D N"]]:
    """A_i and B_i [L, D, D, N]: what stands to the left and to the right of every layer in the product, and the product."""
    after, before = [eye], [eye]
    for layer in W[1:].flip(0):
        after.append(times(after[-1], layer))
    for layer in W:
        before.append(times(layer, before[-1]))
    return torch.stack(after[::-1]), torch.stack(before[:-1]), before[-1]


def between(W: Float[Tensor, "L D D N"], eye: Tensor) -> Float[Tensor, "L L D D N"]:
    """C_{ij} = W_{i-1} ... W_{j+1} for j < i (the identity for j = i - 1), zero elsewhere."""
    L = len(W)
    out = W.new_zeros(L, L, *W.shape[1:])
    for distance in range(1, L):
        i = torch.arange(distance, L)
        out[i, i - distance] = eye if distance == 1 else times(W[i - 1], out[i - 1, i - distance])
    return out


def maps(X: Float[Tensor, "i j p r N"], Y: Float[Tensor, "i j s q N"]) -> Float[Tensor, "i p q j r s N"]:
    """Matrices of dW -> X dW Y."""
    return X.transpose(1, 2)[:, :, None, :, :, None] * Y.permute(0, 3, 1, 2, 4)[:, None, :, :, None]


def transposed_maps(X: Float[Tensor, "i j p s N"], Y: Float[Tensor, "i j r q N"]) -> Float[Tensor, "i p q j r s N"]:
    """Matrices of dW -> X dW^T Y."""
    return X.transpose(1, 2)[:, :, None, :, None] * Y.permute(0, 3, 1, 2, 4)[:, None, :, :, :, None]
