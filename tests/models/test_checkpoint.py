import errno
import hashlib
import io
import math
import os
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convlstm import __version__
from convlstm.config import ModelConfig, TrainConfig
from convlstm.errors import CheckpointError
from convlstm.models.checkpoint import FORMAT, Checkpoint, content_digest, load_checkpoint, save_checkpoint
from convlstm.models.temporal_classifier import TemporalClassifier

EXECUTABLE = "refused: it holds more than tensors and plain values, which could run code on loading"
UNREADABLE = "not a readable checkpoint, damaged or of another kind"
ALTERED = "the content does not match its digest: the file was damaged or altered"
BYTES_ALTERED = "the file does not match the digest at its end: it was damaged or altered"
UNSEALED = "the digest at its end is missing: the file was damaged or altered"
NOT_PLAIN = "holds other things than plain tensors and plain values"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return TemporalClassifier().state_dict()


@pytest.fixture
def checkpoint(weights: dict[str, torch.Tensor]) -> Checkpoint:
    return Checkpoint(weights=weights, model=ModelConfig(), seq_length=8, target_size=(64, 96), threshold=0.4, fps=12.5)


def problem(path: Path) -> str:
    """Why `path` is refused; one line that names the file."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.exit_code == 1
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def problem_of(content: object, path: Path, **options: Any) -> str:
    """Why a file with this content is refused."""
    torch.save(content, path, **options)
    return problem(path)


def write_signed(path: Path, content: Mapping[str, Any]) -> Path:
    """A file with both its digests right, whatever the content says."""
    buffer = io.BytesIO()
    torch.save({**content, "digest": content_digest(content)}, buffer)
    comment = b"convlstm sha256 "
    archive = buffer.getvalue()[:-2] + struct.pack("<H", len(comment) + 64) + comment
    path.write_bytes(archive + hashlib.sha256(archive).hexdigest().encode())
    return path


def content_of(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """What saving writes, read without this package, and without its digest."""
    save_checkpoint(path, checkpoint)
    content: dict[str, Any] = torch.load(path, weights_only=True)
    del content["digest"]
    return content


def signed(checkpoint: Checkpoint, path: Path, changes: Mapping[str, Any]) -> Path:
    """A file whose content was changed on purpose, under digests that fit."""
    return write_signed(path, {**content_of(checkpoint, path), **changes})


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = ModelConfig(classes=("calm", "smoke", "fire"), stem="motion", lags=(1, 4))
    saved = replace(
        checkpoint,
        model=model,
        weights=TemporalClassifier(model).state_dict(),
        metrics={"val_loss": 0.25, "cell_ap": math.nan},
        training={"epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}}, "order": [1, 2], "none": None},
    )
    digest = save_checkpoint(tmp_path / "a.pth", saved)
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert loaded.digest == digest and len(digest) == 64
    for name in ("model", "seq_length", "target_size", "threshold", "fps"):
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.library_version == __version__
    assert loaded.metrics is not None and loaded.metrics["val_loss"] == 0.25 and math.isnan(loaded.metrics["cell_ap"])
    assert loaded.training is not None and saved.training is not None
    assert {**loaded.training, "optimizer": 0} == {**saved.training, "optimizer": 0}
    assert loaded.training["optimizer"]["state"][0]["step"] == 7
    assert list(loaded.weights) == list(saved.weights)
    for name, tensor in saved.weights.items():
        assert torch.equal(loaded.weights[name], tensor)
    network = loaded.build_model()
    assert not network.training and network.config == model
    assert torch.equal(network.state_dict()["encoder.0.weight"], saved.weights["encoder.0.weight"])


def test_two_saves_are_equal_byte_for_byte(checkpoint: Checkpoint, tmp_path: Path) -> None:
    digests = [save_checkpoint(tmp_path / name, checkpoint) for name in ("a.pth", "b.pth")]
    assert digests[0] == digests[1]
    (tmp_path / "later").mkdir()
    save_checkpoint(tmp_path / "later" / "a.pth", load_checkpoint(tmp_path / "a.pth"))
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "later" / "a.pth").read_bytes()


def test_a_change_anywhere_changes_the_digest(checkpoint: Checkpoint, tmp_path: Path) -> None:
    bias = checkpoint.weights["final_classifier.bias"].clone()
    bias[0] = torch.nextafter(bias[0], torch.tensor(9.0))
    variants = [
        checkpoint,
        replace(checkpoint, weights={**checkpoint.weights, "final_classifier.bias": bias}),
        replace(checkpoint, model=ModelConfig(classes=("static", "fire"))),
        replace(checkpoint, threshold=0.41),
        replace(checkpoint, seq_length=9),
        replace(checkpoint, training={"epoch": 1}),
        replace(checkpoint, training={"epoch": 1.0}),
        replace(checkpoint, metrics={"val_loss": math.nan}),
    ]
    assert len({save_checkpoint(tmp_path / "a.pth", variant) for variant in variants}) == len(variants)


def test_storage_does_not_change_the_digest() -> None:
    tensor = torch.arange(24.0).reshape(1, 2, 3, 4)
    stored = {"b": tensor.contiguous(memory_format=torch.channels_last), "a": [1, 2.5, None, "x", True]}
    assert content_digest(stored) == content_digest({"a": (1, 2.5, None, "x", True), "b": tensor})
    assert content_digest({"t": tensor}) != content_digest({"t": tensor.reshape(2, 12)})
    assert content_digest({"t": tensor}) != content_digest({"t": tensor.double()})


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def canonical(value: object) -> str:
    """Equal for what should have equal digests: -0.0 is not 0.0, 1 is not True, the order of keys is nothing."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{canonical(value[key])}" for key in sorted(value)) + "}"
    return "[" + ",".join(map(canonical, value)) + "]" if isinstance(value, list) else repr(value)


