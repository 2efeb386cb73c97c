"""What validation may change in a checkpoint: the scale of its probabilities, and the threshold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from convlstm.errors import DataError
from convlstm.evaluation.calibration import Calibration, fit_calibration
from convlstm.evaluation.metrics import BinaryScores
from convlstm.models.checkpoint import Checkpoint


@dataclass(frozen=True, repr=False)
class Tuning:
    """A tuned checkpoint, and what was found, by the names that its metrics hold."""

    checkpoint: Checkpoint
    found: Mapping[str, float]

    def describe(self) -> list[str]:
        """In plain words, a line for each change."""
        found, lines = self.found, []
        if "temperature" in found:
            lines.append(
                f"calibrated: temperature {found['temperature']:.3f}, offset {found['offset']:+.3f}, "
                f"calibration error {found['ece_before']:.4f} before, {found['ece_after']:.4f} after; "
                f"threshold {self.checkpoint.threshold:.4f}"
            )
        if "threshold_recall" in found:
            lines.append(
                f"threshold {self.checkpoint.threshold:.4f} finds {found['threshold_recall']:.1%} of what is dynamic, "
                f"with precision {found['threshold_precision']:.3f}"
            )
        return lines


def tune(
    checkpoint: Checkpoint,
    cells: BinaryScores,
    windows: BinaryScores,
    *,
    recall: float | None = None,
    calibrate: bool = False,
) -> Tuning:
    """A copy of the checkpoint, tuned on scores of validation.

    With `calibrate`, probabilities mean what they say; exact for two classes, while for more only the temperature is
    fitted, as if the others were one class, and the error after it is an estimate. The threshold keeps its number,
    since 0.5 means one half now, unless it was chosen for a recall: then it moves along. With `recall`, it becomes the
    highest that finds this share of the dynamic cells, or of the windows where no truth per cell is there. Raises
    DataError where the scores do not tell.
    """
    found: dict[str, float] = {}
    calibration = Calibration(1.0, 0.0)
    weights, threshold = dict(checkpoint.weights), checkpoint.threshold
    if calibrate:
        calibration = fit_calibration(cells, with_offset=len(checkpoint.model.classes) == 2)
        weights = calibration.fold(checkpoint.weights)
        if "threshold_recall" in (checkpoint.metrics or {}):
            threshold = calibration.threshold(threshold)
        found |= {"temperature": calibration.temperature, "offset": calibration.offset}
        found |= {"ece_before": cells.calibration_error(), "ece_after": calibration.apply(cells).calibration_error()}
    if recall is not None:
        scores = cells if cells.num_positives else windows
        chosen = _chosen_threshold(scores, recall)
        threshold = calibration.threshold(chosen)
        found |= {"threshold_recall": recall, "threshold_precision": scores.precision_at_recall(recall)}
    tuned = replace(
        checkpoint,
        weights=weights,
        threshold=threshold,
        metrics={**(checkpoint.metrics or {}), **found},
        training=None,
    )
    return Tuning(tuned, found)


def _chosen_threshold(scores: BinaryScores, recall: float) -> float:
    threshold = scores.threshold_at_recall(recall)
    if math.isnan(threshold):
        raise DataError("nothing in the validation data is dynamic: no threshold can be chosen")
    if not threshold:
        raise DataError(f"no threshold finds {recall:.1%} of what is dynamic: lower recall, or train the model longer")
    return threshold
