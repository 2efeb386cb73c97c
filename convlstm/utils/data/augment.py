"""Changes to stretches of training frames, drawn at random, on the device where the frames are.

Each is drawn for a whole stretch with the probability of its setting (`AugmentConfig`); what does not move must not
begin to.

| setting             | change                                                     | strength                      |
|---------------------|------------------------------------------------------------|-------------------------------|
| `aug_flip`          | left and right exchanged                                   |                               |
| `aug_flip_vertical` | top and bottom exchanged                                   |                               |
| `aug_crop`          | a part of the frame, enlarged; not where masks are missing | sides 0.6-1, aspect 0.91-1.1  |
| `aug_brightness`    | all levels times a factor                                  | 0.7-1.4                       |
| `aug_contrast`      | distance of the levels from their mean times a factor      | 0.7-1.3                       |
| `aug_colour`        | saturation, and red and blue each times a factor           | 0.5-1.5, 0.9-1.1              |
| `aug_blur`          | Gaussian blur                                              | sigma 0.5-1.5 pixels          |
| `aug_noise`         | Gaussian noise, new in every frame                         | deviation 1-8 of 255 levels   |
| `aug_compression`   | JPEG of each frame, chroma at half resolution              | quality 20-80                 |
| `aug_reverse`       | time runs backwards                                        |                               |
| `aug_frame_drop`    | frames are lost, the one before is shown again             | 0.1-0.3 of the frames         |
| `aug_shake`         | the camera trembles, some with a jolt; masks follow        | up to 5 pixels                |
| `aug_clouds`        | shadows with soft or hard edges wander over the frame      | severity 0.1-1, as of         |
| `aug_lights`        | lamps go on, off, fade, stutter, blink on parts of it      | synthetic footage             |
| `aug_exposure`      | exposure or white balance drifts, steps, fades, flickers   | (`synthetic/lighting.py`)     |
| `aug_actors`        | things, fire, smoke, water, foliage, screens; masks follow | one or two, half stand still  |

All are the same for all frames but noise, lost frames and the last five: a bad camera, light that changes while nothing
moves, and what moves. Actors come first; then geometry, masks follow it; then clouds, lamps, exposure, brightness and
colour, blur, noise, compression. Black pixels, which stand for "masked out", stay as they are: nothing but geometry
touches them, and the darkest others little.

Shapes: N frames, S stretches, H W pixels, MH MW blocks of the mask: of 8x8 pixels, or 4x4 where frames are shrunk.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from convlstm.config import AugmentConfig
from convlstm.types import Float32Array
from convlstm.utils.data.augment_actors import apply_actors
from convlstm.utils.data.augment_geometry import Box, crop_frames, crop_shares, shake_frames, shake_shares
from convlstm.utils.data.augment_light import LIGHT_KINDS, SEVERITY, Light, apply_light
from convlstm.utils.data.augment_pixels import Look, apply_look
from convlstm.utils.data.batch import Batch
from convlstm.utils.data.frames import MASK_BLOCK
from convlstm.utils.data.synthetic.camera import draw_shake

CROP_SIDE = (0.6, 1.0)
"""Side of the part, of the frame's. Below 0.6 pixels grow coarser than any recording that was resized to this size."""

CROP_ASPECT = 1.1
"""Height against width changes by up to this: frames of all shapes are stretched to one size anyway."""

GAIN = (0.7, 1.4)
"""Exposure: 1.37 is one stop in gamma-coded levels. With more, fire and bright smoke clip, and stop moving."""

CONTRAST = (0.7, 1.3)
"""Haze or flat picture profiles on one side, "vivid" ones on the other."""

SATURATION = (0.5, 1.5)
"""From dusk, where cameras turn colour down, to phones that turn it up."""

CHANNEL_GAIN = (0.9, 1.1)
"""What automatic white balance leaves between daylight and lamps; it acts on red and blue. More looks like a filter."""

BLUR_SIGMA = (0.5, 1.5)
"""Pixels: a lens slightly out of focus, or a small recording enlarged."""

NOISE_DEVIATION = (1.0, 8.0)
"""Levels of 255: a good sensor in daylight, a small one at night."""

JPEG_QUALITY = (20, 80)
"""A camera on a thin line, and one that stores locally."""

DROP_RATE = (0.1, 0.3)
"""Share of frames lost on a bad network. With more, windows of ten frames hardly show movement."""

KINDS = tuple(setting.name for setting in fields(AugmentConfig) if setting.name != "augment")

_FIRST_KINDS = tuple(kind for kind in KINDS if kind != "aug_actors")
"""Actors came last and are drawn last, so that seeds give of all others what they gave before."""


