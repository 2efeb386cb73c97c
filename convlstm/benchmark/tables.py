"""The figures of a run beside each other, and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from convlstm.benchmark.results import Column, Figures, aligned, number


def rate_of(rows: Sequence[Figures], name: str, engine: str = "", precision: str | None = None) -> float:
    """Frames a second of the row of that name, engine and precision."""
    return next(
        float(row["frames_per_second"])
        for row in rows
        if row["row"] == name and row["engine"] == engine and precision in (None, row["precision"])
    )


def compare(rows: Sequence[Figures], machine: Mapping[str, Any]) -> None:
    """Add to each row how it stands against the plain baseline, MOG2, and what the machine can do."""
    plain = rate_of(rows, "plain baseline", "torch")
    mog2 = rate_of(rows, "mog2")
    fed = rate_of(rows, "decode and mog2")
    for row in rows:
        rate = row["frames_per_second"]
        row["x_plain"], row["x_mog2"] = rate / plain, rate / mog2
        row["x_decode_and_mog2"] = rate / fed if row["row"] == "end to end" else None
        matmul = machine["matmul_tflops"].get(row["precision"])
        row["matmul_share"] = row["tflops"] / matmul if row["tflops"] is not None and matmul else None


COLUMNS: tuple[Column, ...] = (
    ("", lambda row: row["row"]),
    ("engine", lambda row: row["engine"]),
    ("precision", lambda row: row["precision"]),
    ("frames/s", lambda row: number(row["frames_per_second"], ".1f")),
    ("x plain", lambda row: number(row["x_plain"], ".2f")),
    ("x MOG2", lambda row: number(row["x_mog2"], ".2f")),
    ("x decode+MOG2", lambda row: number(row["x_decode_and_mog2"], ".2f")),
    ("of matmul", lambda row: number(row["matmul_share"], ".0%")),
    ("largest difference", lambda row: number(row["largest_difference"], ".1g")),
)
PROCESS_COLUMNS: tuple[Column, ...] = (
    ("convlstm detect", lambda row: row["engine"]),
    ("precision", lambda row: row["precision"]),
    ("weights", lambda row: row["weights"]),
    ("first answer s", lambda row: number(row["first_answer_seconds"], ".2f")),
    ("peak MB", lambda row: number(row["peak_bytes"] and row["peak_bytes"] / 1e6, ".0f")),
)
STREAM_COLUMNS: tuple[Column, ...] = (
    ("streams", lambda row: row["engine"]),
    ("precision", lambda row: row["precision"]),
    ("at frames/s", lambda row: number(row["fps"], "g")),
    ("keep up", lambda row: str(row["streams"])),
)


def describe(report: Figures) -> str:
    """The machine, the footage, and three tables."""
    machine, options = report["machine"], report["options"]
    rates = ", ".join(f"{name} {rate:.2f}" for name, rate in machine["matmul_tflops"].items())
    versions = ", ".join(f"{name} {release}" for name, release in machine["versions"].items())
    height, width = options["source_size"]
    tables = [
        aligned(report["rows"], COLUMNS, ("", "engine", "precision")),
        aligned(report["processes"], PROCESS_COLUMNS, ("convlstm detect", "precision", "weights")),
        aligned(report["streams"], STREAM_COLUMNS, ("streams", "precision")),
    ]
    lines = [
        f"{machine['gpu'] or 'no GPU'}; {machine['cpu']}, {machine['cores']} cores; matrix products, TFLOP/s: {rates}",
        f"torch {machine['torch']} in {machine['threads']} threads, OpenCV in {machine['opencv_threads']}, "
        f"in one where an engine runs; {versions}",
        f"{options['source']}, {width}x{height}, {options['frames']} frames; network "
        f"{options['target_size'][1]}x{options['target_size'][0]}, stride {options['stride']}; "
        f"median of {options['repeats']}{': a quick run, its figures mean little' if options['quick'] else ''}",
    ]
    return "\n\n".join("\n".join(part) for part in (lines, *tables))
