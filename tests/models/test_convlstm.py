import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convlstm.models.convlstm import ConvLSTM, ConvLSTMCell, State

pytestmark = pytest.mark.pure


def random_states(batch: int, dims: list[int], height: int, width: int) -> list[State]:
    return [(torch.randn(batch, dim, height, width), torch.randn(batch, dim, height, width)) for dim in dims]


def assert_states_close(first: list[State], second: list[State]) -> None:
    for (h1, c1), (h2, c2) in zip(first, second, strict=True):
        torch.testing.assert_close(h1, h2)
        torch.testing.assert_close(c1, c2)


def test_one_step_by_hand() -> None:
    """All convolutions 1x1 with known weights: gates stand in the order i, f, o, g."""
    cell = ConvLSTMCell(1, 1, kernel_size=1)
    with torch.no_grad():
        cell.conv_x.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 1))
        assert cell.conv_x.bias is not None
        cell.conv_x.bias.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
        cell.conv_h.weight.copy_(torch.tensor([-1.0, 0.5, 0.25, 2.0]).reshape(4, 1, 1, 1))
        h, c = cell(torch.full((1, 1, 1, 1), 0.5), (torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), -0.7)))
    i, f, o = (torch.sigmoid(torch.tensor(x)) for x in (0.5 + 0.1 - 0.2, 1.0 + 0.2 + 0.1, 1.5 + 0.3 + 0.05))
    g = torch.tanh(torch.tensor(2.0 + 0.4 + 0.4))
    expected_c = f * -0.7 + i * g
    assert c.item() == pytest.approx(expected_c.item(), abs=1e-6)
    assert h.item() == pytest.approx((o * torch.tanh(expected_c)).item(), abs=1e-6)


def test_two_halves_with_the_state_between_equal_the_whole() -> None:
    torch.manual_seed(0)
    model = ConvLSTM(3, [4, 5], 3, num_layers=2, return_all_layers=True)
    x, start = torch.randn(2, 7, 3, 6, 8), random_states(2, [4, 5], 6, 8)
    whole, last = model(x, start)
    first, between = model(x[:, :3], start)
    second, end = model(x[:, 3:], between)
    for layer in range(2):
        torch.testing.assert_close(torch.cat([first[layer], second[layer]], dim=1), whole[layer])
    assert_states_close(end, last)


def test_time_first_is_the_same_in_another_order() -> None:
    torch.manual_seed(0)
    model = ConvLSTM(3, 4, 3)
    other = ConvLSTM(3, 4, 3, batch_first=False)
    other.load_state_dict(model.state_dict())
    x = torch.randn(2, 5, 3, 6, 8)
    (output,), states = model(x)
    (transposed,), same_states = other(x.transpose(0, 1))
    assert transposed.shape == (5, 2, 4, 6, 8)
    torch.testing.assert_close(transposed.transpose(0, 1), output)
    assert_states_close(same_states, states)


def test_the_last_output_is_the_last_hidden_state_and_no_state_means_zeros() -> None:
    torch.manual_seed(0)
    model = ConvLSTM(3, 4, 3)
    x = torch.randn(2, 5, 3, 6, 8)
    (output,), states = model(x)
    torch.testing.assert_close(output[:, -1], states[0][0])
    zeros = (torch.zeros(2, 4, 6, 8), torch.zeros(2, 4, 6, 8))
    torch.testing.assert_close(model(x, [zeros])[0][0], output)


def test_all_layers_or_the_last() -> None:
    torch.manual_seed(0)
    all_layers = ConvLSTM(3, [4, 5, 6], [(3, 3), (1, 3), (5, 5)], num_layers=3, return_all_layers=True)
    last_layer = ConvLSTM(3, [4, 5, 6], [(3, 3), (1, 3), (5, 5)], num_layers=3)
    last_layer.load_state_dict(all_layers.state_dict())
    x = torch.randn(1, 3, 3, 6, 8)
    outputs, states = all_layers(x)
    assert [tuple(output.shape) for output in outputs] == [(1, 3, d, 6, 8) for d in (4, 5, 6)]
    (output,), same_states = last_layer(x)
    torch.testing.assert_close(output, outputs[-1])
    assert len(states) == len(same_states) == 3


def test_without_bias_zeros_stay_zeros() -> None:
    model = ConvLSTM(3, 4, 3, bias=False)
    assert not [name for name, _ in model.named_parameters() if name.endswith("bias")]
    (output,), _ = model(torch.zeros(1, 2, 3, 4, 4))
    assert not output.any()


@pytest.mark.parametrize("kernel_size", [2, (3, 4), 0, (3, 3, 3)])
def test_even_and_odd_shaped_kernels_are_refused(kernel_size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"kernel_size must be odd, .*, got .*: use 3 or 5"):
        ConvLSTM(3, 4, kernel_size)


def test_wrong_numbers_of_things_are_named() -> None:
    model = ConvLSTM(3, [4, 4], 3, num_layers=2)
    with pytest.raises(ValueError, match=r"states must hold .* 2 layers, got 1"):
        model(torch.zeros(1, 2, 3, 4, 4), random_states(1, [4], 4, 4))
    with pytest.raises(ValueError, match=r"input must have 5 dimensions \(B, T, C, H, W\), got \(2, 3, 4, 4\)"):
        model(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match="the sequence has no steps"):
        model(torch.zeros(1, 0, 3, 4, 4))
    with pytest.raises(ValueError, match=r"hidden_dim must be one value or one per layer, got \[4\] for num_layers=2"):
        ConvLSTM(3, [4], 3, num_layers=2)
    with pytest.raises(ValueError, match="hidden_dim must be one value or one per layer, got 4 for num_layers=0"):
        ConvLSTM(3, 4, 3, num_layers=0)


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9))
def test_any_split_of_any_size_equals_the_whole(batch: int, steps: int, height: int, width: int) -> None:
    torch.manual_seed(steps)
    model = ConvLSTM(2, 3, (3, 5))
    x = torch.randn(batch, steps, 2, height, width)
    (whole,), last = model(x)
    states: list[State] | None = None
    parts: list[Tensor] = []
    for step in range(steps):
        (output,), states = model(x[:, step : step + 1], states)
        parts.append(output)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    assert states is not None
    assert_states_close(states, last)


def test_gradients_reach_every_weight() -> None:
    model = ConvLSTM(2, [3, 3], 3, num_layers=2)
    (output,), _ = model(torch.randn(1, 3, 2, 4, 4))
    output.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
