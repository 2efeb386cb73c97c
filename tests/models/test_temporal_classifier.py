from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convlstm.config import ModelConfig
from convlstm.errors import ConfigError
from convlstm.models.temporal_classifier import TemporalClassifier

pytestmark = pytest.mark.pure


def clips(batch: int = 1, steps: int = 4, height: int = 64, width: int = 96, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, steps, 3, height, width), dtype=torch.uint8, generator=generator)


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


def test_without_arguments_it_is_the_original_network() -> None:
    model = TemporalClassifier()
    assert num_parameters(model) == 281_985
    assert model.config == ModelConfig(classes=("static", "dynamic"), stem="rgb")
    convolutions = [layer for layer in model.encoder if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in convolutions] == [3, 16, 32, 64, 128]
    assert [(c.kernel_size, c.stride, c.padding) for c in convolutions] == [((3, 3), (2, 2), (1, 1))] * 5
    names = {name for name, _ in model.named_children()}
    assert names == {"encoder", "temporal_layer", "final_classifier"}
    assert model.temporal_layer.cell_list[0] is model.cell
    assert model.cell.conv_h.bias is None and model.cell.conv_x.bias is not None


def test_each_lag_adds_the_weights_of_one_input_channel() -> None:
    assert num_parameters(TemporalClassifier(stem="motion")) == 281_985 + 3 * 16 * 9
    assert num_parameters(TemporalClassifier(ModelConfig(stem="motion", lags=(2,)))) == 281_985 + 16 * 9
    assert num_parameters(TemporalClassifier(classes=("a", "b", "c"))) == 281_985 + 2 * 33


def test_with_frames_shrunk_one_convolution_keeps_its_size() -> None:
    """Either way a cell is 32x32 pixels of the frame, and the weights have the same shapes."""
    shapes = {name: tensor.shape for name, tensor in TemporalClassifier(downsample=2).state_dict().items()}
    for unhalved, strides in (("first", (1, 2, 2, 2, 2)), ("last", (2, 2, 2, 2, 1))):
        model = TemporalClassifier(downsample=2, unhalved=unhalved)
        assert tuple(layer.stride[0] for layer in model.encoder if isinstance(layer, torch.nn.Conv2d)) == strides
        assert {name: tensor.shape for name, tensor in model.state_dict().items()} == shapes
        with torch.inference_mode():
            assert model(clips(1, 2, 96, 160)).shape == (1, 1, 3, 5)
    with pytest.raises(ConfigError, match="unhalved last needs downsample 2"):
        TemporalClassifier(unhalved="last")


@pytest.mark.parametrize(("height", "width", "grid"), [(320, 320, (10, 10)), (640, 480, (20, 15)), (32, 64, (1, 2))])
def test_any_multiple_of_32_works(height: int, width: int, grid: tuple[int, int]) -> None:
    with torch.inference_mode():
        heatmaps = TemporalClassifier()(clips(2, 2, height, width))
    assert heatmaps.shape == (2, 1, *grid) and heatmaps.dtype == torch.float32
    assert ((heatmaps > 0) & (heatmaps < 1)).all()


@settings(max_examples=10)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["rgb", "motion"]))
def test_the_grid_has_a_cell_per_32_pixels(rows: int, columns: int, steps: int, stem: str) -> None:
    with torch.inference_mode():
        logits = TemporalClassifier(stem=stem).logits(clips(1, steps, 32 * rows, 32 * columns))
    assert logits.shape == (1, 1, rows, columns)
    assert logits.isfinite().all()


def test_other_sizes_are_refused_with_the_size_to_use() -> None:
    expected = r"^frame height and width must be multiples of 32, got \(600, 640\): resize to \(608, 640\)$"
    with pytest.raises(ValueError, match=expected):
        TemporalClassifier()(torch.zeros(1, 2, 3, 600, 640))


