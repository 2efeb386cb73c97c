"""Settings of the benchmark of detection."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from convlstm.config.fields import EngineName, check, check_positive, default_of, setting


@dataclass(frozen=True)
class BenchConfig:
    """A measurement of detection on this machine."""

    source: str | None = setting(None, "Video file to measure on; default: a synthetic H.264 clip of 1280x720.")
    engines: tuple[str, ...] = setting(("all",), "Of openvino onnx torch; all: those that are installed.")
    int8: bool = setting(False, "Also OpenVINO in int8, calibrated on the source.")
    frames: int = setting(240, "Frames of the source that are used, from its start.")
    repeats: int = setting(5, "Every figure is the median of so many runs; all take turns.")
    stride: int = setting(3, "Frames between the starts of neighbouring windows.")
    stream_fps: tuple[float, ...] = setting((5.0, 25.0), "How many streams of such frame rates keep up?")
    stream_seconds: float = setting(10.0, "So long is each such attempt.")
    device: str = setting("auto", "Of the engine torch and the plain baseline: auto, cpu, cuda, mps, or cuda:N.")
    quick: bool = setting(False, "A few frames, once: shows that it works, but the figures mean little.")
    json: Path | None = setting(None, "File for all figures.")

    def __post_init__(self) -> None:
        check_positive(self, "frames", "repeats", "stride", "stream_seconds")
        check(all(fps > 0 for fps in self.stream_fps), f"stream_fps must be greater than 0, got {self.stream_fps}")
        known = {"all", *get_args(EngineName)} - {"auto"}
        unknown = [name for name in self.engines if name not in known]
        check(not unknown, f"engines must be of {', '.join(sorted(known))}, got {', '.join(unknown)}")
        check(
            bool(self.engines) and (len(self.engines) == 1 or "all" not in self.engines),
            f"engines must be all, or names of engines, got {' '.join(self.engines) or 'nothing'}",
        )
        check(
            not self.int8 or bool({"all", "openvino"} & set(self.engines)),
            "int8 has no meaning without engine openvino: leave it out, or add --engines openvino",
        )
        own = ("frames", "repeats", "stream_seconds")
        given = [name for name in own if self.quick and getattr(self, name) != default_of(self, name)]
        check(not given, f"{', '.join(given)} has no meaning with --quick, which has its own: leave it out")

    def in_effect(self) -> "BenchConfig":
        """Itself, or what a quick run means."""
        if not self.quick:
            return self
        return replace(self, quick=False, frames=16, repeats=1, stream_seconds=1.0)
