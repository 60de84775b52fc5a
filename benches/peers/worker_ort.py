"""ONNX Runtime on model.onnx, CPU provider, otherwise its defaults."""
import os

import onnxruntime as ort

import worker

args = worker.arguments()
arrays = worker.inputs(args.folder)


def load():
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    return ort.InferenceSession(os.path.join(args.folder, "model.onnx"), options, providers=["CPUExecutionProvider"])


def run(session):
    return session.run(None, {x.name: array for x, array in zip(session.get_inputs(), arrays)})


worker.serve(load, run)
