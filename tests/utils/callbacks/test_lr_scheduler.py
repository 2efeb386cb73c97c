import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch

from convlstm.config import ModelConfig, TrainConfig
from convlstm.evaluation.evaluate import Evaluation, Tally
from convlstm.utils.callbacks.lr_scheduler import LRScheduler

LR = 0.1
NO_DATA: Any = None
EVALUATION = Evaluation(ModelConfig(), NO_DATA, 0.5, Tally())


class Schedule:
    """Runs a scheduler as the trainer does, without a network; `rates` has the rate of every step."""

    def __init__(
        self,
        scheduler: Literal["plateau", "cosine", "none"],
        *,
        warmup_epochs: float = 0.0,
        steps_per_epoch: int = 2,
        epochs: int = 20,
    ) -> None:
        config = TrainConfig(scheduler=scheduler, warmup_epochs=warmup_epochs, lr=LR, epochs=epochs)
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=LR)
        self.trainer: Any = SimpleNamespace(optimizer=optimizer, epoch=0, step=0, steps_per_epoch=steps_per_epoch)
        self.callback = LRScheduler(optimizer, config)
        self.rates: list[float] = []

    def run(self, *losses: float) -> list[float]:
        """An epoch per val_loss; returns the rate of each epoch's last step."""
        for loss in losses:
            for _ in range(self.trainer.steps_per_epoch):
                self.callback.on_step_start(self.trainer)
                self.rates.append(self.trainer.optimizer.param_groups[0]["lr"])
                self.trainer.optimizer.step()
                self.trainer.step += 1
            self.trainer.epoch += 1
            self.callback.on_epoch_end(self.trainer, {"val_loss": loss}, EVALUATION)
        return self.rates[self.trainer.steps_per_epoch - 1 :: self.trainer.steps_per_epoch]


@pytest.mark.parametrize("scheduler", ["plateau", "none"])
def test_the_rate_rises_by_steps_and_then_stays(scheduler: Literal["plateau", "none"]) -> None:
    schedule = Schedule(scheduler, warmup_epochs=0.5, steps_per_epoch=8)
    schedule.run(1.0, 0.9)
    assert schedule.rates[:4] == pytest.approx([LR / 4, LR / 2, LR * 3 / 4, LR])
    assert schedule.rates[4:] == pytest.approx([LR] * 12)


def test_a_warm_up_longer_than_an_epoch() -> None:
    schedule = Schedule("plateau", warmup_epochs=1.5, steps_per_epoch=4)
    schedule.run(1.0, 1.0)
    assert schedule.rates == pytest.approx([LR * step / 6 for step in range(1, 7)] + [LR, LR])


def test_without_a_warm_up_the_first_step_has_the_full_rate() -> None:
    schedule = Schedule("none")
    schedule.run(1.0)
    assert schedule.rates == [LR, LR]


def test_plateau_halves_after_three_epochs_without_a_better_loss() -> None:
    rates = Schedule("plateau").run(1.0, *[1.0] * 9)
    assert rates == pytest.approx([LR] * 5 + [LR / 2] * 4 + [LR / 4])


def test_plateau_stays_while_the_loss_falls() -> None:
    assert Schedule("plateau").run(*[1 / epoch for epoch in range(1, 15)]) == pytest.approx([LR] * 14)


def test_epochs_of_the_warm_up_do_not_count_for_the_plateau() -> None:
    rates = Schedule("plateau", warmup_epochs=2.0).run(*[1.0] * 8)
    assert rates[1:] == pytest.approx([LR] * 6 + [LR / 2])


def cosine(shares: Iterable[float]) -> Any:
    return pytest.approx([LR * (1 + math.cos(math.pi * share)) / 2 for share in shares])


def test_cosine_goes_down_towards_zero_by_steps() -> None:
    schedule = Schedule("cosine", epochs=10)
    schedule.run(*[1.0] * 10)
    assert schedule.rates == cosine(step / 20 for step in range(20))


def test_cosine_begins_after_the_warm_up() -> None:
    schedule = Schedule("cosine", epochs=4, warmup_epochs=0.5, steps_per_epoch=4)
    schedule.run(*[1.0] * 4)
    assert schedule.rates[:2] == pytest.approx([LR / 2, LR])
    assert schedule.rates[2:] == cosine(step / 14 for step in range(14))


def test_cosine_goes_on_falling_when_epochs_are_raised() -> None:
    """A finished run has come down to zero: more epochs must train with the rate that they would have had."""
    schedule = Schedule("cosine", epochs=4)
    schedule.run(*[1.0] * 4)
    raised = Schedule("cosine", epochs=8)
    raised.callback.load_state_dict(schedule.callback.state_dict())
    raised.trainer.optimizer.load_state_dict(schedule.trainer.optimizer.state_dict())
    raised.trainer.epoch, raised.trainer.step = 4, 8
    raised.run(*[1.0] * 4)
    assert raised.rates == cosine(step / 16 for step in range(8, 16))


@pytest.mark.parametrize("scheduler", ["plateau", "cosine", "none"])
def test_state_goes_on_where_it_was(scheduler: Literal["plateau", "cosine", "none"]) -> None:
    losses = [1.0, *[2.0] * 11]
    whole = Schedule(scheduler, warmup_epochs=1.0)
    wanted = whole.run(*losses)
    first, second = (Schedule(scheduler, warmup_epochs=1.0) for _ in range(2))
    before = first.run(*losses[:4])
    second.callback.load_state_dict(first.callback.state_dict())
    second.trainer.optimizer.load_state_dict(first.trainer.optimizer.state_dict())
    second.trainer.epoch, second.trainer.step = 4, 8
    assert before + second.run(*losses[4:]) == wanted
