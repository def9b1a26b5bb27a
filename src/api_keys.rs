//! The secrets with keys.

pub mod editable;
