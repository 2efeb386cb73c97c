"""A verification job: a source and a file of a detector's boxes in, a file with a verdict for each box out."""

import csv
import io
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from convlstm.config import SHIPPED, VerifyConfig
from convlstm.detections_file import read_detections
from convlstm.errors import EXIT_DONE, EXIT_FAILED, EXIT_INCOMPLETE, DataError
from convlstm.progress import Progress
from convlstm.sources.open import open_source
from convlstm.types import Frame
from convlstm.verify import Decision, Verdict, Verifier

logger = logging.getLogger(__name__)

COLUMNS = (
    "frame",
    "time_s",
    "x1",
    "y1",
    "x2",
    "y2",
    "confidence",
    "track",
    "probability",
    "frame_probability",
    "crop_probability",
    "verdict",
)


@dataclass(frozen=True)
class VerifyResult:
    """How many things there were of each verdict, the last one about each; `left_out` names what could not be used."""

    decisions: dict[Decision, int]
    num_detections: int
    num_frames: int
    left_out: tuple[str, ...]
    output: Path

    @property
    def exit_code(self) -> int:
        """0 where all went well, 3 where parts were left out, 1 where nothing could be used."""
        if not self.left_out:
            return EXIT_DONE
        return EXIT_INCOMPLETE if self.num_detections else EXIT_FAILED


def verify(
    source: str | Path, detections: str | Path, weights: str | Path = SHIPPED, config: VerifyConfig | None = None
) -> VerifyResult:
    """Judge all boxes of `detections` (see detections_file.py) in `source`.

    Writes `verdicts.csv` and `verdicts.jsonl` to `config.output`: a row per box, as known at that frame and not later.
    Raises DataError where one of the two cannot be read, CheckpointError and ConfigError for unusable weights and
    settings.
    """
    config = config or VerifyConfig()
    found = read_detections(Path(detections))
    opened = open_source(str(source), fps=config.fps)
    verifier = Verifier(weights, config)
    latest: dict[int, Decision] = {}
    num_frames = num_detections = 0
    unused = set(found)
    with _verdict_files(config.output) as files, Progress(opened.name, opened.num_frames, "frames") as progress:
        for frame in opened:
            verdicts = verifier(frame, found.get(frame.index))
            files.add(frame, verdicts)
            latest.update((verdict.track, verdict.decision) for verdict in verdicts if verdict.track)
            unused.discard(frame.index)
            num_frames += 1
            num_detections += len(verdicts)
            progress.advance()
    left_out = [opened.damage.describe(num_frames)] if opened.damage.is_incomplete else []
    if unused:
        count = sum(len(found[frame]) for frame in unused)
        left_out.append(f"{count} boxes of frames that {opened.name} does not hold, the first of frame {min(unused)}")
    decisions: dict[Decision, int] = {"dynamic": 0, "static": 0, "undecided": 0}
    decisions.update(Counter(latest.values()))
    return VerifyResult(decisions, num_detections, num_frames, tuple(left_out), config.output)


@dataclass
class _VerdictFiles:
    """Rows are written frame by frame, and whole."""

    table: IO[str]
    lines: IO[str]

    def add(self, frame: Frame, verdicts: list[Verdict]) -> None:
        rows = [_row(frame, verdict) for verdict in verdicts]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(["" if cell is None else cell for cell in row] for row in rows)
        self.table.write(text.getvalue())
        self.lines.write("".join(f"{json.dumps(dict(zip(COLUMNS, row, strict=True)))}\n" for row in rows))
        if rows:
            self.table.flush()
            self.lines.flush()


@contextmanager
def _verdict_files(folder: Path) -> Iterator[_VerdictFiles]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table = (folder / "verdicts.csv").open("w", encoding="utf-8", newline="")
        with table, (folder / "verdicts.jsonl").open("w", encoding="utf-8", newline="") as lines:
            table.write(",".join(COLUMNS) + "\n")
            yield _VerdictFiles(table, lines)
    except FileExistsError as error:
        raise DataError(f"cannot write to {folder}: {error.strerror}") from error


def _row(frame: Frame, verdict: Verdict) -> list[str | float | int | None]:
    def rounded(value: float | None) -> float | None:
        return None if value is None or np.isnan(value) else round(value, 6)

    return [
        frame.index,
        round(frame.pts_seconds, 6),
        *(round(side, 3) for side in verdict.box),
        rounded(verdict.confidence),
        verdict.track or None,
        rounded(verdict.probability),
        rounded(verdict.frame_probability),
        rounded(verdict.crop_probability),
        verdict.decision,
    ]
