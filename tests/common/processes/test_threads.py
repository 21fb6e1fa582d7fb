"""Slices of the work on several threads."""

import multiprocessing
import pickle
import threading

import pytest

from dreamduck.common.processes.threads import SlicePool


@pytest.mark.parametrize(("count", "slices"), [(10, 1), (10, 4), (3, 3), (7, 20), (0, 2)])
def test_slices_are_all_of_the_work_in_order(count, slices):
    pool = SlicePool(3)
    found = pool.run(lambda k, first, last: (k, range(first, last)), count, slices)
    assert [k for k, _ in found] == list(range(slices))
    assert [i for _, part in found for i in part] == list(range(count))
    pool.close()


def test_slices_inside_of_slices_end():
    pool = SlicePool(2)
    found = pool.run(lambda *_: pool.run(lambda k, *_: k, 4, 4), 4, 4)
    assert found == [[0, 1, 2, 3]] * 4
    pool.close()


def test_what_no_thread_has_begun_the_caller_takes():
    pool, begun, free = SlicePool(2), threading.Event(), threading.Event()
    assert pool.run(lambda k, *_: k, 2, 2) == [0, 1]

    def hold() -> bool:
        begun.set()
        return free.wait(20)

    assert pool._pool is not None
    busy = pool._pool[1].submit(hold)
    assert begun.wait(20)
    assert pool.run(lambda *_: threading.get_ident(), 3, 3) == [threading.get_ident()] * 3
    free.set()
    assert busy.result()
    pool.close()


def test_an_error_of_a_slice_is_raised():
    pool = SlicePool(2)
    with pytest.raises(ZeroDivisionError):
        pool.run(lambda k, *_: 1 // (1 - k), 2, 2)
    pool.close()


def slices_elsewhere(pool, queue):
    queue.put(pool.run(lambda k, *_: k, 3, 3))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_and_a_copy_start_threads_of_their_own():
    pool = SlicePool(3)
    assert pool.run(lambda k, *_: k, 3, 3) == [0, 1, 2]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=slices_elsewhere, args=(pool, queue))
    process.start()
    assert queue.get(timeout=20) == [0, 1, 2]
    process.join(20)
    assert process.exitcode == 0
    assert pickle.loads(pickle.dumps(pool)).run(lambda k, *_: k, 3, 3) == [0, 1, 2]
    pool.close()
