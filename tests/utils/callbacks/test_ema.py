from types import SimpleNamespace
from typing import Any

import pytest
import torch

from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.callbacks.ema import EMA

NAME = "final_classifier.bias"


def make_trainer(model: TemporalClassifier) -> Any:
    return SimpleNamespace(model=model, inference_model=model)


def set_bias(model: TemporalClassifier, value: float) -> None:
    with torch.no_grad():
        assert model.final_classifier.bias is not None
        model.final_classifier.bias.fill_(value)


@pytest.mark.parametrize("decay", [0.3, 0.998])
def test_the_average_follows_its_formula(decay: float) -> None:
    model = TemporalClassifier()
    ema, trainer = EMA(model, decay), make_trainer(model)
    values = [float(step * step % 7 - 3) for step in range(40)]
    expected = 0.0
    for count, value in enumerate(values):
        set_bias(model, value)
        ema.on_step_end(trainer, loss=0.0)
        rising = min(decay, (1 + count) / (10 + count))
        expected = rising * expected + (1 - rising) * value if count else value  # the first weights are taken whole
        assert ema.model.state_dict()[NAME].item() == pytest.approx(expected, abs=1e-5)
    assert min(decay, 40 / 49) == (0.3 if decay == 0.3 else 40 / 49)  # one decay was reached, the other still rises


def test_validation_runs_the_average_and_training_stays_untouched() -> None:
    model = TemporalClassifier()
    ema, trainer = EMA(model, 0.9), make_trainer(model)
    ema.on_fit_start(trainer)
    assert trainer.inference_model is ema.model and trainer.inference_model is not model
    ema.on_step_end(trainer, 0.0)
    before = ema.model.state_dict()[NAME].clone()
    set_bias(model, 5.0)
    assert torch.equal(ema.model.state_dict()[NAME], before)
    ema.on_step_end(trainer, 0.0)
    assert model.state_dict()[NAME].item() == 5.0
    assert ema.model.state_dict()[NAME].item() not in (5.0, before.item())


def test_state_goes_on_where_it_was_with_the_same_decay() -> None:
    model = TemporalClassifier()
    first, trainer = EMA(model, 0.998), make_trainer(model)
    for step in range(5):
        set_bias(model, float(step))
        first.on_step_end(trainer, 0.0)
    second = EMA(TemporalClassifier(), 0.998)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    for ema in (first, second):
        set_bias(model, 9.0)
        ema.on_step_end(trainer, 0.0)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert int(second.state_dict()["n_averaged"]) == 6
