"""Which boxes of neighbouring frames are one thing: ByteTrack (Zhang et al. 2022, arXiv:2110.06864), for each class."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convlstm.toolkits.detectors.installed import require

if TYPE_CHECKING:
    import supervision as sv

NO_TRACK = -1

MIN_IOU = 0.1
"""A box that overlaps the place where a thing is expected by less is another thing."""


class ClassTracker:
    """Ids of tracks for the detections of one frame after the other.

    A track that was missed in more than `max_missed` frames in a row is over. An id comes with the second sight of a
    thing; the first has `NO_TRACK`.
    """

    def __init__(self, max_missed: int) -> None:
        self._supervision = require("supervision")
        self._trackers = require("trackers")
        self._max_missed = max_missed
        self._by_class: dict[int, Any] = {}

    def assign(self, detections: "sv.Detections") -> NDArray[np.int64]:
        """Ids (N,), each unique within its class, of the detections of the next frame, in their order."""
        ids = np.full(len(detections), NO_TRACK, dtype=np.int64)
        for class_id in set(detections.class_id.tolist()) - self._by_class.keys() if len(detections) else ():
            self._by_class[class_id] = self._new_tracker()
        for class_id, tracker in self._by_class.items():
            places = np.flatnonzero(detections.class_id == class_id) if len(detections) else np.empty(0, dtype=np.int64)
            tracked = tracker.update(self._boxes(detections, places))
            if len(tracked):
                ids[tracked.data["place"].astype(np.int64)] = tracked.tracker_id.astype(np.int64)
        return ids

    def skip(self) -> None:
        """A frame that is missing from the source."""
        self.assign(self._supervision.Detections.empty())

    def _boxes(self, detections: "sv.Detections", places: NDArray[np.int64]) -> "sv.Detections":
        if not len(places):
            return self._supervision.Detections.empty()
        return self._supervision.Detections(
            xyxy=detections.xyxy[places].astype(np.float64),
            confidence=detections.confidence[places],
            class_id=detections.class_id[places],
            data={"place": places},
        )

    def _new_tracker(self) -> Any:
        return self._trackers.ByteTrackTracker(
            lost_track_buffer=self._max_missed + 1,
            frame_rate=30.0,  # it counts in frames of 1/30 s: so in frames
            track_activation_threshold=0.0,  # the detector has its own
            high_conf_det_threshold=0.0,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=MIN_IOU,
        )
