"""ConvLSTM finds what really moves in video.

The public names below are imported when they are first used: `import convlstm` does not import torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Checkpoint": "convlstm.models.checkpoint",
    "ConvLSTM": "convlstm.models.convlstm",
    "ConvLSTMCell": "convlstm.models.convlstm",
    "ConvLSTMError": "convlstm.errors",
    "DetectConfig": "convlstm.config",
    "Event": "convlstm.types",
    "Frame": "convlstm.types",
    "Heatmap": "convlstm.types",
    "ModelConfig": "convlstm.config",
    "Predictor": "convlstm.inference.predictor",
    "TemporalClassifier": "convlstm.models.temporal_classifier",
    "TrainConfig": "convlstm.config",
    "Verdict": "convlstm.verify",
    "Verifier": "convlstm.verify",
    "VerifyConfig": "convlstm.config",
    "detect": "convlstm.detection",
    "load_checkpoint": "convlstm.models.checkpoint",
    "load_config": "convlstm.config_file",
    "open_source": "convlstm.sources.open",
    "shipped_weights": "convlstm.shipped",
    "train": "convlstm.training.run",
}

__all__ = [
    "Checkpoint",
    "ConvLSTM",
    "ConvLSTMCell",
    "ConvLSTMError",
    "DetectConfig",
    "Event",
    "Frame",
    "Heatmap",
    "ModelConfig",
    "Predictor",
    "TemporalClassifier",
    "TrainConfig",
    "Verdict",
    "Verifier",
    "VerifyConfig",
    "__version__",
    "detect",
    "load_checkpoint",
    "load_config",
    "open_source",
    "shipped_weights",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convlstm' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
