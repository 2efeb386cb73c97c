import math
from collections.abc import Sequence

import numpy as np
import pytest

from convlstm.evaluation.bootstrap import Estimate
from convlstm.evaluation.comparison import METRICS, Comparison, Metric
from convlstm.evaluation.metrics import BinaryScores
from convlstm.evaluation.scoring import MODEL, MethodScores, SequenceScores

pytestmark = pytest.mark.pure

NAN = math.nan


def sequence(
    name: str,
    windows: Sequence[tuple[float, bool | None, int, bool]],
    *,
    kind: str = "",
    group: str = "",
    cells: BinaryScores | None = None,
    onset: float | None = None,
    is_dynamic: bool | None = None,
    knn: Sequence[tuple[float, int, bool]] = (),
) -> SequenceScores:
    """One with windows (probability, truth, hot cells, found), each a second long; `knn` without the truth."""
    model = MethodScores(
        cells or BinaryScores(), [w[0] for w in windows], [w[2] for w in windows], [w[3] for w in windows]
    )
    methods = {MODEL: model}
    if knn:
        methods["knn"] = MethodScores(BinaryScores(), [w[0] for w in knn], [w[1] for w in knn], [w[2] for w in knn])
    truths = [w[1] for w in windows]
    return SequenceScores(
        name,
        kind,
        group or name,
        is_dynamic if is_dynamic is not None else True in truths,
        methods,
        first_frames=[25 * i for i in range(len(windows))],
        last_frames=[25 * i + 24 for i in range(len(windows))],
        end_seconds=[i + 1.0 for i in range(len(windows))],
        truths=truths,
        onset_seconds=onset,
    )


def compare(sequences: Sequence[SequenceScores], *, false_cells: int = 3) -> Comparison:
    return Comparison(sequences, threshold=0.5, at_recall=0.75, false_cells=false_cells, num_resamples=200)


def random_sequences(count: int = 6) -> list[SequenceScores]:
    generator = np.random.RandomState(0)
    made = []
    for number in range(count):
        is_dynamic = bool(number % 2)
        truth = generator.rand(80) < 0.3 * is_dynamic
        cells = BinaryScores.of(np.clip(0.3 * truth + 0.6 * generator.rand(80), 0, 1), truth)
        windows = [(float(p), is_dynamic, int(5 * p), bool(p > 0.5)) for p in generator.rand(7)]
        made.append(sequence(f"s{number}", windows, cells=cells, onset=0.5 if is_dynamic else None))
    return made


