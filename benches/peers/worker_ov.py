"""OpenVINO on model.onnx, CPU device, latency mode, arithmetic in float32."""
import os

import openvino

import worker

args = worker.arguments()
feed = worker.inputs(args.folder)
CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(args.threads)}


def load():
    compiled = openvino.Core().compile_model(os.path.join(args.folder, "model.onnx"), "CPU", CONFIG)
    request = compiled.create_infer_request()
    for i, x in enumerate(feed):
        request.set_input_tensor(i, openvino.Tensor(x))
    return request


worker.serve(load, lambda request: request.infer())
