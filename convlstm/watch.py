"""Watching cameras: many sources in one process share one engine; ends when it is told to.

Each camera decodes in a process of its own, so that whatever happens to one is nothing to the others. Here, in turns,
the new frames of all cameras go through the engine together, and the heatmaps of each one through its event tracker to
its files.
"""

import logging
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convlstm.config import DetectConfig
from convlstm.errors import ConfigError, DataError
from convlstm.events import EventTracker
from convlstm.heatmap import hot_cells, window_score
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import FRAMES_PER_CALL, process_streams
from convlstm.interrupts import SignalGuard
from convlstm.region import Region, parse_polygons
from convlstm.report.live_results import LiveResults, make_folder, write_status
from convlstm.report.results import SourceResult
from convlstm.sources.address import is_live, shown_address
from convlstm.sources.cameras import Camera, is_camera_list, read_cameras
from convlstm.sources.live import LiveSource, LiveStatus
from convlstm.types import Event, Frame, Heatmap

logger = logging.getLogger(__name__)

STATUS_SECONDS = 2.0
DROPS_SECONDS = 60.0
LARGEST_RATE_RATIO = 2.0
"""How far a source's frame rate may lie from that of training before it is worth a warning."""

FILES_ONLY = {
    "batch": "cameras come by a list: --source cameras.yaml",
    "save_viz": "it needs an end",
    "save_heatmaps": "it would grow without end",
    "save_clips": "cameras have no past to cut from",
    "save_video": "it would grow without end",
    "continuous": "cameras always are",
    "event_padding_seconds": "it is for clips of files",
    "fps": "cameras tell their own",
    "short_sequences": "cameras go on",
    "overwrite": "results of cameras are appended",
}
LIVE_ONLY = ("queue_frames", "offline_seconds", "reconnect", "watch_seconds")


def find_cameras(source: str | Path, config: DetectConfig) -> list[Camera]:
    """The cameras that `source` means: one address, or a YAML list; empty where it means files.

    Raises ConfigError for settings that have no meaning for what `source` is, and for a faulty list.
    """
    is_list = is_camera_list(source) and Path(source).is_file()
    if not is_list and not is_live(str(source)):
        _refuse(config, dict.fromkeys(LIVE_ONLY, "it is for cameras"))
        return []
    _refuse(config, FILES_ONLY)
    region = Region(parse_polygons("roi", config.roi), parse_polygons("ignore", config.ignore))
    address = str(source)
    camera = Camera(camera_name(address), address, region, config.sample_fps)
    return read_cameras(Path(source), camera) if is_list else [camera]


def camera_name(address: str) -> str:
    """What a camera is called whose name nobody told: rtsp://host:554/stream1 is host_554_stream1, 0 is camera_0."""
    _, is_url, place = shown_address(address).partition("://")
    words = re.findall(r"[\w.-]+", place if is_url else f"camera {address}", re.ASCII)
    return "_".join(words)[:100].strip(".") or "camera"


def _refuse(config: DetectConfig, names: dict[str, str]) -> None:
    default = DetectConfig()
    for name, reason in names.items():
        if getattr(config, name, None) != getattr(default, name, None):
            raise ConfigError(f"{name} has no meaning here, {reason}: leave it out")


def warn_of_rate(name: str, fps: float, trained_fps: float) -> None:
    """Log a warning where a source is much faster or slower than what the weights have seen."""
    if not 1 / LARGEST_RATE_RATIO <= fps / trained_fps <= LARGEST_RATE_RATIO:
        logger.warning(
            "%s: %.4g frames/s, but the weights were trained at %.4g: motion will look faster or slower to them",
            name,
            fps,
            trained_fps,
        )


@dataclass
class _Findings:
    num_windows: int = 0
    peak_probability: float = 0.0
    probability: float | None = None  # of the latest window
    is_dynamic: bool = False
    first_dynamic_seconds: float | None = None
    num_events: int = 0