@given(plain, plain)
def test_digests_are_equal_where_values_are(first: object, second: object) -> None:
    digests = [content_digest({"value": value}) for value in (first, second)]
    assert (digests[0] == digests[1]) == (canonical(first) == canonical(second))


def test_the_previous_file_is_kept_on_request(checkpoint: Checkpoint, tmp_path: Path) -> None:
    last, previous = tmp_path / "last.pth", tmp_path / "previous.pth"
    first = save_checkpoint(last, checkpoint, keep_previous=previous)
    assert not previous.exists()
    second = save_checkpoint(last, replace(checkpoint, threshold=0.6), keep_previous=previous)
    assert (load_checkpoint(previous).digest, load_checkpoint(last).digest) == (first, second)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pth", "previous.pth"}


def test_saved_weights_do_not_hang_on_the_live_ones(checkpoint: Checkpoint, tmp_path: Path) -> None:
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in checkpoint.weights.items()}
    save_checkpoint(tmp_path / "a.pth", replace(checkpoint, weights=parameters))
    assert not any(tensor.requires_grad for tensor in load_checkpoint(tmp_path / "a.pth").weights.values())


def test_repr_shows_no_weights(checkpoint: Checkpoint) -> None:
    shown = repr(replace(checkpoint, digest="0123456789abcdef"))
    assert shown == (
        "Checkpoint(['static', 'dynamic'], stem=rgb, seq_length=8, target_size=(64, 96), digest=0123456789ab)"
    )


@pytest.mark.parametrize(
    ("name", "classes"), [("binary", ("static", "dynamic")), ("three_class", ("static", "dynamic", "negative"))]
)
def test_original_files_load_with_their_defaults(shared_data: Path, name: str, classes: tuple[str, ...]) -> None:
    loaded = load_checkpoint(shared_data / "golden" / f"{name}_checkpoint.pth")
    defaults = TrainConfig()
    assert loaded.model == ModelConfig(classes=classes, stem="rgb")
    assert (loaded.seq_length, loaded.target_size, loaded.threshold, loaded.fps) == (
        defaults.seq_length,
        defaults.target_size,
        defaults.threshold,
        defaults.fps,
    )
    assert loaded.library_version == "" and len(loaded.digest) == 64 and loaded.training is None
    loaded.build_model()


