"""Clients that people have, against `mindir serve`: those of Triton, over HTTP and gRPC, waiting and not; KServe's; curl.

  clients.py --mindir PATH     needs the packages of clients.txt
"""
import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio

DIGITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "digits")


@contextlib.contextmanager
def server(mindir, root, *options):
    """A server at a free port; its address."""
    process = subprocess.Popen([mindir, "serve", root, "--http", "127.0.0.1:0", *options], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split("http://")[1].strip(), process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, f"the server ended with {process.returncode}"


def repository(root):
    folder = os.path.join(root, "digits")
    os.makedirs(os.path.join(folder, "1"))
    shutil.copy(os.path.join(DIGITS, "lenet5_dynamic_batch.mindir"), os.path.join(folder, "1", "model.mindir"))
    shutil.copy(os.path.join(DIGITS, "labels.txt"), folder)
    with open(os.path.join(folder, "model.toml"), "w") as f:
        f.write('max_batch = 8\nbatch_delay_ms = 1\nlabels = "labels.txt"\n')


def request(package, x, classes=0):
    given = package.InferInput("x", list(x.shape), "FP32")
    given.set_data_from_numpy(x)
    wanted = package.InferRequestedOutput(NAME, class_count=classes) if classes else package.InferRequestedOutput(NAME)
    return {"model_name": "digits", "inputs": [given], "outputs": [wanted]}


def check(name, got, want):
    assert got.dtype == want.dtype and got.shape == want.shape and np.array_equal(got, want), name
    print(f"{name}: ok")


def describe(name, client):
    """Everything that clients ask besides results."""
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1") and not ready(client, "digits", "9") and not ready(client, "other", "")
    text = str(client.get_server_metadata()) + str(client.get_model_metadata("digits")) + str(client.get_model_config("digits"))
    assert all(word in text for word in ("mindir", "mindspore_mindir", "FP32", "binary_tensor_data")), text
    assert "digits" in str(client.get_model_repository_index())
    assert "digits" in str(client.get_inference_statistics("digits"))
    print(f"{name} metadata: ok")


def ready(client, model, version):
    """Whether a version is ready; those that there are not may be told as an error."""
    try:
        return client.is_model_ready(model, version)
    except (http.InferenceServerException, grpc.InferenceServerException):
        return False


def refuses(name, package, ask, *texts):
    try:
        ask()
    except package.InferenceServerException as e:
        assert all(text in str(e) for text in texts), f"{name}: {e}"
        print(f"{name}: refused")
        return
    raise AssertionError(f"{name} was answered")


def over_http(address, x, want):
    client = http.InferenceServerClient(address, concurrency=4)
    describe("http", client)
    for binary in (True, False):
        given = http.InferInput("x", list(x.shape), "FP32")
        given.set_data_from_numpy(x, binary_data=binary)
        for answer_binary in (True, False):
            wanted = [http.InferRequestedOutput(NAME, binary_data=answer_binary)]
            got = client.infer("digits", [given], outputs=wanted).as_numpy(NAME)
            check(f"http binary {binary} {answer_binary}", got, want)
    check("http all outputs", client.infer("digits", [given]).as_numpy(NAME), want)
    for packed in ("gzip", "deflate"):
        got = client.infer(**request(http, x), request_compression_algorithm=packed, response_compression_algorithm=packed)
        check(f"http {packed}", got.as_numpy(NAME), want)
    waiting = [client.async_infer(**request(http, x)) for _ in range(16)]
    for answer in waiting:
        check("http async", answer.get_result().as_numpy(NAME), want)
    got = client.infer(**request(http, x, classes=2), request_id="seven").as_numpy(NAME)
    assert got.shape == (len(x), 2) and got[0][0].decode().endswith(":7:seven"), got
    refuses("http unknown model", http, lambda: client.infer("other", [given]), "other")
    wrong = http.InferInput("x", [1, 3], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 3), np.float32))
    refuses("http shape", http, lambda: client.infer("digits", [wrong]), "x")
    refuses("http admin", http, lambda: client.unload_model("digits"), "started without")
    client.close()


