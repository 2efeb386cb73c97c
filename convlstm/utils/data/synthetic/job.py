"""A synthesis job: settings in, a data set on disk out."""

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from convlstm.atomic import atomic_write_text
from convlstm.config import SynthesizeConfig
from convlstm.config_file import config_to_dict, load_config
from convlstm.errors import ConfigError, DataError
from convlstm.progress import Progress
from convlstm.types import CELL_SIZE
from convlstm.utils.data.manifest import read_manifest
from convlstm.utils.data.synthetic.write import MANIFEST, write_dataset

SETTINGS = "synthesize.yaml"
"""File beside the manifest that holds the settings a data set was made with; `--config` takes it."""

_CHANGE_NO_PIXEL = {"output", "num_workers"}


@dataclass(frozen=True)
class Synthesis:
    """A finished data set: its manifest, how many sequences each split and each type has, what to type next."""

    manifest: Path
    num_by_split: Mapping[str, int]
    num_by_type: Mapping[str, int]
    next_command: str


def synthesize(config: SynthesizeConfig) -> Synthesis:
    """Write a synthetic data set, its manifest last, and the settings that it was made with.

    Raises DataError where `output` is not empty or a folder holds nothing of use, ConfigError for impossible numbers.
    """
    _check_output(config)
    total = config.num_train + config.num_val + config.num_test + config.num_recordings
    with Progress("synthesizing", total, "sequences") as progress:
        manifest = write_dataset(
            config.output,
            num_train=config.num_train,
            num_val=config.num_val,
            num_test=config.num_test,
            num_frames=config.num_frames,
            size=config.size,
            fps=config.fps,
            seed=config.seed,
            severity=config.severity,
            min_severity=config.min_severity,
            kinds=config.kinds,
            backgrounds=config.backgrounds,
            recordings=config.recordings,
            num_recordings=config.num_recordings,
            infrared=config.infrared,
            progress=lambda done, total: progress.advance(),
            num_workers=config.num_workers,
        )
    atomic_write_text(config.output / SETTINGS, yaml.safe_dump(config_to_dict(config), sort_keys=False))
    rows = read_manifest(config.output, MANIFEST, ("static", "dynamic"))
    return Synthesis(
        manifest=manifest,
        num_by_split=Counter(row.split or "" for row in rows),
        num_by_type=Counter(row.type for row in rows),
        next_command=_next_command(config),
    )


def _next_command(config: SynthesizeConfig) -> str:
    """Training where there is all that it needs, else evaluation of what there is."""
    root = shlex.quote(str(config.output))
    if config.num_train + config.num_recordings and config.num_val:
        height, width = (-(-side // CELL_SIZE) * CELL_SIZE for side in config.size)
        return f"convlstm train --data_root {root} --target_size {height} {width}"
    split = "val" if config.num_val else "test" if config.num_test else "train"
    return f"convlstm eval --data_root {root} --split {split}"


def _check_output(config: SynthesizeConfig) -> None:
    """Say what a folder that is not empty holds, as far as that is known."""
    output = config.output
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / MANIFEST).exists():
        raise DataError(f"{output} is not empty: name a new folder, or empty this one if an interrupted run left it")
    try:
        made_with = load_config(SynthesizeConfig, output / SETTINGS)
    except ConfigError:
        raise DataError(f"{output} holds a data set already: name a new folder") from None
    other = [
        f"{name} {getattr(made_with, name)}, not {getattr(config, name)}"
        for name in (field.name for field in fields(config))
        if name not in _CHANGE_NO_PIXEL and getattr(made_with, name) != getattr(config, name)
    ]
    if other:
        raise DataError(f"{output} holds a data set made with other settings ({'; '.join(other)}): name a new folder")
    go_on = _next_command(config)
    raise DataError(f"{output} holds this very data set, finished: name a new folder, or go on: {go_on}")
