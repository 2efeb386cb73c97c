"""The command line: what is parsed, what is printed, and which exit code comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from convlstm import __version__
from convlstm.cli import main
from convlstm.config import BenchConfig, DetectConfig, EvalConfig, TrainConfig
from convlstm.config_file import load_config
from convlstm.demo import DemoResult
from convlstm.errors import TrainingError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

Pixels = NDArray[np.uint8]
ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "seq_length": 4,
    "stride": 2,
    "target_size": [64, 64],
    "batch_size": 4,
    "num_workers": 0,
    "device": "cpu",
    "precision": "32-true",
    "report_interval": 0,
    "tensorboard": False,
}


@pytest.fixture(scope="module")
def data_root(
    tmp_path_factory: pytest.TempPathFactory,
    make_frames: Callable[..., list[Pixels]],
    write_folder: Callable[..., Path],
) -> Path:
    root = tmp_path_factory.mktemp("data")
    for number in range(4):
        frames = make_frames(6)
        write_folder(root / f"s{number}", frames if number % 2 else frames[:1] * 6)
    (root / "data.csv").write_text("folder_name,type\ns0,static\ns1,dynamic\ns2,static\ns3,dynamic\n")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = TemporalClassifier()
    path = tmp_path_factory.mktemp("weights") / "best.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), model.config, 4, (64, 64), threshold=0.5, fps=25))
    return path


@pytest.fixture
def tiny_yaml(data_root: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY, "data_root": str(data_root), "project": str(tmp_path / "runs")}))
    return path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[TrainConfig]:
    """The settings with which training was called, in place of training."""
    seen: list[TrainConfig] = []

    def train(config: TrainConfig, given: Collection[str]) -> Any:
        seen.append(config)
        return SimpleNamespace(best=tmp_path / "best.pth", report=None, left_out=(), rank=0)

    monkeypatch.setattr("convlstm.training.run.train", train)
    return seen


@pytest.fixture
def detected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, Any, DetectConfig]]:
    seen: list[tuple[Any, Any, DetectConfig]] = []

    def detect(source: str, weights: str, config: DetectConfig) -> Any:
        seen.append((source, weights, config))
        return SimpleNamespace(rows=(), output=tmp_path, exit_code=0)

    monkeypatch.setattr("convlstm.detection.detect", detect)
    return seen


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands on stderr: one line, and nothing on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("\n") and captured.err.count("\n") == 1
    assert captured.err.startswith("convlstm: ") and "Traceback" not in captured.err
    return captured.err.removeprefix("convlstm: ").rstrip("\n")


def run_python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, check=False, **options
    )


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(command in text for command in ("train", "detect", "export", "demo"))


def test_help_names_every_setting_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    for command, config in (
        ("train", TrainConfig),
        ("detect", DetectConfig),
        ("eval", EvalConfig),
        ("bench", BenchConfig),
    ):
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        for name in config.__dataclass_fields__:
            assert f"--{name}".replace("_", "-") in text, name
    assert main(["train", "--help"]) == 0
    assert "[640 640]" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["train", "--help"], ["detect", "--help"], ["eval", "--help"], ["bench", "--help"]],
)
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from convlstm.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 10 * bool({'torch', 'cv2', 'matplotlib'} & sys.modules.keys()))"
    )
    result = run_python("-c", code, *arguments)
    assert result.returncode == 0, result.stderr


def test_flags_win_over_yaml_and_yaml_over_defaults(tmp_path: Path, trained: list[TrainConfig]) -> None:
    path = tmp_path / "training.yaml"
    path.write_text("epochs: 3\nlr: 0.01\ntarget_size: [320, 320]\nema: false\nlags: [1, 2]\n")
    assert main(["train", "--config", str(path), "--lr", "0.5", "--lags", "4", "5", "6"]) == 0
    [config] = trained
    assert (config.epochs, config.lr, config.target_size, config.ema) == (3, 0.5, (320, 320), False)
    assert (config.lags, config.batch_size) == ((4, 5, 6), TrainConfig().batch_size)


def test_without_flags_all_is_as_by_default(trained: list[TrainConfig]) -> None:
    assert main(["train"]) == 0
    assert trained == [TrainConfig()]


@pytest.mark.parametrize("dash", ["_", "-"])
def test_both_spellings_of_a_flag(trained: list[TrainConfig], dash: str) -> None:
    flags = ["--batch_size", "7", "--target_size", "64", "96", "--data_root", "d"]
    assert main(["train", *(flag.replace("_", dash) for flag in flags)]) == 0
    assert (trained[0].batch_size, trained[0].target_size, trained[0].data_root) == (7, (64, 96), Path("d"))


@pytest.mark.parametrize(("flag", "value"), [("--ema", True), ("--no-ema", False)])
def test_switches(tmp_path: Path, trained: list[TrainConfig], flag: str, value: bool) -> None:
    path = tmp_path / "opposite.yaml"
    path.write_text(f"ema: {str(not value).lower()}\n")
    assert main(["train", "--config", str(path), flag]) == 0
    assert trained[0].ema is value


def test_detect_takes_settings_as_train_does(tmp_path: Path, detected: list[tuple[Any, Any, DetectConfig]]) -> None:
    path = tmp_path / "detect.yaml"
    path.write_text("stride: 5\nthreshold: 0.25\n")
    arguments = ["detect", "--source", "in/*.mp4", "--weights", "w.pth", "--config", str(path)]
    assert main([*arguments, "--save_viz", "--save-heatmaps", "--batch", "--threshold", "0.75"]) == 0
    [(source, weights, config)] = detected
    assert (source, weights) == ("in/*.mp4", "w.pth")
    assert config == DetectConfig(stride=5, threshold=0.75, save_viz=True, save_heatmaps=True, batch=True)


@pytest.mark.parametrize(("arguments", "named"), [([], "shipped"), (["--weights", "./shipped"], "./shipped")])
def test_detect_takes_the_shipped_weights_unless_told_otherwise(
    detected: list[tuple[Any, Any, DetectConfig]], arguments: list[str], named: str
) -> None:
    assert main(["detect", "--source", "clip.mp4", *arguments]) == 0
    assert detected == [("clip.mp4", named, DetectConfig())]


def test_help_of_detect_names_the_shipped_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", "--help"]) == 0
    assert "[default: shipped]" in " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize("resume", [[], ["--resume", "auto"]])
def test_training_learns_which_flags_were_given(monkeypatch: pytest.MonkeyPatch, resume: list[str]) -> None:
    """A flag insists on its value, also where that is the default."""
    seen: list[tuple[TrainConfig, set[str]]] = []

    def note(config: TrainConfig, given: Collection[str]) -> Any:
        seen.append((config, set(given)))
        return SimpleNamespace(best="", report=None, left_out=(), rank=0)

    monkeypatch.setattr("convlstm.training.run.train_or_resume" if resume else "convlstm.training.run.train", note)
    assert main(["train", "--weights", "shipped", "--stem", "motion", *resume]) == 0
    assert seen == [(TrainConfig(weights="shipped"), {"weights", "stem"})]


def test_export_writes_what_detection_reads(
    weights: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "mine.safetensors"
    assert main(["export", "--weights", str(weights), "--output", str(output)]) == 0
    digest = load_checkpoint(weights).digest
    assert load_checkpoint(output).digest == digest
    assert capsys.readouterr().out == f"weights: {output} ({digest[:12]})\n"
    arguments = ["detect", "--source", str(data_root / "s1"), "--device", "cpu", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--weights", str(weights)]) == 0
    first = capsys.readouterr().out
    assert main([*arguments, "--weights", str(output), "--overwrite"]) == 0
    assert capsys.readouterr().out == first


def test_detect_without_weights(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["detect", "--source", str(data_root / "s1"), "--device", "cpu", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--short_sequences", "repeat_last"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(f"{data_root}/s1: ")


def test_demo_prints_both_figures_side_by_side(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_demo(output: Path) -> DemoResult:
        names = {name: output / name for name in ("weights", "report", "pictures")}
        return DemoResult(0.98765, 0.9, **names, shipped_sequence_auc=0.75, shipped_cell_ap=0.5)

    monkeypatch.setattr("convlstm.demo.run_demo", run_demo)
    assert main(["demo", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "shipped weights: sequence AUC 0.750, cell average precision 0.500 on held-out sequences",
        "after fine-tuning: sequence AUC 0.988, cell average precision 0.900 on held-out sequences",
        f"pictures: {tmp_path}/pictures",
        f"open the report: {tmp_path}/report",
    ]


def test_resume_hands_flags_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[Path, dict[str, Any]]] = []

    def resume(run: Path, flags: dict[str, Any]) -> Any:
        seen.append((run, dict(flags)))
        return SimpleNamespace(best=tmp_path, report=None, left_out=(), rank=0)

    monkeypatch.setattr("convlstm.training.run.resume", resume)
    assert main(["train", "--resume", "runs/train/exp", "--epochs", "20"]) == 0
    assert seen == [(Path("runs/train/exp"), {"epochs": 20})]


WRONG_USAGE = [
    (["train", "--config", "{yaml}"], '{yaml}: unknown setting "epocs": did you mean "epochs"?'),
    (["train", "--config", "{broken}"], "{broken} is not valid YAML: "),
    (["train", "--config", "none.yaml"], "cannot read the configuration none.yaml: No such file or directory"),
    (["train", "--epochz", "3"], "Unknown option: --epochz. Did you mean --epochs?"),
    (["train", "--batchsize", "3"], "Unknown option: --batchsize. Did you mean --batch-size?"),
    (["tran"], 'Unknown command "tran". Did you mean "train"?'),
    (["--debug"], 'Unknown command "--debug". Available commands: '),
    (["train", "extra"], 'unexpected "extra": values follow their flag'),
    (["train", "--epochs", "three"], 'Invalid value for --epochs: "three" is not a whole number'),
    (["train", "--epochs"], 'Command "train" parameter --epochs requires an argument.'),
    (["train", "--epochs", "0"], "epochs must be greater than 0, got 0"),
    (["train", "--lr", "-1"], "lr must be greater than 0, got -1.0"),
    (["train", "--lr", "nan"], "arguments: lr must be a number, got nan"),
    (["train", "--stem", "hsv"], 'Invalid value "hsv" for --stem. Choose from: "rgb", "motion".'),
    (["train", "--val_ratio", "1"], "val_ratio must lie between 0 and 1, got 1.0"),
    (["train", "--name", "../x"], 'name must be a plain folder name, got "../x": put the path into project'),
    (["train", "--seed", "99999999999999999999"], "seed must be at most 2**40, got 99999999999999999999"),
    (
        ["train", "--target_size", "600", "640"],
        "target_size must be multiples of 32, got (600, 640): use (576, 640) or (608, 640)",
    ),
    (
        ["train", "--target_size", "32000", "32000"],
        "target_size must hold at most 134 megapixels, got (32000, 32000): use (640, 640)",
    ),
    (
        ["train", "--ema", "false"],
        'unexpected "false": values follow their flag, and switches take none (--ema, --no-ema)',
    ),
    (["train", "--resume", "x", "--config", "{yaml}"], "--resume takes its settings from the run: leave --config out"),
    (["detect", "--weights", "w.pth"], 'Command "detect" parameter --source requires an argument.'),
    (["detect", "--source", "x", "--weights"], 'Command "detect" parameter --weights requires an argument.'),
    (["export", "--output", "x.safetensors"], 'Command "export" parameter --weights requires an argument.'),
    (
        ["export", "--weights", "{weights}", "--output", "x.onnx"],
        "x.onnx: only .safetensors files tell their format: add --format onnx or openvino",
    ),
    (
        ["train", "--weights", "shipped", "--stem", "rgb"],
        "stem is set to rgb, but shipped was trained with motion: leave stem out, or take other weights",
    ),
    (
        ["train", "--weights", "{weights}", "--stem", "motion"],
        "stem is set to motion, but {weights} was trained with rgb: leave stem out, or take other weights",
    ),
    (["detect", "--source", "x", "--weights", "w", "--threshold", "7"], "threshold must lie between 0 and 1, got 7.0"),
    (["detect", "--source", "{here}", "--weights", "{weights}", "--device", "warp"], "device 'warp' cannot be used: "),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_USAGE, ids=lambda value: str(value)[:48])
def test_wrong_usage_is_one_line_and_exit_2(
    tmp_path: Path,
    weights: Path,
    data_root: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    names = {"yaml": tmp_path / "a.yaml", "broken": tmp_path / "b.yaml", "here": data_root / "s0", "weights": weights}
    names["yaml"].write_text("epocs: 3\n")
    names["broken"].write_text("epochs: [3\nlr: }\n")
    code = main([argument.format(**names) for argument in arguments])
    assert code == 2
    assert one_line(capsys).startswith(message.format(**names))


@pytest.mark.parametrize("value", ["1.5", "2.5", "1e400"])
def test_a_whole_number_is_never_rounded(capsys: pytest.CaptureFixture[str], value: str) -> None:
    assert main(["train", "--epochs", value]) == 2
    assert "--epochs" in one_line(capsys)


def test_failures_are_one_line_and_exit_1(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["train", "--data_root", "nope"], "nope: no such folder: set data_root to the folder that holds data.csv"),
        (["train", "--resume", "nope"], "nope: nothing to resume: no run folder with args.yaml and weights/last.pth"),
        (["detect", "--source", "nope", "--weights", str(weights)], "nope: no such file or folder"),
        (["detect", "--source", str(tmp_path), "--weights", "no.pth"], "no.pth: no such weights file"),
        (["export", "--weights", "no.pth", "--output", "x.safetensors"], "no.pth: no such weights file"),
        (["train", "--weights", "no.safetensors"], "no.safetensors: no such weights file"),
    ):
        assert main(arguments) == 1
        assert one_line(capsys) == message


def test_a_traceback_only_when_asked_for(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    assert main(["train", "--data_root", "nope"]) == 1
    assert "Traceback" not in caplog.text
    assert main(["train", "--data_root", "nope", "--debug"]) == 1
    assert "Traceback (most recent call last)" in caplog.text and "DataError: nope" in caplog.text
    assert capsys.readouterr().err.count("convlstm: nope: no such folder") == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; what is finished is kept"),
        (TrainingError("the loss\nis nan"), 1, "the loss is nan"),
        (OSError(28, "No space left on device", "runs/last.pth"), 1, "runs/last.pth: No space left on device"),
        (OSError("odd"), 1, "odd"),
    ],
)
def test_what_ends_a_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def fail(config: TrainConfig, given: Collection[str]) -> None:
        raise error

    monkeypatch.setattr("convlstm.training.run.train", fail)
    assert main(["train"]) == code
    assert one_line(capsys) == message


def test_sigterm_ends_a_command_and_the_handler_is_put_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("convlstm.training.run.train", lambda config, given: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["train"]) == 143
    assert one_line(capsys) == "terminated; what is finished is kept"
    assert signal.getsignal(signal.SIGTERM) is before


def test_train_says_where_the_weights_are(tiny_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", str(tiny_yaml), "--epochs", "1", "--name", "mine", "--report_interval", "1"]) == 0
    run = tmp_path / "runs" / "mine"
    assert capsys.readouterr().out.splitlines() == [
        f"best weights: {run}/weights/best.pth",
        f"report: {run}/reports/epoch_001/report.html",
    ]
    assert load_config(TrainConfig, run / "args.yaml").epochs == 1  # the flag, not the default of 10
    assert load_checkpoint(run / "weights" / "best.pth").seq_length == 4


def test_train_names_what_was_left_out(
    trained: list[TrainConfig], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = SimpleNamespace(best=Path("best.pth"), report=None, left_out=("cam1: empty", "cam2: gone"), rank=0)
    monkeypatch.setattr("convlstm.training.run.train", lambda config, given: result)
    assert main(["train"]) == 3
    captured = capsys.readouterr()
    assert captured.out == "best weights: best.pth\n"
    assert captured.err == "left out: cam1: empty\nleft out: cam2: gone\n"


def test_detect_prints_a_line_per_source(
    data_root: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "empty").mkdir(parents=True)
    (tmp_path / "in" / "line\nbreak").symlink_to(data_root / "s1")
    output = tmp_path / "out"
    arguments = ["detect", "--source", str(tmp_path / "in"), "--batch", "--weights", str(weights)]
    assert main([*arguments, "--output", str(output), "--device", "cpu", "--stride", "1"]) == 3
    captured = capsys.readouterr()
    empty, named, results = captured.out.splitlines()
    assert empty.startswith(f"{tmp_path}/in/empty: - ({tmp_path}/in/empty: no images in this folder")
    assert named.startswith(f"{tmp_path}/in/line break: ") and named.endswith(", 3 windows")
    assert results == f"results: {output}"


@pytest.mark.slow
def test_names_that_a_terminal_cannot_show_do_no_harm(weights: Path, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in (b"caf\xe9", "caf\u00e9".encode(), b"esc\x1b[31m"):
        (tmp_path / "in" / os.fsdecode(name)).symlink_to(data_root / "s1")
    arguments = ["detect", "--source", str(tmp_path / "in"), "--batch", "--weights", str(weights), "--device", "cpu"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"}
    result = run_python("-m", "convlstm", *arguments, "--output", str(tmp_path / "out"), env=environment)
    assert "Traceback" not in result.stderr
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 4 and "\x1b" not in result.stdout


def test_training_yaml_is_the_defaults() -> None:
    path = ROOT / "training.yaml"
    if not path.exists():
        pytest.skip("training.yaml is not there")
    assert load_config(TrainConfig, path) == TrainConfig()
    assert set(yaml.safe_load(path.read_text())) == set(TrainConfig.__dataclass_fields__)


@pytest.mark.slow
def test_the_launchers_are_the_same_commands(tiny_yaml: Path, data_root: Path, tmp_path: Path) -> None:
    train = run_python(str(ROOT / "scripts" / "train.py"), "--config", str(tiny_yaml), "--epochs", "1", cwd=tmp_path)
    assert train.returncode == 0, train.stderr
    best = tmp_path / "runs" / "exp" / "weights" / "best.pth"
    assert f"best weights: {best}" in train.stdout
    assert "epoch 1/1: train_loss " in train.stderr and "Traceback" not in train.stderr
    arguments = ["--source", str(data_root / "s1"), "--weights", str(best), "--output", "out", "--save_viz"]
    detect = run_python(str(ROOT / "scripts" / "detect.py"), *arguments, cwd=tmp_path)
    assert detect.returncode == 0, detect.stderr
    assert f"{data_root}/s1: " in detect.stdout and (tmp_path / "out" / "s1_result.png").exists()
    wrong = run_python(str(ROOT / "scripts" / "detect.py"), "--source", "none", "--weights", str(best), cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (1, "convlstm: none: no such file or folder\n")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_signal_ends_training_in_one_line_and_resuming_goes_on(
    tiny_yaml: Path, tmp_path: Path, number: signal.Signals, code: int, num_workers: int
) -> None:
    arguments = ["train", "--config", str(tiny_yaml), "--epochs", "500", "--num_workers", str(num_workers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "convlstm", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    last = tmp_path / "runs" / "exp" / "weights" / "last.pth"
    deadline = time.monotonic() + 120
    while not last.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    assert stderr.splitlines()[-1] == f"convlstm: {word}; what is finished is kept"
    training = load_checkpoint(last).training
    assert training is not None
    epochs = str(training["epoch"] + 1)
    assert main(["train", "--resume", str(tmp_path / "runs" / "exp"), "--epochs", epochs]) == 0
    training = load_checkpoint(last).training
    assert training is not None and str(training["epoch"]) == epochs
