"""The benchmark of detection: one clip, every engine, beside plain torch and OpenCV, in one run."""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import cv2

from convlstm.allocator import reuse_freed_memory
from convlstm.atomic import atomic_write_text
from convlstm.benchmark.clip import cut_video, read_resized, write_synthetic, write_video
from convlstm.benchmark.machine import describe_machine
from convlstm.benchmark.measures import (
    Measure,
    PlainBaseline,
    classical_measures,
    engine_measures,
    time_all,
    write_measure,
)
from convlstm.benchmark.processes import run_detect
from convlstm.benchmark.results import Figures, json_text
from convlstm.benchmark.streams import streams_that_keep_up
from convlstm.benchmark.tables import compare, rate_of
from convlstm.config import SHIPPED, BenchConfig, DetectPrecision, EngineName, ExportConfig
from convlstm.errors import ConfigError, DataError
from convlstm.export.run import export
from convlstm.inference.engines.installed import PACKAGES, is_installed
from convlstm.inference.engines.torch import has_bf16, resolve_device
from convlstm.inference.predictor import Predictor
from convlstm.models.checkpoint import Checkpoint, load_checkpoint
from convlstm.opencv_threads import opencv_in_one_thread
from convlstm.shipped import resolve_weights
from convlstm.sources.video import VideoSource
from convlstm.types import Frame

logger = logging.getLogger(__name__)

INT8 = "int8"
ENGINES: tuple[EngineName, ...] = ("torch", "onnx", "openvino")
PRECISIONS: Mapping[str, tuple[DetectPrecision, ...]] = {
    "torch": ("32-true", "bf16-mixed"),
    "onnx": ("32-true",),
    "openvino": ("32-true", "bf16-mixed"),
}


def bench(weights: str | Path = SHIPPED, config: BenchConfig | None = None) -> Figures:
    """Measure, and return all figures as plain values; `tables.describe` makes tables of them.

    Raises CheckpointError for unusable weights, DataError for unusable footage, ConfigError for engines that are not
    installed, BenchError where a process that was to be measured fails.
    """
    config = config or BenchConfig()
    path = resolve_weights(weights)
    if path.is_dir():
        raise ConfigError(f"{path}: bench runs its baseline from a weights file: name the one that was exported")
    checkpoint = load_checkpoint(path)
    reuse_freed_memory()
    with tempfile.TemporaryDirectory(prefix="convlstm-bench-") as folder:
        report = _Run(path, checkpoint, config, Path(folder)).report()
    if config.json is not None:
        atomic_write_text(config.json, json_text(report))
    return report


