#!/usr/bin/env python3
"""Full-size networks exported by PyTorch, for `onnx_in.py FOLDER`: both of its exporters, fixed and open batch, random weights.

  onnx_torch.py FOLDER [NAME...]     write FOLDER/NAME.onnx, and the inputs as FOLDER/NAME.npz

Needs torch, torchvision, transformers, onnx and onnxscript in an environment of its own; the oracle's has none of them.
"""
import argparse
import os

import numpy as np
import torch
import torchvision
import transformers


class Bert(torch.nn.Module):
    """Last states and pooled result of BERT-base."""

    def __init__(self):
        super().__init__()
        self.bert = transformers.BertModel(transformers.BertConfig(attn_implementation="eager"))

    def forward(self, input_ids, attention_mask):
        out = self.bert(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        return out.last_hidden_state, out.pooler_output


class Recurrent(torch.nn.Module):
    """A recurrent layer of two levels, forwards and backwards, batch first."""

    def __init__(self, kind, **options):
        super().__init__()
        self.layer = kind(24, 32, num_layers=2, bidirectional=True, batch_first=True, **options)

    def forward(self, x):
        return self.layer(x)[0]


class Turns(torch.nn.Module):
    """A loop over the steps with a condition in it, kept as such by `torch.jit.script`."""

    def __init__(self):
        super().__init__()
        self.cell = torch.nn.Linear(8, 8)

    def forward(self, x):
        h = torch.zeros_like(x[0])
        for i in range(x.size(0)):
            h = torch.tanh(self.cell(h) + x[i])
            if bool(h.sum() > 0):
                h = h * 0.5
            else:
                h = h - 1.0
        return h


def image(batch):
    return (torch.randn(batch, 3, 224, 224),)


def text(batch):
    mask = torch.ones(batch, 32, dtype=torch.int64)
    mask[:, 27:] = 0
    return torch.randint(0, 30000, (batch, 32)), mask


def steps(batch):
    return (torch.randn(batch, 11, 24),)


# The network, its inputs for a batch, and their names.
NETWORKS = {
    "resnet50": (torchvision.models.resnet50, image, ["x"]),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, image, ["x"]),
    "vit_b_16": (torchvision.models.vit_b_16, image, ["x"]),
    "bert_base": (Bert, text, ["input_ids", "attention_mask"]),
    "lstm": (lambda: Recurrent(torch.nn.LSTM), steps, ["x"]),
    "gru": (lambda: Recurrent(torch.nn.GRU), steps, ["x"]),
    "rnn": (lambda: Recurrent(torch.nn.RNN, nonlinearity="relu"), steps, ["x"]),
    "turns": (lambda: torch.jit.script(Turns()), lambda batch: (torch.randn(5, batch, 8),), ["x"]),
}


def usual(model, inputs):
    """Weights that are not zero and statistics that were measured: results neither vanish nor explode."""
    with torch.no_grad():
        for p in model.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.05)
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None
        model.train()(*inputs)
        results = model.eval()(*inputs)
    largest = max(float(y.abs().max()) for y in (results if isinstance(results, tuple) else (results,)))
    if not 0.1 < largest < 1e3:
        raise SystemExit(f"results of magnitude {largest} would not tell right from wrong")


def legacy(model, inputs, path, names, batch):
    axis = 1 if isinstance(model, torch.jit.ScriptModule) else 0
    axes = {n: {axis: "batch"} for n in names} if batch else None
    torch.onnx.export(model, inputs, path, dynamo=False, opset_version=17, input_names=names, dynamic_axes=axes)


def dynamo(model, inputs, path, names, batch):
    shapes = tuple({0: torch.export.Dim("batch")} for _ in names) if batch else None
    torch.onnx.export(model, inputs, path, dynamo=True, input_names=names, dynamic_shapes=shapes, external_data=True)


def export(name, folder):
    build, make, names = NETWORKS[name]
    torch.manual_seed(0)
    model = build()
    usual(model, make(4))
    for exporter in (legacy, dynamo):
        if exporter is dynamo and isinstance(model, torch.jit.ScriptModule):
            continue
        for batch in (False, True):
            inputs = make(2)
            stem = os.path.join(folder, f"{name}_{exporter.__name__}_{'open' if batch else 'fixed'}")
            try:
                with torch.no_grad():
                    exporter(model, inputs, stem + ".onnx", names, batch)
            except Exception as error:
                print(f"{os.path.basename(stem)}: PyTorch: {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}", flush=True)
                continue
            # Another batch than the exporter saw, where that is open.
            tried = make(3) if batch else inputs
            np.savez(stem + ".npz", *[x.numpy() for x in tried])
            print(f"{os.path.basename(stem)}: {os.path.getsize(stem + '.onnx')} bytes", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder")
    ap.add_argument("names", nargs="*", default=list(NETWORKS))
    args = ap.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    torch.backends.mha.set_fastpath_enabled(False)      # the legacy exporter does not know the fused attention
    for name in args.names:
        export(name, args.folder)


if __name__ == "__main__":
    main()
