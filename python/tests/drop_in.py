"""A program for MindSpore, which runs with mindir once its first import is another one: drop_in.py OUT_FOLDER."""

import mindspore as ms
import numpy as np
import os
import sys

out = sys.argv[1]
results = {}


def keep(name, value):
    if isinstance(value, (tuple, list)):
        results[f"{name}.{type(value).__name__}"] = np.array(len(value))
        for i, item in enumerate(value):
            keep(f"{name}.{i}", item)
    elif isinstance(value, ms.Tensor):
        results[name] = value.asnumpy()
    else:
        results[f"{name}.{type(value).__name__}"] = np.array(value)


def run(name, model, *inputs):
    net = ms.nn.GraphCell(ms.load(f"tests/goldens/{model}/model.mindir"))
    keep(name, net(*[ms.Tensor(np.load(f"tests/goldens/{model}/{i}.npy")) for i in inputs]))


ms.set_context(mode=ms.GRAPH_MODE, device_target="CPU")
for model in ["io_tuple_out", "cf_while", "bert_small"]:
    count = len([name for name in os.listdir(f"tests/goldens/{model}") if name.startswith("in_")])
    run(model, model, *[f"in_{i}" for i in range(count)])

# A network with its own checkpoint, changed, and put back.
digits = ms.Tensor(np.load("examples/digits/test_images.npy")[:8].astype(np.float32) / 255)
net = ms.nn.GraphCell(ms.load("examples/digits/lenet5_dynamic_batch.mindir"))
net.set_train(False)
keep("digits", net(digits))
path = os.path.join(out, "digits")
ms.save_checkpoint(net, path, append_dict={"epoch": 3, "lr": 0.5, "note": "as exported"}, choice_func=lambda n: n != "fc1.bias")
values = ms.load_checkpoint(path + ".ckpt")
for name, value in values.items():
    keep(f"checkpoint.{name}", value)
values = ms.load_checkpoint(path + ".ckpt", specify_prefix=["fc2", "fc3"], filter_prefix="fc2.bias")
halved = {f"net.{name}": ms.Parameter(ms.Tensor(value.asnumpy() / 2), name=name) for name, value in values.items()}
left, unused = ms.load_param_into_net(net, halved)
keep("left", sorted(left))
keep("unused", sorted(unused))
keep("halved", net(digits))
one = ms.nn.GraphCell(ms.load("examples/digits/lenet5.mindir"), params_init={"fc3.bias": ms.Tensor(np.ones(10, np.float32)), "no": digits})
keep("params_init", one(digits[:1]))

# Files of our own, plain and encrypted. MindSpore exports a loaded graph once, before it has run.
key = b"0123456789ABCDEF"
first = digits[:1]
ms.export(ms.nn.GraphCell(ms.load("examples/digits/lenet5.mindir")), first, file_name=path, file_format="MINDIR")
keep("exported", ms.nn.GraphCell(ms.load(path + ".mindir"))(first))
fresh = ms.nn.GraphCell(ms.load("examples/digits/lenet5.mindir"))
ms.export(fresh, first, file_name=path + "_secret", file_format="MINDIR", enc_key=key, enc_mode="AES-CBC")
keep("secret", ms.nn.GraphCell(ms.load(path + "_secret.mindir", dec_key=key, dec_mode="AES-CBC"))(first))
ms.save_checkpoint(net, path + "_secret", enc_key=key)
keep("secret_bias", ms.load_checkpoint(path + "_secret.ckpt", dec_key=key)["fc3.bias"])

for failing in [lambda: ms.load("nowhere.mindir"), lambda: ms.load_checkpoint(path + ".ckpt", choice_func=lambda n: False)]:
    try:
        failing()
    except ValueError:
        keep(f"error.{failing.__code__.co_firstlineno}.{len(results)}", 1)
keep("dtypes", [str(t) for t in (ms.float32, ms.int64, ms.bool_, ms.bfloat16, ms.uint8)])
keep("plain", [str(ms.Tensor(v).dtype) for v in (1, 1.5, True, [1, 2], [1.5])])
np.savez(os.path.join(out, "results.npz"), **results)
