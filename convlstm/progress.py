"""Progress of long work: a bar on a terminal, plain log lines elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """`with Progress("decoding", 100) as progress: progress.advance()`; `total` is None where nobody knows it."""

    def __init__(self, description: str, total: int | None, unit: str = "") -> None:
        self.description = description
        self.total = total
        self.unit = unit
        self.done = 0
        self._on_terminal = sys.stderr.isatty()
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._on_terminal:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            description = TextColumn("{task.description}", markup=False)  # names hold brackets
            columns = (description, BarColumn(), MofNCompleteColumn(), TextColumn(self.unit))
            self._bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self.description, total=self.total)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._on_terminal:
            self._bar.stop()

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more are done; `note` is shown beside the count."""
        self.done += count
        text = f"{self.description} {note}".rstrip()
        if self._on_terminal:
            self._bar.update(self._task, advance=count, description=text)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            of_total = f"/{self.total}" if self.total is not None else ""
            logger.info("%s: %d%s %s", text, self.done, of_total, self.unit)