@pytest.mark.parametrize(
    ("num_outputs", "classes"),
    [
        (1, ("static", "dynamic")),
        (3, ("static", "dynamic", "negative")),
        (4, ("static", "dynamic", "class_2", "class_3")),
    ],
)
def test_original_files_tell_their_classes_by_the_head(
    tmp_path: Path, num_outputs: int, classes: tuple[str, ...]
) -> None:
    model = TemporalClassifier(classes=tuple(f"c{i}" for i in range(max(2, num_outputs))))
    torch.save({"model_state_dict": model.state_dict(), "epoch": 3}, tmp_path / "a.pth")
    assert load_checkpoint(tmp_path / "a.pth").model.classes == classes


class _Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, call: Callable[[str], Any], argument: str) -> None:
        self.call, self.argument = call, argument

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return self.call, (self.argument,)


@pytest.mark.parametrize("call", [os.system, os.mkdir, exec, eval])
@pytest.mark.parametrize("place", ["alone", "beside", "key", "weights"])
@pytest.mark.parametrize("in_zip", [True, False])
def test_a_payload_is_refused_and_does_not_run(
    checkpoint: Checkpoint, tmp_path: Path, call: Callable[[str], Any], place: str, in_zip: bool
) -> None:
    marker = tmp_path / "marker"
    arguments = {os.system: f"touch {marker}", os.mkdir: str(marker)}
    payload = _Payload(call, arguments.get(call, f"__import__('os').mkdir({str(marker)!r})"))
    content = {
        "alone": payload,
        "beside": {"model_state_dict": checkpoint.weights, "note": payload},
        "key": {"model_state_dict": {}, payload: 1},
        "weights": {"format": FORMAT, "model_state_dict": payload},
    }[place]
    path = tmp_path / "a.pth"
    assert problem_of(content, path, _use_new_zipfile_serialization=in_zip) == EXECUTABLE
    assert not marker.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)  # else this test shows nothing
    assert marker.exists()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_bare_pickle_does_not_run(tmp_path: Path, protocol: int) -> None:
    marker, path = tmp_path / "marker", tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(_Payload(os.system, f"touch {marker}"), protocol))
    assert problem(path) in (EXECUTABLE, UNREADABLE)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    assert problem_of(torch.nn.Linear(1, 1), tmp_path / "a.pth") == EXECUTABLE


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(tmp_path / "a.pth"))
    assert problem(tmp_path / "a.pth") == EXECUTABLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"just some text\n" * 50,
        b"<html><body>404</body></html>",
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        b"PK\x03\x04" + bytes(200),
        *(random.Random(seed).randbytes(3000) for seed in range(20)),
    ],
)
def test_other_files_are_no_checkpoint(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    assert problem(tmp_path / "a.pth") == UNREADABLE


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path / "a.pth") == "no such weights file"
    assert problem(tmp_path) == "no such weights file"


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {}},
        {"epoch": 3},
        [1, 2],
        torch.zeros(3),
        None,
        {"model_state_dict": [1]},
        {"model_state_dict": 1},
    ],
)
def test_foreign_content_is_refused(tmp_path: Path, content: object) -> None:
    assert problem_of(content, tmp_path / "a.pth") == ("not a checkpoint of this network: it holds no model_state_dict")


def circular() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["itself"] = inner
    return inner


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"bytes", torch.float32, torch.eye(3).to_sparse(), torch.empty(2, device="meta"), circular()],
    ids=["set", "bytes", "dtype", "sparse", "meta", "circular"],
)
@pytest.mark.parametrize("head", [{}, {"format": FORMAT, "digest": ""}], ids=["original", "current"])
def test_values_that_are_not_plain_are_refused(
    checkpoint: Checkpoint, tmp_path: Path, value: object, head: Mapping[str, str]
) -> None:
    content = {**head, "model_state_dict": {**checkpoint.weights, "extra": value}}
    assert problem_of(content, tmp_path / "a.pth") == NOT_PLAIN


