"""The second pass over a source: clips of its events, and the whole of it with what was found drawn in."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import cv2

from convlstm.heatmap import hot_cells, hot_regions, window_score
from convlstm.report.overlay import draw_overlay
from convlstm.report.timeline import format_seconds
from convlstm.report.video_file import OutputBudget, VideoFile
from convlstm.types import Frame, Heatmap, UInt8Array

_WHITE, _BLACK, _BOX = (255, 255, 255), (0, 0, 0), (64, 224, 255)


def write_clips(
    frames: Iterable[Frame], spans: Sequence[tuple[int, int]], folder: Path, fps: float, budget: OutputBudget
) -> Iterator[Frame]:
    """Hand on all frames, and write those of each span to `folder/clip_001.mp4` and so on.

    `spans` are first and last frames, in order, none sharing a frame with another. Spans that the budget leaves no room
    for get no file.
    """
    remaining = iter(spans)
    span = next(remaining, None)
    number = 1
    with ExitStack() as stack:
        clip: VideoFile | None = None
        for frame in frames:
            while span is not None and frame.index > span[1]:
                stack.close()
                span, clip, number = next(remaining, None), None, number + 1
            if span is not None and span[0] <= frame.index:
                if clip is None:
                    folder.mkdir(exist_ok=True)
                    clip = stack.enter_context(VideoFile(clip_path(folder, number), fps, budget))
                clip.add(frame.pixels, frame.pts_seconds)
            yield frame


def clip_path(folder: Path, number: int) -> Path:
    """Where clip `number`, from 1, stands."""
    return folder / f"clip_{number:03d}.mp4"


def with_windows(frames: Iterable[Frame], windows: Iterable[Heatmap]) -> Iterator[tuple[Frame, Heatmap | None]]:
    """Each frame with the window that covers it and whose middle is nearest; None where none covers it.

    Both in time order. Of two windows equally near, the earlier one.
    """
    remaining = iter(windows)
    here, coming = None, next(remaining, None)
    for frame in frames:
        while coming is not None and (here is None or _distance(frame, coming) < _distance(frame, here)):
            if coming.first_frame > frame.index:
                break
            here, coming = coming, next(remaining, None)
        covers = here is not None and here.first_frame <= frame.index <= here.last_frame
        yield frame, here if covers else None


def _distance(frame: Frame, window: Heatmap) -> float:
    return abs(2 * frame.index - window.first_frame - window.last_frame)


def annotate(frame: Frame, window: Heatmap | None, threshold: float) -> UInt8Array:
    """The frame (H, W, 3) with the heatmap over it, a box around each hot region, and time and probability."""
    picture = frame.pixels.copy() if window is None else draw_overlay(frame.pixels, window.probabilities, threshold)
    height, width = picture.shape[:2]
    scale = max(0.35, min(height, width) / 900)
    thickness = max(1, round(2 * scale))
    text = f"{format_seconds(frame.pts_seconds)}  frame {frame.index}"
    if window is not None:
        text += f"  {window_score(window.probabilities):.2f}"
        if hot_cells(window.probabilities, threshold).any():
            for (x1, y1, x2, y2), peak in hot_regions(window.probabilities, threshold):
                corners = [(round(x * (width - 1)), round(y * (height - 1))) for x, y in ((x1, y1), (x2, y2))]
                cv2.rectangle(picture, corners[0], corners[1], _BOX, thickness)
                _label(picture, f"{peak:.2f}", corners[0], scale, thickness)
    _label(picture, text, (0, height), scale, thickness)
    return picture


def _label(picture: UInt8Array, text: str, corner: tuple[int, int], scale: float, thickness: int) -> None:
    """White text on black, its lower left at `corner` = (x, y), moved into the picture."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    x = max(0, min(corner[0], picture.shape[1] - width - 4))
    y = max(height + 2 * below, corner[1])
    cv2.rectangle(picture, (x, y - height - 2 * below), (x + width + 4, y), _BLACK, cv2.FILLED)
    cv2.putText(picture, text, (x + 2, y - below), cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, thickness, cv2.LINE_AA)
