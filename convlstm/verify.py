"""A second look at a detector's boxes: does what is in them really change, or is it the picture of a fire?

    verifier = convlstm.Verifier(color="bgr")
    for frame in camera:
        result = yolo(frame)
        for verdict in verifier(frame, result):
            if verdict.is_dynamic: ...

Each box is scored twice: by the heatmap of the whole frame, and by that of a crop which follows the box so that its
content stands still. A photo that a hand moves about is dynamic in the frame and static in its crop; a fire is dynamic
in both. The probability is the lower of the two.
"""

import logging
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convlstm.boxes import BoxTracker, FloatArray, as_detections, check_in_frame, image_of, normalise_box
from convlstm.config import SHIPPED, VerifyConfig
from convlstm.errors import ConfigError, DataError
from convlstm.heatmap import box_score
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import HeatmapStream
from convlstm.steady_crop import SteadyCrop
from convlstm.types import Frame, Heatmap, UInt8Array

if TYPE_CHECKING:
    from convlstm.models.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

Color = Literal["rgb", "bgr"]
Decision = Literal["dynamic", "static", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What is known of one box.

    `box` is x1 y1 x2 y2 in pixels as the detector gave it, `track` the number of the thing it belongs to (0: none yet).
    `probability` in [0, 1] is the lower one of `frame_probability` and `crop_probability`, each a mean over the latest
    windows; all are None while the thing was not seen for a whole window, and the verdict is "undecided".
    """

    box: tuple[float, float, float, float]
    track: int
    decision: Decision
    probability: float | None = None
    frame_probability: float | None = None
    crop_probability: float | None = None
    confidence: float | None = None

    @property
    def is_dynamic(self) -> bool:
        """Whether it was decided that the thing changes."""
        return self.decision == "dynamic"


@dataclass
class _Track:
    """A thing that the detector found."""

    number: int
    first_frame: int
    last_frame: int
    box: FloatArray
    frame_scores: deque[float]
    crop_scores: deque[float]
    crop: SteadyCrop | None = None
    crop_stream: HeatmapStream | None = None
    is_seen: bool = field(default=True)

    def probabilities(self) -> tuple[float | None, float | None]:
        """Means over the latest windows, by the frame and by the crop; None where there is no window yet."""
        frame, crop = (float(np.mean(scores)) if scores else None for scores in (self.frame_scores, self.crop_scores))
        return frame, crop


class Verifier:
    """One call per frame, with what a detector found in it: a verdict for each box.

    `weights` are a file, a Checkpoint or a Predictor, by default those that come with the package. Frames are uint8
    (H, W, 3) in the order of channels that `color` tells: OpenCV reads "bgr". What is kept is the last windows of the
    tracks in view. Raises ConfigError and CheckpointError as Predictor does.
    """

    def __init__(
        self,
        weights: "str | Path | Checkpoint | Predictor" = SHIPPED,
        config: VerifyConfig | None = None,
        *,
        color: Color = "rgb",
    ) -> None:
        if color not in ("rgb", "bgr"):
            raise ConfigError(f'color must be "rgb" or "bgr", got {color!r}')
        self.config = config or VerifyConfig()
        self.color = color
        if isinstance(weights, Predictor):
            self.predictor = weights
        else:
            # Crops are of another size than frames, and the graphs of other engines have one size.
            self.predictor = Predictor(weights, device=self.config.device, stride=self.config.stride, engine="torch")
        checkpoint = self.predictor.checkpoint
        self.threshold = self.config.threshold if self.config.threshold is not None else checkpoint.threshold
        self.seq_length = checkpoint.seq_length
        self.reset()

    def reset(self) -> None:
        """Forget all that was seen: what comes next is another recording."""
        self._stream = self.predictor.stream()
        self._tracker = BoxTracker(self.config.min_iou, self.config.max_missed)
        self._tracks: dict[tuple[bool, int], _Track] = {}
        self._size: tuple[int, int] | None = None
        self._next_index = 0

    def __call__(self, frame: UInt8Array | Frame, detections: Any) -> list[Verdict]:
        """Verdicts on the boxes of the next frame, in their order.

        `detections`: supervision.Detections, an ultralytics result, a list of one, boxes (N, 4) in pixels with
        confidence and class as further columns, or None. Ids of tracks that they hold are used; without any, boxes are
        matched by overlap. A Frame is taken as RGB, and its index tells where frames are missing. Raises DataError for
        anything else, and ConfigError where the order of channels is told and wrong.
        """
        found = as_detections(detections)
        frame = self._take(frame, image_of(detections))
        check_in_frame(found.boxes, frame.pixels.shape[:2])
        keys = self._keys(frame.index, found.boxes, found.track_ids)
        self._update_tracks(frame, keys, found.boxes)
        heatmaps = self._stream.process([frame])
        for track in self._tracks.values():
            self._score(track, frame, heatmaps[-1] if heatmaps else None)
        verdicts = []
        for i, key in enumerate(keys):
            confidence = None if found.confidences is None else float(found.confidences[i])
            verdicts.append(self._verdict(found.boxes[i], self._tracks.get(key), confidence))
        return verdicts

    def _take(self, given: UInt8Array | Frame, seen: Any) -> Frame:
        """The frame as RGB with its index, after a look at the order of its channels."""
        if isinstance(given, Frame):
            frame = given
            if frame.index < self._next_index:
                raise DataError(
                    f"frame {frame.index} came after frame {self._next_index - 1}: call reset() between videos"
                )
        else:
            pixels = np.asarray(given)
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise DataError(f"a frame must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
            _check_color(pixels, seen, self.color)
            pixels = np.ascontiguousarray(pixels[..., ::-1]) if self.color == "bgr" else pixels
            frame = Frame(pixels, self._next_index, float(self._next_index))
        size = (frame.pixels.shape[0], frame.pixels.shape[1])
        if self._size is not None and size != self._size:
            logger.warning("frames changed from %dx%d to %dx%d: starting anew", *self._size[::-1], *size[::-1])
            self.reset()
        self._size, self._next_index = size, frame.index + 1
        return frame

    def _keys(self, index: int, boxes: FloatArray, ids: Any) -> list[tuple[bool, int]]:
        """What tells the tracks of the boxes: the detector's id, or else a number of ours; (True, < 0) is no track."""
        if ids is not None:
            return [(True, int(number)) for number in ids]
        return [(False, number) for number in self._tracker.assign(index, boxes)]

    def _update_tracks(self, frame: Frame, keys: list[tuple[bool, int]], boxes: FloatArray) -> None:
        for track in self._tracks.values():
            track.is_seen = False
        for key, box in zip(keys, boxes, strict=True):
            if key[0] and key[1] < 0:
                continue
            track = self._tracks.get(key) or self._new_track(key[1], frame.index, box)
            track.box, track.last_frame, track.is_seen = box, frame.index, True
            self._tracks[key] = track
        oldest = frame.index - self.config.max_missed
        self._tracks = {key: track for key, track in self._tracks.items() if track.last_frame >= oldest}

    def _new_track(self, number: int, index: int, box: FloatArray) -> _Track:
        by_frame, by_crop = (deque[float](maxlen=self.config.windows) for _ in range(2))
        return _Track(number, index, index, box, by_frame, by_crop)

    def _score(self, track: _Track, frame: Frame, heatmap: Heatmap | None) -> None:
        """Let a track see the next frame, and the heatmap of the whole frame where it ends a window."""
        if heatmap is not None and heatmap.first_frame >= track.first_frame:
            box = normalise_box(track.box, (frame.pixels.shape[0], frame.pixels.shape[1]))
            track.frame_scores.append(box_score(heatmap.probabilities, box, self.config.top_share))
        if not self.config.follow:
            return
        pixels = self._crop(track, frame)
        assert track.crop is not None and track.crop_stream is not None
        for window in track.crop_stream.process([Frame(pixels, frame.index, frame.pts_seconds)]):
            box = track.crop.box_in_crop(track.box)
            track.crop_scores.append(box_score(window.probabilities, box, self.config.top_share))

    def _crop(self, track: _Track, frame: Frame) -> UInt8Array:
        """The crop that follows the track; a new one, with a window of its own, where that has lost it."""
        box = track.box if track.is_seen else None
        if track.crop is not None:
            pixels = track.crop.cut(frame.pixels, box)
            if box is None or not track.crop.has_lost(box):
                return pixels
        track.crop = SteadyCrop(track.box, self.config.crop_size, self.config.crop_context)
        track.crop_stream = self.predictor.stream(target_size=(self.config.crop_size, self.config.crop_size))
        return track.crop.cut(frame.pixels, box)

    def _verdict(self, box: FloatArray, track: _Track | None, confidence: float | None) -> Verdict:
        x1, y1, x2, y2 = (float(side) for side in box)
        if track is None:
            return Verdict((x1, y1, x2, y2), 0, "undecided", confidence=confidence)
        by_frame, by_crop = track.probabilities()
        scores = [by_frame, by_crop] if self.config.follow else [by_frame]
        known = [score for score in scores if score is not None]
        if len(known) < len(scores):
            return Verdict((x1, y1, x2, y2), track.number, "undecided", confidence=confidence)
        decision: Decision = "dynamic" if min(known) >= self.threshold else "static"
        return Verdict((x1, y1, x2, y2), track.number, decision, min(known), by_frame, by_crop, confidence)


def _check_color(pixels: UInt8Array, seen: Any, color: Color) -> None:
    """Ultralytics keeps the image it looked at, and takes it as BGR: tell where the frame is said to be otherwise."""
    if not isinstance(seen, np.ndarray) or seen.shape != pixels.shape:
        return
    ours, theirs = pixels[::8, ::8], seen[::8, ::8]
    if np.array_equal(ours, theirs[..., ::-1]) == np.array_equal(ours, theirs):
        return  # a grey image, or another one
    actual: Color = "bgr" if np.array_equal(ours, theirs) else "rgb"
    if actual != color:
        raise ConfigError(
            f"this frame is {actual.upper()}, as the detector's result shows, but the Verifier expects "
            f'{color.upper()}: use Verifier(color="{actual}")'
        )