BIAS = "final_classifier.bias"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({BIAS: torch.zeros(2)}, f"does not fit this network: {BIAS} is (2,), expected (1,)"),
        ({BIAS: None}, f"does not fit this network: {BIAS} is no float tensor, expected (1,)"),
        (
            {BIAS: torch.zeros(1, dtype=torch.complex64)},
            f"does not fit this network: {BIAS} is no float tensor, expected (1,)",
        ),
        ({"more": torch.zeros(2)}, "does not fit this network: more is (2,), expected nothing of that name"),
        ({"more": 5}, "does not fit this network: more is no float tensor, expected nothing of that name"),
        ({BIAS: torch.tensor([math.nan])}, "holds weights that are not finite"),
        ({BIAS: torch.tensor([-math.inf])}, "holds weights that are not finite"),
    ],
)
@pytest.mark.parametrize("is_original", [True, False])
def test_weights_that_do_not_fit_are_named(
    checkpoint: Checkpoint, tmp_path: Path, changes: Mapping[str, Any], reason: str, is_original: bool
) -> None:
    changed = {"model_state_dict": {**checkpoint.weights, **changes}}
    if is_original:
        assert problem_of(changed, tmp_path / "a.pth") == reason
    else:
        assert problem(signed(checkpoint, tmp_path / "a.pth", changed)) == reason


def test_missing_weights_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    fewer = {name: tensor for name, tensor in checkpoint.weights.items() if name != "encoder.4.weight"}
    assert problem_of({"model_state_dict": fewer}, tmp_path / "a.pth") == (
        "does not fit this network: encoder.4.weight is missing, expected (64, 32, 3, 3)"
    )


def test_altered_content_is_found_by_its_digest(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoint)
    content = torch.load(path, weights_only=True)
    assert problem_of({**content, "threshold": 0.5}, path) == ALTERED
    assert problem_of({**content, "more": 1}, path) == ALTERED
    assert problem_of({**content, "digest": torch.zeros(2)}, path) == ALTERED
    content["model_state_dict"][BIAS] += 1e-4
    assert problem_of(content, path) == ALTERED
    del content["digest"]
    assert problem_of(content, path) == ALTERED


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("convlstm-checkpoint-1", "is no longer read: train anew, or use the version of convlstm that wrote it"),
        ("convlstm-checkpoint-3", "is not known here: update convlstm"),
    ],
)
@pytest.mark.parametrize("is_sealed", [True, False])
def test_another_format_is_not_guessed_at(
    checkpoint: Checkpoint, tmp_path: Path, name: str, reason: str, is_sealed: bool
) -> None:
    path = tmp_path / "a.pth"
    if is_sealed:
        message = problem(signed(checkpoint, path, {"format": name}))
    else:
        message = problem_of({**content_of(checkpoint, path), "format": name}, path)
    assert message == f'format "{name}" {reason}'


def test_others_read_the_file_as_an_archive_of_torch(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    digest = save_checkpoint(path, checkpoint)
    for mmap in (False, True):
        content = torch.load(path, weights_only=True, mmap=mmap)
        assert content["format"] == "convlstm-checkpoint-2" and content["digest"] == digest
        assert torch.equal(content["model_state_dict"][BIAS], checkpoint.weights[BIAS])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"convlstm sha256 ") and len(archive.comment) == 16 + 64


