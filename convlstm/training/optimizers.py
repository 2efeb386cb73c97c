"""What turns gradients into steps: Adam, or Muon for the convolutions and Adam for the rest."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convlstm.config import TrainConfig

MOMENTUM = 0.95
NUM_ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that brings singular values near 1 in five iterations: Jordan's."""
STEP_OF_ADAM = 0.2
"""Root mean square of a step of Adam, in learning rates: a step of Muon has the same (Liu et al.)."""
BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Muon(Optimizer):
    """Muon for kernels wider than a pixel, Adam for biases and 1x1 convolutions.

    A kernel's momentum, as a matrix of outputs by the rest, is made nearly orthogonal: each step moves all directions
    alike, not only those with large gradients. Sources: K. Jordan et al., 2024, "Muon: an optimizer for hidden layers",
    https://kellerjordan.github.io/posts/muon/; J. Liu et al., 2025, "Muon is scalable for LLM training",
    arXiv:2502.16982. `torch.optim.Muon` is the same for parameters of two dimensions, and takes no others.
    `weight_decay` draws weights towards 0 beside the step, as that of AdamW does.
    """

    def __init__(self, model: nn.Module, lr: float, weight_decay: float = 0.0) -> None:
        parameters = list(model.parameters())
        kernels = [parameter for parameter in parameters if is_kernel(parameter)]
        rest = [parameter for parameter in parameters if not is_kernel(parameter)]
        defaults = {"lr": lr, "weight_decay": weight_decay}
        super().__init__([{"params": kernels, "kernels": True}, {"params": rest, "kernels": False}], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step for all parameters that have a gradient; returns what `closure` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            direction = self._orthogonal if group["kernels"] else self._adaptive
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(direction(parameter, parameter.grad), alpha=-group["lr"])
        return loss

    def _orthogonal(self, kernel: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[kernel]
        if not state:
            state["momentum"] = torch.zeros_like(kernel)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = torch.lerp(gradient, state["momentum"], MOMENTUM).flatten(1)  # Nesterov's
        scale = STEP_OF_ADAM * math.sqrt(max(ahead.shape))
        return (orthogonalized(ahead) * scale).view_as(kernel)

    def _adaptive(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - BETAS[0])
        state["square"].lerp_(gradient.square(), 1 - BETAS[1])
        mean = state["mean"] / (1 - BETAS[0] ** state["step"])
        square = state["square"] / (1 - BETAS[1] ** state["step"])
        direction: Tensor = mean / (square.sqrt() + EPSILON)
        return direction


def is_kernel(parameter: Tensor) -> bool:
    """Whether a parameter is the weight of a convolution that sees more than one pixel."""
    return parameter.ndim == 4 and parameter.shape[2:].numel() > 1


def orthogonalized(matrix: Tensor) -> Tensor:
    """The (M, N) matrix with singular values made about [.7, 1.2] by Newton-Schulz; very small ones stay small."""
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    found: Tensor = matrix.T if is_tall else matrix
    found = found / (found.norm() + 1e-12)
    for _ in range(NUM_ITERATIONS):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.T if is_tall else found


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer that `config` names, for all parameters of `model`."""
    if config.optimizer == "muon":
        return Muon(model, config.lr, config.weight_decay)
    return torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
