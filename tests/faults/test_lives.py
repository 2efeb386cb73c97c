"""Killed at random moments, and on a disk that fills at the n-th write: the scripts beside this file, in small.

`make test-faults` runs them in full.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KILLS = os.environ.get("CONVLSTM_KILLS", "10")
EVERY = os.environ.get("CONVLSTM_EVERY_CALL", "12")

pytestmark = pytest.mark.slow


def run(script: str, *arguments: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot attach" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_at_random_moments_and_resumed_equals_never_killed(tmp_path: Path, workers: str) -> None:
    result = run("kill_training.py", "--folder", str(tmp_path), "--kills", KILLS, "--workers", workers)
    assert result["kills"] == int(KILLS) and not result["problems"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_full_disk_at_any_call_loses_nothing(tmp_path: Path) -> None:
    result = run("fill_disk.py", "--folder", str(tmp_path), "--every", EVERY)
    assert result["tried"] >= 6 and result["runs_that_failed"] >= 3 and not result["problems"]
