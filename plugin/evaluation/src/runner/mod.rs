//! Runs the compared methods on questions with the same models, prompts and limits.
//!
//! RSD runs through the pipeline that the server uses, and so does each model alone. Methods take turns question by
//! question, so that changes in the machine's speed affect all of them alike. Each measured answer begins with empty
//! caches.

mod beam;
mod log_entry;
mod memoized_generator;
mod method;
mod method_runner;
mod oracle;
mod remote;
mod speculative;
mod target_score;

pub use beam::BeamWidth;
pub use memoized_generator::MemoizedGenerator;
pub use method::{Method, UnknownMethod};
pub use method_runner::{MethodRunner, RunRecipe};
pub use remote::{RemoteError, RemoteRunner};

#[cfg(test)]
mod tests;