class CameraWatch:
    """One camera: its frames in, its files out."""

    def __init__(
        self, camera: Camera, predictor: Predictor, config: DetectConfig, threshold: float, changed: threading.Condition
    ) -> None:
        self.camera = camera
        self.threshold = threshold
        self.low_threshold = threshold - config.event_hysteresis
        self.trained_fps = predictor.checkpoint.fps
        self.stream = predictor.stream()
        self.source = LiveSource(
            camera.address,
            name=camera.name,
            sample_fps=camera.sample_fps,
            size=self.stream.target_size,
            queue_frames=config.queue_frames,
            offline_seconds=config.offline_seconds,
            reconnect=config.reconnect,
            changed=changed,
        )
        self.tracker = EventTracker(
            threshold=threshold,
            hysteresis=config.event_hysteresis,
            min_seconds=config.event_min_seconds,
            max_gap_seconds=config.event_max_gap_seconds,
            max_distance=config.event_max_distance,
        )
        self.results = LiveResults(config.output / camera.name, camera.name)
        self.findings = _Findings()
        self._status = self._before = LiveStatus()  # when frames were taken, and the time before
        self._dropped_told = (0.0, 0)  # when, how many

    def take(self) -> list[Frame]:
        """Some of the frames that wait, for `turn`."""
        self._status = self.source.status
        return self.source.take(FRAMES_PER_CALL)

    def turn(self, frames: Sequence[Frame], heatmaps: Sequence[Heatmap]) -> None:
        """Note what these frames finished, and how the camera did when they were taken."""
        status = self._status
        if frames:
            self.results.started = status.started or 0.0
        for heatmap in heatmaps:
            self._add(self.camera.region.apply(heatmap))
        if status.state != "online" and not frames:
            self._add_events(self.tracker.flush())
        if status.num_connections > 0 and self._before.num_connections == 0:
            warn_of_rate(self.camera.name, self.source.fps, self.trained_fps)
        self._tell_drops(status)
        self._before = status

    def finish(self) -> SourceResult:
        """Stop receiving, end what goes on, and sum up."""
        self.source.close()
        self._add_events(self.tracker.flush())
        status, findings = self.source.status, self.findings
        is_dynamic = findings.peak_probability >= self.threshold
        return SourceResult(
            source=self.camera.name,
            prediction=("dynamic" if is_dynamic else "static") if findings.num_windows else "",
            probability=findings.peak_probability if findings.num_windows else None,
            windows=findings.num_windows,
            frames=status.num_taken,
            first_dynamic_s=findings.first_dynamic_seconds,
            error="" if status.num_frames else f"no frame came: {self._before.reason or status.reason}",
            is_incomplete=not status.num_frames,
        )

    def describe(self, now: float) -> dict[str, Any]:
        """Its entry of status.json; `now` in seconds of `time.monotonic`."""
        status, findings = self.source.status, self.findings
        height, width = status.frame_size or (None, None)
        age = None if status.last_frame is None else round(now - status.last_frame, 3)
        return {
            "state": status.state,
            "reason": status.reason,
            "last_frame_seconds_ago": age,
            "frames": status.num_frames,
            "processed": status.num_taken,
            "dropped": status.num_dropped,
            "damaged": status.num_damaged,
            "connections": status.num_connections,
            "fps": round(self.source.fps, 3) if status.num_connections else None,
            "width": width,
            "height": height,
            "probability": None if findings.probability is None else round(findings.probability, 6),
            "dynamic": findings.is_dynamic,
            "windows": findings.num_windows,
            "events": findings.num_events,
        }

    def _add(self, heatmap: Heatmap) -> None:
        probability = window_score(heatmap.probabilities)
        findings = self.findings
        findings.num_windows += 1
        findings.probability = probability
        findings.peak_probability = max(findings.peak_probability, probability)
        if probability >= self.threshold and findings.first_dynamic_seconds is None:
            findings.first_dynamic_seconds = heatmap.start_seconds
        if probability >= self.threshold and not findings.is_dynamic:
            logger.info("%s: dynamic, %.2f", self.camera.name, probability)
        findings.is_dynamic = probability >= (self.low_threshold if findings.is_dynamic else self.threshold)
        num_hot = int(hot_cells(heatmap.probabilities, self.threshold).sum())
        self.results.add_window(heatmap, probability=probability, num_hot=num_hot)
        self._add_events(self.tracker.process(heatmap))

    def _add_events(self, events: Sequence[Event]) -> None:
        self.findings.num_events += len(events)
        self.results.add_events(events)

    def _tell_drops(self, status: LiveStatus) -> None:
        told, num_told = self._dropped_told
        if status.num_dropped > num_told and time.monotonic() - told > DROPS_SECONDS:
            self._dropped_told = (time.monotonic(), status.num_dropped)
            logger.warning(
                "%s: %d of %d frames dropped: this machine does not keep up; a lower sample_fps helps",
                self.camera.name,
                status.num_dropped,
                status.num_frames,
            )