@dataclass(frozen=True)
class Changes:
    """What happens to one stretch.

    `cast_seed` decides which actors are drawn, None is for none. `shifts` (N, 2): how far the picture is shaken, x and
    y in pixels before frames are shrunk, or None; `shown` int64 (N,): places of the frames that are shown one after
    another.
    """

    cast_seed: int | None
    shifts: Float32Array | None
    box: Box | None
    flipped_dims: tuple[int, ...]
    light: Light
    look: Look
    shown: Tensor


class Augmentation:
    """Changes batches of whole stretches as the settings say.

    A stretch's changes depend on its own seed, its length and its size alone: not on the process, the device, or what
    else is in the batch.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config
        self.is_active = config.augment and any(getattr(config, kind) > 0 for kind in KINDS)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """The changed batch, on the device of `batch.frames`; the given one stays as it is.

        Frames keep dtype, shape and layout. `frames` and `shares` follow geometry; time goes by `encode` and `lagged`
        alone, and goes on as it was in a stretch with an unreadable frame, so that `Batch.readable` may be asked
        before or after. With nothing to do, `batch` itself.
        """
        if not self.is_active:
            return batch
        assert batch.num_carried == batch.num_carried_frames == 0, "stretches must be whole"
        frames, shares = torch.empty_like(batch.frames), batch.shares.clone()
        shown = torch.arange(len(frames))
        for seed, start, stop in zip(batch.seeds, batch.bounds[:-1], batch.bounds[1:], strict=True):
            stretch = slice(start, stop)
            changes = draw_changes(self.config, seed, stop - start, (frames.shape[1], frames.shape[2]))
            scene, moving = batch.frames[stretch], _known_shares(batch, stretch, changes)
            changes = _possible(changes, moving, batch.unreadable[stretch])
            if changes.cast_seed is not None:
                scene, moving = apply_actors(scene, moving, changes.cast_seed)
            block = frames.shape[1] // shares.shape[1]
            lit = apply_light(_place_frames(scene, changes, block), changes.light)
            frames[stretch] = apply_look(lit, changes.look)
            shares[stretch] = _place_shares(moving, changes, block)
            shown[stretch] = start + changes.shown
        shown = shown.to(batch.encode.device)
        return replace(batch, frames=frames, shares=shares, encode=shown[batch.encode], lagged=shown[batch.lagged])


def draw_changes(config: AugmentConfig, seed: int, num_frames: int, size: tuple[int, int]) -> Changes:
    """What happens to a stretch of `num_frames` frames of `size` = (height, width).

    Everything is drawn, in one order, whether it happens or not: another probability of one change leaves what the
    others do as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    chances = torch.rand(len(_FIRST_KINDS), generator=generator, dtype=torch.float64).tolist()
    happens = {kind: chance < getattr(config, kind) for kind, chance in zip(_FIRST_KINDS, chances, strict=True)}
    box = _draw_box(generator, size)
    gain, contrast = _draw_factor(generator, GAIN), _draw_factor(generator, CONTRAST)
    saturation = _draw_factor(generator, SATURATION)
    red, blue = _draw_factor(generator, CHANNEL_GAIN), _draw_factor(generator, CHANNEL_GAIN)
    blur, noise = _draw_factor(generator, BLUR_SIGMA), _draw_factor(generator, NOISE_DEVIATION)
    quality = round(_draw(generator, JPEG_QUALITY))
    noise_seed = int(torch.randint(1 << 62, (), generator=generator))
    is_lost = _draw_lost(generator, num_frames)
    light_seed, shake_seed, cast_seed = torch.randint(1 << 62, (3,), generator=generator).tolist()
    happens["aug_actors"] = _draw(generator, (0, 1)) < config.aug_actors
    light_kinds = tuple(kind for kind in LIGHT_KINDS if happens[f"aug_{kind}"])
    look = Look(
        gain=gain if happens["aug_brightness"] else 1.0,
        contrast=contrast if happens["aug_contrast"] else 1.0,
        saturation=saturation if happens["aug_colour"] else 1.0,
        channel_gains=(red, 1.0, blue) if happens["aug_colour"] else (1.0, 1.0, 1.0),
        blur_sigma=blur if happens["aug_blur"] else 0.0,
        noise_deviation=noise if happens["aug_noise"] else 0.0,
        noise_seed=noise_seed if happens["aug_noise"] else 0,
        jpeg_quality=quality if happens["aug_compression"] else None,
    )
    return Changes(
        cast_seed=cast_seed if happens["aug_actors"] else None,
        shifts=_draw_shifts(shake_seed, num_frames) if happens["aug_shake"] else None,
        box=box if happens["aug_crop"] else None,
        flipped_dims=(1,) * happens["aug_flip_vertical"] + (2,) * happens["aug_flip"],
        light=Light(light_kinds, light_seed if light_kinds else 0),
        look=look,
        shown=_shown(num_frames, happens["aug_reverse"], is_lost if happens["aug_frame_drop"] else None),
    )


