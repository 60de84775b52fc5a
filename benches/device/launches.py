#!/usr/bin/env python3
"""What runs of models launch and move on a device, as the plans say, beside what a GPU needs for it at least.

  launches.py --mindir PATH MODEL[:SHAPE]... [--device cuda] [--precision f32] [--tflops 67] [--bandwidth 4.3]

Needs no GPU.  `kernels` counts the steps of the plan; `per layer` the most steps that nodes of one repeated module have, where the
paths of the nodes number them.  `moved` are the operands and results of all steps, each once per step.  `floor` is the sum over the
steps of the longer of its operations at `--tflops` (10^12/s) and its bytes at `--bandwidth` (10^12/s): what caches or overlapping
steps save is not in it, nor what a launch costs.
"""
import argparse
import collections
import json
import os
import re
import subprocess


def plan(args, model):
    """The steps of the plan, and how many are not on the device."""
    path, _, shape = model.partition(":")
    more = [word for dims in shape.split(";") if dims for word in ("--shape", dims)]
    command = [args.mindir, "plan", path, "--device", args.device, "--json", *(["--precision", args.precision] if args.precision else []), *more]
    stages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)["stages"]
    elsewhere = sum(len(s["steps"]) for s in stages if s["device"] != args.device)
    return [step for s in stages if s["device"] == args.device for step in s["steps"]], elsewhere


def layers(steps):
    """Steps of each numbered module: `layers-CellList/3-Block`, `layers.3`."""
    count = collections.Counter()
    for step in steps:
        if found := re.match(r"(.*?[/.](\d+))[-./]", step["path"]):
            count[found[1]] += 1
    return max(count.values(), default=None)


def row(args, model):
    steps, elsewhere = plan(args, model)
    flops, moved = (sum(step[key] for step in steps) for key in ("flops", "bytes"))
    floor = sum(max(step["flops"] / (args.tflops * 1e12), step["bytes"] / (args.bandwidth * 1e12)) for step in steps)
    name = os.path.basename(os.path.dirname(os.path.abspath(model.partition(":")[0])))
    most = layers(steps)
    return [name, len(steps), elsewhere, "" if most is None else most, f"{flops / 1e9:.2f}", f"{moved / 1e6:.1f}", f"{floor * 1e6:.0f}"]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("models", nargs="+", metavar="MODEL[:SHAPE]", help="a model, and shapes as `mindir plan --shape` takes them, parted by `;`")
    ap.add_argument("--mindir", required=True)
    ap.add_argument("--device", default="cuda")
    ap.add_argument("--precision")
    ap.add_argument("--tflops", type=float, default=67, help="f32 of an H200 without tensor cores")
    ap.add_argument("--bandwidth", type=float, default=4.3, help="what copies reach on an H200")
    args = ap.parse_args()
    print("| network | kernels | elsewhere | most per layer | GFLOP | moved MB | floor µs |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for model in args.models:
        print("| " + " | ".join(map(str, row(args, model))) + " |", flush=True)


if __name__ == "__main__":
    main()
