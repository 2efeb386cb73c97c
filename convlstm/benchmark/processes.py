"""`convlstm detect` in processes of their own: time to the first answer, and peak memory."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from convlstm.errors import ConvLSTMError

_WATCHER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
try:
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    else:
        code, peak = process.wait(), None
except BaseException:
    process.kill()
    raise
print(json.dumps([code, time.perf_counter() - started, peak]))
"""
"""Starts the process that is measured: its peak counts what its parent has used, so this one is small."""


class BenchError(ConvLSTMError):
    """What was to be measured does not run."""


@dataclass(frozen=True)
class ProcessFigures:
    """Of one process, from its start to its end; `peak_bytes` is None where the system does not tell."""

    seconds: float
    peak_bytes: int | None


def run_detect(source: Path, *options: str) -> ProcessFigures:
    """Run `convlstm detect` with these options on `source`. Raises BenchError where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        detect = [sys.executable, "-m", "convlstm", "detect", "--source", str(source), "--output", folder, *options]
        watcher = [sys.executable, "-c", _WATCHER, *detect]
        finished = subprocess.run(watcher, capture_output=True, text=True, errors="replace", check=False)
    try:
        code, seconds, peak_bytes = json.loads(finished.stdout)
    except ValueError:
        code, seconds, peak_bytes = finished.returncode, 0.0, None
    if code != 0:
        lines = finished.stderr.strip().splitlines()
        raise BenchError(f"convlstm detect {' '.join(options)} failed: {lines[-1] if lines else f'exit code {code}'}")
    return ProcessFigures(seconds, peak_bytes)
