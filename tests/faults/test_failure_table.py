"""The design's table of what must never happen, row by row: what the command line says, and its exit code."""

import collections
import json
import pickle
import random
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from convlstm.cli import main
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]
SETTINGS = {
    "seq_length": 4,
    "stride": 2,
    "target_size": [64, 64],
    "batch_size": 4,
    "epochs": 2,
    "num_workers": 0,
    "device": "cpu",
    "precision": "32-true",
    "report_interval": 0,
    "tensorboard": False,
}


class Command:
    """Runs the command line and checks what holds for every failure: an exit code, a line, no traceback."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
        self.folder, self.capsys, self.caplog = folder, capsys, caplog
        self.weights, self.data, self.runs = folder / "best.pth", folder / "data", folder / "runs"
        self.config = folder / "settings.yaml"
        self.out = ""

    def __call__(self, *arguments: object) -> tuple[int, str]:
        """Exit code, and all that was said: log lines and stderr."""
        self.caplog.clear()
        code = main([str(argument) for argument in arguments])
        captured = self.capsys.readouterr()
        self.out = captured.out
        assert "Traceback" not in captured.err and "Traceback" not in captured.out
        assert not [record for record in self.caplog.records if record.exc_info]
        assert captured.err.count("\n") <= max(1, captured.err.count("left out: "))
        return code, "\n".join([*self.caplog.messages, captured.err])

    def detect(self, source: object, *flags: object, weights: Path | None = None) -> tuple[int, str]:
        common = ("--weights", weights or self.weights, "--output", self.folder / "results", "--device", "cpu")
        return self("detect", "--source", source, *common, "--stride", 1, *flags)

    def train(self, *flags: object) -> tuple[int, str]:
        settings = {**SETTINGS, "data_root": str(self.data), "project": str(self.runs)}
        self.config.write_text(yaml.safe_dump(settings))
        return self("train", "--config", self.config, *flags)

    def errors(self) -> dict[str, str]:
        """The error column of the last detection, by the source's name."""
        state = json.loads((self.folder / "results" / ".detect-state.json").read_text())
        return {Path(name).name: entry["row"]["error"] for name, entry in state.items()}

    def num_windows(self) -> int:
        return len((self.folder / "results" / "results.jsonl").read_text().splitlines())


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convlstm.utils.callbacks.metrics_log.training_curves", lambda history: b"picture")


@pytest.fixture
def command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, frames: list[Pixels]
) -> Command:
    result = Command(tmp_path, capsys, caplog)
    torch.manual_seed(0)
    model = TemporalClassifier()
    checkpoint = Checkpoint(model.state_dict(), model.config, 4, (64, 64), threshold=0.5, fps=25)
    save_checkpoint(result.weights, checkpoint)
    return result


@pytest.fixture(scope="module")
def frames(make_frames: Callable[..., list[Pixels]]) -> list[Pixels]:
    return make_frames(8, height=64, width=64)


@pytest.fixture
def data(command: Command, frames: list[Pixels], write_folder: WriteFolder) -> Path:
    """Four good sequences of six frames with their manifest."""
    for number in range(4):
        write_folder(command.data / f"s{number}", frames[:6] if number % 2 else frames[:1] * 6)
    write_manifest(command.data, "folder_name,type\ns0,static\ns1,dynamic\ns2,static\ns3,dynamic\n")
    return command.data


def write_manifest(root: Path, text: str | bytes) -> None:
    (root / "data.csv").write_bytes(text.encode() if isinstance(text, str) else text)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# Damaged, truncated or half-readable image or video: named, counted, the rest still done; exit 3.


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda data: data[: len(data) // 2], "damaged or truncated image"),
        (lambda data: data[:-1], "damaged or truncated image"),
        (lambda data: b"", "empty file"),
        (lambda data: b"<html>not found</html>", "not a readable image"),
        (lambda data: data[:60] + bytes(40) + data[100:], "damaged or truncated image"),
    ],
)
def test_a_damaged_image(
    command: Command, frames: list[Pixels], write_folder: WriteFolder, harm: Callable[[bytes], bytes], reason: str
) -> None:
    folder = write_folder(command.folder / "cam", frames)
    path = folder / "frame_000002.png"
    path.write_bytes(harm(path.read_bytes()))
    code, said = command.detect(folder)
    assert code == 3
    expected = f"decoded 7 of 8 frames; unreadable: frame_000002.png: {reason}"
    assert command.errors()["cam"] == expected and f"{folder}: {expected}" in said
    assert command.num_windows() == 2  # frames 3-6 and 4-7
    assert f"({expected})" in command.out


