"""Clients that people have, against `mindir serve`: those of Triton, over HTTP and gRPC, waiting and not, with TLS and without; curl.

  clients.py --mindir PATH     needs the packages of clients.txt
"""
import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio

from serving import DIGITS, check, repository, server
def request(package, x, classes=0):
    given = package.InferInput("x", list(x.shape), "FP32")
    given.set_data_from_numpy(x)
    wanted = package.InferRequestedOutput(NAME, class_count=classes) if classes else package.InferRequestedOutput(NAME)
    return {"model_name": "digits", "inputs": [given], "outputs": [wanted]}


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
    check("grpc gzip", client.infer(**request(grpc, x), compression_algorithm="gzip", client_timeout=60).as_numpy(NAME), want)
    bomb = np.zeros((20000, 1, 32, 32), np.float32)  # 80 MB, which is packed to less than 100 kB
    refuses("grpc gzip that unpacks to too much", grpc, lambda: client.infer(**request(grpc, bomb), compression_algorithm="gzip"), "RESOURCE_EXHAUSTED")
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


def over_tls(mindir, root, x, want):
    """The same port with a certificate that vouches for itself: Triton's clients over HTTP and gRPC, and curl."""
    chain, key = os.path.join(root, "..", "server.crt"), os.path.join(root, "..", "server.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain, "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    with server(mindir, root, "--tls-cert", chain, "--tls-key", key) as (address, _):
        port = address.split(":")[1]
        client = http.InferenceServerClient(f"localhost:{port}", ssl=True, ssl_options={"ca_certs": chain})
        check("http tls", client.infer(**request(http, x)).as_numpy(NAME), want)
        client.close()
        client = grpc.InferenceServerClient(f"localhost:{port}", ssl=True, root_certificates=chain)
        check("grpc tls", client.infer(**request(grpc, x)).as_numpy(NAME), want)
        client.close()
        curl = ["curl", "-s", "--data-binary", f"@{DIGITS}/seven.png", f"https://localhost:{port}/v2/models/digits/infer"]
        assert subprocess.run(curl, stdout=subprocess.DEVNULL).returncode == 60, "a stranger's certificate was believed"
        for version in ("--http1.1", "--http2"):
            out = subprocess.run([*curl, "--cacert", chain, version], check=True, stdout=subprocess.PIPE).stdout
            assert json.loads(out)["classes"][0]["label"] == "seven", out
            print(f"curl tls {version}: ok")


def of_triton(mindir, folder, x, want):
    """A folder as Triton has it, with its configuration and names of figures, and answers that are kept."""
    root = os.path.join(folder, "triton")
    repository(root)
    os.remove(os.path.join(root, "digits", "model.toml"))
    with open(os.path.join(root, "digits", "config.pbtxt"), "w") as f:
        f.write(f'''name: "digits" backend: "onnxruntime" max_batch_size: 8 dynamic_batching {{ max_queue_delay_microseconds: 100 }}
            input [{{ name: "x" data_type: TYPE_FP32 dims: [1, 32, 32] }}]
            output [{{ name: "{NAME}" data_type: TYPE_FP32 dims: [10] label_filename: "labels.txt" }}]
            response_cache {{ enable: true }}''')
    with server(mindir, root, "--metrics-compat", "triton") as (address, _):
        client = http.InferenceServerClient(address)
        assert client.get_model_config("digits")["dynamic_batching"]["preferred_batch_size"] == [8]
        for _ in range(3):
            check("triton's folder", client.infer(**request(http, x)).as_numpy(NAME), want)
        client.close()
        text = subprocess.run(["curl", "-s", f"http://{address}/metrics"], check=True, stdout=subprocess.PIPE, text=True).stdout
        for line in ("nv_inference_request_success{model=\"digits\",version=\"1\"} 3", "nv_cache_num_hits_per_model{model=\"digits\",version=\"1\"} 2"):
            assert line in text.splitlines(), text
    print("triton's folder: ok")


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
    """As README shows it: a picture; a form; and JSON, as the model server of OpenVINO has it in its documentation."""
    out = subprocess.run(["curl", "-s", "--data-binary", f"@{DIGITS}/seven.png", f"http://{address}/v2/models/digits/infer"],
                         check=True, stdout=subprocess.PIPE).stdout
    answer = json.loads(out)
    assert answer["classes"][0]["label"] == "seven", answer
    form = subprocess.run(["curl", "-s", "-F", f"image=@{DIGITS}/seven.png", "-F", f"image=@{DIGITS}/seven.png", f"http://{address}/v2/models/digits/infer?top=1"],
                          check=True, stdout=subprocess.PIPE).stdout
    assert [c["label"] for c in json.loads(form)["classes"]] == ["seven", "seven"], form
    zero = json.dumps({"inputs": [{"name": "x", "shape": [1, 1, 32, 32], "datatype": "FP32", "data": [0] * 1024}]})
    plain = subprocess.run(["curl", "-s", "-X", "POST", "-H", "Content-Type: application/json", "--data-binary", "@-", f"http://{address}/v2/models/digits/infer"],
                           input=zero.encode(), check=True, stdout=subprocess.PIPE).stdout
    assert json.loads(plain)["outputs"][0]["shape"] == [1, 10], plain
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
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "models")
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
        over_tls(args.mindir, root, x, got)
        of_triton(args.mindir, folder, x, got)


NAME = "x:31"

if __name__ == "__main__":
    sys.exit(main())
