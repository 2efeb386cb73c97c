import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from convlstm.config import ModelConfig, TrainConfig
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.training.optimizers import Muon, is_kernel, make_optimizer, orthogonalized

LR = 0.01


def conv(kernel: int, weight_decay: float = 0.0) -> tuple[nn.Conv2d, Muon]:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 3, kernel)
    return layer, Muon(layer, LR, weight_decay)


def give_gradients(layer: nn.Module, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@given(rows=st.integers(2, 24), columns=st.integers(2, 24), exponent=st.integers(-6, 6), seed=st.integers(0, 99))
def test_singular_values_come_near_one_whatever_their_scale(rows: int, columns: int, exponent: int, seed: int) -> None:
    torch.manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(rows, rows))
    right, _ = torch.linalg.qr(torch.randn(columns, columns))
    values = torch.linspace(0.1, 1, min(rows, columns)) * 10.0**exponent
    matrix = left[:, : len(values)] * values @ right[:, : len(values)].T
    found = torch.linalg.svdvals(orthogonalized(matrix))
    assert found.min() > 0.65 and found.max() < 1.25


def test_directions_are_kept() -> None:
    """U S V^T becomes nearly U V^T."""
    torch.manual_seed(0)
    matrix = torch.randn(8, 40)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(orthogonalized(matrix), left @ right, atol=0.15, rtol=0)


def test_nothing_becomes_nothing() -> None:
    assert torch.equal(orthogonalized(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_kernels_step_as_torch_does_for_two_dimensions() -> None:
    layer, ours = conv(3)
    flat = nn.Parameter(layer.weight.detach().flatten(1).clone())
    wanted = torch.optim.Muon([flat], lr=LR, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for group in ours.param_groups:
        group["weight_decay"] = 0.1
    for seed in range(4):
        give_gradients(layer, seed)
        assert layer.weight.grad is not None
        flat.grad = layer.weight.grad.flatten(1).clone()
        ours.step()
        wanted.step()
        torch.testing.assert_close(layer.weight.flatten(1), flat, atol=LR * 0.05, rtol=0)  # torch's is in bfloat16


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_the_rest_steps_as_adam_does(weight_decay: float) -> None:
    layer, ours = conv(1, weight_decay)
    same = copy.deepcopy(layer)
    wanted = torch.optim.AdamW(same.parameters(), lr=LR, weight_decay=weight_decay)
    for seed in range(4):
        give_gradients(layer, seed)
        give_gradients(same, seed)
        ours.step()
        wanted.step()
    torch.testing.assert_close(layer.state_dict(), same.state_dict())


def test_a_step_is_as_large_as_one_of_adam() -> None:
    layer, ours = conv(3)
    before = layer.weight.detach().clone()
    give_gradients(layer)
    ours.step()
    assert (layer.weight.detach() - before).square().mean().sqrt().item() == pytest.approx(0.2 * LR, rel=0.25)


def test_parameters_without_a_gradient_stay() -> None:
    layer, ours = conv(3, weight_decay=0.1)
    before = copy.deepcopy(layer.state_dict())
    ours.step()
    torch.testing.assert_close(layer.state_dict(), before, atol=0, rtol=0)


def test_a_closure_is_called_with_gradients_on() -> None:
    layer, ours = conv(3)

    def loss() -> float:
        layer.zero_grad()
        found: Tensor = layer(torch.ones(1, 4, 3, 3)).square().sum()
        torch.autograd.backward(found)
        return found.item()

    first, second = ours.step(loss), ours.step(loss)
    assert first is not None and second is not None and second < first


def test_what_the_network_has_of_either_kind() -> None:
    model = TemporalClassifier(ModelConfig())
    kernels = {name for name, parameter in model.named_parameters() if is_kernel(parameter)}
    rest = {name for name, _ in model.named_parameters()} - kernels
    assert all(name.endswith("weight") for name in kernels) and len(kernels) == 7
    assert all(name.endswith("bias") or name == "final_classifier.weight" for name in rest)


@pytest.mark.parametrize("seed", range(3))
def test_a_loaded_state_goes_on_exactly(seed: int) -> None:
    layer, whole = conv(3)
    for step in range(3):
        give_gradients(layer, step)
        whole.step()
    loaded_layer, loaded = conv(3)
    loaded_layer.load_state_dict(layer.state_dict())
    loaded.load_state_dict(copy.deepcopy(whole.state_dict()))
    for changed, optimizer in ((layer, whole), (loaded_layer, loaded)):
        give_gradients(changed, 10 + seed)
        optimizer.step()
    torch.testing.assert_close(loaded_layer.state_dict(), layer.state_dict(), atol=0, rtol=0)


def test_the_setting_names_the_optimizer() -> None:
    model = TemporalClassifier(ModelConfig())
    adam = make_optimizer(model, TrainConfig(lr=0.5, weight_decay=0.25))
    muon = make_optimizer(model, TrainConfig(optimizer="muon", lr=0.5, weight_decay=0.25))
    assert type(adam) is torch.optim.Adam and type(muon) is Muon
    for optimizer in (adam, muon):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        assert {id(parameter) for parameter in parameters} == {id(parameter) for parameter in model.parameters()}
        assert all((group["lr"], group["weight_decay"]) == (0.5, 0.25) for group in optimizer.param_groups)