def test_a_truncated_video(command: Command, frames: list[Pixels], write_video: Callable[..., Path]) -> None:
    noise = [np.random.RandomState(i).randint(0, 256, (64, 64, 3)).astype(np.uint8) for i in range(20)]
    video = write_video(command.folder / "cut.avi", noise, codec="mjpeg", pix_fmt="yuvj420p")
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    code, said = command.detect(video)
    assert code == 3
    error = command.errors()["cut.avi"]
    decoded = int(error.removeprefix("decoded ").partition(" ")[0])
    assert 5 <= decoded < 20 and error.startswith(f"decoded {decoded} of 20 frames; unreadable: frame {decoded}")
    assert command.num_windows() == decoded - 3 and error in said


def test_a_video_that_is_none(command: Command) -> None:
    (command.folder / "fake.mp4").write_bytes(b"no video at all")
    code, said = command.detect(command.folder / "fake.mp4")
    assert code == 1 and "fake.mp4: cannot be opened as a video: Invalid data found" in said


def test_damage_in_training_data(command: Command, data: Path) -> None:
    (data / "s1" / "frame_000003.png").write_bytes(b"")
    code, said = command.train()
    assert code == 3
    assert f"left out: {data}/s1/frame_000003.png: empty file" in said
    assert load_checkpoint(command.runs / "exp" / "weights" / "best.pth").digest


# One bad folder among many: the others' results are on disk; a second run does only the bad one.


def test_one_bad_folder_among_many(command: Command, frames: list[Pixels], write_folder: WriteFolder) -> None:
    root = command.folder / "many"
    for name in ("a", "b", "d"):
        write_folder(root / name, frames)
    (root / "c").mkdir()
    code, said = command.detect(root, "--batch")
    assert code == 3 and f"{root}/c: no images in this folder" in said
    assert {name for name, error in command.errors().items() if not error} == {"a", "b", "d"}
    assert command.num_windows() == 15
    write_folder(root / "c", frames)
    code, said = command.detect(root, "--batch")
    assert code == 0 and "3 of 4 sources are complete already" in said
    assert command.num_windows() == 20 and not any(command.errors().values())


# Frames missing or two numberings: named; never silently treated as consecutive.


def test_missing_frames(command: Command, frames: list[Pixels], write_folder: WriteFolder) -> None:
    folder = write_folder(command.folder / "cam", frames, [f"{i}.png" for i in (0, 1, 2, 3, 6, 7, 8, 9)])
    code, said = command.detect(folder)
    assert code == 0 and command.num_windows() == 2
    assert command.errors()["cam"] == "2 frames missing between 3.png and 6.png: no window spans a gap"
    assert "2 frames missing between 3.png and 6.png" in said


def test_missing_frames_in_training_data(command: Command, data: Path) -> None:
    (data / "s1" / "frame_000001.png").unlink()
    code, said = command.train()
    assert code == 0
    assert "s1: 1 frame missing between frame_000000.png and frame_000002.png: no window spans a gap" in said
    numbers = [int(word) for word in said.partition(" validation windows")[0].split() if word.isdigit()]
    assert sum(numbers[-2:]) == 2 + 1 + 2 + 2  # training and validation: one window of s1 is left beside the gap


@pytest.mark.parametrize(
    "names",
    [[f"{kind}_{i}.png" for kind in "ab" for i in range(4)], [f"{i}.{e}" for i in range(4) for e in ("png", "jpg")]],
)
def test_two_numberings(command: Command, frames: list[Pixels], write_folder: WriteFolder, names: list[str]) -> None:
    code, said = command.detect(write_folder(command.folder / "cam", frames, names))
    assert code == 1
    assert "two numberings in one folder" in said or "have the same number: keep one numbering in a folder" in said


