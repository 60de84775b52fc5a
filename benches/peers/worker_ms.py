"""MindSpore itself: the loaded MindIR file as a GraphCell in graph mode on the CPU."""
import os

import worker

args = worker.arguments()
os.environ["OMP_NUM_THREADS"] = str(args.threads)
os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault("DNNL_MAX_CPU_ISA", "AVX2")     # without it convolutions fall back to oneDNN's reference kernels on AVX-512 machines

import mindspore as ms  # noqa: E402  (reads the environment)

ms.set_context(mode=ms.GRAPH_MODE)
ms.set_device("CPU")
ms.runtime.dispatch_threads_num(args.threads)
feed = [ms.Tensor(x) for x in worker.inputs(args.folder)]


def load():
    return ms.nn.GraphCell(ms.load(os.path.join(args.folder, "model.mindir")))


def run(cell):
    result = cell(*feed)
    first = result[0] if isinstance(result, (tuple, list)) else result
    return first.asnumpy()                             # waits for the result


worker.serve(load, run)
