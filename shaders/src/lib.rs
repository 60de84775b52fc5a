//! Shader sources as text.