# Too few frames for a window: a clear error with both numbers; padding only when asked for by name.


def test_too_few_frames(command: Command, data: Path, frames: list[Pixels], write_folder: WriteFolder) -> None:
    folder = write_folder(command.folder / "short", frames[:3])
    code, said = command.detect(folder)
    assert code == 1 and f"{folder}: 3 consecutive frames, but a window needs 4: set short_sequences" in said
    assert command.detect(folder, "--short_sequences", "repeat_last")[0] == 0
    shutil.rmtree(data / "s0")
    shutil.copytree(folder, data / "s0")
    code, said = command.train()
    assert code == 1 and "s0: 3 consecutive frames, but a window needs 4: set short_sequences to skip or" in said
    assert command.train("--short_sequences", "repeat_last")[0] == 0


# Manifests: line number and reason; nothing outside data_root is ever opened.

GOOD_ROWS = "s1,dynamic\ns2,static\ns3,dynamic\n"
MANIFESTS: list[tuple[str | bytes, str]] = [
    ("folder_name,type\n../outside,static\n", "line 2: folder_name '../outside' leaves data_root by '..'"),
    ("folder_name,type\ns0,static\ns1/../../outside,static\n", "line 3: folder_name 's1/../../outside' leaves"),
    ("folder_name,type\n{outside},static\n", "line 2: folder_name '{outside}' is an absolute path"),
    ("folder_name,type\nC:\\videos,static\n", "line 2: folder_name 'C:\\\\videos' is an absolute path"),
    ("folder_name,type\nlink,static\n", "line 2: folder_name 'link' is a link that leaves data_root"),
    ("folder_name,type\ns0,calm\n", "line 2: unknown type 'calm': known are static, dynamic"),
    ("folder_name,type\ns0,\n", "line 2: unknown type ''"),
    ("folder_name,type\n,static\n", "line 2: folder_name is empty"),
    ("folder_name,type\ns0,static\n\ns0,static\n", "line 4: folder_name 's0' stands in line 2 already"),
    ("", "empty file: the first line must be folder_name,type"),
    ("\ufeff", "empty file"),
    ("folder_name,type\n", "no sequences: add rows folder_name,type below the header"),
    ("folder_name;type\ns0;static\n", "line 1: no column folder_name and type in folder_name;type: separate columns"),
    ("folder_name,type\ns0,static,1,2\n", "line 2: 4 values for 2 columns: quote commas"),
    ('folder_name,type\n"s0,static\n', "line 2: "),
    ("folder_name,type\ns0\0,static\n", "line 2: holds a NUL character"),
    (b"folder_name,type\ns\xff,static\n", "line 2: not UTF-8"),
    ("folder_name,type\ns0,static\n".encode("utf-16"), "line 1: UTF-16 text"),
    ("folder_name,type,fps\ns0,static,-3\n", "line 2: fps must be a number greater than 0, got '-3'"),
    ("folder_name,type,split\ns0,static,dev\n", "line 2: unknown split 'dev'"),
]

OPENED: list[str] = []


def note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.scandir", "os.listdir"):
        OPENED.append(str(arguments[0]))


@pytest.fixture
def opened() -> Iterator[list[str]]:
    if not getattr(note_opened, "is_installed", False):
        sys.addaudithook(note_opened)
        note_opened.is_installed = True  # type: ignore[attr-defined]
    OPENED.clear()
    yield OPENED
    OPENED.clear()


@pytest.mark.parametrize(("text", "message"), MANIFESTS, ids=lambda value: repr(value)[:40])
def test_manifests(
    command: Command,
    data: Path,
    frames: list[Pixels],
    write_folder: WriteFolder,
    opened: list[str],
    text: str | bytes,
    message: str,
) -> None:
    outside = write_folder(command.folder / "outside", frames)
    (data / "link").symlink_to(outside)
    if isinstance(text, str):
        text = text.replace("{outside}", str(outside))
    write_manifest(data, text)
    opened.clear()
    code, said = command.train()
    assert code == 1 and f"{data}/data.csv" in said
    assert message.replace("{outside}", str(outside)) in said
    assert any(name.endswith("data.csv") for name in opened)  # the hook sees what is opened
    assert not [name for name in opened if "outside" in name]
    assert not command.runs.exists()


