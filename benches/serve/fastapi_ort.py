"""What people write to serve a model: FastAPI and ONNX Runtime, elements in and out as they are in memory."""
import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, Request, Response

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
app = FastAPI()


@app.get("/ready")
def ready():
    return {"ready": True}


@app.post("/infer")
async def infer(request: Request):
    x = np.frombuffer(await request.body(), np.float32).reshape(1, 1, 32, 32)
    return Response(session.run(None, {name: x})[0].tobytes(), media_type="application/octet-stream")
