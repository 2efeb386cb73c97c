"""The figures of an evaluation for other programs: metrics.json and windows.csv."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convlstm.atomic import atomic_write_text
from convlstm.evaluation.bootstrap import CONFIDENCE, Estimate
from convlstm.evaluation.comparison import Comparison
from convlstm.evaluation.scoring import SequenceScores
from convlstm.report.results import csv_text

WINDOW_COLUMNS = (
    "sequence",
    "kind",
    "first_frame",
    "last_frame",
    "truth",
    "method",
    "probability",
    "hot_cells",
    "false",
)


def write_metrics(path: Path, comparison: Comparison, facts: Mapping[str, Any]) -> None:
    """Every figure as value, low and high; null where undefined, "never" for a time that does not come.

    `facts` say what was evaluated.
    """
    content = {
        **facts,
        "num_sequences": len(comparison.sequences),
        "num_groups": comparison.num_groups,
        "num_windows": comparison.num_windows,
        "at_recall": comparison.at_recall,
        "false_cells": comparison.false_cells,
        "confidence": CONFIDENCE,
        "methods": {
            method: {
                "threshold": comparison.thresholds[method],
                **{name: _estimate(item) for name, item in estimates.items()},
                "by_kind": {
                    kind: {
                        "num_static": figures.num_static,
                        "num_dynamic": figures.num_dynamic,
                        **{name: _estimate(item) for name, item in figures.shares[method].items()},
                    }
                    for kind, figures in comparison.by_kind.items()
                },
            }
            for method, estimates in comparison.estimates.items()
        },
    }
    atomic_write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_windows(path: Path, comparison: Comparison) -> None:
    """A row per window and method; `false` is 1 where nothing moves, but the method says so."""
    rows = [
        [
            sequence.name,
            sequence.kind,
            sequence.first_frames[window],
            sequence.last_frames[window],
            _truth(sequence, window),
            method,
            round(scores.probabilities[window], 6),
            scores.num_hot[window],
            int(comparison.is_false(scores, sequence, window)),
        ]
        for sequence in comparison.sequences
        for window in range(len(sequence))
        for method, scores in sequence.methods.items()
    ]
    atomic_write_text(path, csv_text(WINDOW_COLUMNS, rows))


def _truth(sequence: SequenceScores, window: int) -> str:
    return {True: "dynamic", False: "static", None: "unknown"}[sequence.truths[window]]


def _estimate(estimate: Estimate) -> dict[str, float | str | None]:
    return {"value": _plain(estimate.value), "low": _plain(estimate.low), "high": _plain(estimate.high)}


def _plain(value: float) -> float | str | None:
    if math.isinf(value):
        return "never"
    return None if math.isnan(value) else round(value, 6)