def test_a_byte_order_mark_does_no_harm(command: Command, data: Path) -> None:
    write_manifest(data, b"\xef\xbb\xbffolder_name,type\r\ns0,static\r\n" + GOOD_ROWS.encode())
    assert command.train("--epochs", 1)[0] == 0


def test_frames_and_masks_that_are_links_out(
    command: Command, data: Path, frames: list[Pixels], write_folder: WriteFolder, opened: list[str]
) -> None:
    outside = write_folder(command.folder / "outside", frames)
    (data / "s0" / "frame_000003.png").unlink()
    (data / "s0" / "frame_000003.png").symlink_to(outside / "frame_000003.png")
    (data / "s1" / "masks").symlink_to(outside)
    opened.clear()
    code, said = command.train("--epochs", 1, "--val_ratio", 0.4)
    assert code in (1, 3)  # 1 where one side of the split is left with nothing
    assert f"{data}/s0/frame_000003.png: a link that leaves data_root: copy the file instead" in said
    assert f"{data}/s1/masks: a link that leaves data_root" in said
    assert not [name for name in opened if "outside" in name]


@pytest.mark.parametrize("manifest", ["../data.csv", "/etc/passwd", "none.csv"])
def test_a_manifest_that_is_not_in_data_root(command: Command, data: Path, manifest: str) -> None:
    shutil.copy(data / "data.csv", command.folder / "data.csv")
    code, said = command.train("--manifest", manifest)
    assert code == 1 and manifest in said
    assert any(words in said for words in ("leaves data_root", "absolute path", "cannot be read: No such file"))


# Huge image: refused from the header.


def test_a_huge_image(command: Command, frames: list[Pixels], write_folder: WriteFolder) -> None:
    folder = write_folder(command.folder / "cam", frames)
    (folder / "frame_000000.png").write_bytes(png_header(50_000, 50_000))
    code, said = command.detect(folder)
    assert code == 3 and command.num_windows() == 4
    assert "frame_000000.png: more than 134 megapixels by its header: shrink the image" in said
    (folder / "frame_000000.png").write_bytes(png_header(12_000, 12_000))
    code, said = command.detect(folder)
    assert code == 3
    assert "frame_000000.png: 12000x12000 pixels, but at most 134 megapixels are read: shrink it" in said


# Malicious or foreign checkpoint: refused, no code run, no unsafe fallback.


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle", "module", "weights"])
def test_a_malicious_checkpoint_runs_no_code(
    command: Command, frames: list[Pixels], write_folder: WriteFolder, form: str
) -> None:
    target, path = command.folder / "owned", command.folder / "evil.pth"
    good = torch.load(command.weights, weights_only=True)
    match form:
        case "torch":
            torch.save({**good, "extra": Evil(target)}, path)
        case "legacy":
            torch.save({**good, "extra": Evil(target)}, path, _use_new_zipfile_serialization=False)
        case "pickle":
            path.write_bytes(pickle.dumps(Evil(target)))
        case "module":
            torch.save(TemporalClassifier(), path)
        case "weights":
            torch.save({**good, "model_state_dict": collections.OrderedDict(a=Evil(target))}, path)
    code, said = command.detect(write_folder(command.folder / "cam", frames), weights=path)
    assert code == 1 and f"convlstm: {path}: " in said
    assert "refused" in said or "not a readable checkpoint" in said
    assert not target.exists()


