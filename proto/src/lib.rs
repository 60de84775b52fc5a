//! Wire types of MindIR and MindSpore checkpoints.