@pytest.mark.parametrize(
    ("given_clips", "num_context", "message"),
    [
        (torch.zeros(2, 3, 64, 64), 0, r"clips must be \(B, T, 3, H, W\), got \(2, 3, 64, 64\)"),
        (torch.zeros(1, 2, 1, 64, 64), 0, r"clips must be \(B, T, 3, H, W\), got \(1, 2, 1, 64, 64\)"),
        (torch.zeros(1, 2, 3, 64, 64), 2, "num_context must leave at least one frame of 2, got 2"),
        (torch.zeros(1, 2, 3, 64, 64), -1, "num_context must leave at least one frame of 2, got -1"),
        (torch.zeros(1, 2, 3, 64, 64, dtype=torch.int64), 0, "clips must be uint8, or float .*, got torch.int64"),
    ],
)
def test_clips_that_do_not_fit_are_refused(given_clips: torch.Tensor, num_context: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TemporalClassifier()(given_clips, num_context)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_bytes_equal_floats_over_255(stem: str) -> None:
    model = TemporalClassifier(stem=stem)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips()), model(clips().float() / 255))


def test_probabilities_are_the_sigmoid_of_the_logits() -> None:
    model = TemporalClassifier()
    with torch.inference_mode():
        logits = model.logits(clips())
        torch.testing.assert_close(model(clips()), torch.sigmoid(logits))
        torch.testing.assert_close(model.dynamic_probability(logits), torch.sigmoid(logits)[:, 0])


def test_three_classes_sum_to_one() -> None:
    model = TemporalClassifier(classes=("static", "dynamic", "negative"))
    with torch.inference_mode():
        probabilities = model(clips(2))
        logits = model.logits(clips(2))
    assert probabilities.shape == (2, 3, 2, 3)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 2, 3))
    torch.testing.assert_close(model.dynamic_probability(logits), probabilities[:, 1])


def test_without_a_class_named_dynamic_all_but_the_first_count() -> None:
    model = TemporalClassifier(classes=("calm", "smoke", "fire"))
    logits = torch.randn(2, 3, 4, 5)
    expected = torch.softmax(logits, dim=1)[:, 1:].sum(dim=1)
    torch.testing.assert_close(model.dynamic_probability(logits), expected)


def test_logits_are_encoder_recurrence_and_head_in_turn() -> None:
    model, batch = TemporalClassifier(), clips(2, 3)
    with torch.inference_mode():
        encoded = model.encoder((batch / 255).flatten(0, 1)).unflatten(0, (2, 3))
        outputs, _ = model.temporal_layer(encoded)
        torch.testing.assert_close(model.logits(batch), model.final_classifier(outputs[-1][:, -1]))


def encode_all(model: TemporalClassifier, frames: torch.Tensor, cuts: Sequence[int]) -> torch.Tensor:
    """Gates of all frames (N, 3, H, W) of a sequence, in calls that end at `cuts`."""
    lags = torch.tensor(model.config.lags)
    gates: list[torch.Tensor] = []
    greys: torch.Tensor | None = None
    for start, stop in pairwise([0, *cuts, len(frames)]):
        first = max(0, start - int(lags.max()))  # frame at place 0
        now = torch.arange(start, stop)
        earlier = greys[len(greys) - (start - first) :] if greys is not None else None
        num_earlier = start - first if earlier is not None else 0
        lagged = (now[:, None] - lags).clamp(min=0) - (start - num_earlier)
        new, greys = model.encode_frames(frames[start:stop], now - start + num_earlier, lagged, earlier)
        gates.append(new)
    return torch.cat(gates)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