def _draw(generator: torch.Generator, limits: tuple[float, float]) -> float:
    return limits[0] + (limits[1] - limits[0]) * torch.rand((), generator=generator, dtype=torch.float64).item()


def _draw_factor(generator: torch.Generator, limits: tuple[float, float]) -> float:
    """Between the limits, as often within any one ratio as within another: half and double are the same distance."""
    return math.exp(_draw(generator, (math.log(limits[0]), math.log(limits[1]))))


def _draw_box(generator: torch.Generator, size: tuple[int, int]) -> Box:
    side, aspect = _draw(generator, CROP_SIDE), _draw_factor(generator, (1 / CROP_ASPECT, CROP_ASPECT))
    wanted = side * math.sqrt(aspect), side / math.sqrt(aspect)
    height, width = (round(full * min(max(part, CROP_SIDE[0]), 1)) for full, part in zip(size, wanted, strict=True))
    top = round(_draw(generator, (0, size[0] - height)))
    return Box(top, round(_draw(generator, (0, size[1] - width))), height, width)


def _draw_lost(generator: torch.Generator, num_frames: int) -> Tensor:
    """bool (N,): frames that are lost."""
    rate = _draw(generator, DROP_RATE)
    return torch.rand(num_frames, generator=generator) < rate


def _draw_shifts(seed: int, num_frames: int) -> Float32Array:
    """Shifts (N, 2) in pixels, drawn as those of synthetic footage."""
    rng = np.random.default_rng(seed)
    return draw_shake(rng, num_frames) * np.float32(rng.uniform(*SEVERITY))


def _shown(num_frames: int, is_reversed: bool, is_lost: Tensor | None) -> Tensor:
    """Places of the frames that are shown one after another, int64 (N,); the first one is, lost or not."""
    places = torch.arange(num_frames)
    last_seen = places if is_lost is None else places.where(~is_lost, 0).cummax(dim=0).values
    return num_frames - 1 - last_seen if is_reversed else last_seen


def _known_shares(batch: Batch, stretch: slice, changes: Changes) -> Tensor:
    """Shares float16 (N, MH, MW); where actors are to be drawn, a static stretch needs no masks: they are all 0."""
    shares = batch.shares[stretch]
    if changes.cast_seed is None or bool(batch.unreadable[stretch].any()) or not bool(shares.isnan().any()):
        return shares
    first = batch.encode[batch.windows[:, 0]]
    labels = batch.labels[(first >= stretch.start) & (first < stretch.stop)]
    return torch.zeros_like(shares) if len(labels) and not bool(labels.any()) else shares


def _possible(changes: Changes, shares: Tensor, unreadable: Tensor) -> Changes:
    """Without actors and crops where nobody knows what moves, and in their own order where a frame is unreadable.

    A crop could cut away all that the label of the clip is about, and an actor hide it.
    """
    if bool(shares.isnan().any()):
        changes = replace(changes, box=None, cast_seed=None)
    if bool(unreadable.any()):
        changes = replace(changes, shown=torch.arange(len(shares)))
    return changes


def _place_frames(frames: Tensor, changes: Changes, block: int) -> Tensor:
    """Frames uint8 (N, H, W, 3), cropped, flipped and shaken."""
    if changes.box is not None:
        frames = crop_frames(frames, changes.box)
    frames = frames.flip(changes.flipped_dims) if changes.flipped_dims else frames
    return frames if changes.shifts is None else shake_frames(frames, _frame_pixels(changes.shifts, block))


def _place_shares(shares: Tensor, changes: Changes, block: int) -> Tensor:
    """Shares float16 (N, MH, MW), cropped, flipped and shaken."""
    if changes.box is not None:
        shares = crop_shares(shares, changes.box, block)
    shares = shares.flip(changes.flipped_dims) if changes.flipped_dims else shares
    return shares if changes.shifts is None else shake_shares(shares, _frame_pixels(changes.shifts, block), block)


def _frame_pixels(shifts: Float32Array, block: int) -> Tensor:
    """Shifts float32 (N, 2) in pixels of frames that may have been shrunk, as blocks of their masks are smaller."""
    return torch.from_numpy(shifts * np.float32(block / MASK_BLOCK))
