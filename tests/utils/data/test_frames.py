from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convlstm.clips import resize_frame
from convlstm.config import TrainConfig
from convlstm.errors import DataError
from convlstm.sources.folder import FolderSource
from convlstm.utils.data.frames import FrameDecoder, read_shares
from convlstm.utils.data.manifest import ManifestRow
from convlstm.utils.data.sequences import LabelledSequence, open_sequences

Pixels = NDArray[np.uint8]
WriteFolder = Callable[..., Path]
MakeFrames = Callable[..., list[Pixels]]

SIZE = (32, 64)


def opened(root: Path, *names: str) -> list[LabelledSequence]:
    config = TrainConfig(data_root=root, seq_length=1, target_size=SIZE)
    sequences, left_out = open_sequences([ManifestRow(n, "dynamic", n, None, None, 2) for n in names], config)
    assert not left_out
    return sequences


def read(decoder: FrameDecoder, sequence: int, span: range) -> tuple[Pixels, NDArray[np.float16], dict[int, str]]:
    """What comes out, in arrays that held something else before."""
    frames = np.full((len(span), *SIZE, 3), 77, dtype=np.uint8)
    shares = np.full((len(span), 4, 8), 7, dtype=np.float16)
    return frames, shares, decoder.read(sequence, span, frames, shares)


def write_masks(folder: Path, masks: list[Pixels]) -> None:
    folder.mkdir()
    for index, mask in enumerate(masks):
        Image.fromarray(mask).save(folder / f"frame_{index:06d}.png")


def test_frames_come_resized_by_sequence_and_index(
    tmp_path: Path, write_folder: WriteFolder, make_frames: MakeFrames
) -> None:
    frames = make_frames(9, 48, 80)
    write_folder(tmp_path / "a", frames[:2])
    write_folder(tmp_path / "b", frames[2:], [f"f_{number}.png" for number in (1, 2, 3, 5, 6, 7, 8)])  # indices from 0
    decoder = FrameDecoder(opened(tmp_path, "a", "b"), SIZE)
    for sequence, span, expected in ((0, range(2), [0, 1]), (1, range(1, 3), [3, 4]), (1, range(5, 8), [6, 7, 8])):
        pixels, shares, unreadable = read(decoder, sequence, span)
        np.testing.assert_array_equal(pixels, [resize_frame(frames[index], SIZE) for index in expected])
        assert np.isnan(shares).all() and unreadable == {}


def test_videos_are_decoded_too(tmp_path: Path, make_frames: MakeFrames, write_video: Callable[..., Path]) -> None:
    frames = make_frames(8, *SIZE)
    write_video(tmp_path / "v.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    pixels, shares, unreadable = read(FrameDecoder(opened(tmp_path, "v.mkv"), SIZE), 0, range(3, 7))
    np.testing.assert_array_equal(pixels, frames[3:7])
    assert np.isnan(shares).all() and unreadable == {}


def test_shares_are_dynamic_pixels_per_block_of_the_resized_frame(tmp_path: Path, write_folder: WriteFolder) -> None:
    """Masks twice as large as the frame: a block is 16x16 of their pixels; all that is not black counts alike."""
    masks = [np.zeros((64, 128), dtype=np.uint8) for _ in range(3)]
    masks[1][16:32, 48:64] = 255
    masks[1][0, 0] = 1
    masks[2][:, :] = 128
    write_masks(write_folder(tmp_path / "a", [np.zeros((*SIZE, 3), dtype=np.uint8)] * 3) / "masks", masks)
    (sequence,) = opened(tmp_path, "a")
    _, shares, _ = read(FrameDecoder([sequence], SIZE), 0, range(3))
    expected = np.zeros((3, 4, 8))
    expected[1, 1, 3], expected[1, 0, 0] = 1, 1 / 256
    expected[2] = 1
    np.testing.assert_array_equal(shares, expected)
    one = read_shares(sequence, 1, SIZE)
    assert isinstance(one, np.ndarray) and one.dtype == np.float16
    np.testing.assert_array_equal(one, expected[1])


def test_without_masks_nobody_knows(tmp_path: Path, write_folder: WriteFolder) -> None:
    write_folder(tmp_path / "a", [np.zeros((*SIZE, 3), dtype=np.uint8)])
    (sequence,) = opened(tmp_path, "a")
    assert np.isnan(read_shares(sequence, 0, SIZE))


def test_a_frame_or_mask_that_cannot_be_read_is_named_and_costs_itself(
    tmp_path: Path, write_folder: WriteFolder
) -> None:
    folder = write_folder(tmp_path / "a", [np.full((*SIZE, 3), 10 + index, dtype=np.uint8) for index in range(6)])
    write_masks(folder / "masks", [np.full(SIZE, 255, dtype=np.uint8)] * 6)
    (sequence,) = opened(tmp_path, "a")
    (folder / "frame_000001.png").write_bytes(b"")
    (folder / "frame_000003.png").unlink()
    (folder / "masks" / "frame_000004.png").write_bytes(b"x")
    decoder = FrameDecoder([sequence], SIZE)
    frames, shares, unreadable = read(decoder, 0, range(6))
    assert unreadable == {
        1: f"{folder}/frame_000001.png: empty file",
        3: f"{folder}/frame_000003.png: cannot be read: No such file or directory",
        4: f"{folder}/masks/frame_000004.png: not a readable image",
    }
    assert frames[:, 0, 0, 0].tolist() == [10, 0, 12, 0, 0, 15]
    assert (frames == frames[:, :1, :1, :1]).all()
    np.testing.assert_array_equal(np.isnan(shares).all(axis=(1, 2)), [False, True, False, True, True, False])
    assert (shares[[0, 2, 5]] == 1).all()
    assert read(decoder, 0, range(4, 6))[2].keys() == {4}
    with pytest.raises(DataError, match=r"masks/frame_000004\.png: not a readable image$"):
        read_shares(sequence, 4, SIZE)


def test_what_is_readable_is_decoded_once(
    tmp_path: Path, write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "a", [np.zeros((*SIZE, 3), dtype=np.uint8)] * 5)
    decoder = FrameDecoder(opened(tmp_path, "a"), SIZE)
    asked: list[list[int]] = []
    original = FolderSource.read

    def watched(source: FolderSource, indices: range) -> list[Pixels]:
        asked.append(list(indices))
        return original(source, indices)

    monkeypatch.setattr(FolderSource, "read", watched)
    read(decoder, 0, range(1, 5))
    assert asked == [[1, 2, 3, 4]]
