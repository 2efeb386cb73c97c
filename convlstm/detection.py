"""A detection job: sources in, result files out."""

import hashlib
import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from convlstm.allocator import reuse_freed_memory
from convlstm.atomic import atomic_write
from convlstm.config import SHIPPED, DetectConfig
from convlstm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, DataError
from convlstm.events import EventTracker, FrameTimes, time_spans
from convlstm.heatmap import hot_cells, window_score
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import FRAMES_PER_CALL
from convlstm.opencv_threads import opencv_in_one_thread
from convlstm.progress import Progress
from convlstm.region import Region, parse_polygons
from convlstm.report.heatmap_file import HeatmapFile
from convlstm.report.overlay import encode_png, result_picture
from convlstm.report.rendering import annotate, clip_path, with_windows, write_clips
from convlstm.report.results import ResultsFolder, SourceResult, file_name
from convlstm.report.timeline import ScoreTimeline
from convlstm.report.video_file import OutputBudget, VideoFile
from convlstm.sources.ahead import decoded_ahead
from convlstm.sources.base import Source
from convlstm.sources.folder import list_images
from convlstm.sources.open import SourcePath, find_sources, open_source
from convlstm.sources.recording import RecordingPath, RecordingSource, one_recording
from convlstm.sources.sampling import SampledSource
from convlstm.types import Event, Frame, Heatmap
from convlstm.watch import find_cameras, warn_of_rate, watch_cameras

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DetectResult:
    """Rows of this job's sources; `num_skipped` of them were complete before it."""

    rows: tuple[SourceResult, ...]
    num_skipped: int
    output: Path

    @property
    def exit_code(self) -> int:
        """0 where all went well, 3 where parts were left out, 1 where nothing could be used."""
        if not any(row.is_incomplete for row in self.rows):
            return EXIT_DONE
        return EXIT_INCOMPLETE if any(row.windows for row in self.rows) else EXIT_FAILED


def detect(source: str | Path, weights: str | Path = SHIPPED, config: DetectConfig | None = None) -> DetectResult:
    """Score every window of every source and write the result files to `config.output`.

    `source` is a frame folder, a video file, a glob, or with `config.batch` a folder of such; or a camera's address or
    a YAML list of cameras, which are watched until interrupted. `weights` is a .pth or .safetensors file or the folder
    of an export, by default what comes with the package. A source that cannot be used
    is recorded with its reason, and the others go on. Raises DataError where there is no source at all, CheckpointError
    and ConfigError for unusable weights and settings.
    """
    reuse_freed_memory()
    with opencv_in_one_thread():
        return _detect(source, weights, config or DetectConfig())


def _detect(source: str | Path, weights: str | Path, config: DetectConfig) -> DetectResult:
    cameras = find_cameras(source, config)
    sources = [] if cameras else find_sources(source, batch=config.batch)
    predictor = Predictor(
        weights,
        device=config.device,
        stride=config.stride,
        mode=config.mode,
        engine=config.engine,
        precision=config.precision,
    )
    logger.info("weights: %s (%s)", weights, predictor.checkpoint.digest[:12])
    if cameras:
        return DetectResult(tuple(watch_cameras(cameras, predictor, config)), num_skipped=0, output=config.output)
    return DetectJob(predictor, config).run(sources)


@dataclass
class _Findings:
    """What is known of a source so far; nothing but its events, and the times to pad them, grows with its length."""

    heatmaps: HeatmapFile | None = None
    times: FrameTimes | None = None
    timeline: ScoreTimeline = field(default_factory=ScoreTimeline)
    events: list[Event] = field(default_factory=list)
    peak: Heatmap | None = None
    peak_frame: Frame | None = None
    num_frames: int = 0
    num_windows: int = 0
    first_dynamic_seconds: float | None = None

    def close(self) -> None:
        """Delete what stands on disk for the time of the work."""
        if self.heatmaps is not None:
            self.heatmaps.close()


