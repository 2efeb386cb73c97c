"""A checkpoint's content as a safetensors file: tensors, and everything else in the header's metadata.

    length   8 bytes, little-endian: that of the header
    header   {"__metadata__":{"sha256":"<64 digits>","format":"...", ...},"encoder.0.bias":{...}, ...}, ASCII
    data     of the tensors

The digits are the SHA-256 of the length and of all that follows them; the few bytes between stand fixed. So the file
notices each of its bits, and other tools read it as any safetensors file (github.com/huggingface/safetensors#format).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from convlstm.errors import CheckpointError

NUM_LENGTH_BYTES = 8
BEGINNING = b'{"__metadata__":{"sha256":"'
SEAL = slice(NUM_LENGTH_BYTES + len(BEGINNING), NUM_LENGTH_BYTES + len(BEGINNING) + 64)

AS_TEXT = ("format", "library_version", "digest")
AS_JSON = ("model", "seq_length", "target_size", "threshold", "fps", "metrics")


def safetensors_bytes(content: Mapping[str, Any]) -> bytes:
    """The file that holds `content`, as `save_checkpoint` makes it; equal content gives equal bytes."""
    tensors = safetensors.torch.save(dict(content["model_state_dict"]))
    length, header = _header(tensors)
    metadata = {"sha256": "0" * 64, **{key: content[key] for key in AS_TEXT}}
    metadata |= {key: json.dumps(content[key]) for key in AS_JSON}
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)  # the data is aligned
    data = len(text).to_bytes(NUM_LENGTH_BYTES, "little") + text + tensors[NUM_LENGTH_BYTES + length :]
    return data[: SEAL.start] + _digest(data) + data[SEAL.stop :]


def read_safetensors(path: Path) -> dict[str, Any]:
    """The content of a file that `safetensors_bytes` made.

    Raises CheckpointError for any other file, OSError where it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(SEAL.start)[NUM_LENGTH_BYTES:] != BEGINNING:  # another file may be larger than the memory
            raise CheckpointError(f"{path}: not weights of this network, damaged or of another kind")
        file.seek(0)
        data = file.read()
    if _digest(data) != data[SEAL]:
        raise CheckpointError(f"{path}: the file does not match its digest: it was damaged or altered")
    try:
        tensors = safetensors.torch.load(data)
        metadata = _header(data)[1]["__metadata__"]
        content = {key: metadata[key] for key in AS_TEXT} | {key: json.loads(metadata[key]) for key in AS_JSON}
    except (SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: incomplete or invalid checkpoint: {' '.join(str(error).split())}") from error
    return {**content, "model_state_dict": tensors, "training": None}


def _header(data: bytes) -> tuple[int, dict[str, Any]]:
    """Its length and what it says."""
    length = int.from_bytes(data[:NUM_LENGTH_BYTES], "little")
    header: dict[str, Any] = json.loads(data[NUM_LENGTH_BYTES : NUM_LENGTH_BYTES + length])
    return length, header


def _digest(data: bytes) -> bytes:
    digest = hashlib.sha256(data[:NUM_LENGTH_BYTES])
    digest.update(data[SEAL.stop :])
    return digest.hexdigest().encode()
