import logging
from dataclasses import replace

import numpy as np
import pytest

from convlstm.toolkits.data_warnings import ListedSequence, warn_of_data
from convlstm.toolkits.sequence_facts import SequenceFacts

pytestmark = pytest.mark.pure


def listed(number: int, kind: str, group: str = "") -> ListedSequence:
    rows = np.random.RandomState(number).normal(0, 1 / 32, (4, 1024))
    facts = SequenceFacts(40, 64, 96, "png", 1.0, 25.0, None, rows.astype(np.float16))
    return ListedSequence(f"{kind}/{number}", kind, group or str(number), facts)


def said(sequences: list[ListedSequence], caplog: pytest.LogCaptureFixture, *, compare: bool = True) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="convlstm"):
        warn_of_data(sequences, compare=compare)
    return caplog.messages


def test_a_fair_data_set_is_passed_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    assert said([listed(n, kind) for n, kind in enumerate(["static", "dynamic"] * 6)], caplog) == []


def test_a_group_that_holds_most_is_named(caplog: pytest.LogCaptureFixture) -> None:
    sequences = [listed(n, "static", "one" if n < 3 else "") for n in range(5)]
    [line] = said(sequences, caplog)
    assert line.startswith("group one holds 3 of 5 sequences") and "--group_regex" in line
    assert said(sequences[1:], caplog) == []


def test_near_copies_are_named_up_to_a_limit_and_only_where_asked(caplog: pytest.LogCaptureFixture) -> None:
    first, other = listed(0, "static", "a"), listed(1, "dynamic", "b")
    copy = replace(other, facts=first.facts)
    [line] = said([first, copy], caplog)
    assert line.startswith("near-identical, but in groups a and b: static/0 and dynamic/1")
    assert said([first, copy], caplog, compare=False) == []
    lines = said([replace(first, group=str(n)) for n in range(10)], caplog)
    assert len(lines) == 21 and lines[-1] == "and 25 more near-identical pairs"


def test_shortcuts_are_named(caplog: pytest.LogCaptureFixture) -> None:
    sequences = [listed(n, kind) for n, kind in enumerate(["static", "dynamic"] * 6)]
    odd = [
        replace(sequence, facts=replace(sequence.facts, width=200)) if sequence.kind == "static" else sequence
        for sequence in sequences
    ]
    [line] = said(odd, caplog)
    assert "resolution alone tells the classes apart" in line and "static 200x64 (6 of 6)" in line
