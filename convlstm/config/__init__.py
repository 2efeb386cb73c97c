"""All settings and the only home of their defaults; `config_file.py` reads them.

Nothing here imports torch: `convlstm train --help` is made from these classes.
"""

from convlstm.config.benchmark import BenchConfig
from convlstm.config.data import SynthesizeConfig
from convlstm.config.detection import DetectConfig, ExportConfig, VerifyConfig
from convlstm.config.evaluation import EvalConfig
from convlstm.config.fields import (
    MAX_IMAGE_PIXELS,
    OFFLINE_SECONDS,
    QUEUE_FRAMES,
    SHIPPED,
    BaselineName,
    Cache,
    DetectPrecision,
    Differences,
    EngineName,
    GraphFormat,
    Mode,
    Precision,
    ShortSequences,
    Stem,
    Unhalved,
    check_target_size,
    check_threshold,
)
from convlstm.config.training import AugmentConfig, ModelConfig, TrainConfig

__all__ = [
    "MAX_IMAGE_PIXELS",
    "OFFLINE_SECONDS",
    "QUEUE_FRAMES",
    "SHIPPED",
    "AugmentConfig",
    "BaselineName",
    "BenchConfig",
    "Cache",
    "DetectConfig",
    "DetectPrecision",
    "Differences",
    "EngineName",
    "EvalConfig",
    "ExportConfig",
    "GraphFormat",
    "Mode",
    "ModelConfig",
    "Precision",
    "ShortSequences",
    "Stem",
    "SynthesizeConfig",
    "TrainConfig",
    "Unhalved",
    "VerifyConfig",
    "check_target_size",
    "check_threshold",
]
