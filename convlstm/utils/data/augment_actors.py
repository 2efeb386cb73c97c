"""The generator's actors drawn into a stretch of training frames, with their masks, on any device.

Things on their way, fire, smoke, water, foliage and screens, as in synthetic footage (`synthetic/actors.py`). Every
other one stands still like a picture of itself: what is drawn must not be told by how it looks.

Shapes: N frames, H W pixels, MH MW blocks of the mask.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convlstm.utils.data.augment_pixels import BLACK_LEVEL, LUMA
from convlstm.utils.data.batched_actors.actors import batched
from convlstm.utils.data.synthetic.actors import ACTORS, Actor
from convlstm.utils.data.synthetic.recordings import UNKNOWN_SHARE
from convlstm.utils.data.synthetic.scenes import Scene
from convlstm.utils.data.synthetic.sequences import AROUND_PIXELS, SLIGHT_CHANGE, SLIGHT_LAGS

AMBIENT = (0.15, 1.1)
"""Light on a scene, from deep night to a bright day, as of synthetic scenes, which are half as bright as that."""

CPU_PIXELS = 160 * 160 * 16
"""Drawn at once on a CPU: more do not stay in its cache, and of fewer each small step costs more than its pixels."""

GREY_LEVELS = 1.5
"""Mean distance of the channels, of 255 levels, up to which footage has no colour: neither have actors then."""


@dataclass(frozen=True)
class Role:
    """An actor and the moment that each frame shows of it: all the same where it stands still."""

    actor: Actor
    times: tuple[float, ...]

    @property
    def moves(self) -> bool:
        """Whether it does not stand still."""
        return self.times[0] != self.times[-1]


def draw_cast(scene: Scene, num_frames: int, seed: int) -> list[Role]:
    """One or two actors of any kinds; those that stand still come first, so that they hide none that moves."""
    rng = np.random.default_rng(seed)
    roles = []
    for _ in range(int(rng.integers(1, 3))):
        actor = ACTORS[str(rng.choice(list(ACTORS)))](rng, scene)
        moves = rng.random() < 0.5
        times = rng.uniform(0, 60) + np.arange(num_frames) * moves
        roles.append(Role(actor, tuple(times.tolist())))
    return sorted(roles, key=lambda role: role.moves)


def apply_actors(frames: Tensor, shares: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Frames of one stretch, uint8 (N, H, W, 3) RGB, with actors in them, and the shares of dynamic pixels with theirs.

    `shares` float16 (N, MH, MW), NaN nowhere, comes back so: blocks where one could not tell hold UNKNOWN_SHARE. Pixels
    that are black in all frames stay as they are.
    """
    roles = draw_cast(_scene_of(frames), len(frames), seed)
    actors = [(batched(role.actor, frames.device), role) for role in roles]
    inside = frames.amax(dim=(0, 3)) > BLACK_LEVEL
    drawn, looks = torch.empty_like(frames), _Looks(frames)
    step = 16 if frames.device.type != "cpu" else max(1, CPU_PIXELS // (frames.shape[1] * frames.shape[2]))
    with torch.autocast(frames.device.type, enabled=False):
        for start in range(0, len(frames), step):
            part = slice(start, start + step)
            recorded = frames[part].permute(0, 3, 1, 2)
            still = frames[0].permute(2, 0, 1).expand_as(recorded)  # shows what of an actor can be seen without noise
            canvas = torch.stack([recorded, still]).float().div_(255)
            masks = {True: torch.zeros_like(recorded[:, 0], dtype=torch.bool)}
            masks[False] = masks[True].clone()
            for actor, role in actors:
                if role.moves and looks.empty is None:
                    looks.empty = looks.grey(canvas[1, 0])
                masks[role.moves] |= actor.draw(canvas, role.times[part] if role.moves else role.times[:1])
            looks.add(canvas[1], masks[True] & inside, masks[False] & inside)
            if looks.is_grey:
                canvas = canvas.mean(dim=2, keepdim=True).expand_as(canvas)
            levels = (canvas[0] * 255).round_().clamp_(0, 255).to(torch.uint8)
            drawn[part] = torch.where(inside, levels, recorded).permute(0, 2, 3, 1)
    return drawn, looks.shares(shares)


def _scene_of(frames: Tensor) -> Scene:
    """What actors see of a stretch: its first frame, and how bright that is."""
    background = frames[0].cpu().numpy().astype(np.float32) / np.float32(255)
    return Scene(background, float(np.clip(2 * background.mean(), *AMBIENT)))


class _Looks:
    """What can be seen of the actors of a stretch, as `synthetic/sequences.py` says it of a whole scene."""

    def __init__(self, frames: Tensor) -> None:
        sample = frames[0, ::8, ::8].float()
        self.is_grey = bool((sample.amax(dim=2) - sample.amin(dim=2)).mean() <= GREY_LEVELS)
        self.luma = torch.tensor(LUMA, device=frames.device)[:, None, None]
        self.empty: Tensor | None = None  # (H, W), without those that move
        self.greys: list[Tensor] = []
        self.moving: list[Tensor] = []
        self.hidden: list[Tensor] = []

    def grey(self, planes: Tensor) -> Tensor:
        """Luma (..., H, W) of planes (..., 3, H, W)."""
        return (planes * self.luma).sum(dim=-3)

    def add(self, planes: Tensor, moving: Tensor, hidden: Tensor) -> None:
        """Some more frames: the still scene with all actors (N, 3, H, W), where one moves, where one stands still."""
        self.greys.append(self.grey(planes))
        self.moving.append(moving)
        self.hidden.append(hidden)

    def shares(self, before: Tensor) -> Tensor:
        """Shares float16 (N, MH, MW) of what moved before or does now."""
        block = self.greys[0].shape[1] // before.shape[1]
        moving, hidden = torch.cat(self.moving), _any(torch.cat(self.hidden), block)
        kept = torch.where(hidden, before.clamp(max=UNKNOWN_SHARE), before)
        if self.empty is None:
            return kept
        greys = torch.cat(self.greys)
        change = _largest_change(greys) > SLIGHT_CHANGE
        seen = moving & (change | ((greys - self.empty).abs() > SLIGHT_CHANGE))
        reach = round(AROUND_PIXELS / 2 / block)
        near = F.max_pool2d(_any(moving, block).float(), 2 * reach + 1, 1, reach) > 0
        unknown = _any(moving & ~seen, block) | (_any(change & ~moving, block) & near)  # farther off, it is light
        now = torch.maximum(kept, F.avg_pool2d(seen.float(), block).to(before.dtype))
        return torch.where(unknown & (now == 0), torch.full_like(now, UNKNOWN_SHARE), now)


def _largest_change(greys: Tensor) -> Tensor:
    """Largest difference (N, H, W) of each frame to those SLIGHT_LAGS before and after, as far as there are any."""
    places = torch.arange(len(greys), device=greys.device)
    others = [(places + lag).clamp(0, len(greys) - 1) for step in SLIGHT_LAGS for lag in (-step, step)]
    change = torch.zeros_like(greys)
    for other in others:
        torch.maximum(change, (greys - greys[other]).abs(), out=change)
    return change


def _any(pixels: Tensor, block: int) -> Tensor:
    """Blocks (N, MH, MW) in which any of the pixels, bool (N, H, W), is set."""
    return F.max_pool2d(pixels.float(), block) > 0
