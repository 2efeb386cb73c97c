"""What the network must compute, to 1e-5: outputs of the architecture's reference weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from convlstm.models.convlstm import ConvLSTM
from convlstm.models.temporal_classifier import TemporalClassifier

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> Path:
    return shared_data / "golden"


@pytest.fixture(scope="module")
def golden_clip() -> torch.Tensor:
    cells = np.random.RandomState(0).randint(0, 256, (1, 10, 3, 20, 20))
    return torch.from_numpy(np.kron(cells, np.ones((1, 1, 1, 32, 32), int)).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "classes"), [("binary", ("static", "dynamic")), ("three_class", ("static", "dynamic", "negative"))]
)
@pytest.mark.parametrize("as_bytes", [True, False])
def test_heatmaps_of_the_reference_weights(
    golden: Path, golden_clip: torch.Tensor, name: str, classes: tuple[str, ...], as_bytes: bool
) -> None:
    model = TemporalClassifier(classes=classes)
    checkpoint = torch.load(golden / f"{name}_checkpoint.pth", weights_only=True)
    model.load_state_dict(checkpoint["model_state_dict"], strict=True)
    with np.load(golden / f"{name}_output.npz") as arrays:
        expected = arrays["heatmap"]
        assert "input_sum" not in arrays or int(arrays["input_sum"]) == int(golden_clip.sum(dtype=torch.int64))
    with torch.inference_mode():
        result = model(golden_clip if as_bytes else golden_clip.float() / 255)
    assert result.shape == expected.shape == (1, 1 if len(classes) == 2 else 3, 20, 20)
    np.testing.assert_allclose(result.numpy(), expected, atol=TOLERANCE, rtol=0)


def test_two_layers_with_initial_states(golden: Path) -> None:
    model = ConvLSTM(8, [6, 5], 3, num_layers=2, return_all_layers=True)
    with np.load(golden / "convlstm_two_layers.npz") as arrays:
        data = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    weights = {key: data[f"w_{key.replace('.', '_')}"] for key in model.state_dict()}
    assert len(weights) == sum(key.startswith("w_") for key in data)
    model.load_state_dict(weights)
    with torch.inference_mode():
        outputs, states = model(data["x"], [(data[f"h0_{i}"], data[f"c0_{i}"]) for i in range(2)])
    for i, (output, (h, c)) in enumerate(zip(outputs, states, strict=True)):
        for result, key in ((output, f"out_{i}"), (h, f"h_{i}"), (c, f"c_{i}")):
            np.testing.assert_allclose(result.numpy(), data[key].numpy(), atol=TOLERANCE, rtol=0, err_msg=key)
