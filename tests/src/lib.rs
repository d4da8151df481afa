//! Shared by the end-to-end tests: tiny random models, a pipeline of two of them, and a real server in the process.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, clippy::cast_possible_truncation)]

pub mod checkpoint_gguf;
pub mod operator_site;
pub mod programs;
pub mod test_server;
pub mod tiny_head;
pub mod tiny_model;
pub mod tiny_pipeline;
