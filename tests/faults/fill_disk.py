"""Let the n-th write, fsync or rename of a training run fail as on a full disk, for every n, and resume the run.

python tests/faults/fill_disk.py --folder /tmp/full --every 1
Needs strace, and the right to trace. Prints one JSON line; exits 1 where anything is lost.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from lives import finish, never_harmed, result_of, resumable, start, train, write_config, write_data

CALLS = {"write": "write", "fsync": "fsync", "rename": "rename,renameat,renameat2"}


def traced(arguments: list[str], log: Path, trace: Path, options: list[str]) -> int:
    """Run the command line with strace attached before its first step; its exit code."""
    gate, opener = os.pipe()
    child = start(arguments, log, wait_for=gate)
    os.close(gate)
    strace = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(trace), "-p", str(child), *options], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
        if time.monotonic() > deadline or strace.poll() is not None:
            os.kill(child, 9)
            finish(child)
            raise SystemExit("strace cannot attach: it needs the right to trace (root, or kernel.yama.ptrace_scope 0)")
        time.sleep(0.002)
    time.sleep(0.01)
    os.write(opener, b"go")
    os.close(opener)
    code = finish(child)
    strace.wait()
    return code


def count_calls(config: Path, log: Path, trace: Path) -> dict[str, int]:
    """How many of each a run makes when nothing fails."""
    names = ",".join(CALLS.values())
    code = traced(command(config, "counted"), log, trace, ["-e", f"trace={names}"])
    assert code == 0, log.read_text()
    lines = trace.read_text().splitlines()
    return {
        kind: sum(bool(re.match(rf"\d+ +({names.replace(',', '|')})\(", line)) for line in lines)
        for kind, names in CALLS.items()
    }


def command(config: Path, name: str) -> list[str]:
    return ["train", "--config", str(config), "--resume", "auto", "--name", name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="Try every so-manieth call only.")
    options = parser.parse_args()
    folder: Path = options.folder
    log, trace = folder / "log.txt", folder / "trace.txt"
    config = write_config(folder, write_data(folder / "data"), epochs=2, tensorboard=True)
    whole = never_harmed(config)

    calls = count_calls(config, log, trace)
    tried, failed_runs, nothing_yet, problems = 0, 0, 0, []
    for kind, names in CALLS.items():
        for number in range(1, calls[kind] + 1, options.every):
            run = folder / "runs" / f"{kind}{number}"
            inject = ["-e", f"trace={names}", "-e", f"inject={names}:error=ENOSPC:when={number}"]
            code = traced(command(config, run.name), log, trace, inject)
            tried += 1
            failed_runs += code != 0
            has_begun = any((run / "weights").glob("*.pth")) if run.is_dir() else False
            if code not in (0, 1):
                problems.append(f"{run.name}: exit code {code}")
            if has_begun and resumable(run) is None:
                problems.append(f"{run.name}: no checkpoint can be loaded")
            nothing_yet += not has_begun
            if (code := train(config, log, "--name", run.name)) != 0 or result_of(run) != whole:
                problems.append(f"{run.name}: exit code {code} on resuming, or another result")
            shutil.rmtree(run)
    report = {"calls": calls, "tried": tried, "runs_that_failed": failed_runs, "before_the_first_save": nothing_yet}
    print(json.dumps({**report, "problems": problems}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
