"""Photographs to sequences in which nothing happens."""

import hashlib
import logging
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from convlstm.atomic import atomic_folder, remove_leftovers
from convlstm.clips import resize_frame
from convlstm.config.toolkits import FILM_STRENGTHS, ImageToStaticFramesConfig
from convlstm.errors import DataError
from convlstm.sources.images import IMAGE_SUFFIXES, read_image
from convlstm.toolkits.filming import SMALLEST_SIDE, Strengths, film
from convlstm.toolkits.fitting import fit_frame
from convlstm.toolkits.frame_files import Encoding, FrameWriter, frame_name
from convlstm.toolkits.inputs import InputFile, check_not_inside, find_inputs
from convlstm.toolkits.origin import Origin, finished, state_of, write_origin
from convlstm.toolkits.runner import Outcome, ToolResult, advance, result_of, run_tasks
from convlstm.types import UInt8Array

logger = logging.getLogger(__name__)

TOOL = "image_to_static_frames"

LONGEST_SIDE = 1280
"""Pixels, where no size is given."""

_DECIDE_PIXELS = (*FILM_STRENGTHS, "num_frames", "fps", "size", "fit", "exact", "format", "quality", "seed")


def run(config: ImageToStaticFramesConfig) -> ToolResult:
    """Film all photographs; one folder each.

    Raises DataError where a source does not exist or holds no images, ConfigError where the output lies in it.
    """
    assert config.source is not None and config.output is not None
    photos = find_inputs(config.source, IMAGE_SUFFIXES, "images")
    check_not_inside(photos, config.source, config.output)
    if config.exact or not any(getattr(config, name) for name in FILM_STRENGTHS):
        logger.warning(
            "the frames of a sequence will be identical: a network that learns from them takes the absence of noise "
            "for the sign of a static scene, and calls real static footage dynamic"
        )
    if not config.dry_run:
        remove_leftovers(config.output)
    outcomes = run_tasks(
        partial(_film, config, config.output),
        photos,
        name=lambda photo: str(photo.path),
        workers=1 if config.dry_run else config.workers,
        description="filming",
        total=None if config.dry_run else len(photos) * config.num_frames,
        unit="photographs" if config.dry_run else "frames",
    )
    return result_of(config.output, outcomes)


def _film(config: ImageToStaticFramesConfig, output: Path, photo: InputFile) -> Outcome:
    name, folder = str(photo.path), output / photo.name
    settings = {key: value for key, value in asdict(config).items() if key in _DECIDE_PIXELS}
    plan = Origin(TOOL, name, state_of(photo.path), settings, photo.group, config.num_frames, config.fps)
    if finished(folder, plan, overwrite=config.overwrite) is not None:
        advance(config.num_frames)
        return Outcome(name, {"sequences finished before": 1})
    if config.dry_run:
        logger.info("%s: %d frames, to %s", name, config.num_frames, folder)
        return Outcome(name, {"sequences to make": 1})
    pixels = _prepared(read_image(photo.path), config, name)
    with atomic_folder(folder) as new:
        if config.exact:
            _write_copies(new, pixels, config)
        else:
            _write_film(new, pixels, config, np.random.default_rng(_seed(config.seed, photo.name)))
        write_origin(new, replace(plan, extra={"type": "static"}))
    return Outcome(name, {"sequences": 1, "frames": config.num_frames})


def _prepared(pixels: UInt8Array, config: ImageToStaticFramesConfig, name: str) -> UInt8Array:
    if config.size is not None:
        pixels = fit_frame(pixels, config.size, config.fit)
    scale = LONGEST_SIDE / max(pixels.shape[:2])
    if config.size is None and scale < 1:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        pixels = resize_frame(pixels, (height, width))
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE and not config.exact:
        raise DataError(
            f"{name}: frames of {width}x{height} pixels, but filming needs {SMALLEST_SIDE} a side: give a larger --size"
        )
    return pixels


def _write_copies(folder: Path, pixels: UInt8Array, config: ImageToStaticFramesConfig) -> None:
    data = Encoding(config.format, config.quality).encode(pixels)
    for number in range(1, config.num_frames + 1):
        (folder / frame_name(number, config.format)).write_bytes(data)
        advance()


def _write_film(folder: Path, pixels: UInt8Array, config: ImageToStaticFramesConfig, rng: np.random.Generator) -> None:
    strengths = Strengths(**{name: getattr(config, name) for name in FILM_STRENGTHS})
    frames = film(pixels, num_frames=config.num_frames, fps=config.fps, strengths=strengths, rng=rng)
    with FrameWriter(folder, Encoding(config.format, config.quality)) as writer:
        for number, frame in enumerate(frames, start=1):
            writer.write(number, frame)
            advance()


def _seed(seed: int, name: str) -> list[int]:
    """For the generator of one photograph: of its name, never of its place among the others."""
    return [seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")]
