"""How much faster training is than plain PyTorch code for the same network, and what each measure brings.

python -m benchmarks.training
python -m benchmarks.training --size 320 --stem motion --rows plain ours windows4

One data set of PNG files, one row after another, each in a process of its own. Prints a table; the last line of stdout
is the same as JSON, and so is the file in benchmarks/results. README.md says how to read it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from convlstm.benchmark.results import Column, Figures, aligned, number, save_report

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30


@dataclass(frozen=True)
class Job:
    """What a process is to measure: a row, or "machine".

    `settings` are those of TrainConfig in which rows differ; `keeps_memory` and `channels_last` have no setting.
    """

    row: str
    result: str
    data: str
    work: str
    size: int
    stem: Literal["rgb", "motion"]
    batch_size: int
    epochs: int
    num_workers: int
    settings: dict[str, Any]
    keeps_memory: bool = True
    channels_last: bool = True


PLAIN = {"precision": "32-true", "cache": "none", "windows_per_sample": 1, "compile": False, "augment": False}
WITHOUT_SETTING = {"keeps_memory": False, "channels_last": False}

MEASURES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ours", "ours, measures off", {}),
    ("allocator", "+ freed memory kept", {"keeps_memory": True}),
    ("cache", "+ cache disk", {"cache": "disk"}),
    ("channels_last", "+ channels last", {"channels_last": True}),
    ("bf16", "+ precision auto (bf16)", {"precision": "auto"}),
    ("windows2", "+ windows_per_sample 2", {"windows_per_sample": 2}),
    ("windows4", "+ windows_per_sample 4", {"windows_per_sample": 4}),
)
"""Name, title, and what a row changes against the one before."""

VARIANTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("compile", "the same, compiled encoder", {"compile": True}),
    ("augment", "the same, augmentation", {"augment": True}),
    ("float32", "the same, float32", {"precision": "32-true"}),
)
"""What a row changes against the last of the measures: not every machine can compile, and float32 is a choice."""


def make_rows() -> dict[str, tuple[str, dict[str, Any]]]:
    """Title and settings of every row, by name."""
    rows: dict[str, tuple[str, dict[str, Any]]] = {"plain": ("plain PyTorch", dict(PLAIN))}
    settings = PLAIN | WITHOUT_SETTING
    for name, title, change in MEASURES:
        settings = settings | change
        rows[name] = (title, settings)
    return rows | {name: (title, settings | change) for name, title, change in VARIANTS}


ROWS = make_rows()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, save; returns 1 where a row failed."""
    options = parse_options(arguments)
    with tempfile.TemporaryDirectory(prefix="convlstm-bench-") as folder:
        work = Path(folder)
        data = options.data.resolve() if options.data else synthesise(work / "data", options)
        machine = measure("machine", options, data, work)
        if "error" in machine:
            sys.stderr.write(f"the machine cannot be measured: {machine['error']}\n")
            return 1
        rows = [measure(name, options, data, work) for name in options.rows]
    compare(rows, machine)
    report = {
        "benchmark": "training",
        "date": date.today().isoformat(),
        "machine": machine,
        "options": {name: _without_folders(value) for name, value in vars(options).items()},
        "rows": rows,
    }
    sys.stdout.write(f"{describe(machine, options)}\n\n{table(rows)}\n\n")
    sys.stdout.write(f"written to {save_report(report, options.output, machine)}\n{json.dumps(report)}\n")
    return 1 if any("error" in row for row in rows) else 0


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options from the command line, or from `arguments`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--size", type=int, default=640, help="height and width of the frames, a multiple of 32")
    add("--batch_size", type=int, default=16, help="windows per step")
    add("--sequences", type=int, nargs=2, default=[6, 2], metavar=("TRAIN", "VAL"), help="how many to synthesise")
    add("--frames", type=int, default=55, help="frames of each synthesised sequence")
    add("--epochs", type=int, default=2, help="epochs measured, after one that warms up")
    add("--stem", choices=("rgb", "motion"), default="rgb", help="what the encoder sees of a frame")
    add("--num_workers", type=int, default=2, help="processes that load data")
    add("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}")
    add("--data", type=Path, help="use this folder of PNG sequences with data.csv instead of synthesised ones")
    add("--output", type=Path, default=ROOT / "benchmarks" / "results", help="folder for the results")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    return options


def synthesise(folder: Path, options: argparse.Namespace) -> Path:
    """Sequences without masks, so that every row, like the plain one, learns from the clip's label."""
    from convlstm.utils.data.synthetic import write_dataset

    sys.stderr.write(f"synthesising {sum(options.sequences)} sequences of {options.frames} frames\n")
    num_train, num_val = options.sequences
    write_dataset(
        folder,
        num_train=num_train,
        num_val=num_val,
        num_test=0,
        num_frames=options.frames,
        size=(options.size, options.size),
        fps=25.0,
        seed=0,
        num_workers=os.cpu_count() or 1,  # processes: what this one has used counts in the peak of those it starts
    )
    for masks in folder.glob("*/masks"):
        shutil.rmtree(masks)
    return folder


