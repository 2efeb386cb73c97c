"""One sequence, decoded once: every window scored by the model and by the baselines, against the truth.

Frames take the path that detection takes, so that what is judged is what users run.

Shapes: T frames of a window, H W pixels of the resized frame, GH GW cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from convlstm.clips import resize_frame
from convlstm.config import BaselineName
from convlstm.errors import DataError
from convlstm.evaluation.baselines import THRESHOLDS, Baseline, start_baseline
from convlstm.evaluation.metrics import BinaryScores
from convlstm.evaluation.truth import FrameTruth, Truth, WindowTruth, window_truth
from convlstm.evaluation.worst import WorstWindow, WorstWindows, false_alarm_error, missed_error
from convlstm.heatmap import hot_cells
from convlstm.inference.predictor import Predictor
from convlstm.inference.stream import FRAMES_PER_CALL
from convlstm.progress import Progress
from convlstm.sources.base import SeekableSource, name_some
from convlstm.types import Float32Array, Frame, Heatmap

MODEL = "model"


@dataclass(frozen=True)
class EvalSequence:
    """What is to be scored. `is_dynamic` is what the manifest says; None: as its windows turn out.

    `kind` names what it shows, `group` what it must be resampled with.
    """

    name: str
    source: SeekableSource
    truth: Truth
    kind: str = ""
    group: str = ""
    is_dynamic: bool | None = None


@dataclass
class MethodScores:
    """One method on one sequence: per cell of known truth, and per window.

    `probabilities` holds the highest score of each window, `num_hot` its cells at or over the threshold, `found`
    whether one of these lies where the truth is not static.
    """

    cells: BinaryScores = field(default_factory=BinaryScores)
    probabilities: list[float] = field(default_factory=list)
    num_hot: list[int] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)


@dataclass
class SequenceScores:
    """One sequence, with all its windows: frames (inclusive), time of the last frame, truth.

    `onset_seconds` is when something first becomes dynamic, where the truth tells. `problems` names what could not be
    read.
    """

    name: str
    kind: str
    group: str
    is_dynamic: bool | None
    methods: dict[str, MethodScores]
    first_frames: list[int] = field(default_factory=list)
    last_frames: list[int] = field(default_factory=list)
    end_seconds: list[float] = field(default_factory=list)
    truths: list[bool | None] = field(default_factory=list)
    onset_seconds: float | None = None
    problems: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.truths)


@dataclass(frozen=True)
class _Scored:
    """One frame: resized from `size` = (height, width), its truth, and the baselines' scores of its cells."""

    frame: Frame
    size: tuple[int, int]
    truth: FrameTruth
    scores: Mapping[BaselineName, Float32Array]


