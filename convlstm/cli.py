"""The `convlstm` command: parse, call, exit code.

Modules that import torch are imported inside the commands, so that help appears at once.
"""

import io
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeAlias

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from convlstm import __version__
from convlstm.cli_data import data
from convlstm.cli_flags import flags_of
from convlstm.config import SHIPPED, BenchConfig, DetectConfig, EvalConfig, ExportConfig, TrainConfig, VerifyConfig
from convlstm.config_file import load_config
from convlstm.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_USAGE,
    ConfigError,
    ConvLSTMError,
    Terminated,
    printable,
)

EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM


if TYPE_CHECKING:
    TrainFlags: TypeAlias = dict[str, Any]
    DetectFlags: TypeAlias = dict[str, Any]
    EvalFlags: TypeAlias = dict[str, Any]
    VerifyFlags: TypeAlias = dict[str, Any]
    ExportFlags: TypeAlias = dict[str, Any]
    BenchFlags: TypeAlias = dict[str, Any]
else:
    TrainFlags, DetectFlags, EvalFlags = flags_of(TrainConfig), flags_of(DetectConfig), flags_of(EvalConfig)
    VerifyFlags, ExportFlags, BenchFlags = flags_of(VerifyConfig), flags_of(ExportConfig), flags_of(BenchConfig)