class _Run:
    """One run: the clip, the engines, the measures."""

    def __init__(self, path: Path, checkpoint: Checkpoint, config: BenchConfig, folder: Path) -> None:
        self.path, self.checkpoint, self.folder = path, checkpoint, folder
        self.config, self.is_quick = config.in_effect(), config.quick
        self.device = resolve_device(config.device)
        self.clip, self.frames = self._prepare_clip()
        self.predictors = self._open_engines()

    def report(self) -> Figures:
        """All figures."""
        machine = describe_machine(is_quick=self.is_quick) | {
            "opencv_threads": cv2.getNumThreads(),
            "versions": {name: version(name) for name in _packages(self.predictors)},
        }
        rows = self._measure()
        compare(rows, machine)
        fastest = max(self.predictors, key=lambda place: rate_of(rows, "end to end", *place))
        return {
            "benchmark": "detection",
            "date": date.today().isoformat(),
            "machine": machine,
            "options": self._options(),
            "rows": rows,
            "processes": self._measure_processes(fastest),
            "streams": self._measure_streams(fastest, rate_of(rows, "end to end", *fastest)),
        }

    def _prepare_clip(self) -> tuple[Path, list[Frame]]:
        config, checkpoint = self.config, self.checkpoint
        if config.source is None:
            clip = self.folder / "synthetic.mp4"
            logger.info("making a clip of %d frames", config.frames)
            write_synthetic(config.frames, checkpoint.fps, clip)
        else:
            clip = cut_video(config.source, config.frames, self.folder)
        frames = read_resized(clip, checkpoint.target_size)
        needed = checkpoint.seq_length + config.stride
        if len(frames) < needed:
            raise DataError(
                f"{config.source or 'frames'}: {len(frames)} frames are too few: {needed} or more are needed"
            )
        return clip, frames

    def _open_engines(self) -> dict[tuple[str, str], Predictor]:
        """By engine and precision."""
        wanted = self.config.engines
        all_wanted = wanted == ("all",)
        predictors: dict[tuple[str, str], Predictor] = {}
        for engine in ENGINES:
            has_engine = engine == "torch" or (is_installed(engine) and is_installed("export"))
            if engine in wanted or (all_wanted and has_engine):
                for precision in PRECISIONS[engine]:
                    device = self.config.device if engine == "torch" else "auto"
                    opened = self._open(engine, precision, device)
                    if opened is not None:
                        predictors[engine, precision] = opened
        if self.config.int8:
            predictors["openvino", INT8] = self._open_int8()
        return predictors

    def _open(self, engine: EngineName, precision: DetectPrecision, device: str) -> Predictor | None:
        if engine == "torch" and precision == "bf16-mixed" and not has_bf16(self.device.type):
            logger.info("left out: torch emulates bf16 here")
            return None
        try:
            return Predictor(
                self.checkpoint, engine=engine, precision=precision, device=device, stride=self.config.stride
            )
        except ConfigError as error:
            if precision != "bf16-mixed" or engine == "torch":
                raise
            logger.info("left out: %s", error)
            return None

    def _open_int8(self) -> Predictor:
        folder = self.folder / INT8
        export(
            self.path,
            output=folder,
            config=ExportConfig(format="openvino", int8=True, calibration=str(self.clip), max_ap_loss=1.0),
        )
        return Predictor(folder, engine="openvino", stride=self.config.stride)

    def _measure(self) -> list[Figures]:
        stride = self.config.stride
        baseline = PlainBaseline(self.checkpoint, self.frames, stride=stride, device=self.device)
        measures: list[Measure] = [baseline.measure()]
        measures += classical_measures(self.clip, self.frames, self.checkpoint.target_size)
        differences: dict[tuple[str, str], float] = {}
        for place, predictor in self.predictors.items():
            differences[place] = baseline.difference_of(predictor.engine)
            measures += engine_measures(predictor, place[1], self.clip, self.frames, baseline.network)
        measures.append(write_measure(next(iter(self.predictors.values())), self.frames))
        seconds = time_all(measures, self.config.repeats)
        return [
            _row(measure, times, differences.get((measure.engine, measure.precision)))
            for measure, times in zip(measures, seconds, strict=True)
        ]

    def _measure_processes(self, fastest: tuple[str, str]) -> list[Figures]:
        """Of each engine, or in a quick run of the fastest: a window's worth of frames cold, and the whole clip."""
        short = self.folder / "first.mp4"
        length = self.checkpoint.seq_length
        write_video((f.pixels for f in self.frames[:length]), self.checkpoint.fps, short)
        jobs = {place: str(self.path) for place in ([fastest] if self.is_quick else self.predictors)}
        figures = []
        for (engine, precision), weights in jobs.items():
            given = str(self.folder / INT8) if precision == INT8 else weights
            options = ["--engine", engine, *([] if precision == INT8 else ["--precision", precision])]
            figures.append(
                self._run_processes(engine, precision, "export" if precision == INT8 else "file", given, options)
            )
        if "openvino" in {engine for engine, _ in jobs} and not self.is_quick:
            folder = self.folder / "export"
            export(self.path, output=folder, config=ExportConfig(format="openvino"))
            figures.append(self._run_processes("openvino", "auto", "export", str(folder), ["--engine", "openvino"]))
        return figures

    def _run_processes(self, engine: str, precision: str, kind: str, weights: str, options: list[str]) -> Figures:
        logger.info("measuring processes: %s %s, weights from %s", engine, precision, kind)
        short = self.folder / "first.mp4"
        options = [*options, "--weights", weights, "--stride", str(self.config.stride)]
        if engine == "torch":
            options += ["--device", self.config.device]
        first = [run_detect(short, *options) for _ in range(min(3, self.config.repeats))]
        whole = run_detect(self.clip, *options)
        return {
            "engine": engine,
            "precision": precision,
            "weights": kind,
            "first_answer_seconds": median(run.seconds for run in first),
            "all_first_answer_seconds": [run.seconds for run in first],
            "peak_bytes": whole.peak_bytes,
        }

    def _measure_streams(self, fastest: tuple[str, str], frames_per_second: float) -> list[Figures]:
        seconds = self.config.stream_seconds
        predictor = self.predictors[fastest]
        with opencv_in_one_thread():
            return [
                {
                    "engine": fastest[0],
                    "precision": fastest[1],
                    "fps": fps,
                    "streams": streams_that_keep_up(predictor, self.clip, fps, int(frames_per_second / fps), seconds),
                }
                for fps in self.config.stream_fps
            ]

    def _options(self) -> Figures:
        """Settings, and the footage, without folders: where it ran is nobody's business."""
        config = self.config
        with_video = VideoSource(self.clip)
        height, width = next(iter(with_video)).pixels.shape[:2]
        return {
            "source": "synthetic" if config.source is None else Path(config.source).name,
            "source_size": [height, width],
            "target_size": list(self.checkpoint.target_size),
            "frames": len(self.frames),
            "seq_length": self.checkpoint.seq_length,
            "stride": config.stride,
            "repeats": config.repeats,
            "stream_seconds": config.stream_seconds,
            "device": str(self.device),
            "weights": self.checkpoint.digest[:12],
            "quick": self.is_quick,
        }


def _packages(predictors: Mapping[tuple[str, str], Predictor]) -> list[str]:
    engines = {engine for engine, _ in predictors} - {"torch"}
    return ["av", "opencv-python-headless", *(PACKAGES[engine] for engine in sorted(engines))]


def _row(measure: Measure, seconds: Sequence[float], difference: float | None) -> Figures:
    frames_per_second = measure.num_frames / median(seconds)
    return {
        "row": measure.name,
        "engine": measure.engine,
        "precision": measure.precision,
        "frames": measure.num_frames,
        "frames_per_second": frames_per_second,
        "all_seconds": list(seconds),
        "tflops": None if measure.gflop is None else measure.gflop * frames_per_second / 1e3,
        "largest_difference": difference if measure.name == "engine" else None,
    }