def test_written_by_hand_the_file_is_the_same(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = write_signed(tmp_path / "b.pth", content_of(checkpoint, tmp_path / "a.pth"))
    assert path.read_bytes() == (tmp_path / "a.pth").read_bytes()


def test_a_file_of_this_format_must_end_in_its_digest(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    torch.save(torch.load(path, weights_only=True), path)
    assert problem(path) == UNSEALED
    for data, reason in (
        (whole + b"\n", UNSEALED),
        (whole[:-1], UNSEALED),
        (whole[:-80], UNSEALED),
        (whole[:-64] + whole[-64:].upper(), BYTES_ALTERED),
        (b"x" + whole, BYTES_ALTERED),
        (whole[-80:], BYTES_ALTERED),
    ):
        path.write_bytes(data)
        assert problem(path) == reason


def test_a_changed_file_is_refused_before_anything_is_unpickled(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoint)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    monkeypatch.delattr(torch, "load")
    assert problem(path) == BYTES_ALTERED


def test_a_file_that_the_disk_does_not_give_is_named(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoint)
    monkeypatch.setattr(Path, "open", refuse)
    assert problem(path) == "cannot be read: Input/output error"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"target_size": [-64, 96]}, "expected a positive whole number, got -64"),
        ({"target_size": [64.0, 96]}, "expected a positive whole number, got 64.0"),
        ({"target_size": [64]}, "list index out of range"),
        ({"target_size": 64}, "'int' object is not subscriptable"),
        ({"target_size": [60, 96]}, "target_size must be multiples of 32, got (60, 96): use (32, 96) or (64, 96)"),
        ({"seq_length": 0}, "expected a positive whole number, got 0"),
        ({"seq_length": True}, "expected a positive whole number, got True"),
        ({"threshold": 2}, "threshold must lie between 0 and 1, got 2.0"),
        ({"threshold": math.nan}, "threshold must lie between 0 and 1, got nan"),
        ({"threshold": "high"}, "could not convert string to float: 'high'"),
        ({"threshold": 10**400}, "int too large to convert to float"),
        ({"fps": -5.0}, "fps must be greater than 0, got -5.0"),
        ({"fps": math.nan}, "fps must be greater than 0, got nan"),
        ({"fps": math.inf}, "fps must be greater than 0, got inf"),
        ({"model": {"classes": "static"}}, "classes must be a list of values, each text, got 'static'"),
        ({"model": {"classes": ["one"]}}, "classes must be at least two different names, got ['one']"),
        ({"model": {"stem": "audio"}}, "stem must be one of rgb, motion, got 'audio'"),
        ({"model": {"lags": [0]}}, "lags must be different frame counts from 1 to 256, got [0]"),
        ({"model": {"layers": 3}}, 'unknown setting "layers"'),
        ({"model": 5}, "'int' object has no attribute 'items'"),
    ],
)
def test_metadata_is_checked(checkpoint: Checkpoint, tmp_path: Path, changes: Mapping[str, Any], reason: str) -> None:
    message = problem(signed(checkpoint, tmp_path / "a.pth", changes))
    assert message.startswith("incomplete or invalid checkpoint: ") and reason in message


@pytest.mark.parametrize(
    "name", ["model", "seq_length", "target_size", "threshold", "fps", "library_version", "metrics", "training"]
)
def test_missing_metadata_is_named(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.pth"
    content = content_of(checkpoint, path)
    del content[name]
    assert problem(write_signed(path, content)) == f"incomplete or invalid checkpoint: '{name}'"


def mutated(data: bytes, generator: random.Random) -> bytes:
    """The file cut off, with some bits turned, with bytes left out, or with a stretch of zeros, as disks make them."""
    place, kind = generator.randrange(len(data)), generator.randrange(4)
    if kind == 0:
        return data[:place]
    if kind == 1:
        return data[:place] + data[place + generator.randrange(1, 200) :]
    if kind == 2:
        return (data[:place] + bytes(512) + data[place + 512 :])[: len(data)]
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 8, 100))):
        # the archive's own tables stand at both ends
        spot = generator.choice(
            (generator.randrange(len(data)), generator.randrange(4000), -generator.randrange(1, 4000))
        )
        changed[spot] ^= 1 << generator.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_all_damage_is_found(checkpoint: Checkpoint, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    generator = random.Random(seed)
    for _ in range(50):
        data = mutated(whole, generator)
        if data != whole:  # zeros may meet zeros
            path.write_bytes(data)
            assert problem(path) in (UNREADABLE, BYTES_ALTERED, UNSEALED)


def test_original_files_in_the_old_container_load(checkpoint: Checkpoint, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"model_state_dict": checkpoint.weights}, buffer, _use_new_zipfile_serialization=False)
    (tmp_path / "a.pth").write_bytes(buffer.getvalue())
    loaded = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(loaded.weights[BIAS], checkpoint.weights[BIAS])


def test_a_tensor_that_unfolds_beyond_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    torch.save({"model_state_dict": {"encoder.0.weight": torch.zeros(1).expand(1 << 40)}}, path)
    with pytest.raises(CheckpointError, match=r"bomb\.pth: refused: its tensors are many times larger than the file$"):
        load_checkpoint(path)
