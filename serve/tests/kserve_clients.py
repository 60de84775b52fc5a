"""KServe's clients, over HTTP and gRPC, as its documentation has them. They and Triton's describe one protocol twice, so they need a process each.

  kserve_clients.py --mindir PATH     needs the packages of clients.txt
"""
import argparse
import asyncio
import os
import tempfile
import urllib.request

import kserve
import numpy as np

from serving import DIGITS, check, repository, server


def alone(address, x):
    """The results for elements as they are in memory, without a client."""
    ask = urllib.request.Request(f"http://{address}/v2/models/digits/infer", x.tobytes(), {"inference-header-content-length": "0"})
    with urllib.request.urlopen(ask) as answer:
        return np.frombuffer(answer.read()[int(answer.headers["inference-header-content-length"]):], np.float32).reshape(len(x), -1)


async def ask(address, x, want):
    def asked():
        given = kserve.InferInput("x", list(x.shape), "FP32")
        given.set_data_from_numpy(x, binary_data=False)
        return kserve.InferRequest("digits", [given])

    rest = kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2", retries=0))
    url = f"http://{address}"
    assert await rest.is_server_live(url) and await rest.is_server_ready(url) and await rest.is_model_ready(url, "digits")
    answer = await rest.infer(url, asked(), model_name="digits")
    check("kserve http", answer.outputs[0].as_numpy().astype(np.float32), want)
    given = kserve.InferInput("x", list(x.shape), "FP32")
    given.set_data_from_numpy(x, binary_data=True)
    answer = await rest.infer(url, kserve.InferRequest("digits", [given], parameters={"binary_data_output": True}), model_name="digits")
    check("kserve http binary", answer.outputs[0].as_numpy(), want)
    await rest.close()
    client = kserve.InferenceGRPCClient(address, retries=0)
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("digits")
    check("kserve grpc", (await client.infer(asked())).outputs[0].as_numpy(), want)
    await client.close()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    args = ap.parse_args()
    x = np.load(os.path.join(DIGITS, "test_images.npy"))[:3].astype(np.float32) / np.float32(255)
    with tempfile.TemporaryDirectory() as root:
        repository(root)
        with server(args.mindir, root) as (address, _):
            asyncio.run(ask(address, x, alone(address, x)))


if __name__ == "__main__":
    main()
