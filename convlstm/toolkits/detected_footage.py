"""Frames of a source with the steady things in them, a bounded number of frames behind what is decoded."""

from collections import deque
from collections.abc import Iterator

from convlstm.errors import DataError
from convlstm.sources.base import SeekableSource
from convlstm.toolkits.detectors.base import Detector
from convlstm.toolkits.runner import advance
from convlstm.toolkits.track_window import Instances, TrackWindow
from convlstm.types import Frame


class DetectedFootage:
    """Iterating gives each frame that decodes, in order, with its instances; once, as a window remembers.

    The counts tell about the frames given so far. Memory is that of a batch and of the window's look-ahead.
    """

    def __init__(self, source: SeekableSource, detector: Detector, window: TrackWindow, *, batch_size: int) -> None:
        self.source = source
        self.names = detector.names
        self.num_frames = 0
        self.num_with_detections = 0
        self.num_held = 0
        """Frames in which a thing stands that the detector missed there."""
        self._detector = detector
        self._window = window
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[Frame, Instances]]:
        """Decode from the start. Raises DataError where nothing decodes or the size of the frames changes."""
        waiting: deque[Frame] = deque()
        for batch in self._batches():
            found = self._detector.detect([frame.pixels for frame in batch])
            for frame, detections in zip(batch, found, strict=True):
                waiting.append(frame)
                yield from self._pair(waiting, self._window.process(frame.index, detections))
                advance()
        yield from self._pair(waiting, self._window.flush())

    def _pair(
        self, waiting: deque[Frame], decided: Iterator[tuple[int, Instances]]
    ) -> Iterator[tuple[Frame, Instances]]:
        for index, instances in decided:
            frame = waiting.popleft()
            assert frame.index == index
            self.num_frames += 1
            self.num_with_detections += any(instance.confidence is not None for instance in instances)
            self.num_held += any(instance.confidence is None for instance in instances)
            yield frame, instances

    def _batches(self) -> Iterator[list[Frame]]:
        batch: list[Frame] = []
        first: Frame | None = None
        for frame in self.source:
            first = first or frame
            if frame.pixels.shape != first.pixels.shape:
                (height, width), (new_height, new_width) = first.pixels.shape[:2], frame.pixels.shape[:2]
                raise DataError(
                    f"{self.source.name}: frame {frame.index} is of {new_width}x{new_height} pixels, but the first is "
                    f"of {width}x{height}: bring them to one size, such as by video_frame_extractor --size"
                )
            batch.append(frame)
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch
