"""A detection job: sources in, result files out."""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from convlstm.allocator import reuse_freed_memory
from convlstm.atomic import atomic_write
from convlstm.config import DetectConfig
from convlstm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, DataError
from convlstm.events import EventTracker
from convlstm.heatmap import hot_cells, window_score
from convlstm.inference.predictor import FRAMES_PER_CALL, Predictor
from convlstm.progress import Progress
from convlstm.report.overlay import encode_png, result_picture
from convlstm.report.results import ResultsFolder, SourceResult, file_name
from convlstm.sources.base import SeekableSource
from convlstm.sources.folder import list_images
from convlstm.sources.open import SourcePath, find_sources, open_source
from convlstm.types import Event, Frame, Heatmap

logger = logging.getLogger(__name__)

LARGEST_RATE_RATIO = 2.0
"""How far a source's frame rate may lie from that of training before it is worth a warning."""


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


def detect(source: str | Path, weights: str | Path, config: DetectConfig | None = None) -> DetectResult:
    """Score every window of every source and write the result files to `config.output`.

    `source` is a frame folder, a video file, a glob, or with `config.batch` a folder of such. A source that cannot be
    used is recorded with its reason, and the others go on. Raises DataError where there is no source at all,
    CheckpointError and ConfigError for unusable weights and settings.
    """
    reuse_freed_memory()
    config = config or DetectConfig()
    sources = find_sources(source, batch=config.batch)
    predictor = Predictor(weights, device=config.device, stride=config.stride)
    return DetectJob(predictor, config).run(sources)


@dataclass
class _Findings:
    """What is known of a source so far; all of its heatmaps are kept only where a file needs them."""

    heatmaps: list[Heatmap] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    peak: Heatmap | None = None
    peak_frame: Frame | None = None
    num_frames: int = 0
    num_windows: int = 0
    first_dynamic_seconds: float | None = None


