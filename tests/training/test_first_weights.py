"""Which network weights bring along, and which of them a new model takes."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convlstm.config import ModelConfig, TrainConfig, Unhalved
from convlstm.errors import CheckpointError, ConfigError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.shipped import shipped_weights
from convlstm.training.first_weights import begin_from, first_weights, with_network_of

FOUND = ModelConfig(classes=("static", "dynamic", "negative"), stem="motion", lags=(2, 5), differences="both")
HEAD = {"final_classifier.weight", "final_classifier.bias"}


def checkpoint_of(model: ModelConfig) -> Checkpoint:
    torch.manual_seed(7)
    return Checkpoint(TemporalClassifier(model).state_dict(), model, 4, (64, 64), 0.3, 12.5, digest="0123456789abcdef")


def test_what_is_not_set_comes_from_the_weights() -> None:
    config = with_network_of(TrainConfig(weights="a.pth", epochs=3, seq_length=6, threshold=0.7), FOUND)
    assert config.model_config() == FOUND
    assert config == TrainConfig(
        **vars(FOUND), weights="a.pth", epochs=3, seq_length=6, threshold=0.7
    )  # seq_length, threshold and all else stay the user's, not the weights'


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stem", "rgb", "stem is set to rgb, but a.pth was trained with motion: leave stem out, or take other weights"),
        ("lags", (4,), "lags is set to 4, but a.pth was trained with 2 5: leave lags out, or take other weights"),
        ("downsample", 2, "downsample is set to 2, but a.pth was trained with 1: leave downsample out"),
        ("differences", "local", "differences is set to local, but a.pth was trained with both: leave differences out"),
    ],
)
def test_another_network_names_both(name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_network_of(TrainConfig(weights="a.pth", **{name: value}), FOUND)  # type: ignore[arg-type]
    assert str(caught.value).startswith(message) and caught.value.exit_code == 2


def test_a_default_that_was_asked_for_counts_too() -> None:
    config = TrainConfig(weights="a.pth")
    default = TrainConfig().lags
    assert default != FOUND.lags
    with pytest.raises(ConfigError, match=r"lags is set to 1 3 9, but a\.pth was trained with 2 5"):
        with_network_of(config, FOUND, given={"lags": default})
    assert with_network_of(config, FOUND, given={"epochs"}).lags == FOUND.lags
    assert with_network_of(config, FOUND, given={"classes"}).classes == config.classes


def model_config(size: tuple[int, Unhalved], **options: Any) -> ModelConfig:
    return ModelConfig(downsample=size[0], unhalved=size[1], **options)


models = st.builds(
    model_config,
    size=st.sampled_from([(1, "first"), (2, "first"), (2, "last")]),
    classes=st.sampled_from([("static", "dynamic"), ("calm", "fire"), ("static", "dynamic", "negative")]),
    stem=st.sampled_from(["rgb", "motion"]),
    lags=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(tuple),
    differences=st.sampled_from(["frame", "local", "both"]),
)
NETWORK = ("stem", "differences", "downsample", "unhalved")


@given(wanted=models, found=models)
def test_the_network_is_that_of_the_weights_or_refused(wanted: ModelConfig, found: ModelConfig) -> None:
    config = TrainConfig(weights="w", **vars(wanted))
    try:
        taken = with_network_of(config, found)
    except ConfigError as error:
        names = [name for name in (*NETWORK, "lags") if str(error).startswith(f"{name} is set to ")]
        assert len(names) == 1
        assert getattr(wanted, names[0]) not in (getattr(found, names[0]), getattr(TrainConfig(), names[0]))
        return
    assert all(getattr(taken, name) == getattr(found, name) for name in NETWORK)
    assert taken.lags in (found.lags, wanted.lags) and len(taken.lags) == len(found.lags)
    assert taken.classes in (found.classes, wanted.classes)
    assert taken.classes == wanted.classes or wanted.classes == TrainConfig().classes
    assert with_network_of(taken, found) == taken


def test_weights_are_named_as_for_detection(tmp_path: Path) -> None:
    assert first_weights(TrainConfig()) == (TrainConfig(), None)
    config, shipped = first_weights(TrainConfig(weights="shipped"))
    assert shipped is not None and shipped.digest == load_checkpoint(shipped_weights()).digest
    assert config.model_config() == shipped.model
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(FOUND))
    config, mine = first_weights(TrainConfig(weights=str(tmp_path / "a.pth")))
    assert mine is not None and config.model_config() == mine.model == FOUND
    with pytest.raises(CheckpointError, match=r"none\.pth: no such weights file"):
        first_weights(TrainConfig(weights="none.pth"))


@pytest.mark.parametrize(
    "classes", [FOUND.classes, ("static", "dynamic"), ("a", "b", "c"), ("static", "negative", "dynamic")]
)
def test_other_classes_get_a_new_head(classes: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    checkpoint = checkpoint_of(FOUND)
    torch.manual_seed(1)
    model = TemporalClassifier(FOUND, classes=classes)
    random = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begin_from(model, checkpoint, "mine.pth")
    is_same = classes == FOUND.classes
    for name, tensor in model.state_dict().items():
        source = checkpoint.weights if is_same or name not in HEAD else random
        assert torch.equal(tensor, source[name]), name
    heads = [message for message in caplog.messages if "begins anew" in message]
    assert heads == (
        []
        if is_same
        else [f"mine.pth knows the classes static dynamic negative: the head for {' '.join(classes)} begins anew"]
    )
    assert caplog.messages[-1] == "first weights: mine.pth (0123456789ab), stem motion, lags 2 5, differences both"


def test_as_many_other_lags_are_learnt_anew(caplog: pytest.LogCaptureFixture) -> None:
    config = with_network_of(TrainConfig(weights="mine.pth", lags=(1, 4)), FOUND)
    assert config.model_config() == replace(FOUND, lags=(1, 4))
    checkpoint = checkpoint_of(FOUND)
    model = TemporalClassifier(config.model_config())
    begin_from(model, checkpoint, "mine.pth")
    assert all(torch.equal(tensor, checkpoint.weights[name]) for name, tensor in model.state_dict().items())
    assert caplog.messages[0] == "mine.pth was trained with lags 2 5: with 1 4 it has much to learn anew"


def test_the_log_of_an_rgb_network_names_no_lags(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    begin_from(TemporalClassifier(), checkpoint_of(ModelConfig()), "mine.pth")
    assert caplog.messages == ["first weights: mine.pth (0123456789ab), stem rgb"]
