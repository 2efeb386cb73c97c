"""A folder of exported graphs: its format, and how it notices each of its bits.

`metadata.json` holds what a checkpoint carries beside its weights, how the graphs compare with torch, and size and
SHA-256 of each of their files. It ends in a SHA-256 of all that, the digest of the export. Nothing here imports torch.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, get_args

from convlstm import __version__
from convlstm.atomic import atomic_write
from convlstm.config import GraphFormat, ModelConfig, check_target_size, check_threshold
from convlstm.config_file import config_from_dict, config_to_dict
from convlstm.errors import CheckpointError, ConfigError

FORMAT = "convlstm-export-2"
METADATA = "metadata.json"
LARGEST_METADATA = 1 << 20
"""Bytes; what is larger is not ours."""

ENCODER, RECURRENCE, HEAD = GRAPHS = ("encoder", "recurrence", "head")
ENDINGS: Mapping[GraphFormat, tuple[str, ...]] = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}


@dataclass(frozen=True, repr=False)
class ExportedModel:
    """What detection needs of an export; the counterpart of a `Checkpoint`.

    `parity` is the largest difference of a heatmap from that of torch in float32, by precision of the encoder, as
    measured when it was exported; `auto_precision` is the fastest of these that came close enough. `ap_loss` is what
    int8 costs: of the average precision, on the footage given then. `files` holds the verified content of each file.
    """

    format: GraphFormat
    int8: bool
    model: ModelConfig
    seq_length: int
    target_size: tuple[int, int]
    threshold: float
    fps: float
    checkpoint_digest: str
    parity: Mapping[str, float] = field(default_factory=dict)
    auto_precision: str = "32-true"
    ap_loss: float | None = None
    metrics: Mapping[str, float] | None = None
    library_version: str = __version__
    digest: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        kind = f"{self.format}{' int8' if self.int8 else ''}"
        return f"ExportedModel({kind}, {list(self.model.classes)}, {self.target_size}, digest={self.digest[:12]})"

    def graph(self, name: str) -> tuple[bytes, ...]:
        """The files of one graph: (.onnx,) or (.xml, .bin)."""
        return tuple(self.files[name + ending] for ending in ENDINGS[self.format])


def save_exported(folder: Path, exported: ExportedModel) -> str:
    """Write the files and then `metadata.json`, and return the digest.

    What stood there counts as damaged from the first changed file on, until the last one is in place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in exported.files.items():
        with atomic_write(folder / name) as file:
            file.write(data)
    content = _content_of(exported)
    content["digest"] = _digest_of(content)
    with atomic_write(folder / METADATA) as file:
        file.write(_text_of(content))
    return str(content["digest"])


def load_exported(folder: Path) -> ExportedModel:
    """Read and verify all files. Raises CheckpointError where one is missing, damaged, altered or foreign."""
    folder = Path(folder)
    content = _read_metadata(folder)
    try:
        kind: GraphFormat = content["kind"]
        if kind not in get_args(GraphFormat):
            raise ValueError(f'kind must be one of {", ".join(get_args(GraphFormat))}, got "{kind}"')
        exported = ExportedModel(
            format=kind,
            int8=bool(content["int8"]),
            model=config_from_dict(ModelConfig, content["model"], origin=str(folder / METADATA)),
            seq_length=int(content["seq_length"]),
            target_size=(int(content["target_size"][0]), int(content["target_size"][1])),
            threshold=float(content["threshold"]),
            fps=float(content["fps"]),
            checkpoint_digest=str(content["checkpoint_digest"]),
            parity=dict(content["parity"]),
            auto_precision=str(content["auto_precision"]),
            ap_loss=content["ap_loss"],
            metrics=content["metrics"],
            library_version=str(content["library_version"]),
            digest=str(content["digest"]),
            files={name: _read_file(folder, name, content["files"]) for name in _file_names(kind)},
        )
        check_target_size(exported.target_size)
        check_threshold(exported.threshold)
        if exported.seq_length < 1 or not 0 < exported.fps < math.inf:
            raise ValueError("seq_length and fps must be greater than 0")
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"{folder / METADATA}: incomplete or invalid: {error}") from error
    return exported


def _file_names(kind: GraphFormat) -> list[str]:
    return [graph + ending for graph in GRAPHS for ending in ENDINGS[kind]]


def _content_of(exported: ExportedModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": exported.format,
        "int8": exported.int8,
        "library_version": exported.library_version,
        "checkpoint_digest": exported.checkpoint_digest,
        "model": config_to_dict(exported.model),
        "seq_length": exported.seq_length,
        "target_size": list(exported.target_size),
        "threshold": exported.threshold,
        "fps": exported.fps,
        "metrics": dict(exported.metrics) if exported.metrics is not None else None,
        "parity": dict(exported.parity),
        "auto_precision": exported.auto_precision,
        "ap_loss": exported.ap_loss,
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in exported.files.items()
        },
    }


def _read_metadata(folder: Path) -> dict[str, Any]:
    """Raises CheckpointError for anything but a file that `save_exported` wrote, bit by bit."""
    path = folder / METADATA
    if not path.is_file():
        raise CheckpointError(f"{folder}: not an export: it holds no {METADATA}; name a weights file, or export again")
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_METADATA)
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not an export that this version knows: export again")
    unsigned = {key: value for key, value in content.items() if key != "digest"}
    if content.get("digest") != _digest_of(unsigned) or text != _text_of(content):
        raise CheckpointError(f"{path}: does not match its digest: it was damaged or altered")
    return content


def _read_file(folder: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> bytes:
    path = folder / PurePath(name).name
    try:
        if path.stat().st_size == files[name]["bytes"]:  # another file may be larger than the memory
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() == files[name]["sha256"]:
                return data
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise CheckpointError(f"{path}: does not match its digest in {METADATA}: it was damaged or altered")


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _text_of(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
