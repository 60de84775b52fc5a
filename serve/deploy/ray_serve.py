"""A model as a deployment of Ray Serve: elements of `float32` in and out, as they are in memory. `serve run ray_serve:app`."""
import asyncio
import os

import mindir
import numpy as np
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=2, max_ongoing_requests=16, ray_actor_options={"num_cpus": 0.5})
class Model:
    def __init__(self, path, shape):
        self.net, self.shape = mindir.GraphCell(mindir.load(path)), shape

    async def __call__(self, request: Request):
        x = np.frombuffer(await request.body(), np.float32).reshape(-1, *self.shape)
        y = await asyncio.to_thread(self.net, x)  # a run does not hold the interpreter's lock
        return Response(y.asnumpy().tobytes(), media_type="application/octet-stream")


app = Model.bind(os.environ["MODEL"], (1, 32, 32))