AnyPath = SourcePath | RecordingPath


class DetectJob:
    """Runs one predictor over many sources."""

    def __init__(self, predictor: Predictor, config: DetectConfig) -> None:
        self.predictor = predictor
        self.config = config
        self.threshold = config.threshold if config.threshold is not None else predictor.checkpoint.threshold
        self.region = Region(parse_polygons("roi", config.roi), parse_polygons("ignore", config.ignore))
        self.results = ResultsFolder(config.output, overwrite=config.overwrite)
        self.budget = OutputBudget(config.max_output_gb * 1e9)

    def run(self, sources: list[SourcePath]) -> DetectResult:
        """Do what is not complete yet."""
        taken: set[str] = set()
        paths: list[AnyPath] = [one_recording(sources)] if self.config.continuous else list(sources)
        named = [(path, file_name(path.name, taken)) for path in paths]
        fingerprints = {path.name: self._fingerprint(path) for path in paths}
        to_do = [(s, name) for s, name in named if not self._is_complete(s, name, fingerprints[s.name])]
        if len(to_do) < len(named):
            logger.info("%d of %d sources are complete already", len(named) - len(to_do), len(named))
        for source, name in to_do:
            self.results.begin(source.name)
            with closing(self._new_findings()) as findings:
                result, details = self._detect_one(source, name, findings)
                self.results.finish(result, findings.events, fingerprints[source.name], details)
        rows = {row.source: row for row in self.results.rows()}
        return DetectResult(
            rows=tuple(rows[path.name] for path in paths),
            num_skipped=len(named) - len(to_do),
            output=self.config.output,
        )

    def _new_findings(self) -> _Findings:
        keeps_heatmaps = self.config.save_heatmaps or self.config.save_video
        return _Findings(
            heatmaps=HeatmapFile(self.config.output) if keeps_heatmaps else None,
            times=FrameTimes() if self.config.event_padding_seconds else None,
        )

    def _detect_one(self, source: AnyPath, name: str, findings: _Findings) -> tuple[SourceResult, list[dict[str, Any]]]:
        """A source's row, and for each of its events what events.json says beside the event itself."""
        opened = None
        try:
            opened = self._open(source)
            self._compare_rates(opened)
            self._scan(opened, findings)
        except DataError as error:
            damage = opened.damage.describe(opened.num_decoded(findings.num_frames)) if opened is not None else ""
            problem = f"{error}; {damage}" if damage else str(error)
            logger.error("%s", problem)
            findings.events = []
            return SourceResult(source.name, error=problem, is_incomplete=True), []
        self._save_artefacts(name, opened, findings)
        details: list[dict[str, Any]] = [{} for _ in findings.events]
        if self.config.save_clips or self.config.save_video:
            self._render(self._open(source), name, findings, details)
        findings.events = [
            replace(event, start_frame=opened.place(event.start_frame), end_frame=opened.place(event.end_frame))
            for event in findings.events
        ]
        recording = opened.source if isinstance(opened, SampledSource) else opened
        if isinstance(recording, RecordingSource):
            for event, detail in zip(findings.events, details, strict=True):
                detail.update(_places_in_parts(recording, event))
        return self._summarise(source, opened, findings), details

    def _open(self, source: AnyPath) -> Source:
        if not isinstance(source, RecordingPath):
            return open_source(source, fps=self.config.fps, sample_fps=self.config.sample_fps)
        recording = RecordingSource(source, fps=self.config.fps)
        return recording if self.config.sample_fps is None else SampledSource(recording, self.config.sample_fps)

    def _compare_rates(self, source: Source) -> None:
        warn_of_rate(source.name, source.fps, self.predictor.checkpoint.fps)

    def _scan(self, source: Source, findings: _Findings) -> None:
        config = self.config
        tracker = EventTracker(
            threshold=self.threshold,
            hysteresis=config.event_hysteresis,
            min_seconds=config.event_min_seconds,
            max_gap_seconds=config.event_max_gap_seconds,
            max_distance=config.event_max_distance,
        )
        recent: deque[Frame] = deque(maxlen=FRAMES_PER_CALL)
        with Progress(Path(source.name).name, source.num_frames, "frames") as progress:
            frames = _watched(source, self.predictor.checkpoint.target_size, findings, recent, progress)
            pad_short = config.short_sequences == "repeat_last"
            for heatmap in self.predictor.heatmaps(frames, source.name, pad_short=pad_short):
                seen = self.region.apply(heatmap)
                self._add(findings, source, seen, recent)
                findings.events += tracker.process(seen)
        findings.events += tracker.flush()
        if findings.times is not None:
            findings.events = [findings.times.pad(event, config.event_padding_seconds) for event in findings.events]
        findings.events.sort(key=lambda event: (event.start_frame, event.box))

    def _add(self, findings: _Findings, source: Source, heatmap: Heatmap, recent: deque[Frame]) -> None:
        probability = window_score(heatmap.probabilities)
        findings.num_windows += 1
        if findings.peak is None or probability > window_score(findings.peak.probabilities):
            findings.peak = heatmap
            findings.peak_frame = next((frame for frame in recent if frame.index == heatmap.last_frame), recent[-1])
        if findings.first_dynamic_seconds is None and probability >= self.threshold:
            findings.first_dynamic_seconds = heatmap.start_seconds
        findings.timeline.add(heatmap)
        if findings.heatmaps is not None:
            findings.heatmaps.add(heatmap)
        num_hot = int(hot_cells(heatmap.probabilities, self.threshold).sum())
        placed = replace(
            heatmap, first_frame=source.place(heatmap.first_frame), last_frame=source.place(heatmap.last_frame)
        )
        self.results.add_window(source.name, placed, probability=probability, num_hot=num_hot)

    def _summarise(self, source: AnyPath, opened: Source, findings: _Findings) -> SourceResult:
        assert findings.peak is not None
        probability = window_score(findings.peak.probabilities)
        problem = opened.damage.describe(opened.num_decoded(findings.num_frames))
        if problem:
            logger.warning("%s: %s", source.name, problem)
        return SourceResult(
            source=source.name,
            prediction=self._class_name(findings.peak, probability),
            probability=probability,
            windows=findings.num_windows,
            frames=findings.num_frames,
            first_dynamic_s=findings.first_dynamic_seconds,
            error=problem,
            is_incomplete=opened.damage.is_incomplete,
        )

    def _class_name(self, peak: Heatmap, probability: float) -> str:
        classes = self.predictor.checkpoint.model.classes
        if len(classes) == 2:
            return classes[int(probability >= self.threshold)]
        return max(zip(peak.class_probabilities, classes, strict=True))[1]

    def _save_artefacts(self, name: str, source: Source, findings: _Findings) -> None:
        if self.config.save_heatmaps and findings.heatmaps is not None:
            findings.heatmaps.save_npz(self.results.heatmaps_path(name), place=source.place)
        if self.config.save_viz and findings.peak is not None and findings.peak_frame is not None:
            probability = window_score(findings.peak.probabilities)
            picture = result_picture(
                findings.peak_frame,
                findings.peak,
                findings.timeline,
                name=Path(source.name).name,
                threshold=self.threshold,
                label=f"{self._class_name(findings.peak, probability)} {probability:.2f}",
            )
            with atomic_write(self._picture_path(name)) as file:
                file.write(encode_png(picture))

    def _render(self, source: Source, name: str, findings: _Findings, details: list[dict[str, Any]]) -> None:
        """Write clips and the annotated video in a second pass, which costs the decoding again but no memory."""
        clips = self.config.output / f"{name}_clips"
        spans = time_spans(findings.events) if self.config.save_clips else []
        for old in clips.glob("clip_*.mp4") if self.config.save_clips else ():
            old.unlink()
        with Progress(f"{Path(source.name).name} video", source.num_frames, "frames") as progress:
            frames: Iterable[Frame] = write_clips(source, spans, clips, source.fps, self.budget)
            if self.config.save_video and findings.heatmaps is not None:
                with VideoFile(self._video_path(name), source.fps, self.budget) as video:
                    for frame, window in with_windows(frames, findings.heatmaps):
                        video.add(annotate(frame, window, self.threshold), frame.pts_seconds)
                        progress.advance()
            else:
                for frame in frames:
                    progress.advance()
                    if not spans or frame.index >= spans[-1][1]:
                        break
        for event, detail in zip(findings.events, details, strict=True) if self.config.save_clips else ():
            number = next(i for i, span in enumerate(spans, start=1) if event.start_frame <= span[1])
            path = clip_path(clips, number)
            detail["clip"] = f"{clips.name}/{path.name}" if path.exists() else None

    def _is_complete(self, source: AnyPath, name: str, fingerprint: str) -> bool:
        config = self.config
        wanted = [self._picture_path(name)] if config.save_viz else []
        wanted += [self.results.heatmaps_path(name)] if config.save_heatmaps else []
        wanted += [self._video_path(name)] if config.save_video else []
        if config.save_clips:
            clips = [event.get("clip", "") for event in self.results.events(source.name)]
            if "" in clips:  # made without clips; None stands for one that there was no room for
                return False
            wanted += [config.output / clip for clip in clips if clip is not None]
        return self.results.is_complete(source.name, fingerprint) and all(path.exists() for path in wanted)

    def _video_path(self, name: str) -> Path:
        return self.config.output / f"{name}_video.mp4"

    def _picture_path(self, name: str) -> Path:
        return self.config.output / f"{name}_result.png"

    def _fingerprint(self, source: AnyPath) -> str:
        """Stands for all that decides the results: weights, settings, and the files of the source."""
        config = self.config
        settings = [self.predictor.checkpoint.digest, self.threshold, config.stride, config.fps, config.short_sequences]
        settings += [config.mode, self.predictor.engine.name, self.predictor.engine.precision]
        settings += [config.event_hysteresis, config.event_min_seconds, config.event_max_gap_seconds]
        settings += [config.sample_fps, config.roi, config.ignore]
        settings += [config.event_max_distance, config.event_padding_seconds]
        parts = source.parts if isinstance(source, RecordingPath) else (source,)
        stamps = [stamp for part in parts for stamp in _file_stamps(part)]
        return hashlib.sha256(json.dumps([settings, stamps]).encode()).hexdigest()


