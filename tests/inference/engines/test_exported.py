"""A folder of graphs is taken as it was written, or not at all."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convlstm.config import ModelConfig
from convlstm.errors import CheckpointError
from convlstm.inference.engines.exported import (
    ENDINGS,
    GRAPHS,
    LARGEST_METADATA,
    METADATA,
    ExportedModel,
    load_exported,
    save_exported,
)

pytestmark = pytest.mark.pure


def make_exported(**changes: object) -> ExportedModel:
    exported = ExportedModel(
        format="onnx",
        int8=False,
        model=ModelConfig(stem="motion", lags=(1, 4)),
        seq_length=7,
        target_size=(64, 96),
        threshold=0.4,
        fps=12.5,
        checkpoint_digest="abc",
        parity={"32-true": 1e-7},
        metrics={"val_loss": 0.25},
        files={f"{name}.onnx": name.encode() * 9 for name in GRAPHS},
    )
    return replace(exported, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_what_was_written_is_read(tmp_path: Path, kind: str) -> None:
    files = {name + ending: f"{name}{ending}".encode() for name in GRAPHS for ending in ENDINGS[kind]}  # type: ignore[index]
    exported = make_exported(format=kind, int8=True, ap_loss=0.001, auto_precision="bf16-mixed", files=files)
    digest = save_exported(tmp_path / "new" / "folder", exported)
    found = load_exported(tmp_path / "new" / "folder")
    assert found == replace(exported, digest=digest) and len(digest) == 64
    assert found.graph("head") == tuple(f"head{ending}".encode() for ending in ENDINGS[kind])  # type: ignore[index]
    assert "onnx" in repr(load_exported(tmp_path / "new" / "folder")) or kind == "openvino"


def test_the_digest_stands_for_all_of_it(tmp_path: Path) -> None:
    digests = {
        save_exported(tmp_path / str(number), exported)
        for number, exported in enumerate(
            (
                make_exported(),
                make_exported(),
                make_exported(threshold=0.5),
                make_exported(auto_precision="bf16-mixed"),
                make_exported(files={f"{name}.onnx": b"x" for name in GRAPHS}),
            )
        )
    }
    assert len(digests) == 4


@settings(max_examples=settings().max_examples * 2)
@given(data=st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("export")
    save_exported(folder, make_exported())
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(folder))) as caught:
        load_exported(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [METADATA, "head.onnx"])
@pytest.mark.parametrize("how", ["missing", "empty", "longer", "folder"])
def test_a_damaged_folder(tmp_path: Path, name: str, how: str) -> None:
    save_exported(tmp_path, make_exported())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if how == "folder":
        (tmp_path / name).mkdir()
    elif how != "missing":
        (tmp_path / name).write_bytes(b"" if how == "empty" else content + b" ")
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))) as caught:
        load_exported(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not an export: it holds no metadata\.json"):
        load_exported(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"format": "other"}', "[" * 5000, " " * (LARGEST_METADATA + 1) + "{}"])
def test_foreign_metadata(tmp_path: Path, text: str) -> None:
    (tmp_path / METADATA).write_text(text)
    with pytest.raises(CheckpointError, match=r"metadata\.json: (not an export that this version|cannot be read)"):
        load_exported(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "../x"),
        ("files", {}),
        ("target_size", [63, 96]),
        ("threshold", 1.5),
        ("fps", 0),
        ("seq_length", 0),
        ("model", {"stem": "odd"}),
        ("parity", 3),
    ],
)
def test_well_sealed_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object) -> None:
    save_exported(tmp_path, make_exported())
    content = json.loads((tmp_path / METADATA).read_text())
    content[key] = value
    monkeypatch.setattr("convlstm.inference.engines.exported._digest_of", lambda content: "d")
    content["digest"] = "d"
    (tmp_path / METADATA).write_text(json.dumps(content, indent=1) + "\n")
    with pytest.raises(CheckpointError, match="incomplete or invalid: "):
        load_exported(tmp_path)
