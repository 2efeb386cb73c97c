import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convlstm.evaluation.comparison import Comparison
from convlstm.evaluation.metrics import BinaryScores
from convlstm.evaluation.scoring import MODEL, MethodScores, SequenceScores
from convlstm.evaluation.truth import WindowTruth
from convlstm.evaluation.worst import WorstWindow
from convlstm.report import eval_report
from convlstm.report.eval_report import _figures, _gallery, _tables, summary_line, write_eval_report
from convlstm.types import Heatmap


def sequence(name: str, truth: bool, seed: int, kind: str = "rain") -> SequenceScores:
    generator = np.random.RandomState(seed)
    cells = BinaryScores.of(generator.rand(40), generator.rand(40) < 0.4) if truth else BinaryScores.of([0.2], [False])
    value = 0.9 if truth else 0.3
    model = MethodScores(cells, [value, value], [4 * truth, 4 * truth], [truth, truth])
    knn = MethodScores(cells, [0.5, 0.0], [4, 0], [truth, False])
    return SequenceScores(
        name,
        kind,
        name,
        truth,
        {MODEL: model, "knn": knn},
        [0, 3],
        [9, 12],
        [0.4, 0.5],
        [truth] * 2,
        0.0 if truth else None,
    )


@pytest.fixture
def comparison() -> Comparison:
    sequences = [sequence(f"s{i}", bool(i % 2), i) for i in range(6)]
    return Comparison(sequences, threshold=0.5, at_recall=0.9, false_cells=3, num_resamples=50)


def window(error: float, name: str = "s0", *, is_dynamic: bool = False) -> WorstWindow:
    heatmap = Heatmap(np.array([[0.9, 0.1], [0.2, 0.7]], dtype=np.float32), 3, 12, 0.0, 0.4)
    truth = WindowTruth(np.array([[0, 0], [0, int(is_dynamic)]], dtype=np.int8), is_dynamic)
    pixels = np.full((64, 64, 3), 90, dtype=np.uint8)
    return WorstWindow(name, error, heatmap, truth, pixels, (90, 160))


def test_the_report_holds_everything_and_names_do_no_harm(comparison: Comparison, tmp_path: Path) -> None:
    write_eval_report(
        tmp_path / "report.html",
        comparison,
        subtitle="best.pth on <data>",
        notes=["a <note>"],
        false_alarms=[window(2.0)],
        missed=[window(1.5, "s1", is_dynamic=True)],
        settings={"stride": "3"},
    )
    page = (tmp_path / "report.html").read_text()
    assert "best.pth on &lt;data&gt;" in page and "a &lt;note&gt;" in page
    assert page.count("data:image/png") == 7
    assert re.findall(r'class="badge">([^<]*)<', page) == ["false alarm", "missed"]
    assert "<h2>Model and baselines</h2>" in page and "<h2>By kind</h2>" in page


def test_the_best_figure_of_a_row_stands_out(comparison: Comparison) -> None:
    table, kinds = _tables(comparison)
    assert table.header == ["", "model", "KNN"]
    assert kinds.header[-3:] == ["found: model", "cells found: model", "cells false: model"]
    rows = {row[0]: number for number, row in enumerate(table.rows)}
    strong = {(row, column) for row, column in table.strong}
    assert (rows["windows: area under ROC"], 1) in strong and (rows["windows: area under ROC"], 2) not in strong
    assert (rows["static windows called dynamic"], 1) in strong
    assert (rows["cells: calibration error"], 1) not in strong  # nothing to compare with
    assert "cells: precision at recall 0.9" in rows
    assert table.rows[rows["windows: area under ROC"]][1].startswith("1.000 (")
    assert "model 0.5, KNN 0.02" in table.caption and "resampling 6 sequences" in table.caption
    assert kinds.header[:4] == ["kind", "static windows", "false: model", "false: KNN"]
    assert kinds.rows[0][:2] == ["rain", "6"] and kinds.rows[0][2].startswith("0.0 %")


def test_undefined_rows_and_kinds_are_left_out() -> None:
    alone = Comparison([sequence("s", False, 0, kind="")], threshold=0.5, at_recall=0.9, false_cells=3, num_resamples=9)
    (table,) = _tables(alone)
    assert [row[0] for row in table.rows] == ["static cells called dynamic", "static windows called dynamic"]
    assert "intervals" not in table.caption
    assert [figure.title for figure in _figures(alone)] == ["Precision and recall", "ROC", "Reliability", "Histogram"]
    assert summary_line(alone) == "static windows called dynamic 0.0 %"


def test_figures_are_of_cells_or_else_of_windows(comparison: Comparison) -> None:
    assert [figure.title for figure in _figures(comparison)][-1] == "False windows by kind"
    assert _figures(comparison)[0].caption.startswith("Of cells")
    for item in comparison.sequences:
        for method in item.methods.values():
            method.cells = BinaryScores()
    assert _figures(comparison)[0].caption.startswith("Of windows")


def test_the_summary_is_one_line_of_key_figures(comparison: Comparison) -> None:
    line = summary_line(comparison)
    assert "\n" not in line
    assert line.startswith("cells: average precision 0.") and "dynamic windows found 100.0 % (100.0-100.0)" in line


def test_pictures_have_the_shape_of_the_source_and_say_what_they_show(comparison: Comparison) -> None:
    (item,) = _gallery(comparison, [window(2.0)], [])
    with Image.open(io.BytesIO(item.png)) as image:
        assert image.size == (2 * 420, 236)
    assert item.caption == "s0 (rain), frames 3-12: nothing moves; highest probability 0.900, 2 hot cells"
    (missed,) = _gallery(comparison, [], [window(1.2, "s1", is_dynamic=True)])
    assert missed.caption.startswith("s1 (rain), frames 3-12: something moves") and missed.badge == "missed"
    assert missed.png != item.png


def test_near_misses_show_only_where_there_is_no_mistake(comparison: Comparison) -> None:
    near = [window(0.9 - i / 10) for i in range(4)]
    items = _gallery(comparison, near, [window(1.5), *near])
    assert [item.badge for item in items] == ["", "", "missed"]
    assert [item.is_mistake for item in items] == [False, False, True]


def test_many_notes_are_cut(comparison: Comparison, tmp_path: Path) -> None:
    notes = [f"left out: {number}" for number in range(100)]
    write_eval_report(
        tmp_path / "r.html", comparison, subtitle="", notes=notes, false_alarms=[], missed=[], settings={}
    )
    page = (tmp_path / "r.html").read_text()
    assert page.count("<li>") == eval_report._MAX_NOTES + 1 and "and 70 more" in page
