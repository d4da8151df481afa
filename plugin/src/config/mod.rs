//! Deployment files: their shape, how layers are merged, and what is refused.

mod deployment;

pub use deployment::*;