def _places_in_parts(recording: RecordingSource, event: Event) -> dict[str, Any]:
    """In which parts of a recording an event starts and ends, and at which of their seconds."""
    start, end = recording.part_of(event.start_frame), recording.part_of(event.end_frame)
    return {
        "start_file": start.name,
        "start_in_file_s": round(event.start_seconds - start.start_seconds, 6),
        "end_file": end.name,
        "end_in_file_s": round(event.end_seconds - end.start_seconds, 6),
    }


def _watched(
    source: Source, size: tuple[int, int], findings: _Findings, recent: deque[Frame], progress: Progress
) -> Iterator[Frame]:
    """Resized frames; decoding and resizing go on meanwhile."""
    for frame, resized in decoded_ahead(source, size):
        findings.num_frames += 1
        if findings.times is not None:
            findings.times.add(frame)
        recent.append(frame)
        progress.advance()
        yield resized


def _file_stamps(source: SourcePath) -> list[tuple[str, int, int]]:
    """Name, size and modification time of the files that make the source; empty where they cannot be read.

    What is on a web server may be another file by now: its stamp is never the same.
    """
    if source.url:
        return [(source.url, 0, time.time_ns())]
    try:
        if source.path.is_dir():
            names = source.files or list_images(source.path)
            files = [source.path / name for name in sorted(names)]
        else:
            files = [source.path]
        return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except (OSError, DataError):
        return []
