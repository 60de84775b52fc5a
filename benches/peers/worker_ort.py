"""ONNX Runtime on model.onnx, CPU provider, otherwise its defaults."""
import os

import onnxruntime as ort

import worker

args = worker.arguments()
feed = {f"in_{i}": x for i, x in enumerate(worker.inputs(args.folder))}


def load():
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    return ort.InferenceSession(os.path.join(args.folder, "model.onnx"), options, providers=["CPUExecutionProvider"])


worker.serve(load, lambda session: session.run(None, feed))
