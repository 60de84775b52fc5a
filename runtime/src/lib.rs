//! Run MindSpore models outside Python.
