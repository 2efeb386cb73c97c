"""ConvLSTM (Shi et al. 2015, arXiv:1506.04214), without peepholes. State in, state out, always in the same form.

Shapes: B batch, T time, C input channels, D hidden channels, H W size of the map.
"""

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""(h, c), each (B, D, H, W)."""


class ConvLSTMCell(nn.Module):
    """One step of a ConvLSTM.

    The gates i, f, o, g stand in this order in the output of `conv_x` (with bias) plus `conv_h` (without).
    """

    def __init__(
        self, input_dim: int, hidden_dim: int, kernel_size: int | tuple[int, int] = 3, bias: bool = True
    ) -> None:
        super().__init__()
        kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != 2 or any(side < 1 or side % 2 == 0 for side in kernel):
            raise ValueError(f"kernel_size must be odd, so that maps keep their size, got {kernel_size}: use 3 or 5")
        self.input_dim = input_dim
        self.hidden_dim = hidden_dim
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv_x = nn.Conv2d(input_dim, 4 * hidden_dim, kernel, padding=padding, bias=bias)
        self.conv_h = nn.Conv2d(hidden_dim, 4 * hidden_dim, kernel, padding=padding, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """Input (B, C, H, W) and state to the next state; None is the zero state."""
        return self.step(self.conv_x(x), state)

    def step(self, gates_x: Tensor, state: State | None = None) -> State:
        """As `forward`, with `conv_x` of the input (B, 4D, H, W) at hand: windows that share frames share it."""
        h, c = state if state is not None else self.zero_state(gates_x)
        i, f, o, g = (gates_x + self.conv_h(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def zero_state(self, like: Tensor) -> State:
        """Zeros for the batch and size of `like` (B, any, H, W)."""
        shape = (like.shape[0], self.hidden_dim, *like.shape[-2:])
        return like.new_zeros(shape), like.new_zeros(shape)


class ConvLSTM(nn.Module):
    """A stack of ConvLSTM layers over a sequence.

    `hidden_dim` and `kernel_size` may be lists with one entry per layer. Input is (B, T, C, H, W), or
    (T, B, C, H, W) with `batch_first=False`.
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int | list[int],
        kernel_size: int | tuple[int, int] | list[tuple[int, int]] = 3,
        num_layers: int = 1,
        batch_first: bool = True,
        bias: bool = True,
        return_all_layers: bool = False,
    ) -> None:
        super().__init__()
        hidden_dims = _per_layer("hidden_dim", hidden_dim, num_layers)
        kernels = _per_layer("kernel_size", kernel_size, num_layers)
        self.batch_first = batch_first
        self.return_all_layers = return_all_layers
        inputs = [input_dim, *hidden_dims[:-1]]
        self.cell_list = nn.ModuleList(
            ConvLSTMCell(inputs[layer], hidden_dims[layer], kernels[layer], bias) for layer in range(num_layers)
        )

    def forward(self, x: Tensor, states: list[State] | None = None) -> tuple[list[Tensor], list[State]]:
        """Outputs (of the last layer, or of all with `return_all_layers`) and the last state of every layer.

        `states` is taken in the form in which it is returned, one (h, c) per layer, so that two calls on the halves of
        a sequence equal one call on the whole; None means zeros. An output has the layout of the input, with the
        layer's hidden channels. Raises ValueError for another number of dimensions, steps or states.
        """
        if x.ndim != 5:
            raise ValueError(f"input must have 5 dimensions (B, T, C, H, W), got {tuple(x.shape)}")
        if states is not None and len(states) != len(self.cell_list):
            raise ValueError(f"states must hold (h, c) for each of {len(self.cell_list)} layers, got {len(states)}")
        time = 1 if self.batch_first else 0
        outputs, last_states = [], []
        for layer, cell in enumerate(self.cell_list):
            x, state = _run_layer(cell, x, states[layer] if states is not None else None, time)
            outputs.append(x)
            last_states.append(state)
        return (outputs if self.return_all_layers else outputs[-1:]), last_states


def _run_layer(cell: nn.Module, x: Tensor, state: State | None, time: int) -> tuple[Tensor, State]:
    assert isinstance(cell, ConvLSTMCell)
    gates = cell.conv_x(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # all steps at once: conv_x needs no state
    hidden = []
    for gates_x in gates.unbind(time):
        state = cell.step(gates_x, state)
        hidden.append(state[0])
    if state is None:
        raise ValueError("the sequence has no steps")
    return torch.stack(hidden, dim=time), state


def _per_layer(name: str, value: object, num_layers: int) -> list:  # type: ignore[type-arg]
    values = list(value) if isinstance(value, list) else [value] * num_layers
    if num_layers < 1 or len(values) != num_layers:
        raise ValueError(f"{name} must be one value or one per layer, got {value} for num_layers={num_layers}")
    return values
