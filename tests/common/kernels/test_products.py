"""Products by one thread: right, and the same bits in any company."""

import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from dreamduck.common.kernels import products
from dreamduck.common.kernels.products import Product, in_blocks
from dreamduck.common.kernels.tile import NARROW, WIDE

SHAPES = [
    (1, 1, 1),
    (9, 200, 31),
    (41, 48, 32),
    (1, 578, 2048),
    (3, 7, 65),
    (4, 512, 963),
    (37, 49, 33),
    (196, 512, 64),
    (0, 5, 6),
]


def numbers(rows, inner, columns):
    random = np.random.default_rng(rows * inner + columns)
    x = random.standard_normal((rows, inner)).astype(np.float32)
    weights = random.standard_normal((inner, columns)).astype(np.float32)
    return x, weights, random.standard_normal(columns).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_as_numpy_multiplies(shape):
    x, weights, bias = numbers(*shape)
    exact = x.astype(np.float64) @ weights + bias
    np.testing.assert_allclose(Product(weights, bias)(x), exact, atol=2e-6 * shape[1] + 1e-6, rtol=1e-5)
    np.testing.assert_allclose(Product(weights)(x), exact - bias, atol=2e-6 * shape[1] + 1e-6, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_has_the_same_bits_in_any_batch(shape, monkeypatch):
    x, weights, bias = numbers(*shape)
    product = Product(weights, bias)
    whole = product(x)
    for row in range(len(x)):
        np.testing.assert_array_equal(product(x[row : row + 1])[0], whole[row])
    monkeypatch.setattr(products, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(products, "cores", lambda: 5)
    np.testing.assert_array_equal(product(x), whole)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(product))(x), whole)
    np.testing.assert_array_equal(product(np.asfortranarray(x)), whole)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_width_of_tiles_leaves_no_trace(shape, monkeypatch):
    x, weights, bias = numbers(*shape)
    found = []
    for widths in (NARROW, WIDE):
        monkeypatch.setattr(products, "WIDTHS", widths)
        found.append(Product(weights, bias)(x))
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize("rows", [0, 1, 7, 8, 37, 500])
def test_blocks_are_all_rows_in_order(rows, monkeypatch):
    monkeypatch.setattr(products, "WORK_PER_BLOCK", 100)
    monkeypatch.setattr(products, "cores", lambda: 3)
    blocks = in_blocks(lambda block: list(range(rows)[block]), rows, 10)
    assert [row for block in blocks for row in block] == list(range(rows))
    assert all(blocks) or not rows
    assert len(blocks) == (rows // 10 if rows >= 10 * products.BLOCKS else 1)


def test_products_in_blocks_are_not_spread(monkeypatch):
    monkeypatch.setattr(products, "WORK_PER_BLOCK", 1)
    monkeypatch.setattr(products, "WORK_PER_THREAD", 1)
    monkeypatch.setattr(products, "cores", lambda: 3)
    x, weights, _ = numbers(40, 7, 300)
    product, asked = Product(weights), []
    alone = product(x)
    run = products._threads.run

    def counted(call, count, slices):
        asked.append(slices)
        return run(call, count, slices)

    monkeypatch.setattr(products._threads, "run", counted)
    np.testing.assert_array_equal(product(x), alone)
    assert asked == [3]
    asked.clear()
    np.testing.assert_array_equal(np.concatenate(in_blocks(lambda rows: product(x[rows]), 40, 1)), alone)
    assert sorted(asked) == [1] * 10 + [10]


def test_an_error_in_a_block_is_raised(monkeypatch):
    monkeypatch.setattr(products, "WORK_PER_BLOCK", 1)
    monkeypatch.setattr(products, "cores", lambda: 2)
    with pytest.raises(ZeroDivisionError):
        in_blocks(lambda block: 1 // (40 - block.stop), 40, 1)


def test_many_threads_at_once():
    x, weights, bias = numbers(2, 578, 2048)
    product = Product(weights, bias)
    alone = product(x)
    found: list[np.ndarray] = []

    def run():
        found.extend(product(x) for _ in range(50))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert all(np.array_equal(alone, one) for one in found)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match=r"expected \(B, 3\), got \(2, 4\)"):
        Product(np.ones((3, 2)))(np.ones((2, 4), np.float32))


def test_a_world_steps_without_waking_other_threads():
    """The threads of the process are counted, in an interpreter whose BLAS may take eight."""
    code = (
        "import os, resource, time\n"
        "import gymnasium, dreamduck\n"
        "def others():\n"  # processor time of every thread but this one [ticks]
        "    mine, total = str(os.getpid()), 0\n"
        "    for task in os.listdir('/proc/self/task'):\n"
        "        if task != mine:\n"
        "            total += sum(map(int, open(f'/proc/self/task/{task}/stat').read().split()[13:15]))\n"
        "    return total\n"
        "for name in ('DreamDuck-v2', 'DreamDuck-v1'):\n"
        "    env = gymnasium.make(name, **({'simulator': 'native'} if name[-1] == '1' else {}))\n"
        "    env.reset(seed=0)\n"
        "    env.step([0.2, 0.0])\n"
        "    before, start = others(), time.process_time()\n"
        "    while time.process_time() - start < 1.0:\n"
        "        if env.step([0.2, 0.0])[2]:\n"
        "            env.reset(seed=0)\n"
        "    print(name, others() - before)\n"
        "    assert others() - before <= 5, (name, others() - before)\n"
        "    env.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
