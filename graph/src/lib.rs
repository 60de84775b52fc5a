//! The portable operator graph.
