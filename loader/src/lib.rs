//! Files to graphs.