def foreign_checkpoints(good: dict[str, Any]) -> dict[str, Any]:
    weights = good["model_state_dict"]
    return {
        "other network": {"model_state_dict": {"layer.weight": torch.zeros(3)}},
        "missing layer": {"model_state_dict": {k: v for k, v in weights.items() if "conv_h" not in k}},
        "state dict": weights,
        "list": [1, 2, 3],
        "newer format": {**good, "format": "convlstm-checkpoint-9"},
        "altered": {**good, "threshold": 0.9},
        "not finite": {"model_state_dict": {name: tensor * float("nan") for name, tensor in weights.items()}},
    }


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other network", "does not fit this network: encoder.0.weight is missing"),
        ("missing layer", "does not fit this network: temporal_layer.cell_list.0.conv_h.weight is missing"),
        ("state dict", "not a checkpoint of this network: it holds no model_state_dict"),
        ("list", "not a checkpoint of this network"),
        ("newer format", 'format "convlstm-checkpoint-9" is not known here: update convlstm'),
        ("altered", "the content does not match its digest: the file was damaged or altered"),
        ("not finite", "holds weights that are not finite"),
    ],
)
def test_foreign_checkpoints(
    command: Command, frames: list[Pixels], write_folder: WriteFolder, kind: str, message: str
) -> None:
    path = command.folder / "foreign.pth"
    torch.save(foreign_checkpoints(torch.load(command.weights, weights_only=True))[kind], path)
    code, said = command.detect(write_folder(command.folder / "cam", frames), weights=path)
    assert code == 1 and f"{path}: {message}" in said
    assert not (command.folder / "results").exists()


@pytest.mark.parametrize("harm", ["truncated", "empty", "text", "folder", "none"])
def test_weights_that_are_no_checkpoint(
    command: Command, frames: list[Pixels], write_folder: WriteFolder, harm: str
) -> None:
    path = command.folder / "bad.pth"
    whole = command.weights.read_bytes()
    match harm:
        case "folder":
            path.mkdir()
        case "none":
            pass
        case _:
            path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"weights"}[harm])
    code, said = command.detect(write_folder(command.folder / "cam", frames), weights=path)
    assert code == 1 and f"convlstm: {path}: " in said
    reasons = {"folder": "not an export: it holds no metadata.json", "none": "no such weights file"}
    assert reasons.get(harm, "not a readable checkpoint") in said


def test_a_truncated_last_checkpoint_is_named_and_the_one_before_used(command: Command, data: Path) -> None:
    assert command.train()[0] == 0
    last = command.runs / "exp" / "weights" / "last.pth"
    last.write_bytes(last.read_bytes()[:-5000])
    code, said = command("train", "--resume", command.runs / "exp", "--epochs", 3)
    assert code == 0 and f"{last}: not a readable checkpoint" in said
    assert f"going on from {last.with_name('last.previous.pth')}" in said
    training = load_checkpoint(last).training
    assert training is not None and training["epoch"] == 3


# A full disk: one line, and resuming goes on.


