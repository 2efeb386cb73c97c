"""Checkpoints: plain tensors and plain values with two digests, loaded with `weights_only=True` and in no other way.

A file holds `model_state_dict`, the metadata that detection needs, and, in `last.pth`, a `training` section. The digest
of the content identifies equal training results; the seal at the file's end covers its bytes, each of them. Files of
the original implementation (`model_state_dict` alone, no seal) load too, with its defaults. For passing on, the same
content without `training` goes into a safetensors file; its digest is the same.
"""

import hashlib
import io
import json
import math
import os
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from convlstm import __version__
from convlstm.atomic import atomic_write
from convlstm.config import ModelConfig, TrainConfig, check_target_size, check_threshold
from convlstm.config_file import config_from_dict, config_to_dict
from convlstm.errors import CheckpointError, ConfigError
from convlstm.models.safetensors_file import read_safetensors, safetensors_bytes
from convlstm.models.temporal_classifier import TemporalClassifier

FORMAT = "convlstm-checkpoint-2"
UNSEALED_FORMAT = "convlstm-checkpoint-1"

SEAL = b"convlstm sha256 "
"""Begins the comment that ends the zip archive, before the SHA-256, in 64 hexadecimal digits, of all bytes up to them.

Readers of zip archives, `torch.load` among them, pass over such a comment.
"""
NUM_DIGITS = 64

SAFETENSORS = ".safetensors"

