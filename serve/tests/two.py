"""Two servers behind a proxy that takes turns: one that is killed under load loses what it was answering and nothing else.

  two.py --mindir PATH [--seconds 6]     needs numpy
"""
import argparse
import asyncio
import json
import os
import signal
import tempfile
import time

import numpy as np

from serving import DIGITS, repository, server

CLIENTS = 8


class Proxy:
    """Hands each connection to the next server; one that does not take it is passed over."""

    def __init__(self, addresses):
        self.addresses, self.turn = addresses, 0
        self.unanswered = {address: 0 for address in addresses}

    async def connect(self):
        self.turn += 1
        first = self.turn % len(self.addresses)
        for address in self.addresses[first:] + self.addresses[:first]:
            host, port = address.split(":")
            try:
                return address, await asyncio.open_connection(host, int(port))
            except OSError:
                pass
        raise ConnectionError("no server takes connections")

    async def take(self, reader, writer):
        address, (answers, requests) = await self.connect()
        _, answered = await asyncio.gather(pipe(reader, requests), pipe(answers, writer))
        self.unanswered[address] += not answered
        for end in (writer, requests):
            end.close()


async def pipe(source, sink):
    """Hands on what comes; how many bytes that were."""
    count = 0
    try:
        while data := await source.read(1 << 16):
            count += len(data)
            sink.write(data)
            await sink.drain()
        sink.write_eof()
    except OSError:
        sink.close()
    return count


async def ask(port, x):
    """The answer to one request over a connection of its own; `None` if there is none."""
    head = json.dumps({"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                     b"inference-header-content-length: %d\r\ncontent-length: %d\r\n\r\n" % (len(head), len(head) + x.nbytes) + head + x.tobytes())
        answer = await reader.read()
    except OSError:
        return None
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        return None if not answer else answer
    return np.frombuffer(answer[-40:], np.float32)


async def run(addresses, process, seconds):
    x = np.load(os.path.join(DIGITS, "test_images.npy"))[:64].astype(np.float32).reshape(-1, 1, 1, 32, 32) / np.float32(255)
    proxy = Proxy(addresses)
    listener = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    want = [await ask(port, one) for one in x]
    end, counts = time.monotonic() + seconds, {"right": 0, "wrong": 0, "lost": 0}
    dead = None

    async def client(number):
        i = number
        while time.monotonic() < end:
            i = (i + 1) % len(x)
            got = await ask(port, x[i])
            lost = got is None
            right = isinstance(got, np.ndarray) and np.array_equal(got, want[i])
            counts["lost" if lost else "right" if right else "wrong"] += 1

    async def kill():
        nonlocal dead
        await asyncio.sleep(seconds / 2)
        process.send_signal(signal.SIGKILL)
        # It takes connections until it is gone.
        await asyncio.to_thread(process.wait)
        dead = counts["lost"]

    await asyncio.gather(kill(), *(client(i) for i in range(CLIENTS)))
    # What the proxy has still to close.
    await asyncio.sleep(0.5)
    listener.close()
    lost, had = counts["lost"], proxy.unanswered
    print(f"{counts['right']} right, {counts['wrong']} wrong, {lost} lost, all of the {had[addresses[0]]} that the killed server had not answered")
    assert counts["wrong"] == 0 and counts["right"] > 10 * CLIENTS, counts
    assert lost == had[addresses[0]] and had[addresses[1]] == 0 and lost - dead <= CLIENTS, (counts, had, dead)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--seconds", type=float, default=6)
    args = ap.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "models")
        repository(root)
        with server(args.mindir, root) as (second, _):
            with server(args.mindir, root, ends=-signal.SIGKILL) as (first, process):
                asyncio.run(run([first, second], process, args.seconds))


if __name__ == "__main__":
    main()