class DetectJob:
    """Runs one predictor over many sources."""

    def __init__(self, predictor: Predictor, config: DetectConfig) -> None:
        self.predictor = predictor
        self.config = config
        self.threshold = config.threshold if config.threshold is not None else predictor.checkpoint.threshold
        self.results = ResultsFolder(config.output, overwrite=config.overwrite)

    def run(self, sources: list[SourcePath]) -> DetectResult:
        """Do what is not complete yet."""
        taken: set[str] = set()
        named = [(source, file_name(source.name, taken)) for source in sources]
        fingerprints = {source.name: self._fingerprint(source) for source in sources}
        to_do = [(s, name) for s, name in named if not self._is_complete(s, name, fingerprints[s.name])]
        if len(to_do) < len(named):
            logger.info("%d of %d sources are complete already", len(named) - len(to_do), len(named))
        for source, name in to_do:
            self.results.begin(source.name)
            result, events = self._detect_one(source, name)
            self.results.finish(result, events, fingerprints[source.name])
        rows = {row.source: row for row in self.results.rows()}
        return DetectResult(
            rows=tuple(rows[source.name] for source in sources),
            num_skipped=len(named) - len(to_do),
            output=self.config.output,
        )

    def _detect_one(self, source: SourcePath, name: str) -> tuple[SourceResult, list[Event]]:
        opened, findings = None, _Findings()
        try:
            opened = open_source(source, fps=self.config.fps)
            self._compare_rates(opened)
            self._scan(opened, findings)
        except DataError as error:
            damage = opened.damage.describe(findings.num_frames) if opened is not None else ""
            problem = f"{error}; {damage}" if damage else str(error)
            logger.error("%s", problem)
            return SourceResult(source.name, error=problem, is_incomplete=True), []
        self._save_artefacts(name, opened, findings)
        return self._summarise(source, opened, findings), findings.events

    def _compare_rates(self, source: SeekableSource) -> None:
        trained = self.predictor.checkpoint.fps
        if not 1 / LARGEST_RATE_RATIO <= source.fps / trained <= LARGEST_RATE_RATIO:
            logger.warning(
                "%s: %.4g frames/s, but the weights were trained at %.4g: motion will look faster or slower to them",
                source.name,
                source.fps,
                trained,
            )

    def _scan(self, source: SeekableSource, findings: _Findings) -> None:
        config = self.config
        tracker = EventTracker(
            threshold=self.threshold,
            hysteresis=config.event_hysteresis,
            min_seconds=config.event_min_seconds,
            max_gap_seconds=config.event_max_gap_seconds,
        )
        recent: deque[Frame] = deque(maxlen=FRAMES_PER_CALL)
        with Progress(Path(source.name).name, source.num_frames, "frames") as progress:
            frames = _watched(source, findings, recent, progress)
            pad_short = config.short_sequences == "repeat_last"
            for heatmap in self.predictor.heatmaps(frames, source.name, pad_short=pad_short):
                self._add(findings, source.name, heatmap, recent)
                findings.events += tracker.process(heatmap)
        findings.events += tracker.flush()
        findings.events.sort(key=lambda event: (event.start_frame, event.box))

    def _add(self, findings: _Findings, source: str, heatmap: Heatmap, recent: deque[Frame]) -> None:
        probability = window_score(heatmap.probabilities)
        findings.num_windows += 1
        if findings.peak is None or probability > window_score(findings.peak.probabilities):
            findings.peak = heatmap
            findings.peak_frame = next((frame for frame in recent if frame.index == heatmap.last_frame), recent[-1])
        if findings.first_dynamic_seconds is None and probability >= self.threshold:
            findings.first_dynamic_seconds = heatmap.start_seconds
        if self.config.save_heatmaps or self.config.save_viz:
            findings.heatmaps.append(heatmap)
        num_hot = int(hot_cells(heatmap.probabilities, self.threshold).sum())
        self.results.add_window(source, heatmap, probability=probability, num_hot=num_hot)

    def _summarise(self, source: SourcePath, opened: SeekableSource, findings: _Findings) -> SourceResult:
        assert findings.peak is not None
        probability = window_score(findings.peak.probabilities)
        problem = opened.damage.describe(findings.num_frames)
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

    def _save_artefacts(self, name: str, source: SeekableSource, findings: _Findings) -> None:
        if self.config.save_heatmaps:
            self.results.save_heatmaps(name, findings.heatmaps)
        if self.config.save_viz and findings.peak is not None and findings.peak_frame is not None:
            probability = window_score(findings.peak.probabilities)
            picture = result_picture(
                findings.peak_frame,
                findings.peak,
                findings.heatmaps,
                name=Path(source.name).name,
                threshold=self.threshold,
                label=f"{self._class_name(findings.peak, probability)} {probability:.2f}",
            )
            with atomic_write(self._picture_path(name)) as file:
                file.write(encode_png(picture))

    def _is_complete(self, source: SourcePath, name: str, fingerprint: str) -> bool:
        wanted = [self._picture_path(name)] if self.config.save_viz else []
        if self.config.save_heatmaps:
            wanted.append(self.results.heatmaps_path(name))
        return self.results.is_complete(source.name, fingerprint) and all(path.exists() for path in wanted)

    def _picture_path(self, name: str) -> Path:
        return self.config.output / f"{name}_result.png"

    def _fingerprint(self, source: SourcePath) -> str:
        """Stands for all that decides the results: weights, settings, and the files of the source."""
        config = self.config
        settings = [self.predictor.checkpoint.digest, self.threshold, config.stride, config.fps, config.short_sequences]
        settings += [config.event_hysteresis, config.event_min_seconds, config.event_max_gap_seconds]
        return hashlib.sha256(json.dumps([settings, _file_stamps(source)]).encode()).hexdigest()


def _watched(source: SeekableSource, findings: _Findings, recent: deque[Frame], progress: Progress) -> Iterator[Frame]:
    for frame in source:
        findings.num_frames += 1
        recent.append(frame)
        progress.advance()
        yield frame


def _file_stamps(source: SourcePath) -> list[tuple[str, int, int]]:
    """Name, size and modification time of the files that make the source; empty where they cannot be read."""
    try:
        if source.path.is_dir():
            names = source.files or list_images(source.path)
            files = [source.path / name for name in sorted(names)]
        else:
            files = [source.path]
        return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except (OSError, DataError):
        return []
