import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import mindir
import numpy as np
import pytest

DIGITS = "examples/digits/lenet5_dynamic_batch.mindir"


def images(n):
    return np.load("examples/digits/test_images.npy")[:n].astype(np.float32) / 255


def golden(name):
    folder = pathlib.Path("tests/goldens") / name
    told = json.loads((folder / "meta.json").read_text())
    return folder, told, mindir.GraphCell(mindir.load(folder / told["graph"]))


def close(found, folder, i=0):
    expected = np.load(folder / f"out_{i}.npy")
    assert found.shape == expected.shape
    assert np.abs(np.asarray(found) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_digits_are_read():
    net = mindir.nn.GraphCell(mindir.load(DIGITS))
    y = net(images(360)).asnumpy()
    assert np.abs(y - np.load("examples/digits/test_logits.npy")).max() < 1e-3
    assert (y.argmax(axis=1) == np.load("examples/digits/test_labels.npy")).sum() == 353


def test_by_position_and_by_name():
    folder, told, net = golden("io_multi_in")
    x = [np.load(folder / f"in_{i}.npy") for i in range(3)]
    names = [port.name for port in net.inputs]
    assert len(names) == 3 and [port.shape for port in net.inputs] == [a.shape for a in x]
    close(net(*x), folder)
    close(net(**dict(zip(names, x))), folder)
    close(net(x[0], **dict(zip(names[2:0:-1], x[2:0:-1]))), folder)
    close(net(tuple(x)), folder)
    close(net.construct(*map(mindir.Tensor, x)), folder)
    for wrong, message in [
        (lambda: net(), "expected 3 inputs"),
        (lambda: net(*x, x[0]), "expected 3 inputs"),
        (lambda: net(*x[:2]), "expected 3 inputs"),
        (lambda: net(nothing=x[0]), "no input is called"),
        (lambda: net(x[0], **{names[0]: x[0]}), "given twice"),
        (lambda: net(x[0].astype(np.complex64), *x[1:]), "expected f32, found c64"),
        (lambda: net(x[0][None], *x[1:]), "found f32"),
    ]:
        with pytest.raises(mindir.InputError, match=message) as e:
            wrong()
        assert isinstance(e.value, ValueError)


def test_results_nest_as_in_mindspore():
    folder, told, net = golden("io_tuple_out")
    first, (second, third) = net(np.load(folder / "in_0.npy"))
    assert isinstance(third, (tuple, list)) and len(third) == 2
    for i, result in enumerate([first, second, *third]):
        close(result, folder, i)
    folder, told, net = golden("io_scalar_out")
    tensor, whole, real, truth, text, shape = net(np.load(folder / "in_0.npy"))
    assert [type(x) for x in (tensor, whole, real, truth, text, shape)] == [mindir.Tensor, int, float, bool, str, tuple]
    assert whole == np.load(folder / "out_1.npy") and shape == (2, 2)


def test_numbers_take_the_type_of_the_input():
    folder, told, net = golden("cf_while")
    x = [np.load(folder / f"in_{i}.npy") for i in range(2)]
    results = net(*[a.tolist() for a in x])
    for i, result in enumerate(results):
        close(result, folder, i)


def test_inputs_are_their_owners():
    """The result is the input, but never its elements, which somebody may write: in the first run, nor in later ones."""
    folder, told, net = golden("io_identity")
    x = np.load(folder / "in_0.npy")
    for value in range(3):
        x[...] = value
        results = net(x)
        results = results if isinstance(results, tuple) else (results,)
        again = net(results[0])
        again = again if isinstance(again, tuple) else (again,)
        x[...] = 77
        assert all(np.all(np.asarray(r) == value) for r in results + again)
        results[0].asnumpy()[...] = 55
        assert all(np.all(np.asarray(r) == value) for r in again)


def test_shapes_follow_what_inputs_hold():
    """The shape of the result is an input, for which the plan was made."""
    folder, told, net = golden("dyn_shape_input")
    x, rows, columns = np.load(folder / "in_0.npy"), np.array(4), np.array(1)
    assert net(x, rows, columns).shape == (4, 1)
    rows[...], columns[...] = 2, 2
    assert net(x, np.array(2), np.array(2)).shape == (2, 2)
    assert net(x, rows, columns).shape == (2, 2)
    assert net(x, 1, 4).shape == (1, 4)


def test_parameters_that_models_write():
    folder, told, net = golden("state_counter")
    steps = [folder / f"step_{i}" for i in range(3)]
    states = [net.new_state(), net.new_state()]
    for state in states:
        for step in steps:
            close(net.run_in(state, np.load(step / "in_0.npy")), step)
    for step in steps:
        close(net(np.load(step / "in_0.npy")), step)
    (name,) = net.parameters_dict()
    assert np.array_equal(states[0].parameters_dict()[name], net.parameters_dict()[name])
    copy = states[0].copy()
    before = np.array(copy.parameters_dict()[name])
    net.run_in(states[0], np.load(steps[0] / "in_0.npy"))
    assert np.array_equal(copy.parameters_dict()[name], before)
    session = net.session()
    session.set_state(net.new_state())
    one = session(np.load(steps[0] / "in_0.npy"))
    assert np.array_equal(one, net(np.load(steps[0] / "in_0.npy")))
    assert np.array_equal(session.state().parameters_dict()[name], net.parameters_dict()[name])
    with pytest.raises(mindir.InputError, match="another model"):
        mindir.GraphCell(mindir.load(DIGITS)).run_in(states[0], images(1))


def test_parameters_do_not_share_inputs():
    """The model, which MindSpore 2.10 exported, keeps its input in the parameter `last`, and adds 1 to it."""
    net = mindir.GraphCell(mindir.load("python/tests/keep.mindir"))
    x = np.array([1, 2, 3], np.float32)
    assert net(x).tolist() == [2, 3, 4]
    x[:] = 7
    assert net.parameters_dict()["last"].tolist() == [1, 2, 3]


def test_sessions():
    net = mindir.GraphCell(mindir.load(DIGITS), threads=1)
    expected = net(images(4))
    session = net.session(images(4))
    first = session(images(4))
    second = session(images(4) * 0)
    assert np.array_equal(first, expected) and not np.array_equal(second, expected)
    for wrong in [lambda: session(images(3)), lambda: session(), lambda: session(images(4).astype(np.int32)), lambda: net.session()]:
        with pytest.raises(mindir.InputError):
            wrong()
    with pytest.raises(mindir.InputError, match="needs|control|calls|data|graph"):
        golden("cf_while")[2].session()


def test_options():
    graph = mindir.load(DIGITS)
    exact = mindir.GraphCell(graph)(images(8)).asnumpy()
    rough = mindir.GraphCell(graph, precision="bf16", threads=1)(images(8)).asnumpy()
    assert 0 < np.abs(exact - rough).max() < 0.05 * np.abs(exact).max()
    rows = mindir.GraphCell(graph, batch_invariant=True)
    assert np.array_equal(rows(images(8)).asnumpy()[3:4], rows(images(8)[3:4]))
    for wrong in [{"precision": "f8"}, {"threads": 0}, {"deadline": -1.0}, {"obf_random_seed": 1}]:
        with pytest.raises(mindir.InputError):
            mindir.GraphCell(graph, **wrong)
    with pytest.raises(mindir.DeviceError, match="unknown"):
        mindir.GraphCell(graph, device="abacus")
    zeros = mindir.GraphCell(graph, params_init={"fc3.weight": np.zeros((10, 84), np.float32), "unknown": 1})
    assert np.array_equal(*zeros(images(2)).asnumpy())


def test_bounds():
    folder, told, net = golden("cf_while")
    x = [np.load(folder / f"in_{i}.npy") for i in range(2)]
    graph = mindir.load(folder / "model.mindir")
    for bound in [{"max_calls": 1}, {"deadline": 1e-9}, {"max_memory": 10}, {"max_plan_nodes": 1}]:
        with pytest.raises(mindir.LimitError):
            mindir.GraphCell(graph, **bound)(*x)


def test_errors_name_their_node():
    folder, told, net = golden("dense")
    wrong = [np.zeros([d + 1 for d in port.shape], np.float32) for port in net.inputs]
    with pytest.raises(mindir.Error) as e:
        net(*wrong)
    assert e.value.node and e.value.node in str(e.value)


def test_context_says_where():
    mindir.set_context(device_target="GPU")
    try:
        assert mindir.get_context("device_target") == "GPU"
        mindir.GraphCell(mindir.load(DIGITS))
    except mindir.DeviceError as e:
        assert "cuda" in str(e)
    finally:
        mindir.set_context(device_target="CPU")
    with pytest.raises(mindir.InputError):
        mindir.set_context(device_target="Ascend")


def test_threads_share_a_cell():
    net = mindir.GraphCell(mindir.load(DIGITS), threads=1)
    x = images(16)
    alone = [net(x[i : i + 1]).asnumpy().copy() for i in range(16)]
    wrong = []

    def work(i):
        for _ in range(50):
            if not np.array_equal(net(x[i : i + 1]), alone[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


LONG = """
import mindir, numpy as np, sys, threading, time
net = mindir.GraphCell(mindir.load("tests/goldens/while_long/model.mindir"), threads=1)
x = np.load("tests/goldens/while_long/in_0.npy")
x = np.full_like(x, {turns})
"""


def test_other_threads_go_on_during_a_run():
    program = LONG.format(turns=3_000_000) + """
ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        time.sleep(0.005)
threading.Thread(target=tick, daemon=True).start()
start = time.monotonic()
net(x)
end = time.monotonic()
during = [t for t in ticks if start < t < end]
assert end - start > 0.2, end - start
assert len(during) > 10 * (end - start), (len(during), end - start)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


@pytest.mark.parametrize("before", [0, 5])
def test_ctrl_c_ends_a_run(before):
    program = LONG.format(turns=2_000_000_000) + f"""
for _ in range({before}):
    net(np.full_like(x, 3))
print("started", flush=True)
try:
    net(x)
except KeyboardInterrupt:
    print("interrupted", flush=True)
small = np.full_like(x, 3)
net(small)
print("runs", flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "started\n"
    time.sleep(0.5)
    start = time.monotonic()
    os.kill(child.pid, signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert time.monotonic() - start < 5
    assert child.stdout.readline() == "runs\n"
    assert child.wait(timeout=60) == 0


@pytest.mark.parametrize("main", [True, False])
def test_tokens_end_runs(main):
    x = np.load("tests/goldens/while_long/in_0.npy")
    net = mindir.GraphCell(mindir.load("tests/goldens/while_long/model.mindir"))
    token = mindir.CancelToken()
    cell, ended = net.with_cancel(token), []

    def run():
        with pytest.raises(mindir.CancelledError):
            cell(np.full_like(x, 2_000_000_000))
        ended.append(True)

    threading.Timer(0.3, token.cancel).start()
    if main:
        run()
    else:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(timeout=60)
    assert ended and token.is_cancelled
    with pytest.raises(mindir.CancelledError):
        cell(np.full_like(x, 3))
    assert net(np.full_like(x, 3)) is not None


def test_tokens_end_sessions():
    net = mindir.GraphCell(mindir.load("examples/digits/lenet5.mindir"))
    session, x, token = net.session(), np.zeros((1, 1, 32, 32), np.float32), mindir.CancelToken()
    session.set_cancel(token)
    before = session(x).asnumpy()
    token.cancel()
    for _ in range(2):
        with pytest.raises(mindir.CancelledError):
            session(x)
    session.set_cancel(None)
    assert np.array_equal(session(x), before)


def test_importing_is_quick():
    program = "import time; t = time.perf_counter(); import mindir; t = time.perf_counter() - t; import sys; print(t, 'numpy' in sys.modules)"
    told = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    assert min(float(t) for t, _ in told) < 0.03
    assert all(loaded == "False" for _, loaded in told)
