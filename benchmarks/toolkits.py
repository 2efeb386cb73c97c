"""How fast the data tools are, beside the libraries that they stand on.

python -m benchmarks.toolkits
python -m benchmarks.toolkits --parts extraction --video clip.mp4 --formats png

Prints a table; the last line of stdout is the same as JSON, and so is the file in benchmarks/results. README.md says
how to read it.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from convlstm.benchmark.results import Column, Figures, aligned, number, save_report
from convlstm.config.toolkits import CheckCorruptedImagesConfig, FrameFormat, VideoFrameExtractorConfig
from convlstm.toolkits import check_corrupted_images, video_frame_extractor
from convlstm.toolkits.frame_files import Encoding
from convlstm.types import UInt8Array

ROOT = Path(__file__).resolve().parents[1]
FPS = 25.0

COLUMNS: tuple[Column, ...] = (
    ("part", lambda row: row["part"]),
    ("", lambda row: row["title"]),
    ("units/s", lambda row: number(row["per_second"], ".1f")),
    ("of libraries", lambda row: number(row.get("of_libraries"), ".0%")),
    ("x one worker", lambda row: number(row.get("speedup"), ".2f")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts asked for, show, save."""
    from convlstm.benchmark.machine import describe_machine  # here: worker processes import this module, without torch

    options = parse_options(arguments)
    with tempfile.TemporaryDirectory(prefix="convlstm-bench-") as folder:
        rows = [row for part in options.parts for row in PARTS[part](options, Path(folder))]
    machine = describe_machine(is_quick=True)
    report = {
        "benchmark": "toolkits",
        "date": date.today().isoformat(),
        "machine": machine,
        "options": {name: _without_folders(value) for name, value in vars(options).items()},
        "rows": rows,
    }
    lines = aligned(rows, COLUMNS, ("part", ""))
    sys.stdout.write(f"{machine['cpu']}, {machine['cores']} cores\n\n" + "\n".join(lines) + "\n\n")
    sys.stdout.write(f"written to {save_report(report, options.output, machine)}\n{json.dumps(report)}\n")
    return 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options from the command line, or from `arguments`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.toolkits", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what to measure")
    add("--video", type=Path, help="extract this video instead of a synthetic one, 1280x720 in H.264")
    add("--frames", type=int, default=500, help="frames of the synthetic video")
    add("--formats", nargs="+", choices=("png", "jpg"), default=["png", "jpg"], help="of the extracted frames")
    add("--repeats", type=int, default=3, help="runs of each, of which the fastest counts")
    add("--output", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    return parser.parse_args(arguments)


def measure_extraction(options: argparse.Namespace, work: Path) -> list[Figures]:
    """Frames a second of video_frame_extractor: one video, and as many videos as workers, by one worker and by two."""
    from convlstm.benchmark.clip import write_synthetic

    video = options.video or work / "clip.mp4"
    if options.video is None:
        write_synthetic(options.frames, FPS, video)
    copies = [work / "videos" / f"clip_{number}{video.suffix}" for number in range(2)]
    for copy in copies:
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(video, copy)
    rows: list[Figures] = []
    for format in options.formats:
        rows += _extraction_rows(format, video, copies, options.repeats, work / "frames")
    return rows


def _extraction_rows(
    format: FrameFormat, video: Path, copies: Sequence[Path], repeats: int, output: Path
) -> list[Figures]:
    num_frames = _decode(video)
    decoding = num_frames / _best(lambda: _decode(video), repeats)
    encoding = min(num_frames, 50) / _best(_encoder(video, Encoding(format)), repeats)
    both = 1 / (1 / decoding + 1 / encoding)

    def extract(sources: Sequence[Path], workers: int) -> float:
        def work() -> None:
            shutil.rmtree(output, ignore_errors=True)
            names = tuple(str(source) for source in sources)
            result = video_frame_extractor.run(
                VideoFrameExtractorConfig(source=names, output=output, format=format, workers=workers)
            )
            assert not result.left_out, result.left_out

        return len(sources) * num_frames / _best(work, repeats)

    one, one_by_two = extract([video], 1), extract([video], 2)
    two, two_by_two = extract(copies, 1), extract(copies, 2)
    return [
        _row("PyAV alone decodes, to RGB", decoding),
        _row(f"OpenCV alone encodes {format}", encoding),
        _row(f"both, one after the other, {format}", both),
        _row(f"one video to {format}, 1 worker", one, of_libraries=one / both),
        _row(f"one video to {format}, 2 workers", one_by_two, of_libraries=one_by_two / both, speedup=one_by_two / one),
        _row(f"two videos to {format}, 1 worker", two, of_libraries=two / both),
        _row(
            f"two videos to {format}, 2 workers", two_by_two, of_libraries=two_by_two / both, speedup=two_by_two / two
        ),
    ]


def _row(title: str, per_second: float, **figures: float) -> Figures:
    return {"part": "extraction", "title": title, "per_second": per_second, **figures}


def measure_check(options: argparse.Namespace, work: Path) -> list[Figures]:
    """Images a second of check_corrupted_images, wholly and again when nothing has changed, beside plain cv2.imread."""
    from convlstm.benchmark.clip import write_synthetic

    video = options.video or work / "clip_to_check.mp4"
    if not video.exists():
        write_synthetic(options.frames, FPS, video)
    return [row for format in options.formats for row in _check_rows(format, video, options.repeats, work)]


def _check_rows(format: FrameFormat, video: Path, repeats: int, work: Path) -> list[Figures]:
    files = _write_frames(video, work / f"images_{format}", format)
    output = work / f"check_{format}"

    def read() -> None:
        for file in files:
            cv2.imread(str(file))

    def check(workers: int, *, again: bool = False) -> Callable[[], None]:
        def run() -> None:
            if not again:
                shutil.rmtree(output, ignore_errors=True)
            config = CheckCorruptedImagesConfig(source=(str(files[0].parent),), output=output, workers=workers)
            result = check_corrupted_images.run(config)
            assert not result.has_problems, result.summary

        return run

    read()  # brings the files into memory
    plain, one, two, again = (
        len(files) / _best(job, repeats) for job in (read, check(1), check(2), check(1, again=True))
    )
    return [
        _check_row(f"cv2.imread alone, {format}", plain),
        _check_row(f"check of {format}, 1 worker", one, of_libraries=one / plain),
        _check_row(f"check of {format}, 2 workers", two, of_libraries=two / plain, speedup=two / one),
        _check_row(f"check of {format}, nothing has changed", again, of_libraries=again / plain),
    ]


def _check_row(title: str, per_second: float, **figures: float) -> Figures:
    return {"part": "check", "title": title, "per_second": per_second, **figures}


def _write_frames(video: Path, folder: Path, format: FrameFormat) -> list[Path]:
    """All frames of a video, in one folder; which one is shown stands in a corner, so that no two are the same."""
    folder.mkdir()
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            pixels = frame.to_ndarray(format="bgr24")
            cv2.putText(pixels, str(index), (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255))
            cv2.imwrite(str(folder / f"frame_{index:06d}.{format}"), pixels)
    return sorted(folder.iterdir())


def _decode(video: Path) -> int:
    """Decode all frames to RGB, as the package does, and nothing else; returns how many there are."""
    with av.open(str(video)) as container:
        container.streams.video[0].thread_type = "AUTO"
        return sum(1 for frame in container.decode(video=0) if frame.to_ndarray(format="rgb24").size)


def _encoder(video: Path, encoding: Encoding) -> Callable[[], None]:
    """Encodes the first frames, which are in memory, with the settings of the package, to memory."""
    frames: list[UInt8Array] = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            frames.append(np.asarray(frame.to_ndarray(format="bgr24"), dtype=np.uint8))
            if len(frames) == 50:
                break

    def encode() -> None:
        for pixels in frames:
            cv2.imencode(f".{encoding.format}", pixels, encoding.settings)

    return encode


def _best(work: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _without_folders(value: Any) -> Any:
    return value.name if isinstance(value, Path) else value


PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Figures]]] = {
    "extraction": measure_extraction,
    "check": measure_check,
}
"""What can be measured, by name."""


if __name__ == "__main__":
    sys.exit(main())
