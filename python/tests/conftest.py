"""Tests run in the repository's root, where the models are."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.chdir(ROOT)
