"""PyTorch on the twin of a network of `examples/networks.rs`, with the same weights: eager, compiled, or replayed as a CUDA graph.

  worker_torch.py FOLDER NAME --batch N --mode eager|compile|graph --precision f32|tf32|f16|bf16

A run copies its input from pinned memory to the GPU and the result back, as this runtime does.  The protocol is that of
benches/peers/worker.py; `--check FILE` writes the first result to a `.npy` file.
"""
import argparse
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import worker  # noqa: E402


class Bottleneck(nn.Module):
    def __init__(self, c_in, c, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c_in, c, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv3, self.bn3 = nn.Conv2d(c, 4 * c, 1, bias=False), nn.BatchNorm2d(4 * c)
        self.downsample = None
        if c_in != 4 * c:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, 4 * c, 1, stride, bias=False), nn.BatchNorm2d(4 * c))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        c_in = 64
        for stage, blocks in enumerate([3, 4, 6, 3]):
            c, layers = 64 << stage, []
            for block in range(blocks):
                layers.append(Bottleneck(c_in, c, 2 if block == 0 and stage else 1))
                c_in = 4 * c
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.fc(y.mean((2, 3)))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(768, 768) for _ in range(4))
        self.up, self.down = nn.Linear(768, 3072), nn.Linear(3072, 768)
        self.norm1, self.norm2 = nn.LayerNorm(768), nn.LayerNorm(768)

    def forward(self, x):
        n, tokens, _ = x.shape
        q, k, v = (layer(x).view(n, tokens, 12, 64).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, 768)
        x = self.norm1(self.o(y) + x)
        return self.norm2(self.down(F.gelu(self.up(x))) + x)


class Bert(nn.Module):
    def __init__(self, tokens=128):
        super().__init__()
        self.word, self.position = nn.Embedding(30522, 768), nn.Parameter(torch.zeros(tokens, 768))
        self.norm, self.layers = nn.LayerNorm(768), nn.Sequential(*(Encoder() for _ in range(12)))

    def forward(self, ids):
        return self.layers(self.norm(self.word(ids) + self.position))


NETWORKS = {"resnet50": ResNet50, "bert_base": Bert}
TYPES = {"f32": torch.float32, "tf32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def network(args):
    """The module on the GPU, with the weights of the file."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
    net = NETWORKS[args.name]()
    weights = {name: torch.from_numpy(array) for name, array in np.load(os.path.join(args.folder, f"{args.name}.npz")).items()}
    missing, unknown = net.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unknown:
        sys.exit(f"{args.name}: parameters without a value: {missing}; unknown parameters: {unknown}")
    net = net.eval().to("cuda", TYPES[args.precision])
    return net.to(memory_format=torch.channels_last) if args.name == "resnet50" else net


def as_input(args, array):
    """The stored input on the host in pinned memory, and its place on the GPU."""
    host = torch.from_numpy(array).pin_memory()
    place = torch.empty_like(host, device="cuda")
    return host, place


def forward(args, net, place):
    x = place
    if x.is_floating_point():
        x = x.to(TYPES[args.precision]).to(memory_format=torch.channels_last)
    return net(x).float()


def load(args):
    net = network(args)
    host, place = as_input(args, np.load(os.path.join(args.folder, f"{args.name}_{args.batch}.npy")))
    step = lambda: forward(args, net, place)  # noqa: E731
    if args.mode == "compile":
        step = torch.compile(step, mode="max-autotune-no-cudagraphs")
    place.copy_(host)
    if args.mode == "graph":
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = step()

        def step():
            graph.replay()
            return result

    back = torch.empty(step().shape, dtype=torch.float32).pin_memory()
    return step, host, place, back


def run(loaded):
    step, host, place, back = loaded
    place.copy_(host, non_blocking=True)
    back.copy_(step(), non_blocking=True)
    torch.cuda.synchronize()
    return back


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder")
    ap.add_argument("name", choices=sorted(NETWORKS))
    ap.add_argument("--batch", type=int, default=1)
    ap.add_argument("--mode", choices=["eager", "compile", "graph"], default="eager")
    ap.add_argument("--precision", choices=sorted(TYPES), default="f32")
    ap.add_argument("--check")
    args = ap.parse_args()
    with torch.inference_mode():
        if args.check:
            np.save(args.check, run(load(args)).numpy())
        else:
            worker.serve(lambda: load(args), run)


if __name__ == "__main__":
    main()