def test_a_full_disk(command: Command, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 8:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        code, said = command.train("--epochs", 5)
    assert code == 1 and "No space left on device" in said
    assert not list(command.runs.rglob("*.tmp"))
    assert command("train", "--resume", command.runs / "exp")[0] == 0


# NaN or infinite loss: stops, names the step; best and last stay finite.


def test_a_loss_that_diverges(command: Command, data: Path) -> None:
    assert command.train()[0] == 0
    code, said = command("train", "--resume", command.runs / "exp", "--epochs", 4, "--lr", 1e30, "--warmup_epochs", 99)
    assert code == 1
    assert "at epoch 3, step " in said and "lower lr, or set grad_clip" in said
    for name in ("best.pth", "last.pth"):
        weights = load_checkpoint(command.runs / "exp" / "weights" / name).weights
        assert all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


# --resume with nothing to resume, or another model: refused; never restarts silently.


def test_nothing_to_resume(command: Command, data: Path) -> None:
    code, said = command("train", "--resume", command.folder / "none")
    assert code == 1 and "nothing to resume: no run folder with args.yaml" in said
    assert command.train()[0] == 0
    run = command.runs / "exp"
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for flags, message in (
        ((), "nothing to resume: all 2 epochs are done; raise --epochs to go on"),
        (("--epochs", 9, "--seq_length", 5), "holds another model"),
        (("--epochs", 9, "--stem", "rgb"), "holds another model"),
        (("--epochs", 9, "--classes", "a", "b", "c"), "holds another model"),
    ):
        code, said = command("train", "--resume", run, *flags)
        assert code == 1 and message in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files
    assert sorted(path.name for path in command.runs.iterdir()) == ["exp"]


# Validation set empty, one class only, metric undefined: said plainly; training is not lost.


def test_an_empty_validation_set(command: Command, data: Path) -> None:
    write_manifest(data, "folder_name,type,split\ns0,static,train\ns1,dynamic,train\n")
    code, said = command.train()
    assert code == 1 and "the split leaves val empty" in said and not command.runs.exists()


def test_one_class_only(command: Command, data: Path) -> None:
    write_manifest(data, "folder_name,type\ns0,static\ns2,static\n")
    code, said = command.train()
    assert code == 0
    assert "no training window of class dynamic: the model cannot learn it" in said
    assert "validation holds only static windows: AP and AUC are undefined, add the other" in said
    assert load_checkpoint(command.runs / "exp" / "weights" / "best.pth").digest


# User errors of any kind: one line, exit code.


def test_folders_that_are_files(command: Command, data: Path, frames: list[Pixels], write_folder: WriteFolder) -> None:
    (command.folder / "file").write_text("")
    file, folder = command.folder / "file", write_folder(command.folder / "cam", frames)
    code, said = command("detect", "--source", folder, "--weights", command.weights, "--output", file)
    assert code == 1 and f"cannot write to {file}: File exists" in said
    for arguments, message in (
        (("--data_root", file), f"{file}: no such folder: set data_root"),
        (("--project", file), f"{file}: File exists"),
        (("--project", file / "deep"), f"{file}/deep: Not a directory"),
    ):
        code, said = command.train(*arguments)
        assert code == 1 and message in said
    code, said = command.detect(command.folder / "empty*")
    assert code == 1 and "empty*: matches no frame folder, video or image" in said
    code, said = command.detect(folder / "frame_000000.png")
    assert code == 1 and "one image shows no motion: give its folder, a video, or a glob of frames" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epocs: 3", 'unknown setting "epocs": did you mean "epochs"?'),
        ("epochs: many", "epochs must be a whole number, got 'many'"),
        ("target_size: [600, 640]", "target_size must be multiples of 32, got (600, 640)"),
        ("- epochs", 'must hold lines "setting: value", got list'),
        ("epochs: [1", "is not valid YAML: "),
        ("!!python/object/apply:os.system ['touch owned']", "is not valid YAML: "),
        ("classes: [dynamic]", "classes must be at least two different names"),
        ("lr: .nan", "lr must be a number, got nan"),
    ],
)
def test_configurations(command: Command, text: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(command.folder)
    command.config.write_text(text + "\n")
    code, said = command("train", "--config", command.config)
    assert code == 2 and message in said
    assert not (command.folder / "owned").exists()


# Nothing that an image file may hold ends in a traceback.


def mutate(data: bytes, generator: random.Random) -> bytes:
    """One to four random harms: bytes changed, cut out, doubled, zeroed, or the rest cut off."""
    mutated = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(mutated) or 1)
        length = generator.randint(1, 12)
        match generator.randrange(5):
            case 0:
                mutated[place : place + 1] = bytes([generator.randrange(256)])
            case 1:
                del mutated[place : place + length]
            case 2:
                mutated[place:place] = mutated[place : place + length]
            case 3:
                mutated[place : place + length] = bytes(length)
            case 4:
                del mutated[generator.randrange(len(mutated) // 2, len(mutated) + 1) :]
    return bytes(mutated)


def encoded(pixels: Pixels, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def test_mutated_images_never_end_in_a_traceback(command: Command, frames: list[Pixels]) -> None:
    generator = random.Random(0)
    suffixes = (".png", ".jpg", ".webp", ".bmp", ".tiff")
    originals = {suffix: encoded(frames[3][:32, :32], suffix) for suffix in suffixes}
    for number in range(50):
        suffix = suffixes[number % len(suffixes)]
        folder = command.folder / "many" / f"{number:02d}"
        folder.mkdir(parents=True)
        for index in range(14):
            whole = originals[suffix]
            (folder / f"{index}{suffix}").write_bytes(mutate(whole, generator) if index < 10 else whole)
    code, _ = command.detect(command.folder / "many", "--batch")
    assert code == 3
    errors = command.errors()
    assert len(errors) == 50 and command.num_windows() >= 50  # the last four frames of each are whole
    assert sum("decoded" in error for error in errors.values()) > 40
