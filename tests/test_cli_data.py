"""The commands of `convlstm data`: what is parsed, what is printed, and which exit code comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from convlstm.cli import main
from convlstm.config import SynthesizeConfig
from convlstm.config_file import load_config

SMALL = ["--num_train", "2", "--num_val", "2", "--num_test", "0", "--num_frames", "2", "--size", "64", "70"]


@pytest.fixture
def synthesized(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[SynthesizeConfig]:
    """The settings with which a data set was asked for, in place of the data set."""
    seen: list[SynthesizeConfig] = []

    def synthesize(config: SynthesizeConfig) -> Any:
        seen.append(config)
        return SimpleNamespace(manifest=config.output / "data.csv", num_by_split={}, num_by_type={}, next_command="")

    monkeypatch.setattr("convlstm.utils.data.synthetic.job.synthesize", synthesize)
    return seen


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "data" in capsys.readouterr().out
    for arguments in (["data"], ["data", "--help"]):
        assert main(arguments) == 0
        assert "synthesize" in capsys.readouterr().out
    assert main(["data", "synthesize", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in SynthesizeConfig.__dataclass_fields__:
        assert f"--{name}".replace("_", "-") in text, name
    assert "[320 320]" in text and "[200]" in text


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys; from convlstm.cli import main; code = main(['data', 'synthesize', '--help']); "
        "sys.exit(code or 10 * bool({'torch', 'cv2', 'av'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_without_flags_all_is_as_by_default(synthesized: list[SynthesizeConfig]) -> None:
    assert main(["data", "synthesize"]) == 0
    assert synthesized == [SynthesizeConfig()]


@pytest.mark.parametrize("dash", ["_", "-"])
def test_flags_win_over_yaml_and_both_spellings_work(
    tmp_path: Path, synthesized: list[SynthesizeConfig], dash: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("num_train: 12\nnum_val: 6\nsize: [64, 96]\nbackgrounds: photos\nfps: 12.5\n")
    flags = ["--num_train", "8", "--num_recordings", "3", "--recordings", "cams", "--severity", "0.5", "--seed", "9"]
    flags += ["--num_workers", "0", "--output", "out"]
    spelt = [flag.replace("_", dash) if flag.startswith("--") else flag for flag in flags]
    assert main(["data", "synthesize", "--config", str(path), *spelt]) == 0
    [config] = synthesized
    assert (config.num_train, config.num_val, config.num_recordings, config.size) == (8, 6, 3, (64, 96))
    assert (config.backgrounds, config.recordings, config.output) == (Path("photos"), Path("cams"), Path("out"))
    assert (config.severity, config.fps, config.seed, config.num_workers) == (0.5, 12.5, 9, 0)


def test_a_data_set_is_made_and_told_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make_frames: Callable[..., list[NDArray[np.uint8]]],
    write_video: Callable[..., Path],
) -> None:
    write_video(tmp_path / "clip.mp4", make_frames(12))
    sources = ["--backgrounds", str(tmp_path), "--recordings", str(tmp_path), "--num_recordings", "2"]
    arguments = ["data", "synthesize", "--output", str(tmp_path / "d"), *SMALL, *sources, "--num_workers", "0"]
    assert main(arguments) == 0
    [line] = capsys.readouterr().out.splitlines()
    told, command = line.split("; next: ")
    assert told.startswith(f"{tmp_path}/d: 4 train, 2 val sequences (") and told.endswith(" static)")
    assert command == f"convlstm train --data_root {tmp_path}/d --target_size 64 96"
    assert load_config(SynthesizeConfig, tmp_path / "d" / "synthesize.yaml").num_recordings == 2
    manifest = (tmp_path / "d" / "data.csv").read_bytes()
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith(f"convlstm: {tmp_path}/d holds this very data set, finished: ")
    assert (tmp_path / "d" / "data.csv").read_bytes() == manifest


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--num_train", "1"], 2, "num_train must be 0 or at least 2, one sequence of each type, got 1"),
        (["--num_train", "2.5"], 2, 'Invalid value for --num_train: "2.5" is not a whole number'),
        (["--size", "32", "64"], 2, "size must be at least 64 x 64 pixels, got (32, 64)"),
        (["--severity", "2"], 2, "severity must lie between 0 and 1, got 2.0"),
        (
            ["--min_severity", "1", "--severity", ".5"],
            2,
            "min_severity must lie between 0 and severity (0.5), got 1.0",
        ),
        (["--fps", "0"], 2, "fps must be greater than 0, got 0.0"),
        (["--seed", "-1"], 2, "seed must not be negative, got -1"),
        (["--seed", "99999999999999999999"], 2, "seed must be at most 2**40, got 99999999999999999999"),
        (["--num_workers", "-1"], 2, "num_workers must not be negative, got -1"),
        (["--num_recordings", "3"], 2, "num_recordings is 3, but no folder is given: name one with recordings"),
        (["--backgrounds", "nope"], 1, "nope: no images or videos: name a folder that holds some, or leave"),
        (["--recordings", "nope", "--num_recordings", "2"], 1, "nope: no videos: name a folder that holds some"),
        (["--backgrond", "x"], 2, "Unknown option: --backgrond. Did you mean --backgrounds?"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_wrong_usage_is_one_line_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert main(["data", "synthesize", "--output", str(tmp_path / "d"), *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith(f"convlstm: {message}")
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX does")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_leaves_no_manifest_and_no_process(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """To the whole group, as Ctrl-C does, or to the main process alone; the workers end too, and print nothing."""
    arguments = ["data", "synthesize", "--output", str(tmp_path / "d"), "--num_train", "400", *SMALL[2:]]
    code_of_main = """if True:  # tests that run in the background hand an ignored SIGINT on
        import signal, sys
        from convlstm.cli import main
        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.exit(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", code_of_main, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "d").glob("*"))) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in stderr
    if number != signal.SIGKILL:
        word = "terminated" if number == signal.SIGTERM else "interrupted"
        assert stderr == f"convlstm: {word}; what is finished is kept\n"
    assert not (tmp_path / "d" / "data.csv").exists()
    assert _ends(process.pid)


def _ends(group: int) -> bool:
    """Whether a process group has no member any more within ten seconds; children of nobody may stay as zombies."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        states = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False)
        if all(state.startswith("Z") for state in states.stdout.split()):
            return True
        time.sleep(0.1)
    return False
