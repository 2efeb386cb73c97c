import re

import numpy as np
import pytest
import torch

from convlstm.config import ModelConfig
from convlstm.errors import ConfigError
from convlstm.inference.engines.torch import TorchEngine, resolve_device
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", "mps:3", "meta:x"])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"device {device!r} cannot be used: ")) as caught:
        resolve_device(device)
    assert str(caught.value).endswith("; use auto or cpu") and "\n" not in str(caught.value)


def test_auto_takes_what_is_there() -> None:
    wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto").type == wanted
    assert resolve_device("cpu") == torch.device("cpu")


def make_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(stem="motion"))
    return Checkpoint(model.state_dict(), model.config, 4, (64, 96), threshold=0.5, fps=25)


def frames_of(count: int) -> np.ndarray[tuple[int, int, int, int], np.dtype[np.uint8]]:
    return np.random.RandomState(0).randint(0, 256, (count, 64, 96, 3)).astype(np.uint8)


def test_bf16_rounds_the_encoder_and_nothing_else() -> None:
    exact, rounded = (TorchEngine(make_checkpoint(), device="cpu", precision=p) for p in ("32-true", "bf16-mixed"))
    assert TorchEngine(make_checkpoint(), device="cpu").precision == "32-true"
    gates, greys = exact.encode(frames_of(4))
    rounded_gates, rounded_greys = rounded.encode(frames_of(4))
    assert greys is not None and rounded_greys is not None and torch.equal(greys, rounded_greys)
    difference = max(float((a - b).abs().max()) for a, b in zip(gates, rounded_gates, strict=True))
    assert 1e-5 < difference < 0.1 and all(frame.dtype == torch.float32 for frame in rounded_gates)
    windows = np.arange(4)[None]
    np.testing.assert_array_equal(exact.window_head(gates, windows), rounded.window_head(gates, windows))


def test_steps_are_a_window() -> None:
    engine = TorchEngine(make_checkpoint(), device="cpu")
    gates, _ = engine.encode(frames_of(4))
    state = None
    for frame in gates:
        logits, state = engine.step(frame, state)
    np.testing.assert_allclose(logits, engine.window_head(gates, np.arange(4)[None])[0], atol=1e-5)


def test_nothing_keeps_the_memory_of_a_whole_call() -> None:
    gates, greys = TorchEngine(make_checkpoint(), device="cpu").encode(frames_of(14))
    assert greys is not None and len(greys) == 9
    for tensor in (*gates, greys):
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