app = App(
    name="convlstm",
    help="Finds what really moves in video: trains on folders of frames, scans recordings.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
app.command(data)


@app.command
def train(
    *,
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    resume: Annotated[
        Path | None,
        Parameter(help="Run folder to go on with from its last checkpoint; auto: project/name, started if not there."),
    ] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[TrainFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Train on sequences: convlstm train --config training.yaml --data_root data --epochs 20 [--weights shipped]."""
    from convlstm.training import run

    if resume == Path("auto"):
        result = run.train_or_resume(load_config(TrainConfig, config, flags), given=flags)
    elif resume is not None:
        if config is not None:
            raise ConfigError("--resume takes its settings from the run: leave --config out, give flags instead")
        result = run.resume(resume, flags)
    else:
        result = run.train(load_config(TrainConfig, config, flags), given=flags)
    if result.rank > 0:
        return EXIT_INCOMPLETE if result.left_out else EXIT_DONE
    print(f"best weights: {result.best}")
    if result.report is not None:
        print(f"report: {result.report}")
    return _finish(result.left_out)


@app.command
def detect(
    *,
    source: Annotated[
        str,
        Parameter(help="Frame folder, video file, glob, URL, camera or cameras.yaml; with --batch a folder of files."),
    ],
    weights: Annotated[
        str, Parameter(help="Weights: best.pth of a run, a .safetensors file, or shipped, which come with the package.")
    ] = SHIPPED,
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[DetectFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Score every window of a source: convlstm detect --source clip.mp4 --save_viz [--weights best.pth]."""
    from convlstm.detection import detect as run_detection

    result = run_detection(source, weights, load_config(DetectConfig, config, flags))
    for row in result.rows:
        score = f"{row.prediction} {row.probability:.3f}, {row.windows} windows" if row.probability is not None else "-"
        print(printable(f"{row.source}: {score}{f' ({row.error})' if row.error else ''}"))
    print(f"results: {result.output}")
    return result.exit_code


@app.command(name="eval")
def evaluate(
    *,
    weights: Annotated[
        str, Parameter(help="Weights: best.pth of a run, a .safetensors file, or shipped, which come with the package.")
    ] = SHIPPED,
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[EvalFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Judge weights on labelled footage: convlstm eval --data_root data [--split test] [--weights best.pth]."""
    from convlstm.eval import evaluate_weights

    result = evaluate_weights(weights, load_config(EvalConfig, config, flags))
    print(result.summary)
    for line in result.tuning:
        print(line)
    if result.saved_weights is not None:
        print(printable(f"tuned weights: {result.saved_weights}"))
    print(printable(f"report: {result.report}"))
    return _finish(result.left_out)


@app.command
def verify(
    *,
    source: Annotated[str, Parameter(help="Video file, frame folder or glob that the detector looked at.")],
    detections: Annotated[Path, Parameter(help="Its boxes: CSV with frame,x1,y1,x2,y2[,confidence,track], or JSON.")],
    weights: Annotated[
        str, Parameter(help="Weights: best.pth of a run, a .safetensors file, or shipped, which come with the package.")
    ] = SHIPPED,
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[VerifyFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Tell which boxes of a detector really change: convlstm verify --source clip.mp4 --detections boxes.csv."""
    from convlstm.verification import verify as run_verification

    result = run_verification(source, detections, weights, load_config(VerifyConfig, config, flags))
    counts = ", ".join(f"{count} {decision}" for decision, count in result.decisions.items())
    print(f"{counts}; {result.num_detections} boxes in {result.num_frames} frames")
    print(f"verdicts: {result.output}")
    for line in result.left_out:
        print(printable(f"left out: {line}"), file=sys.stderr)
    return result.exit_code


@app.command
def export(
    *,
    weights: Annotated[str, Parameter(help="Weights to export: best.pth of a run, or shipped.")],
    output: Annotated[Path, Parameter(help="File to write, .safetensors, or folder for the graphs of other engines.")],
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[ExportFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Write weights in another format: convlstm export --weights best.pth --format openvino --output best_openvino."""
    from convlstm.export.run import export as run_export

    result = run_export(weights, output=output, config=load_config(ExportConfig, config, flags))
    print(printable(f"weights: {result.path} ({result.digest[:12]})"))
    if result.exported is not None:
        print(f"size: {result.size / 1e6:.2f} MB, {result.compressed_size / 1e6:.2f} MB compressed")
        for precision, difference in result.exported.parity.items():
            print(f"largest difference from torch in float32, {precision}: {difference:.2g}")
        if result.exported.ap_loss is not None:
            print(f"average precision lost by int8: {result.exported.ap_loss:.4f}")
        print(f"first answer of a new process: {result.first_answer_seconds:.1f} s")
    return EXIT_DONE


@app.command
def bench(
    *,
    weights: Annotated[str, Parameter(help="Weights to measure with: best.pth of a run, or shipped.")] = SHIPPED,
    config: Annotated[Path | None, Parameter(help="YAML file with settings; flags win over it.")] = None,
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
    flags: Annotated[BenchFlags, Parameter(name="*")] = {},  # noqa: B006 never changed
) -> int:
    """Measure the speed of detection, beside plain torch and OpenCV: convlstm bench --source clip.mp4 [--quick]."""
    from convlstm.benchmark.run import bench as run_bench
    from convlstm.benchmark.tables import describe

    for line in describe(run_bench(weights, load_config(BenchConfig, config, flags))).splitlines():
        print(printable(line))
    return EXIT_DONE


@app.command
def demo(
    *,
    output: Annotated[Path, Parameter(help="Folder for data, run and results.")] = Path("demo"),
    debug: Annotated[bool, Parameter(help="Show tracebacks.", negative=())] = False,
) -> int:
    """Make a small data set, detect with the weights that come along, fine-tune them, detect again: some minutes."""
    from convlstm.demo import run_demo

    result = run_demo(output)
    for name, auc, average_precision in (
        ("shipped weights", result.shipped_sequence_auc, result.shipped_cell_ap),
        ("after fine-tuning", result.sequence_auc, result.cell_ap),
    ):
        print(f"{name}: sequence AUC {auc:.3f}, cell average precision {average_precision:.3f} on held-out sequences")
    print(f"pictures: {result.pictures}")
    print(f"open the report: {result.report.resolve()}")
    return EXIT_DONE


def _finish(left_out: Sequence[str]) -> int:
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    return EXIT_INCOMPLETE if left_out else EXIT_DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; errors of users are one line on stderr."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal cannot show
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("convlstm").setLevel(logging.INFO)
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(tokens or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else EXIT_DONE
    except KeyboardInterrupt:
        return _fail("interrupted; what is finished is kept", EXIT_INTERRUPTED, tokens)
    except Terminated:
        return _fail("terminated; what is finished is kept", EXIT_TERMINATED, tokens)
    except CycloptsError as error:
        return _fail(_usage_message(error), EXIT_USAGE, tokens)
    except ConvLSTMError as error:
        return _fail(str(error), error.exit_code, tokens)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", EXIT_FAILED, tokens)
    finally:
        signal.signal(signal.SIGTERM, previous)


class _OneLine(logging.Formatter):
    """Names of files may hold newlines and escape codes; tracebacks keep theirs."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the name is logging's
        return printable(super().formatMessage(record))


def _usage_message(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        unused = " ".join(error.unused_tokens or ())
        return f'unexpected "{unused}": values follow their flag, and switches take none (--ema, --no-ema)'
    return str(error)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _fail(message: str, code: int, tokens: Sequence[str]) -> int:
    if "--debug" in tokens:
        logging.getLogger("convlstm").exception("traceback")
    with suppress(OSError):  # stderr may lead to the very disk that is full
        print(f"convlstm: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