@settings(max_examples=10)
@given(cuts=st.sets(st.integers(1, 11)))
def test_frames_may_come_in_any_number_of_calls(stem: str, cuts: set[int]) -> None:
    model, (frames,) = TemporalClassifier(stem=stem, lags=(1, 3)), clips(1, 12)
    with torch.inference_mode():
        whole = encode_all(model, frames, [])
        torch.testing.assert_close(encode_all(model, frames, sorted(cuts)), whole, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_windows_that_share_frames_are_those_of_clips(stem: str) -> None:
    """Context frames feed the lags only; the first frame stands in for earlier ones."""
    model, (frames,) = TemporalClassifier(stem=stem, lags=(1, 3)), clips(1, 12)
    starts = [0, 1, 3, 5, 8]
    windows = torch.tensor(starts)[:, None] + torch.arange(4)
    with torch.inference_mode():
        shared = model.window_head(encode_all(model, frames, []), windows)
        places = torch.arange(12)
        lagged = (places[:, None] - torch.tensor([1, 3])).clamp(min=0)
        torch.testing.assert_close(model.window_logits(frames, places, lagged, windows), shared)
        for start, logits in zip(starts, shared, strict=True):
            num_context = min(3, start)
            clip = frames[start - num_context : start + 4][None]
            torch.testing.assert_close(model.logits(clip, num_context)[0], logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_the_encoder_sees_each_frame_of_the_windows_once_and_no_context(stem: str) -> None:
    model, (frames,) = TemporalClassifier(stem=stem, lags=(1, 3)), clips(1, 9)
    counts: list[int] = []
    model.encoder.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
    encode = torch.arange(3, 9)
    lagged = encode[:, None] - torch.tensor([1, 3])
    with torch.inference_mode():
        model.window_logits(frames, encode, lagged, torch.tensor([[0, 1, 2], [1, 2, 3], [3, 4, 5], [3, 3, 3]]))
        model.logits(clips(2, 7), 3)
    assert counts == [6, 8]


def test_a_batch_without_windows_gives_no_logits() -> None:
    model = TemporalClassifier(stem="motion")
    none = torch.zeros(0, dtype=torch.int64)
    windows = none.reshape(0, 4)
    logits = model.window_logits(torch.zeros(2, 3, 32, 64), none, none.reshape(0, 3), windows)
    assert logits.shape == (0, 1, 1, 2)


def test_at_the_start_the_first_frame_stands_in_for_earlier_ones() -> None:
    model = TemporalClassifier(stem="motion", lags=(1, 3))
    window = clips(2, 4)
    padded = torch.cat([window[:, :1].expand(-1, 3, -1, -1, -1), window], dim=1)
    with torch.inference_mode():
        torch.testing.assert_close(model.logits(padded, 3), model.logits(window))
        assert not torch.allclose(model.logits(clips(2, 7, seed=1), 3), model.logits(clips(2, 7, seed=1)[:, 3:]))


def test_the_rgb_stem_does_not_see_context() -> None:
    model = TemporalClassifier()
    with torch.inference_mode():
        torch.testing.assert_close(model(clips(1, 6), 2), model(clips(1, 6)[:, 2:]))


def test_the_motion_stem_does_not_see_exposure_and_hardly_gain() -> None:
    torch.manual_seed(1)
    model = TemporalClassifier(stem="motion")
    frames = 0.2 + 0.4 * torch.rand(1, 4, 3, 64, 64)
    with torch.inference_mode():
        logits = model.logits(frames)
        torch.testing.assert_close(model.logits(frames + 0.3), logits, atol=1e-6, rtol=0)
        by_gain = (model.logits(frames * 1.4) - logits).abs().max()
        by_other_frames = (model.logits(frames.flip(1)) - logits).abs().max()
    assert by_gain < 0.5 * by_other_frames


def test_options_change_a_given_config() -> None:
    model = TemporalClassifier(ModelConfig(stem="motion"), lags=(2,))
    assert model.config == ModelConfig(stem="motion", lags=(2,))


def test_a_batch_is_its_clips_one_by_one() -> None:
    model = TemporalClassifier(stem="motion")
    batch = clips(3)
    with torch.inference_mode():
        one_by_one = torch.cat([model.logits(batch[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(model.logits(batch), one_by_one)
