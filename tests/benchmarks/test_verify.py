"""The benchmark of verdicts: it counts what it says, with the real network on one scene of each sort."""

import json

import pytest

from benchmarks.verify import SCENES, main


@pytest.mark.slow
def test_right_verdicts_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--severity", "0", "--seeds", "1", "--nuisances", "shake"]) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads(lines[-1])
    assert (report["severity"], report["seeds"]) == (0.0, 1)
    assert list(report["right"]) == list(SCENES)
    for line, (scene, counts) in zip(lines, report["right"].items(), strict=False):
        assert list(counts) == ["shake"] and counts["shake"] in (0, 1)
        assert line.startswith(f"{scene}: {SCENES[scene]} in {counts['shake']} of 1 (shake ")
    assert report["right"]["photo pinned up"] == {"shake": 1}  # nothing moves before a good camera
