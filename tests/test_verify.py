"""Verdicts: their arithmetic on heatmaps that are known, and with a network on fire and on the photo of a fire."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import convlstm
from convlstm.config import ModelConfig, VerifyConfig
from convlstm.errors import ConfigError, DataError
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier
from convlstm.shipped import shipped_weights
from convlstm.types import Frame, Heatmap
from convlstm.utils.data.synthetic.camera import Camera
from convlstm.verify import Verdict, Verifier
from tests.fire_footage import fire_video, photo_video

Pixels = NDArray[np.uint8]
SEQ_LENGTH, STRIDE = 4, 2
BOX = np.array([[40.0, 40.0, 70.0, 70.0]])  # inside of cell 1, 1 of frames of 128x128
OTHER = np.array([[100.0, 100.0, 125.0, 125.0]])


class KnownStream:
    """A stream whose heatmaps are told: `value` in every cell, or what `value(window number)` says."""

    def __init__(self, value: Any, cells: int) -> None:
        self.value, self.cells, self.frames = value, cells, list[Frame]()
        self.num_windows = 0

    def process(self, frames: Sequence[Frame]) -> list[Heatmap]:
        heatmaps = []
        for frame in frames:
            if self.frames and frame.index != self.frames[-1].index + 1:
                self.frames = []
            self.frames.append(frame)
            over = len(self.frames) - SEQ_LENGTH
            if over >= 0 and over % STRIDE == 0:
                value = self.value(self.num_windows) if callable(self.value) else self.value
                self.num_windows += 1
                probabilities = np.full((self.cells, self.cells), value, dtype=np.float32)
                heatmaps.append(Heatmap(probabilities, self.frames[over].index, frame.index, 0.0, 1.0))
        return heatmaps


def known_verifier(frame: Any = 0.9, crop: Any = 0.9, *, color: Any = "rgb", **settings: Any) -> Verifier:
    """A Verifier whose networks are told what to say of the frame and of every crop."""
    predictor = Predictor.__new__(Predictor)
    predictor.stride = STRIDE
    weights = SimpleNamespace(threshold=0.5, seq_length=SEQ_LENGTH)
    predictor.engine = SimpleNamespace(weights=weights)
    made = []

    def stream(*, target_size: tuple[int, int] | None = None) -> KnownStream:
        made.append(KnownStream(frame, 4) if target_size is None else KnownStream(crop, target_size[0] // 32))
        return made[-1]

    predictor.stream = stream  # type: ignore[method-assign, assignment]
    return Verifier(predictor, VerifyConfig(**settings), color=color)


def frames_of(count: int, size: tuple[int, int] = (128, 128)) -> list[Pixels]:
    pattern = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    return [pattern] * count


def watch(verifier: Verifier, count: int, boxes: Any = BOX) -> list[Verdict]:
    """The verdict on the first box of each frame."""
    return [verifier(frame, boxes)[0] for frame in frames_of(count)]


@pytest.mark.pure
def test_undecided_until_a_whole_window_was_seen() -> None:
    verdicts = watch(known_verifier(), SEQ_LENGTH)
    assert [verdict.decision for verdict in verdicts] == ["undecided"] * (SEQ_LENGTH - 1) + ["dynamic"]
    assert verdicts[0].probability is None and not verdicts[0].is_dynamic
    assert verdicts[-1].probability == pytest.approx(0.9) and verdicts[-1].is_dynamic
    assert {verdict.track for verdict in verdicts} == {1}


@pytest.mark.pure
def test_a_box_that_comes_later_has_its_own_window() -> None:
    verifier = known_verifier()
    watch(verifier, 7)
    decisions = [verifier(frame, np.concatenate([BOX, OTHER])) for frame in frames_of(SEQ_LENGTH + 1)]
    assert all(first.is_dynamic for first, _ in decisions)
    assert [second.decision for _, second in decisions] == ["undecided"] * SEQ_LENGTH + ["dynamic"]
    assert {second.track for _, second in decisions} == {2}


@pytest.mark.pure
@pytest.mark.parametrize(
    ("frame", "crop", "decision"),
    [(0.9, 0.9, "dynamic"), (0.9, 0.1, "static"), (0.1, 0.9, "static"), (0.5, 0.5, "dynamic"), (0.499, 0.9, "static")],
)
def test_dynamic_is_what_frame_and_crop_agree_on(frame: float, crop: float, decision: str) -> None:
    last = watch(known_verifier(frame, crop), 6)[-1]
    assert last.decision == decision
    assert (last.frame_probability, last.crop_probability) == pytest.approx((frame, crop))
    assert last.probability == pytest.approx(min(frame, crop))


@pytest.mark.pure
def test_without_follow_the_frame_alone_decides() -> None:
    last = watch(known_verifier(0.9, 0.1, follow=False), 6)[-1]
    assert last.is_dynamic and last.crop_probability is None and last.probability == pytest.approx(0.9)


@pytest.mark.pure
def test_the_threshold_is_the_weights_or_the_users() -> None:
    assert watch(known_verifier(0.6, 0.6), 6)[-1].is_dynamic
    assert not watch(known_verifier(0.6, 0.6, threshold=0.7), 6)[-1].is_dynamic


@pytest.mark.pure
def test_a_verdict_is_about_the_mean_of_the_latest_windows() -> None:
    values = [0.0, 0.3, 0.6, 0.9, 0.9]
    verifier = known_verifier(lambda i: values[i], 1.0, windows=3)
    verdicts = watch(verifier, SEQ_LENGTH + 2 * STRIDE * 2)
    at_windows = [verdicts[SEQ_LENGTH - 1 + STRIDE * i].probability for i in range(5)]
    assert at_windows == pytest.approx([0.0, 0.15, 0.3, 0.6, 0.8])


@pytest.mark.pure
def test_only_the_cells_under_the_box_count() -> None:
    verifier = known_verifier()
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[1, 1] = 1.0
    stream = verifier._stream
    stream.process = lambda frames: [  # type: ignore[method-assign]
        Heatmap(heat, frames[-1].index - 3, frames[-1].index, 0.0, 1.0) for _ in range(frames[-1].index >= 3)
    ]
    both = [verifier(frame, np.concatenate([BOX, OTHER])) for frame in frames_of(6)][-1]
    assert [verdict.frame_probability for verdict in both] == [1.0, 0.0]


@pytest.mark.pure
def test_the_detectors_own_ids_are_used() -> None:
    def found(ids: list[int], boxes: NDArray[np.float64]) -> SimpleNamespace:
        return SimpleNamespace(xyxy=boxes, confidence=np.full(len(boxes), 0.8), tracker_id=np.array(ids))

    verifier = known_verifier(follow=False)
    for i, frame in enumerate(frames_of(6)):  # far jumps, but one thing, says the detector
        [verdict] = verifier(frame, found([17], BOX if i % 2 else OTHER))
    assert (verdict.track, verdict.decision) == (17, "dynamic")
    assert verdict.confidence == pytest.approx(0.8)
    first, second = verifier(frames_of(1)[0], found([-1, 18], np.concatenate([BOX, OTHER])))
    assert (first.track, first.decision, second.track, second.decision) == (0, "undecided", 18, "undecided")


@pytest.mark.pure
def test_a_detector_may_miss_a_thing_for_some_frames() -> None:
    verifier = known_verifier(max_missed=3)
    watch(verifier, 6)
    for frame in frames_of(3):
        assert verifier(frame, None) == []
    assert watch(verifier, 1)[0].is_dynamic
    for frame in frames_of(4):
        verifier(frame, [])
    [verdict] = watch(verifier, 1)
    assert (verdict.track, verdict.decision) == (2, "undecided")


@pytest.mark.pure
def test_what_is_kept_does_not_grow() -> None:
    verifier = known_verifier(max_missed=2, follow=False)
    for i, frame in enumerate(frames_of(60)):
        verifier(frame, np.array([[i, i, i + 20.0, i + 20]]) if i % 5 else OTHER)
        verifier(frame, SimpleNamespace(xyxy=BOX, tracker_id=[1000 + i]))
    assert len(verifier._tracks) <= 6
    assert all(len(track.frame_scores) <= 5 for track in verifier._tracks.values())


@pytest.mark.pure
def test_a_gap_in_the_frames_is_no_window() -> None:
    verifier = known_verifier()
    pixels = frames_of(1)[0]
    decisions = [verifier(Frame(pixels, i, i / 25), BOX)[0].decision for i in (0, 1, 2, 5, 6, 7, 8)]
    assert decisions == ["undecided"] * 6 + ["dynamic"]
    with pytest.raises(DataError, match=r"frame 3 came after frame 8: call reset\(\) between videos"):
        verifier(Frame(pixels, 3, 0.1), BOX)
    verifier.reset()
    assert verifier(Frame(pixels, 3, 0.1), BOX)[0].decision == "undecided"


@pytest.mark.pure
def test_frames_of_another_size_start_anew(caplog: pytest.LogCaptureFixture) -> None:
    verifier = known_verifier()
    assert watch(verifier, 6)[-1].is_dynamic
    [verdict] = verifier(frames_of(1, (96, 160))[0], BOX)
    assert verdict.decision == "undecided"
    assert "frames changed from 128x128 to 160x96: starting anew" in caplog.text
    verifier.reset()
    assert [verifier(frame, BOX)[0].decision for frame in frames_of(4, (96, 160))][-1] == "dynamic"


@pytest.mark.pure
@pytest.mark.parametrize("frame", [np.zeros((8, 8)), np.zeros((8, 8, 3)), np.zeros((3, 8, 8), np.uint8)])
def test_what_is_no_frame(frame: Any) -> None:
    with pytest.raises(DataError, match=r"a frame must be uint8 \(H, W, 3\), got"):
        known_verifier()(frame, None)


@pytest.mark.pure
def test_boxes_of_another_scale_are_refused() -> None:
    with pytest.raises(DataError, match="looks normalised"):
        known_verifier()(frames_of(1)[0], [[0.1, 0.1, 0.4, 0.4]])


@pytest.mark.pure
def test_bgr_frames_reach_the_network_as_rgb() -> None:
    frame = frames_of(1)[0]
    for color, given in (("rgb", frame), ("bgr", frame[..., ::-1])):
        verifier = known_verifier(color=color)
        verifier(given, BOX)
        np.testing.assert_array_equal(verifier._stream.frames[0].pixels, frame)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match='color must be "rgb" or "bgr", got \'gbr\''):
        known_verifier(color="gbr")


def ultralytics_result(image: Pixels) -> SimpleNamespace:
    boxes = SimpleNamespace(xyxy=BOX, conf=None, id=None)
    return SimpleNamespace(boxes=boxes, orig_img=image)


@pytest.mark.pure
@pytest.mark.parametrize("wrong", ["rgb", "bgr"])
def test_a_wrong_order_of_channels_is_told_where_ultralytics_shows_it(wrong: str) -> None:
    """Ultralytics keeps the image it saw, which it takes as BGR."""
    bgr = frames_of(1)[0]
    frame, right = (bgr, "bgr") if wrong == "rgb" else (bgr[..., ::-1], "rgb")
    with pytest.raises(ConfigError, match=rf'this frame is {right.upper()}.* use Verifier\(color="{right}"\)'):
        known_verifier(color=wrong)(frame, ultralytics_result(bgr))
    assert len(known_verifier(color=right)(frame, [ultralytics_result(bgr)])) == 1


@pytest.mark.pure
def test_the_order_of_channels_of_grey_and_of_other_images_is_not_guessed() -> None:
    grey = np.repeat(frames_of(1)[0][..., :1], 3, axis=2)
    other = np.random.default_rng(1).integers(0, 255, grey.shape, dtype=np.uint8)
    for color in ("rgb", "bgr"):
        assert len(known_verifier(color=color)(grey, ultralytics_result(grey))) == 1
        assert len(known_verifier(color=color)(grey, ultralytics_result(other))) == 1


def test_the_public_names() -> None:
    assert convlstm.Verifier is Verifier and convlstm.Verdict is Verdict


def test_a_real_network_scores_crops_of_a_size_of_their_own() -> None:
    torch.manual_seed(0)
    model = TemporalClassifier(ModelConfig(stem="motion"))
    checkpoint = Checkpoint(model.state_dict(), model.config, SEQ_LENGTH, (64, 96), threshold=0.5, fps=25)
    verifier = Verifier(checkpoint, VerifyConfig(device="cpu", stride=STRIDE, crop_size=96))
    moving = [np.roll(frame, 3 * i, axis=1) for i, frame in enumerate(frames_of(6))]
    verdicts = [verifier(frame, np.concatenate([BOX, OTHER])) for frame in moving]
    assert all(0 < v.frame_probability < 1 and 0 < v.crop_probability < 1 for v in verdicts[-1])  # type: ignore[operator]
    assert [v.decision == "undecided" for row in verdicts for v in row] == [True] * 6 + [False] * 6


NUM_SCENES = 6
SIZE, NUM_FRAMES = (320, 320), 45


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return Predictor(shipped_weights(), device="cpu", engine="torch")


def last_verdicts(predictor: Predictor, kind: str) -> list[str]:
    decisions: list[str] = []
    for seed in range(NUM_SCENES):
        rng = np.random.default_rng(1000 + seed)
        camera = Camera.sample(rng, "noise", NUM_FRAMES, SIZE, severity=0.3)
        if kind == "fire":
            frames, boxes = fire_video(rng, NUM_FRAMES, SIZE, camera)
        else:
            frames, boxes = photo_video(rng, NUM_FRAMES, SIZE, camera, is_held=kind == "held photo")
        verifier = Verifier(predictor, VerifyConfig(device="cpu"))
        decisions.append([verifier(f, box[None])[0] for f, box in zip(frames, boxes, strict=True)][-1].decision)
    return decisions


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "wanted"), [("fire", "dynamic"), ("photo", "static"), ("held photo", "static")])
def test_a_fire_is_accepted_and_its_photo_is_not(shipped: Predictor, kind: str, wanted: str) -> None:
    decisions = last_verdicts(shipped, kind)
    assert decisions.count(wanted) >= NUM_SCENES - 1, decisions