LARGEST_UNFOLDING = 8
"""A file whose tensors take more than this many times its size is refused."""


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Weights with all that detection needs to use them.

    `fps` is the frame rate seen in training; `digest` identifies the content and is set by loading; `training` is
    there in `last.pth` only: optimizer, schedule, averaged weights, random states, epoch and step.
    """

    weights: Mapping[str, Tensor]
    model: ModelConfig
    seq_length: int
    target_size: tuple[int, int]
    threshold: float
    fps: float
    library_version: str = __version__
    metrics: Mapping[str, float] | None = None
    training: Mapping[str, Any] | None = None
    digest: str = ""

    def __repr__(self) -> str:
        return (
            f"Checkpoint({list(self.model.classes)}, stem={self.model.stem}, seq_length={self.seq_length}, "
            f"target_size={self.target_size}, digest={self.digest[:12]})"
        )

    def build_model(self) -> TemporalClassifier:
        """The network with these weights, in evaluation mode."""
        model = TemporalClassifier(self.model)
        model.load_state_dict(dict(self.weights))
        return model.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, keep_previous: Path | None = None) -> str:
    """Write in one step (temporary file, fsync, rename) and return the digest of the content.

    The digest covers names, shapes, types and values: equal training gives equal `best.pth`. The file's bytes are
    sealed apart from that. A name that ends in .safetensors gives such a file: weights as float32, no `training`.
    """
    is_safetensors = Path(path).suffix.lower() == SAFETENSORS
    if is_safetensors:
        weights = {name: tensor.float() for name, tensor in checkpoint.weights.items()}
        checkpoint = replace(checkpoint, weights=weights, training=None)
    content = {
        "format": FORMAT,
        "model_state_dict": {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()},
        "model": config_to_dict(checkpoint.model),
        "seq_length": checkpoint.seq_length,
        "target_size": list(checkpoint.target_size),
        "threshold": float(checkpoint.threshold),
        "fps": float(checkpoint.fps),
        "library_version": checkpoint.library_version,
        "metrics": dict(checkpoint.metrics) if checkpoint.metrics is not None else None,
        "training": dict(checkpoint.training) if checkpoint.training is not None else None,
    }
    digest = content_digest(content)
    to_bytes = safetensors_bytes if is_safetensors else _sealed_archive
    with atomic_write(path, keep_previous=keep_previous) as file:
        file.write(to_bytes({**content, "digest": digest}))
    return digest


def save_safetensors(path: Path, checkpoint: Checkpoint) -> str:
    """As `save_checkpoint`, for passing on: missing folders are made.

    Raises ConfigError for names that do not end in .safetensors.
    """
    path = Path(path)
    if path.suffix.lower() != SAFETENSORS:
        raise ConfigError(f"{path}: only {SAFETENSORS} files can be written: give the name that ending")
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_checkpoint(path, checkpoint)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint, .pth or .safetensors; nothing but tensors and plain values is ever unpickled.

    Raises CheckpointError for files that are missing, damaged, altered, foreign, or hold anything executable.
    """
    content, is_sealed = _read(Path(path))
    if "format" not in content:
        return _from_original(Path(path), content)
    _check_format(path, content["format"])
    digest = content.pop("digest", "")
    if _digest_of(path, content) != digest:
        raise CheckpointError(f"{path}: the content does not match its digest: the file was damaged or altered")
    if not is_sealed:
        raise CheckpointError(f"{path}: the digest at its end is missing: the file was damaged or altered")
    try:
        checkpoint = Checkpoint(
            weights=content["model_state_dict"],
            model=config_from_dict(ModelConfig, content["model"], origin=str(path)),
            seq_length=_whole(content["seq_length"]),
            target_size=(_whole(content["target_size"][0]), _whole(content["target_size"][1])),
            threshold=float(content["threshold"]),
            fps=float(content["fps"]),
            library_version=str(content["library_version"]),
            metrics=content["metrics"],
            training=content["training"],
            digest=digest,
        )
        check_target_size(checkpoint.target_size)
        check_threshold(checkpoint.threshold)
        if not 0 < checkpoint.fps < math.inf:
            raise ValueError(f"fps must be greater than 0, got {checkpoint.fps}")
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{path}: incomplete or invalid checkpoint: {error}") from error
    _check_weights(path, checkpoint)
    return checkpoint


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 over nested plain values and tensors, independent of key order and of how the file stores them."""
    digest = hashlib.sha256()
    for part in _canonical(content):
        digest.update(part)
    return digest.hexdigest()


def _digest_of(path: Path, content: Mapping[str, Any]) -> str:
    try:
        return content_digest(content)
    except (TypeError, ValueError, RuntimeError) as error:  # sets, sparse tensors, a dict that holds itself
        raise CheckpointError(f"{path}: holds other things than plain tensors and plain values") from error


def _canonical(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"tensor {value.dtype} {tuple(value.shape)} ".encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        yield b"{"
        for key in sorted(value, key=repr):
            yield repr(key).encode()
            yield from _canonical(value[key])
        yield b"}"
    elif isinstance(value, list | tuple):
        yield b"["
        for item in value:
            yield from _canonical(item)
        yield b"]"
    elif isinstance(value, float):
        yield b"float " + struct.pack("<d", math.nan if math.isnan(value) else value)
    else:
        yield json.dumps(value).encode() + b","


def _sealed_archive(content: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    length = struct.pack("<H", len(SEAL) + NUM_DIGITS)  # of the comment: the archive's last two bytes, until here 0
    archive = buffer.getvalue()[: -len(length)] + length + SEAL
    return archive + hashlib.sha256(archive).hexdigest().encode()


def _check_seal(path: Path, file: BinaryIO) -> bool:
    """Whether the file ends in a seal; raises CheckpointError where that does not match the bytes before it."""
    num_bytes = file.seek(0, os.SEEK_END) - NUM_DIGITS
    file.seek(max(0, num_bytes - len(SEAL)))
    seal = file.read()
    if not seal.startswith(SEAL):
        return False
    file.seek(0)
    digest = hashlib.sha256()
    for start in range(0, num_bytes, 1 << 20):  # whatever claims to be sealed may be larger than the memory
        digest.update(file.read(min(1 << 20, num_bytes - start)))
    if seal != SEAL + digest.hexdigest().encode():
        raise CheckpointError(f"{path}: the file does not match the digest at its end: it was damaged or altered")
    return True


def _check_format(path: Path, found: object) -> None:
    if found == UNSEALED_FORMAT:
        raise CheckpointError(
            f'{path}: format "{found}" is no longer read: train anew, or use the version of convlstm that wrote it'
        )
    if found != FORMAT:
        raise CheckpointError(f'{path}: format "{found}" is not known here: update convlstm')


def _read(path: Path) -> tuple[dict[str, Any], bool]:
    """The content, and whether the file ends in a seal, which is checked before anything is unpickled."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weights file")
    try:
        if path.suffix.lower() == SAFETENSORS:
            return read_safetensors(path), True
        with path.open("rb") as file:
            is_sealed = _check_seal(path, file)
            file.seek(0)
            content = _unpickle(path, file)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model_state_dict"), dict):
        raise CheckpointError(f"{path}: not a checkpoint of this network: it holds no model_state_dict")
    if _num_bytes(content) > LARGEST_UNFOLDING * path.stat().st_size:
        raise CheckpointError(f"{path}: refused: its tensors are many times larger than the file")
    return content, is_sealed


