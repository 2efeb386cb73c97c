"""How fast detection is on this machine, as `convlstm bench`, with the results kept.

python -m benchmarks.detection --source clip.mp4
python -m benchmarks.detection --quick

Prints tables; the last line of stdout is the same as JSON, and so is the file in benchmarks/results. docs/engines.md
says how to read it.
"""

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import App, Parameter

from benchmarks.entry import run
from convlstm.benchmark.results import save_report
from convlstm.benchmark.run import bench
from convlstm.benchmark.tables import describe
from convlstm.cli_flags import flags_of
from convlstm.config import SHIPPED, BenchConfig
from convlstm.config_file import load_config

RESULTS = Path(__file__).resolve().parent / "results"

if TYPE_CHECKING:
    BenchFlags: TypeAlias = dict[str, Any]
else:
    BenchFlags = flags_of(BenchConfig)

app = App(name="python -m benchmarks.detection", help="Measures detection.", help_format="plaintext")


@app.default
def measure(
    *,
    weights: Annotated[str, Parameter(help="Weights to measure with.")] = SHIPPED,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = RESULTS,
    flags: Annotated[BenchFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Measure, show, save."""
    report = bench(weights, load_config(BenchConfig, None, flags))
    sys.stdout.write(f"{describe(report)}\n\n")
    sys.stdout.write(f"written to {save_report(report, output, report['machine'])}\n{json.dumps(report)}\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments of the command line, or with these."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("convlstm").setLevel(logging.INFO)
    return run(app, arguments)


if __name__ == "__main__":
    sys.exit(main())