class WatchJob:
    """Runs one predictor over all cameras until interrupted, `watch_seconds` are over, or no camera is left."""

    def __init__(self, predictor: Predictor, config: DetectConfig, cameras: Sequence[Camera]) -> None:
        self.predictor = predictor
        self.config = config
        self.changed = threading.Condition()
        threshold = config.threshold if config.threshold is not None else predictor.checkpoint.threshold
        make_folder(config.output)
        self.watches = [CameraWatch(camera, predictor, config, threshold, self.changed) for camera in cameras]
        self._next_status = 0.0

    def run(self) -> list[SourceResult]:
        """Watch, and return a row for each camera.

        KeyboardInterrupt and Terminated come after everything is finished: cameras closed, events written.
        """
        rows: list[SourceResult] = []
        with SignalGuard() as guard:
            try:
                self._warm_up()
                started = time.monotonic()
                for watch in self.watches:
                    watch.source.start()
                while not self._is_over(started):
                    self._wait()
                    with guard.hold():
                        self._turn()
            finally:
                with guard.hold():
                    rows = [watch.finish() for watch in self.watches]
                    self._write_status()
        return rows

    def _warm_up(self) -> None:
        """The first call of an engine takes long; frames that came meanwhile would be dropped."""
        stream = self.predictor.stream()
        height, width = stream.target_size
        stream.process([Frame(np.zeros((height, width, 3), np.uint8), i, i / 25) for i in range(stream.seq_length)])

    def _is_over(self, started: float) -> bool:
        limit = self.config.watch_seconds
        if limit is not None and time.monotonic() - started >= limit:
            return True
        return all(w.source.status.state == "ended" and not w.source.num_waiting for w in self.watches)

    def _wait(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: any(watch.source.num_waiting for watch in self.watches), 0.2)

    def _turn(self) -> None:
        """Frames of all cameras go through the engine together."""
        taken = [watch.take() for watch in self.watches]
        found = process_streams([(watch.stream, frames) for watch, frames in zip(self.watches, taken, strict=True)])
        for watch, frames, heatmaps in zip(self.watches, taken, found, strict=True):
            watch.turn(frames, heatmaps)
        if time.monotonic() >= self._next_status:
            self._next_status = time.monotonic() + STATUS_SECONDS
            self._write_status()

    def _write_status(self) -> None:
        now = time.monotonic()
        entries = {watch.camera.name: watch.describe(now) for watch in self.watches}
        write_status(self.config.output, entries, now=time.time())


def watch_cameras(cameras: Sequence[Camera], predictor: Predictor, config: DetectConfig) -> list[SourceResult]:
    """Watch until it ends, see `WatchJob`. Raises DataError where not one camera gave a frame."""
    rows = WatchJob(predictor, config, cameras).run()
    if all(row.is_incomplete for row in rows):
        raise DataError("; ".join(f"{row.source}: {row.error}" for row in rows))
    return rows
