import numpy as np
import pyarrow as pa
import pytest

from vgglib.data import shards

BESIDE = ["label", "height", "width", "rgb_sum", "rgb_products"]
SKIPPED = [("odd.JPEG", "it is no image")]


def row(number, data):
    return f"{number}.JPEG", number % 2, 3, 4, data, np.arange(3.0) + number, np.arange(6.0) + number


def contents(path):
    """What a reader of a pack takes from a shard: where each JPEG is, and the columns beside it."""
    with shards.mapped(path) as (reader, start):
        found = [shards.left_out(reader)]
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            places = zip(*(part.tolist() for part in shards.places(batch, start)), strict=True)
            found.append(
                (list(places), batch.select(["label", "height", "width", "rgb_sum", "rgb_products"]).to_pylist())
            )
    return found


def test_images_are_found_by_their_places(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "IMAGES_PER_BATCH", 2)
    path, images = tmp_path / "a.arrow", [b"first", b"", b"the third"]
    shards.write(path, [row(number, data) for number, data in enumerate(images)], SKIPPED)
    left_out, *batches = contents(path)
    whole = path.read_bytes()
    assert [whole[begin : begin + length] for places, _ in batches for begin, length in places] == images
    assert [len(places) for places, _ in batches] == [2, 1] and left_out == SKIPPED
    last = batches[1][1][0]
    assert (last["label"], last["height"], last["rgb_sum"]) == (0, 3, [2, 3, 4])


@pytest.mark.parametrize("damage", [0, 255])
def test_wherever_a_shard_is_damaged_it_is_read_or_named(tmp_path, damage):
    path = tmp_path / "a.arrow"
    shards.write(path, [row(number, b"jpeg" * 50) for number in range(3)], SKIPPED)
    whole, named = path.read_bytes(), 0
    for first in range(0, len(whole), 16):
        changed = bytearray(whole)
        changed[first : first + 16] = bytes([damage]) * len(changed[first : first + 16])
        path.write_bytes(changed)
        try:
            contents(path)
        except ValueError as error:
            assert str(error).startswith(f"{path} is damaged (")
            named += 1
    assert 10 < named < len(whole) / 16  # what lies in images or numbers does not show


def test_other_arrow_files_are_refused(tmp_path):
    path = tmp_path / "a.arrow"
    with path.open("wb") as file, pa.ipc.new_file(file, pa.schema({"label": pa.int32()})):
        pass
    with pytest.raises(ValueError, match=r"a\.arrow is damaged \(its columns are not a shard's\): delete it and pack"):
        contents(path)