class SequenceScorer:
    """Scores sequences one after another with one model; the worst windows of all are kept.

    `region` bool (GH, GW): the cells that count.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        threshold: float,
        baselines: Sequence[BaselineName],
        min_share: float,
        region: NDArray[np.bool_],
        false_cells: int,
        pad_short: bool = False,
        false_alarms: WorstWindows,
        missed: WorstWindows,
    ) -> None:
        self.predictor = predictor
        self.threshold = threshold
        self.baselines = tuple(baselines)
        self.min_share = min_share
        self.region = region
        self.false_cells = false_cells
        self.pad_short = pad_short
        self.false_alarms = false_alarms
        self.missed = missed

    def score(self, sequence: EvalSequence, progress: Progress) -> SequenceScores:
        """All windows of a sequence. Raises DataError where nothing of it can be read."""
        methods = {name: MethodScores() for name in (MODEL, *self.baselines)}
        scores = SequenceScores(sequence.name, sequence.kind, sequence.group, sequence.is_dynamic, methods)
        running = {name: start_baseline(name) for name in self.baselines}
        stream = self.predictor.stream()
        history: dict[int, _Scored] = {}
        num_frames, bad_masks = 0, list[str]()
        for chunk in _chunks(self._frames(sequence, running, scores, bad_masks)):
            num_frames += len(chunk)
            history.update({item.frame.index: item for item in chunk})
            for heatmap in stream.process([item.frame for item in chunk]):
                self._add(scores, heatmap, history)
            oldest = chunk[-1].frame.index - self.predictor.checkpoint.seq_length
            history = {index: item for index, item in history.items() if index > oldest}
            progress.advance(len(chunk))
        if self.pad_short and not len(scores):
            for heatmap in stream.pad():
                self._add(scores, heatmap, history)
        if sequence.source.damage.is_incomplete:
            scores.problems.append(f"{sequence.name}: {sequence.source.damage.describe(num_frames)}")
        if bad_masks:
            scores.problems.append(f"{sequence.name}: masks left out ({len(bad_masks)}): {name_some(bad_masks, 3)}")
        if scores.is_dynamic is None:
            scores.is_dynamic = True if True in scores.truths else None if None in scores.truths else False
        return scores

    def _frames(
        self,
        sequence: EvalSequence,
        running: Mapping[BaselineName, Baseline],
        scores: SequenceScores,
        bad_masks: list[str],
    ) -> Iterator[_Scored]:
        before = -2
        for frame in sequence.source:
            pixels = resize_frame(frame.pixels, self.predictor.checkpoint.target_size)
            try:
                truth = sequence.truth(frame.index)
            except DataError as error:
                bad_masks.append(str(error))
                truth = FrameTruth(np.full(self.region.shape, np.nan, dtype=np.float32))
            is_onset = scores.onset_seconds is None and sequence.truth.knows_when
            if is_onset and window_truth([truth], self.min_share, self.region).is_dynamic:
                scores.onset_seconds = frame.pts_seconds
            follows = frame.index == before + 1
            cells = {name: baseline.process(pixels, follows=follows) for name, baseline in running.items()}
            before = frame.index
            size = frame.pixels.shape[0], frame.pixels.shape[1]
            yield _Scored(Frame(pixels, frame.index, frame.pts_seconds), size, truth, cells)

    def _add(self, scores: SequenceScores, heatmap: Heatmap, history: Mapping[int, _Scored]) -> None:
        frames = [history[index] for index in range(heatmap.first_frame, heatmap.last_frame + 1)]
        truth = window_truth([frame.truth for frame in frames], self.min_share, self.region)
        scores.first_frames.append(heatmap.first_frame)
        scores.last_frames.append(heatmap.last_frame)
        scores.end_seconds.append(heatmap.end_seconds)
        scores.truths.append(truth.is_dynamic)
        self._add_method(scores.methods[MODEL], heatmap.probabilities, truth, self.threshold)
        for name in self.baselines:
            cells = np.max([frame.scores[name] for frame in frames], axis=0)
            self._add_method(scores.methods[name], cells, truth, THRESHOLDS[name])
        self._offer(scores.name, heatmap, truth, frames[-1])

    def _add_method(self, method: MethodScores, cells: Float32Array, truth: WindowTruth, threshold: float) -> None:
        hot = hot_cells(cells, threshold) & self.region
        known = truth.cells >= 0
        method.cells += BinaryScores.of(cells[known], truth.cells[known] == 1)
        method.probabilities.append(float(cells[self.region].max()))
        method.num_hot.append(int(hot.sum()))
        method.found.append(bool((hot & truth.not_static).any()))

    def _offer(self, name: str, heatmap: Heatmap, truth: WindowTruth, last: _Scored) -> None:
        if truth.is_dynamic is None:
            return
        probabilities = np.where(self.region, heatmap.probabilities, np.float32(0))
        if truth.is_dynamic:
            worst = self.missed
            error = missed_error(probabilities, self.threshold, truth, self.region)
        else:
            worst = self.false_alarms
            error = false_alarm_error(probabilities, self.threshold, self.region, self.false_cells)
        if worst.wants(error):
            shown = replace(heatmap, probabilities=probabilities)
            worst.offer(WorstWindow(name, error, shown, truth, last.frame.pixels, last.size))


def _chunks(frames: Iterator[_Scored]) -> Iterator[list[_Scored]]:
    while chunk := list(islice(frames, FRAMES_PER_CALL)):
        yield chunk
