from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import Tensor

from convlstm.config import Stem, TrainConfig
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.utils.data.batch import IGNORED, Batch, cell_shares, targets_of
from convlstm.utils.data.dataset import WindowDataset
from convlstm.utils.data.loader import TrainBatches

pytestmark = pytest.mark.pure

MakeDataset = Callable[[TrainConfig, Sequence[Sequence[int]]], WindowDataset]

TOLERANCE = 1e-5
FEW = settings(max_examples=max(5, settings().max_examples // 3))  # each runs the network
LENGTHS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=3), min_size=1, max_size=3)
SHARES = st.one_of(st.just(0.0), st.just(np.nan), st.floats(0, 1, width=16))


def make_batch(
    *, encode: list[int], lagged: list[list[int]], windows: list[list[int]], num_frames: int = 6, **fields: Any
) -> Batch:
    """Frames of 32x64 pixels, every window of class 1."""
    given: dict[str, Any] = {
        "frames": torch.arange(num_frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 32, 64, 3),
        "shares": torch.zeros(num_frames, 4, 8, dtype=torch.float16),
        "unreadable": torch.zeros(num_frames, dtype=torch.bool),
        "labels": torch.ones(len(windows), dtype=torch.int64),
        "ids": torch.arange(10, 10 + len(windows)),
        "bounds": (0, num_frames),
        "seeds": (0,),
        **fields,
    }
    for name, places in (("encode", encode), ("lagged", lagged), ("windows", windows)):
        given[name] = torch.tensor(places, dtype=torch.int64)
    return Batch(**given)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any places, in any order."""
    num_frames, num_encoded = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    places, encoded = st.integers(0, num_frames - 1), st.integers(0, num_encoded - 1)
    num_lags, length = draw(st.integers(0, 2)), draw(st.integers(1, 3))
    lagged = [[draw(places) for _ in range(num_lags)] for _ in range(num_encoded)]
    windows = draw(st.lists(st.lists(encoded, min_size=length, max_size=length), min_size=1, max_size=4))
    return make_batch(
        encode=[draw(places) for _ in range(num_encoded)],
        lagged=lagged,
        windows=windows,
        num_frames=num_frames,
        shares=torch.from_numpy(draw(arrays(np.float16, (num_frames, 4, 8), elements=SHARES, fill=st.just(0.0)))),
        unreadable=torch.tensor([draw(st.booleans()) for _ in range(num_frames)]),
        labels=torch.tensor([draw(st.integers(0, 3)) for _ in windows]),
    )


def frames_held(batch: Batch, window: int) -> set[int]:
    return {int(batch.encode[place]) for place in batch.windows[window]}


def frames_reached(batch: Batch, window: int) -> set[int]:
    return {int(frame) for place in batch.windows[window] for frame in batch.lagged[place]}


def expected_target(share: float, label: int, min_share: float) -> int:
    if share == 0:
        return 0
    return max(1, label) if share > np.float32(min_share) else IGNORED


@given(
    arrays(np.float32, (2, 2, 3), elements=SHARES),
    st.lists(st.integers(0, 5), min_size=2, max_size=2),
    st.floats(0, 0.9),
)
def test_targets_by_definition(shares: NDArray[np.float32], labels: list[int], min_share: float) -> None:
    targets = targets_of(torch.from_numpy(shares), torch.tensor(labels), min_share)
    assert targets.dtype == torch.int64 and targets.shape == (2, 2, 3)
    for place, share in np.ndenumerate(shares):
        assert targets[place] == expected_target(float(share), labels[place[0]], min_share)


@given(arrays(np.float16, (3, 8, 12), elements=SHARES, fill=st.just(0.0)))
def test_a_cells_share_is_the_mean_of_its_blocks(shares: NDArray[np.float16]) -> None:
    found = cell_shares(torch.from_numpy(shares))
    assert found.dtype == torch.float32 and found.shape == (3, 2, 3)
    for frame, row, column in np.ndindex(3, 2, 3):
        blocks = shares[frame, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].astype(np.float64)
        share = float(found[frame, row, column])
        assert share == pytest.approx(blocks.mean(), abs=1e-7, nan_ok=True)
        assert (share == 0) == (blocks == 0).all()  # one pixel is not nothing


@given(batches(), st.floats(0, 0.9))
def test_cell_targets_by_definition(batch: Batch, min_share: float) -> None:
    """The largest share in any frame that the window holds; unknown where that of any of them is."""
    shares, targets = cell_shares(batch.shares), batch.cell_targets(min_share)
    assert targets.dtype == torch.int64 and targets.shape == (len(batch), 1, 2)
    for window, _, column in np.ndindex(*targets.shape):
        of_cell = [float(shares[frame, 0, column]) for frame in frames_held(batch, window)]
        highest = np.nan if np.isnan(of_cell).any() else max(of_cell)
        assert targets[window, 0, column] == expected_target(highest, int(batch.labels[window]), min_share)


@given(batches(), st.floats(0, 0.9))
def test_left_cells_by_definition(batch: Batch, min_share: float) -> None:
    is_dynamic, left = cell_shares(batch.shares) > min_share, batch.left_cells(min_share)
    assert left.dtype == torch.bool and left.shape == (len(batch), 1, 2)
    for window, _, column in np.ndindex(*left.shape):
        held = [bool(is_dynamic[batch.encode[place], 0, column]) for place in batch.windows[window]]
        before = any(bool(is_dynamic[frame, 0, column]) for frame in frames_reached(batch, window))
        assert left[window, 0, column] == (before and not any(held))


def test_a_cell_is_left_where_lags_reach_back_to_motion_and_the_window_holds_none() -> None:
    """Windows of three of the frames 0 to 5, a lag of 1: something moves in the first cell until frame 1."""
    shares = torch.zeros(6, 4, 8, dtype=torch.float16)
    shares[:2, :, :4] = 1
    encode, windows = [0, 1, 2, 3, 4, 5], [[1, 2, 3], [2, 3, 4], [3, 4, 5]]
    lagged = [[max(0, frame - 1)] for frame in encode]
    batch = make_batch(encode=encode, lagged=lagged, windows=windows, shares=shares)
    assert batch.left_cells(0.02).tolist() == [[[False, False]], [[True, False]], [[False, False]]]
    assert batch.cell_targets(0.02).tolist() == [[[1, 0]], [[0, 0]], [[0, 0]]]


@given(batches(), st.floats(0, 0.9))
def test_static_windows_with_a_dynamic_cell_become_dynamic(batch: Batch, min_share: float) -> None:
    changed = batch.with_labels_of_cells(min_share)
    has_any = (batch.cell_targets(min_share) > 0).flatten(1).any(dim=1).tolist()
    expected = [max(label, int(some)) for label, some in zip(batch.labels.tolist(), has_any, strict=True)]
    assert changed.labels.tolist() == expected
    assert changed.shares is batch.shares and changed.frames is batch.frames


@given(batches())
def test_readable_windows_hold_and_reach_readable_frames_alone(batch: Batch) -> None:
    bad = set(batch.unreadable.nonzero().flatten().tolist())
    kept = [
        window for window in range(len(batch)) if not bad & (frames_held(batch, window) | frames_reached(batch, window))
    ]
    left = batch.readable()
    assert left.ids.tolist() == batch.ids[kept].tolist()
    assert torch.equal(left.windows, batch.windows[kept]) and torch.equal(left.labels, batch.labels[kept])
    assert left.frames is batch.frames and left.bounds == batch.bounds


@given(st.lists(st.booleans(), min_size=3, max_size=3))
def test_windows_can_be_picked_and_frames_stay(keep: list[bool]) -> None:
    windows = [[0, 1], [1, 2], [2, 3]]
    batch = make_batch(
        encode=[2, 3, 4, 5], lagged=[[1], [2], [3], [4]], windows=windows, labels=torch.tensor([0, 1, 2])
    )
    picked = batch.with_windows(torch.tensor(keep))
    chosen = [window for window in range(3) if keep[window]]
    assert len(picked) == len(chosen) and len(batch) == 3
    assert picked.windows.tolist() == [windows[window] for window in chosen]
    assert picked.labels.tolist() == chosen and picked.ids.tolist() == [10 + window for window in chosen]
    for name in ("frames", "shares", "unreadable", "encode", "lagged", "bounds", "seeds", "damaged"):
        assert getattr(picked, name) is getattr(batch, name)
    assert (picked is batch) == all(keep)


def test_bytes_travel_to_the_device_and_what_names_windows_stays() -> None:
    batch = make_batch(encode=[0, 1], lagged=[[0], [0]], windows=[[0, 1]])
    there = batch.to(torch.device("meta"))
    for name in ("frames", "shares", "encode", "lagged", "windows", "labels"):
        before, after = getattr(batch, name), getattr(there, name)
        assert after.device.type == "meta" and (after.shape, after.dtype) == (before.shape, before.dtype)
    assert there.ids is batch.ids and there.unreadable is batch.unreadable
    assert batch.frames.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only CUDA pins memory")
def test_what_is_large_is_pinned() -> None:
    batch = make_batch(encode=[0, 1], lagged=[[0], [0]], windows=[[0, 1]]).pin_memory()
    assert batch.frames.is_pinned() and batch.shares.is_pinned()


@cache
def make_model(stem: Stem) -> TemporalClassifier:
    """Random weights, large enough that windows differ a lot."""
    torch.manual_seed(0)
    model = TemporalClassifier(stem=stem, lags=(1, 3)).eval()
    with torch.no_grad():
        for layer in model.encoder:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(2)
    return model


def config_for(stem: Stem, **changes: Any) -> TrainConfig:
    config = TrainConfig(stem=stem, lags=(1, 3), seq_length=4, stride=1, target_size=(32, 64), batch_size=12)
    return replace(config, **changes)


def logits_of(model: TemporalClassifier, batch: Batch) -> Tensor:
    """Each frame is encoded once."""
    return model.window_logits(batch.frames.permute(0, 3, 1, 2), batch.encode, batch.lagged, batch.windows)


def plain_logits(model: TemporalClassifier, dataset: WindowDataset, windows: Iterable[int]) -> Tensor:
    """Each window as a clip of its own."""
    clips = torch.stack([dataset.read_clip(window) for window in windows])
    return model.logits(clips.permute(0, 1, 4, 2, 3), dataset.num_context)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[list[int]], dict[str, int]]:
    """Lengths of gapless runs, and how batches are drawn from them."""
    sampling = {"windows_per_sample": draw(st.sampled_from([1, 2, 4])), "stride": draw(st.integers(1, 3))}
    return draw(LENGTHS), {**sampling, "seed": draw(st.integers(0, 100))}


@pytest.mark.parametrize("stem", ["rgb", "motion"])
@FEW
@given(layout=layouts())
def test_shared_frames_give_what_each_window_gives_alone(
    noise_dataset: MakeDataset, stem: Stem, layout: tuple[list[list[int]], dict[str, int]]
) -> None:
    lengths, changes = layout
    config = config_for(stem, **changes)
    dataset, model = noise_dataset(config, lengths), make_model(stem)
    assume(len(dataset))
    with torch.inference_mode():
        batch = dataset.__getitems__(next(iter(TrainBatches(dataset, config))))
        alone = plain_logits(model, dataset, batch.ids.tolist())
        torch.testing.assert_close(logits_of(model, batch), alone, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_windows_differ_by_far_more_than_the_tolerance(noise_dataset: MakeDataset, stem: Stem) -> None:
    dataset = noise_dataset(config_for(stem), [[12, 6]])
    with torch.inference_mode():
        logits = plain_logits(make_model(stem), dataset, range(len(dataset)))
    differences = [float((a - b).abs().max()) for i, a in enumerate(logits) for b in logits[:i]]
    assert min(differences) > 100 * TOLERANCE


def gradients(model: TemporalClassifier, logits: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    logits.sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("windows_per_sample", [1, 2, 4])
@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_gradients_of_shared_frames_add_up(noise_dataset: MakeDataset, stem: Stem, windows_per_sample: int) -> None:
    config = config_for(stem, windows_per_sample=windows_per_sample, batch_size=11)
    dataset, model = noise_dataset(config, [[8, 6], [9]]), make_model(stem)
    batch = dataset.__getitems__(next(iter(TrainBatches(dataset, config))))
    together = gradients(model, logits_of(model, batch))
    alone = gradients(model, plain_logits(model, dataset, batch.ids.tolist()))
    assert together.keys() == alone.keys() == dict(model.named_parameters()).keys()
    for name, gradient in alone.items():
        assert float((together[name] - gradient).norm()) <= 1e-4 * float(gradient.norm()), name
        assert float(gradient.norm()) > 0


@pytest.mark.parametrize("num_frames", [2, 3])
@pytest.mark.parametrize("stem", ["rgb", "motion"])
def test_a_padded_window_is_the_clip_with_its_last_frame_repeated(
    noise_dataset: MakeDataset, stem: Stem, num_frames: int
) -> None:
    dataset, model = noise_dataset(config_for(stem, short_sequences="repeat_last"), [[num_frames]]), make_model(stem)
    with torch.inference_mode():
        alone = plain_logits(model, dataset, [0])
        torch.testing.assert_close(logits_of(model, dataset[0]), alone, atol=TOLERANCE, rtol=0)
