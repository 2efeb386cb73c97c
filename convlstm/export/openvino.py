"""ONNX graphs to OpenVINO's own files, which it reads faster."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from convlstm.inference.engines.installed import require
from convlstm.inference.engines.signal_stack import drop_signal_stack


def to_openvino(graphs: Mapping[str, bytes]) -> dict[str, bytes]:
    """ONNX files by the name of the graph to .xml and .bin files by theirs; weights stay float32.

    Raises ConfigError where OpenVINO is not installed.
    """
    openvino = require("openvino")
    core = openvino.Core()
    files = {}
    with TemporaryDirectory() as folder:
        for name, data in graphs.items():
            path = Path(folder) / f"{name}.xml"
            openvino.save_model(core.read_model(data), path, compress_to_fp16=False)
            files[path.name] = path.read_bytes()
            files[f"{name}.bin"] = path.with_suffix(".bin").read_bytes()
    drop_signal_stack()
    return files
