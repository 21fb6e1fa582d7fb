"""The stream of frames: every frame once, in an order that needs no record of earlier frames."""

import pytest

from dreamduck.common.errors import RecordError, TrainingError
from dreamduck.recordings import Recordings, reread, scan, write_episode
from dreamduck.world_model.vae import frame_stream
from dreamduck.world_model.vae.frame_stream import FrameStream, data_fingerprint, sample_frames
from tests.recordings.helpers import episode


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Recordings:
    """Episodes whose frames each carry their own number."""
    folder, number = tmp_path_factory.mktemp("records"), 0
    for seed, length in enumerate([9, 4, 17, 1, 12, 8, 20, 6]):
        made = episode(length, seed)
        for frame in made.obs:
            frame[0, 0] = (number // 256, number % 256, 0)
            number += 1
        write_episode(folder / f"{seed}.npz", made)
    return scan(folder)


def numbers(batches) -> list[list[int]]:
    return [[int(f[0, 0, 0]) * 256 + int(f[0, 0, 1]) for f in batch] for batch in batches]


def flat(batches) -> list[int]:
    return [number for batch in numbers(batches) for number in batch]


@pytest.mark.parametrize("buffer_frames", [1, 15, 40, 1000])
def test_every_frame_comes_once_an_epoch_in_a_new_order(recordings, buffer_frames):
    stream = FrameStream(recordings, 7, seed=0, buffer_frames=buffer_frames)
    assert (stream.frames, stream.steps_per_epoch) == (77, 11)
    first, second = (flat(stream.batches(epoch)) for epoch in (0, 1))
    assert sorted(first) == sorted(second) == list(range(77))
    assert first != second
    assert first != sorted(first)


def test_a_last_batch_that_is_not_full_is_left_out(recordings):
    stream = FrameStream(recordings, 10, seed=0, buffer_frames=25)
    batches = numbers(stream.batches(0))
    assert [len(batch) for batch in batches] == [10] * 7
    assert len(set(flat(stream.batches(0)))) == 70


@pytest.mark.parametrize("buffer_frames", [1, 25, 1000])
def test_an_epoch_continues_from_any_step(recordings, buffer_frames):
    stream = FrameStream(recordings, 5, seed=3, buffer_frames=buffer_frames)
    whole = numbers(stream.batches(2))
    for start in range(stream.steps_per_epoch):
        assert numbers(FrameStream(recordings, 5, 3, buffer_frames).batches(2, start)) == whole[start:]


def test_the_seed_decides_the_order(recordings):
    orders = {str(numbers(FrameStream(recordings, 7, seed, 30).batches(0))) for seed in (0, 0, 1, 2)}
    assert len(orders) == 3


def test_no_more_than_two_buffers_are_held(recordings, monkeypatch):
    stream = FrameStream(recordings, 5, seed=0, buffer_frames=25)
    assert all(recordings.lengths[group].sum() <= 25 + 20 for group in stream._groups(0))
    read = []

    def reader(path, length):
        read.append(path)
        return reread(path, length)

    monkeypatch.setattr(frame_stream, "reread", reader)
    batches = stream.batches(0)
    next(batches)
    del batches  # the reader has finished by then
    assert len(read) <= sum(len(group) for group in stream._groups(0)[:2])


def test_the_error_of_too_few_frames_names_the_remedy(recordings):
    with pytest.raises(TrainingError, match=r"at least 78 frames.*got 77.*--batch-size"):
        FrameStream(recordings, 78, seed=0)


def test_a_file_that_vanishes_is_named(recordings, tmp_path):
    for path in recordings.paths:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    copied = scan(tmp_path)
    stream = FrameStream(copied, 5, seed=0)
    copied.paths[3].unlink()
    with pytest.raises(RecordError, match=r"3\.npz: no such file"):
        next(stream.batches(0))
    write_episode(copied.paths[3], episode(2))
    with pytest.raises(RecordError, match=r"3\.npz: 2 frames, 1 when"):
        next(stream.batches(0))


def test_samples_are_even_and_always_the_same(recordings):
    some = sample_frames(recordings, 11)
    assert some.shape == (11, 64, 64, 3)
    assert numbers([some]) == numbers([sample_frames(recordings, 11)])
    assert numbers([sample_frames(recordings, 500)])[0] == list(range(77))


def test_the_fingerprint_changes_with_the_data(recordings):
    whole = data_fingerprint(recordings)
    assert whole == data_fingerprint(recordings)
    assert whole != data_fingerprint(recordings.chosen(range(7)))
