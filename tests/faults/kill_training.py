"""Kill training with SIGKILL at random moments, resume it, and compare its end with that of a run never killed.

python tests/faults/kill_training.py --folder /tmp/kills --kills 200 --workers 2
Prints one JSON line; exits 1 where anything differs.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from lives import finish, never_harmed, result_of, resumable, start, train, write_config, write_data


def step_of(run: Path) -> int:
    checkpoint = resumable(run)
    assert checkpoint is None or checkpoint.training is not None
    return -1 if checkpoint is None or checkpoint.training is None else int(checkpoint.training["step"])


def live_once(config: Path, name: str, log: Path, longest: float) -> tuple[int, bool]:
    """One life of the run: its exit code (-9 where it was killed), and whether the kill came inside a save."""
    child = start(["train", "--config", str(config), "--resume", "auto", "--name", name], log)
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGSTOP)  # nothing moves while we look
    weights = config.parent / "runs" / name / "weights"
    is_saving = weights.is_dir() and any(path.suffix == ".tmp" for path in weights.iterdir())
    os.kill(child, signal.SIGKILL)
    return finish(child), is_saving


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    folder: Path = options.folder
    log = folder / "log.txt"
    write_data(folder / "data")
    whole = never_harmed(write_config(folder, folder / "data"))
    began = time.monotonic()
    assert train(write_config(folder, folder / "data", num_workers=options.workers), log, "--name", "timed") == 0
    seconds = time.monotonic() - began

    config = folder / "config.yaml"
    counts = {"kills": 0, "inside_a_save": 0, "runs": 0, "lives": 0}
    problems: list[str] = []
    while counts["kills"] < options.kills and not problems:
        name = f"killed{counts['runs']}"
        counts["runs"] += 1
        run, last_step, code = folder / "runs" / name, -1, -signal.SIGKILL
        while code == -signal.SIGKILL and counts["kills"] < options.kills:
            code, is_saving = live_once(config, name, log, longest=0.9 * seconds)
            counts["lives"] += 1
            if code == -signal.SIGKILL:
                counts["kills"] += 1
                counts["inside_a_save"] += is_saving
            step = step_of(run)
            if step < last_step:
                problems.append(f"{name}: step {step} after a kill, {last_step} before it")
            last_step = step
        if code not in (0, -signal.SIGKILL):
            problems.append(f"{name}: exit code {code}")
        elif (code := train(config, log, "--name", name)) != 0:
            problems.append(f"{name}: exit code {code} when left alone")
        elif result_of(run) != whole:
            problems.append(f"{name}: another result")
    print(json.dumps({**counts, "seconds_of_a_run": round(seconds, 2), "problems": problems}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