def over_grpc(address, x, want):
    client = grpc.InferenceServerClient(address)
    describe("grpc", client)
    check("grpc", client.infer(**request(grpc, x)).as_numpy(NAME), want)
    check("grpc gzip", client.infer(**request(grpc, x), client_timeout=60).as_numpy(NAME), want)
    got = client.infer(**request(grpc, x, classes=1)).as_numpy(NAME)
    assert got[0][0].decode().endswith(":7:seven"), got
    answers = []
    with contextlib.closing(client):
        client.start_stream(callback=lambda result, error: answers.append((result, error)))
        for i in range(8):
            client.async_stream_infer(**request(grpc, x), request_id=str(i))
        client.async_stream_infer("other", request(grpc, x)["inputs"])
        client.stop_stream()
        assert [r.get_response().id for r, e in answers[:8]] == [str(i) for i in range(8)]
        for result, _ in answers[:8]:
            check("grpc stream", result.as_numpy(NAME), want)
        assert "other" in str(answers[8][1]), answers[8]
        refuses("grpc unknown model", grpc, lambda: client.infer("other", request(grpc, x)["inputs"]), "NOT_FOUND")
        refuses("grpc admin", grpc, lambda: client.unload_model("digits"), "PERMISSION_DENIED")


async def without_waiting(address, x, want):
    for name, package, aio in (("http", http, http_aio), ("grpc", grpc, grpc_aio)):
        async with aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready() and await client.is_model_ready("digits")
            for answer in await asyncio.gather(*(client.infer(**request(package, x)) for _ in range(16))):
                check(f"{name} aio", answer.as_numpy(NAME), want)


def services(address):
    """The services for health and reflection, with the messages of the packages for them."""
    from grpc import insecure_channel
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2

    with insecure_channel(address) as channel:
        check_ = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert check_.status == health_pb2.HealthCheckResponse.SERVING
        ask = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        answer = next(ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
        names = [service.name for service in answer.list_services_response.service]
        assert "inference.GRPCInferenceService" in names, names
    print("health and reflection: ok")


def curl(address, want):
    """As README shows it: a picture."""
    out = subprocess.run(["curl", "-s", "--data-binary", f"@{DIGITS}/seven.png", f"http://{address}/v2/models/digits/infer"],
                         check=True, stdout=subprocess.PIPE).stdout
    answer = json.loads(out)
    assert answer["classes"][0]["label"] == "seven", answer
    print("curl: ok")


def admin(mindir, root):
    """Loading and unloading, with a token."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("token-of-the-test")
        file.flush()
        with server(mindir, root, "--token-file", file.name, "--allow-admin") as (address, _):
            headers = {"Authorization": "Bearer token-of-the-test"}
            for name, package in (("http", http), ("grpc", grpc)):
                client = package.InferenceServerClient(address)
                given = {"headers": {k.lower(): v for k, v in headers.items()}}
                refuses(f"{name} without the token", package, lambda: client.get_server_metadata())
                client.unload_model("digits", **given)
                assert not client.is_model_ready("digits", **given)
                client.load_model("digits", **given)
                assert client.is_model_ready("digits", **given)
                refuses(f"{name} load of nothing", package, lambda: client.load_model("other", **given), "other")
                client.close()
    print("admin: ok")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--mindir", required=True)
    args = ap.parse_args()
    x = np.load(os.path.join(DIGITS, "test_images.npy"))
    want = np.load(os.path.join(DIGITS, "test_logits.npy"))
    seven = int(np.flatnonzero(want.argmax(1) == 7)[0])
    x = np.ascontiguousarray(x[[seven, 0, 1]]).astype(np.float32) / np.float32(255)
    with tempfile.TemporaryDirectory() as root:
        repository(root)
        with server(args.mindir, root) as (address, _):
            client = http.InferenceServerClient(address)
            given = http.InferInput("x", list(x.shape), "FP32")
            given.set_data_from_numpy(x)
            got = client.infer("digits", [given]).as_numpy(NAME)
            assert np.allclose(got, want[[seven, 0, 1]], atol=1e-4), "the results are not MindSpore's"
            over_http(address, x, got)
            over_grpc(address, x, got)
            asyncio.run(without_waiting(address, x, got))
            services(address)
            curl(address, got)
        admin(args.mindir, root)


NAME = "x:31"

if __name__ == "__main__":
    sys.exit(main())
