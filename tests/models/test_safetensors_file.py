"""Weights for passing on: the same content as best.pth, in a file whose every bit counts."""

import hashlib
import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from convlstm import __version__
from convlstm.config import ModelConfig
from convlstm.errors import CheckpointError, ConfigError
from convlstm.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_safetensors
from convlstm.models.safetensors_file import read_safetensors, safetensors_bytes
from convlstm.models.temporal_classifier import TemporalClassifier

FOREIGN = "not weights of this network, damaged or of another kind"
ALTERED = "the file does not match its digest: it was damaged or altered"
CONTENT_ALTERED = "the content does not match its digest: the file was damaged or altered"
BEGINNING = b'{"__metadata__":{"sha256":"'
BIAS = "final_classifier.bias"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    model = ModelConfig(classes=("calm", "Käfer", "fire"), stem="motion", lags=(1, 4), differences="both")
    return Checkpoint(
        weights=TemporalClassifier(model).state_dict(),
        model=model,
        seq_length=8,
        target_size=(64, 96),
        threshold=0.4,
        fps=12.5,
        metrics={"val_loss": 0.25, "cell_ap": math.nan, "temperature": 1.5},
    )


@pytest.fixture
def path(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_safetensors(tmp_path / "a.safetensors", checkpoint)
    return tmp_path / "a.safetensors"


def problem(path: Path) -> str:
    """Why `path` is refused; one line that names the file."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and message.isprintable()
    return message.removeprefix(f"{path}: ")


def sealed(data: bytes) -> bytes:
    """The file with the digest of its bytes made right again, whatever they say."""
    start = 8 + len(BEGINNING)
    digest = hashlib.sha256(data[:8] + data[start + 64 :]).hexdigest()
    return data[:start] + digest.encode() + data[start + 64 :]


def with_metadata(data: bytes, changes: Mapping[str, str | None]) -> bytes:
    """A file whose metadata was changed on purpose, under a digest of its bytes that fits; None leaves a key out."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = {**header["__metadata__"], **changes}
    header["__metadata__"] = {key: value for key, value in metadata.items() if value is not None}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return sealed(len(text).to_bytes(8, "little") + text + data[8 + length :])


def test_what_goes_in_comes_out(checkpoint: Checkpoint, path: Path) -> None:
    loaded = load_checkpoint(path)
    for name in ("model", "seq_length", "target_size", "threshold", "fps"):
        assert getattr(loaded, name) == getattr(checkpoint, name)
    assert loaded.library_version == __version__ and loaded.training is None
    assert loaded.metrics is not None and checkpoint.metrics is not None
    assert str(loaded.metrics) == str(checkpoint.metrics)
    assert loaded.weights.keys() == checkpoint.weights.keys()
    for name, tensor in checkpoint.weights.items():
        assert torch.equal(loaded.weights[name], tensor) and loaded.weights[name].dtype == torch.float32
    network = loaded.build_model()
    with torch.inference_mode():
        clips = torch.rand(1, 3, 3, 64, 64)
        assert torch.equal(network(clips), checkpoint.build_model()(clips))


def test_the_digest_is_that_of_best_pth(checkpoint: Checkpoint, tmp_path: Path) -> None:
    digest = save_safetensors(tmp_path / "a.safetensors", checkpoint)
    assert save_checkpoint(tmp_path / "a.pth", checkpoint) == digest
    assert load_checkpoint(tmp_path / "a.safetensors").digest == digest == load_checkpoint(tmp_path / "a.pth").digest
    assert save_safetensors(tmp_path / "b.safetensors", replace(checkpoint, threshold=0.5)) != digest


def test_equal_content_gives_equal_files(checkpoint: Checkpoint, path: Path, tmp_path: Path) -> None:
    for number in range(3):  # the library alone orders the metadata anew each time
        save_safetensors(tmp_path / f"{number}.safetensors", load_checkpoint(path))
        assert (tmp_path / f"{number}.safetensors").read_bytes() == path.read_bytes()


def test_training_is_left_out_and_weights_become_float32(checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = {name: tensor.half() for name, tensor in checkpoint.weights.items()}
    full = replace(checkpoint, weights=weights, training={"epoch": 3, "huge": torch.zeros(10**6)})
    save_safetensors(tmp_path / "a.safetensors", full)
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.training is None
    assert all(tensor.dtype == torch.float32 for tensor in loaded.weights.values())
    assert torch.equal(loaded.weights[BIAS], weights[BIAS].float())
    assert (tmp_path / "a.safetensors").stat().st_size < 1.3e6


def test_other_tools_read_the_file(checkpoint: Checkpoint, path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        assert set(file.keys()) == set(checkpoint.weights)
        assert torch.equal(file.get_tensor(BIAS), checkpoint.weights[BIAS])
        metadata = file.metadata()
    assert json.loads(metadata["model"])["classes"] == ["calm", "Käfer", "fire"]
    assert (metadata["target_size"], metadata["threshold"], metadata["seq_length"]) == ("[64, 96]", "0.4", "8")
    assert metadata["format"] == "convlstm-checkpoint-2"
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert length % 8 == 0  # the tensors are aligned


def test_the_ending_decides(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for name in ("a.onnx", "a.pth", "a", "a.safetensors.gz", ".."):
        with pytest.raises(ConfigError, match=r"only \.safetensors files can be written: give the name that ending$"):
            save_safetensors(tmp_path / "new" / name, checkpoint)
    assert not (tmp_path / "new").exists()
    save_safetensors(tmp_path / "new" / "A.SafeTensors", checkpoint)
    assert load_checkpoint(tmp_path / "new" / "A.SafeTensors").digest
    save_checkpoint(tmp_path / "a.safetensors", replace(checkpoint, training={"epoch": 1}))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "new" / "A.SafeTensors").read_bytes()
    save_checkpoint(tmp_path / "b.pth", checkpoint)
    (tmp_path / "b.pth").rename(tmp_path / "b.safetensors")
    assert problem(tmp_path / "b.safetensors") == FOREIGN
    (tmp_path / "c.pth").write_bytes((tmp_path / "new" / "A.SafeTensors").read_bytes())
    assert problem(tmp_path / "c.pth") == "not a readable checkpoint, damaged or of another kind"


def test_a_failed_write_leaves_the_old_file(
    checkpoint: Checkpoint, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_safetensors(path, replace(checkpoint, threshold=0.9))
    assert path.read_bytes() == before and [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_foreign_files_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert problem(path) == "no such weights file"
    save_file({name: tensor.contiguous() for name, tensor in checkpoint.weights.items()}, path)
    assert problem(path) == FOREIGN
    save_file({"x": torch.zeros(2)}, path, metadata={"format": "pt"})
    assert problem(path) == FOREIGN
    for data in (b"", b"x", b"\x89PNG" * 99, bytes(500), b"\xff" * 8 + b"{}", random.Random(0).randbytes(5000)):
        path.write_bytes(data)
        assert problem(path) == FOREIGN
    path.unlink()
    path.mkdir()
    assert problem(path) == "no such weights file"


def tiny() -> bytes:
    """A small file, of which every byte can be tried."""
    content = {
        "model_state_dict": {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)},
        "format": "f",
        "library_version": "",
        "digest": "d",
        "model": {"stem": "rgb"},
        "seq_length": 1,
        "target_size": [32, 32],
        "threshold": 0.5,
        "fps": 25,
        "metrics": None,
    }
    return safetensors_bytes(content)


def test_no_byte_may_differ_or_be_missing(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.safetensors", tiny()

    def mutants() -> Iterator[bytes]:
        for place in range(len(whole)):
            yield whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        yield from (whole[:length] for length in range(len(whole)))
        yield from (whole + extra for extra in (b" ", b"\0", whole))

    path.write_bytes(whole)
    assert torch.equal(read_safetensors(path)["model_state_dict"]["w"], torch.arange(6.0).reshape(2, 3))
    count = 0
    for data in mutants():
        path.write_bytes(data)
        with pytest.raises(CheckpointError) as caught:
            read_safetensors(path)
        assert str(caught.value) in (f"{path}: {FOREIGN}", f"{path}: {ALTERED}")
        count += 1
    assert count == 2 * len(whole) + 3


@pytest.mark.parametrize("is_sealed_again", [False, True])
def test_damage_to_real_weights_is_found(path: Path, is_sealed_again: bool) -> None:
    """Even where the digest of the bytes is made to fit, no more than a CheckpointError comes of it."""
    whole, generator = path.read_bytes(), random.Random(3)
    length = int.from_bytes(whole[:8], "little")
    for number in range(150):
        data = bytearray(whole)
        for _ in range(generator.choice((1, 1, 1, 30))):
            data[generator.randrange(8 + length if number % 2 else len(whole))] ^= 1 << generator.randrange(8)
        if number % 5 == 0:
            data = data[: generator.randrange(len(data))]
        if data[8 : 8 + len(BEGINNING)] != BEGINNING or bytes(data) == whole:
            continue
        path.write_bytes(sealed(bytes(data)) if is_sealed_again else data)
        if is_sealed_again:
            assert sealed(bytes(data)) == whole or problem(path)
        else:
            assert problem(path) == ALTERED


@given(data=st.binary(max_size=300), length=st.integers(0, 400))
def test_any_bytes_at_all(tmp_path_factory: pytest.TempPathFactory, data: bytes, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(sealed(length.to_bytes(8, "little") + BEGINNING + b"0" * 64 + data))
    assert problem(path).startswith("incomplete or invalid checkpoint: ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"threshold": "0.41"}, CONTENT_ALTERED),
        ({"metrics": "null"}, CONTENT_ALTERED),
        ({"model": '{"stem": "rgb"}'}, CONTENT_ALTERED),
        ({"digest": "0" * 64}, CONTENT_ALTERED),
        ({"format": "convlstm-checkpoint-9"}, 'format "convlstm-checkpoint-9" is not known here: update convlstm'),
        ({"threshold": "high"}, "incomplete or invalid checkpoint: Expecting value: line 1 column 1 (char 0)"),
        ({"seq_length": "9" * 5000}, "incomplete or invalid checkpoint: Exceeds the limit (4300 digits)"),
        ({"metrics": "[" * 10**5}, "incomplete or invalid checkpoint: maximum recursion depth exceeded"),
        ({"fps": None}, "incomplete or invalid checkpoint: 'fps'"),
        ({"format": None}, "incomplete or invalid checkpoint: 'format'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_metadata_is_checked(path: Path, changes: Mapping[str, str | None], reason: str) -> None:
    path.write_bytes(with_metadata(path.read_bytes(), changes))
    assert problem(path).startswith(reason)


def test_untouched_metadata_passes(path: Path) -> None:
    """Else the test before shows nothing."""
    before = path.read_bytes()
    assert with_metadata(before, {}) == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"threshold": 2.0}, "incomplete or invalid checkpoint: threshold must lie between 0 and 1, got 2.0"),
        ({"fps": math.inf}, "incomplete or invalid checkpoint: fps must be greater than 0, got inf"),
        ({"seq_length": 0}, "incomplete or invalid checkpoint: expected a positive whole number, got 0"),
        ({"target_size": (60, 96)}, "incomplete or invalid checkpoint: target_size must be multiples of 32"),
        (
            {"model": ModelConfig()},
            "does not fit this network: encoder.0.weight is (16, 7, 3, 3), expected (16, 3,",
        ),
    ],
)
def test_what_checkpoints_must_hold(checkpoint: Checkpoint, tmp_path: Path, options: Any, reason: str) -> None:
    path = tmp_path / "a.safetensors"
    save_safetensors(path, replace(checkpoint, **options))
    assert problem(path).startswith(reason)


def test_weights_must_be_finite(checkpoint: Checkpoint, tmp_path: Path) -> None:
    weights = {**checkpoint.weights, BIAS: torch.full((3,), math.nan)}
    save_safetensors(tmp_path / "a.safetensors", replace(checkpoint, weights=weights))
    assert problem(tmp_path / "a.safetensors") == "holds weights that are not finite"