def _unpickle(path: Path, file: BinaryIO) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of TorchScript archives, which are refused here anyway
            content: object = torch.load(file, map_location="cpu", weights_only=True)
            return content
    except Exception as error:  # torch.load raises whatever a damaged archive makes it stumble over
        reason = " ".join(str(error).split())
        if "GLOBAL" in reason or "TorchScript" in reason:  # a name to be called, or compiled code
            raise CheckpointError(
                f"{path}: refused: it holds more than tensors and plain values, which could run code on loading"
            ) from error
        raise CheckpointError(f"{path}: not a readable checkpoint, damaged or of another kind") from error


def _num_bytes(value: Any, depth: int = 0) -> int:
    """Memory of all tensors written out: one number, expanded, can stand for terabytes."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if depth > 32 or not isinstance(value, Mapping | list | tuple):
        return 0
    parts = value.values() if isinstance(value, Mapping) else value
    return sum(_num_bytes(part, depth + 1) for part in parts)


def _from_original(path: Path, content: dict[str, Any]) -> Checkpoint:
    weights = content["model_state_dict"]
    head = weights.get("final_classifier.weight")
    num_outputs = head.shape[0] if isinstance(head, Tensor) and head.ndim == 4 else 1
    names = ("static", "dynamic", "negative") if num_outputs == 3 else ("static", "dynamic")
    if num_outputs > len(names):
        names = (*names, *(f"class_{index}" for index in range(2, num_outputs)))
    defaults = TrainConfig()
    checkpoint = Checkpoint(
        weights=weights,
        model=ModelConfig(classes=names),
        seq_length=defaults.seq_length,
        target_size=defaults.target_size,
        threshold=defaults.threshold,
        fps=defaults.fps,
        library_version="",
        digest=_digest_of(path, weights),
    )
    _check_weights(path, checkpoint)
    return checkpoint


def _check_weights(path: Path, checkpoint: Checkpoint) -> None:
    expected = {name: tuple(t.shape) for name, t in TemporalClassifier(checkpoint.model).state_dict().items()}
    found = {
        name: tuple(value.shape) if isinstance(value, Tensor) and value.is_floating_point() else "no float tensor"
        for name, value in checkpoint.weights.items()
    }
    if found == expected:
        if all(bool(torch.isfinite(tensor.float()).all()) for tensor in checkpoint.weights.values()):
            return
        raise CheckpointError(f"{path}: holds weights that are not finite")
    wrong = next(name for name in (*expected, *found) if expected.get(name) != found.get(name))
    raise CheckpointError(
        f"{path}: does not fit this network: {wrong} is {found.get(wrong, 'missing')}, "
        f"expected {expected.get(wrong, 'nothing of that name')}"
    )


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"expected a positive whole number, got {value!r}")
    return value