def measure(row: str, options: argparse.Namespace, data: Path, work: Path) -> Figures:
    """Run one row, or "machine", in a process of its own, whose peak memory is then this row's."""
    job = make_job(row, options, data, work)
    title, settings = ROWS.get(row, ("the machine", {}))
    sys.stderr.write(f"measuring: {title}\n")
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(asdict(job))]
    process = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
    if Path(job.result).exists():
        figures: Figures = json.loads(Path(job.result).read_text(encoding="utf-8"))
    else:
        figures = {"error": f"the process ended with {process.returncode}"}
    return {"row": row, "title": title, "settings": settings, **figures} if row in ROWS else figures


def make_job(row: str, options: argparse.Namespace, data: Path, work: Path) -> Job:
    """What the row's process has to know."""
    _, settings = ROWS.get(row, ("", PLAIN))
    return Job(
        row=row,
        result=str(work / f"{row}.json"),
        data=str(data),
        work=str(work),
        size=options.size,
        stem=options.stem,
        batch_size=options.batch_size,
        epochs=options.epochs,
        num_workers=options.num_workers,
        settings={name: value for name, value in settings.items() if name not in WITHOUT_SETTING},
        **{name: value for name, value in settings.items() if name in WITHOUT_SETTING},
    )


def compare(rows: Sequence[Figures], machine: Figures) -> None:
    """Add to each row how it stands against the plain one, and against what the machine can do."""
    done = [row for row in rows if "error" not in row]
    for row in done[1:]:
        windows, first = ((r["train_windows"], r["val_windows"]) for r in (row, done[0]))
        if windows != first:
            row["error"] = f"saw {windows} windows, {done[0]['row']} saw {first}: are frames missing in --data?"
    done = [row for row in done if "error" not in row]
    plain = next((row for row in done if row["row"] == "plain"), None)
    for row in done:
        for what in ("epoch", "step"):
            seconds = f"{what}_seconds"
            row[f"{what}_speedup"] = plain[seconds] / row[seconds] if plain else None
        row["tflops"] = machine["window_gflop"] * row["step_windows"] / row["step_seconds"] / 1e3
        rate = machine["matmul_tflops"].get(row["precision"])
        row["matmul_share"] = row["tflops"] / rate if rate else None


COLUMNS: tuple[Column, ...] = (
    ("row", lambda row: row["row"]),
    ("", lambda row: row["title"]),
    ("x epoch", lambda row: number(row["epoch_speedup"], ".2f")),
    ("x step", lambda row: number(row["step_speedup"], ".2f")),
    ("1st epoch s", lambda row: number(row["first_epoch_seconds"], ".2f")),
    ("epoch s", lambda row: number(row["epoch_seconds"], ".2f")),
    ("frames/s", lambda row: number(row["frames_per_second"], ".1f")),
    ("step s", lambda row: number(row["step_seconds"], ".3f")),
    ("waiting", lambda row: number(row["data_wait"], ".0%")),
    ("peak GiB", lambda row: number(row["peak_bytes"] / GIB, ".2f")),
    ("worker GiB", lambda row: number(row["worker_peak_bytes"] / GIB, ".2f")),
    ("GPU GiB", lambda row: number(row["gpu_peak_bytes"] and row["gpu_peak_bytes"] / GIB, ".2f")),
    ("TFLOP/s", lambda row: number(row["tflops"], ".3f")),
    ("of matmul", lambda row: number(row["matmul_share"], ".0%")),
    ("precision", lambda row: row["precision"]),
)


def table(rows: Sequence[Figures]) -> str:
    """Aligned columns; a row that failed says why."""
    done = [row for row in rows if "error" not in row]
    lines = aligned(done, COLUMNS, ("row", "", "precision"))
    return "\n".join([*lines, *(f"{row['row']}  failed: {row['error']}" for row in rows if "error" in row)])


def describe(machine: Mapping[str, Any], options: argparse.Namespace) -> str:
    """One line for the machine, one for the work."""
    rates = ", ".join(f"{name} {rate:.2f}" for name, rate in machine["matmul_tflops"].items())
    return (
        f"{machine['gpu'] or 'no GPU'}; {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads; "
        f"torch {machine['torch']}; matrix products, TFLOP/s: {rates}\n"
        f"stem {options.stem}, {options.size}x{options.size}, batch {options.batch_size}, {options.num_workers} workers"
        f"; a window is {machine['window_gflop']:.1f} GFLOP forward and backward"
    )


def _without_folders(value: Any) -> Any:
    return value.name if isinstance(value, Path) else value


if __name__ == "__main__":
    sys.exit(main())