def test_figures_are_those_of_all_scores_together() -> None:
    sequences = random_sequences()
    found = compare(sequences).estimates[MODEL]
    cells = BinaryScores(
        np.sum([s.methods[MODEL].cells.positives for s in sequences], axis=0),
        np.sum([s.methods[MODEL].cells.negatives for s in sequences], axis=0),
    )
    truths = [truth is True for s in sequences for truth in s.truths]
    windows = BinaryScores.of([p for s in sequences for p in s.methods[MODEL].probabilities], truths)
    highest = BinaryScores.of(
        [max(s.methods[MODEL].probabilities) for s in sequences], [bool(s.is_dynamic) for s in sequences]
    )
    expected = {
        "cell_ap": cells.average_precision(),
        "cell_auc": cells.auc(),
        "cell_f1": cells.f1(0.5),
        "cell_iou": cells.iou(0.5),
        "cell_precision_at_recall": cells.precision_at_recall(0.75),
        "cell_ece": cells.calibration_error(),
        "cell_recall": cells.confusion(0.5)[1, 1] / cells.num_positives,
        "cell_false_positive_rate": cells.confusion(0.5)[0, 1] / cells.num_negatives,
        "window_ap": windows.average_precision(),
        "window_auc": windows.auc(),
        "window_f1": windows.f1(0.5),
        "window_precision_at_recall": windows.precision_at_recall(0.75),
        "sequence_ap": highest.average_precision(),
        "sequence_auc": highest.auc(),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert list(found) == list(METRICS)
    for name in expected:
        assert found[name].has_interval and found[name].low < found[name].high, name


def test_false_and_found_windows() -> None:
    still = sequence("still", [(0.9, False, 3, False), (0.9, False, 2, False), (0.1, False, 0, False)], kind="rain")
    calm = sequence("calm", [(0.1, False, 0, False)], kind="night")
    fire = sequence(
        "fire", [(0.9, True, 1, True), (0.9, True, 5, False), (0.9, None, 9, True), (0.9, False, 9, True)], kind="fire"
    )
    comparison = compare([still, calm, fire])
    found = comparison.estimates[MODEL]
    assert found["false_windows"].value == 2 / 5 and found["found_windows"].value == 1 / 2
    kinds = comparison.by_kind
    assert list(kinds) == ["fire", "night", "rain"]
    assert [(kinds[k].num_static, kinds[k].num_dynamic) for k in kinds] == [(1, 2), (1, 0), (3, 0)]
    assert [kinds[k].shares[MODEL]["false_windows"].value for k in kinds] == [1, 0, 1 / 3]
    assert not kinds["rain"].shares[MODEL]["false_windows"].has_interval
    assert math.isnan(kinds["rain"].shares[MODEL]["found_windows"].value)
    assert compare([still, calm, fire], false_cells=2).estimates[MODEL]["false_windows"].value == 3 / 5
    assert comparison.is_false(fire.methods[MODEL], fire, 3) and not comparison.is_false(fire.methods[MODEL], fire, 2)


def test_kinds_of_several_sequences_have_intervals() -> None:
    rain = [sequence(f"r{i}", [(0.9, False, 9 * (i % 2), False)] * 3, kind="rain") for i in range(6)]
    figures = compare([*rain, sequence("x", [(0.9, True, 1, True)])]).by_kind
    assert list(figures) == ["(no kind)", "rain"]
    share = figures["rain"].shares[MODEL]["false_windows"]
    assert share.value == 0.5 and share.low < 0.5 < share.high


def test_cells_of_a_kind_are_counted_at_its_threshold() -> None:
    cells = BinaryScores.of([0.9, 0.4, 0.6, 0.7, 0.1, 0.2], [True, True, True, False, False, False])
    fires = [sequence(f"f{i}", [(0.9, True, 1, True)], kind="fire", cells=cells) for i in range(3)]
    calm = sequence("calm", [(0.9, False, 1, False)], kind="rain", cells=BinaryScores.of([0.9, 0.1], [False, False]))
    kinds = compare([*fires, calm]).by_kind
    assert kinds["fire"].shares[MODEL]["cell_recall"].value == pytest.approx(2 / 3)
    assert kinds["fire"].shares[MODEL]["cell_false_positive_rate"].value == pytest.approx(1 / 3)
    assert kinds["rain"].shares[MODEL]["cell_false_positive_rate"].value == 1 / 2
    assert math.isnan(kinds["rain"].shares[MODEL]["cell_recall"].value)


def test_delay_runs_from_the_onset_to_the_end_of_the_first_window_found() -> None:
    first = sequence("a", [(0.9, True, 1, True)], onset=0.25)
    later = sequence("b", [(0.9, False, 1, True), (0.9, True, 1, False), (0.9, True, 1, True)], onset=1.5)
    never = sequence("c", [(0.1, True, 0, False)], onset=0.0)
    unknown = sequence("d", [(0.1, True, 0, False)])
    calm = sequence("e", [(0.1, False, 0, False)])
    found = compare([first, later, never, unknown, calm]).estimates[MODEL]
    assert found["seconds_to_detection"].value == 1.5
    assert found["seconds_to_detection"].low == 0.75 and found["seconds_to_detection"].high == math.inf
    assert found["never_detected"].value == pytest.approx(1 / 3)
    assert compare([first, never, never]).estimates[MODEL]["seconds_to_detection"].value == math.inf
    assert math.isnan(compare([unknown, calm]).estimates[MODEL]["seconds_to_detection"].value)


def test_baselines_have_their_own_thresholds_and_no_calibration() -> None:
    fire = sequence("a", [(0.9, True, 1, True)], knn=[(0.03, 4, True)])
    calm = sequence("b", [(0.1, False, 0, False)], knn=[(0.01, 0, False)])
    comparison = compare([fire, calm])
    assert comparison.methods == [MODEL, "knn"] and comparison.thresholds == {MODEL: 0.5, "knn": 0.02}
    assert comparison.estimates["knn"]["window_f1"].value == 1
    cells = BinaryScores.of([0.015, 0.03, 0.5], [True, True, False])
    for item in (fire, calm):
        item.methods["knn"].cells = cells
        item.methods[MODEL].cells = cells
    found = compare([fire, calm]).estimates
    assert found["knn"]["cell_f1"].value == pytest.approx(cells.f1(0.02)) == 0.5
    assert math.isnan(found["knn"]["cell_ece"].value) and found[MODEL]["cell_ece"].value > 0


def test_one_kind_of_truth_leaves_figures_undefined_and_says_so() -> None:
    comparison = compare([sequence("a", [(0.1, False, 0, False)], cells=BinaryScores.of([0.1], [False]))])
    found = comparison.estimates[MODEL]
    defined = [name for name in METRICS if not math.isnan(found[name].value)]
    assert defined == ["cell_false_positive_rate", "false_windows"]
    assert comparison.notes() == [
        "one sequence or group only: intervals are undefined, since they come from resampling those",
        "the truth per cell holds nothing dynamic: figures per cell that need both are undefined",
        "no dynamic window: what is said of both kinds is undefined per window",
    ]


def test_notes_on_what_is_unknown() -> None:
    windows = [(0.9, None, 0, False), (0.9, True, 0, False), (0.1, True, 0, False)]
    notes = compare([sequence("a", windows), sequence("b", windows)]).notes()
    assert notes == [
        "no truth per cell: figures per cell are undefined",
        "2 of 6 windows have no clear truth and count in no figure per window",
        "no static window: what is said of both kinds is undefined per window",
    ]
    assert compare(random_sequences()).notes() == []


def test_sequences_of_a_group_count_as_one() -> None:
    together = [sequence(f"s{i}", [(0.9, False, 9 * (i % 2), False)], group="video") for i in range(4)]
    comparison = compare(together)
    assert comparison.num_groups == 1 and not comparison.estimates[MODEL]["false_windows"].has_interval
    apart = compare([sequence(f"s{i}", [(0.9, False, 9 * (i % 2), False)]) for i in range(4)])
    assert apart.num_groups == 4 and apart.estimates[MODEL]["false_windows"].has_interval


def test_sequences_of_unknown_class_or_without_windows_are_left_out() -> None:
    known = [sequence("a", [(0.9, True, 1, True)]), sequence("b", [(0.2, False, 0, False)])]
    unknown = sequence("c", [(0.1, None, 0, False)])
    unknown.is_dynamic = None
    comparison = compare([*known, unknown, sequence("d", [])])
    assert comparison.estimates[MODEL]["sequence_auc"].value == 1
    assert (len(comparison.sequences), comparison.num_windows) == (3, 3)


@pytest.mark.parametrize(
    ("metric", "estimate", "text"),
    [
        (Metric("a"), Estimate(0.12345, 0.1, 0.2), "0.123 (0.100-0.200)"),
        (Metric("a", unit="%"), Estimate(0.12345, 0.1, 0.2), "12.3 % (10.0-20.0)"),
        (Metric("a", unit="s"), Estimate(1.234, 0.5, math.inf), "1.23 s (0.50-never)"),
        (Metric("a", unit="s"), Estimate(math.inf, 1.0, math.inf), "never (1.00-never)"),
        (Metric("a"), Estimate(0.5), "0.500"),
        (Metric("a"), Estimate(NAN), "-"),
    ],
)
def test_figures_in_words(metric: Metric, estimate: Estimate, text: str) -> None:
    assert metric.text(estimate) == text
