//! Questions answered by several methods with the same models, prompts and limits, and logged whole.
//!
//! Every method is the real thing: RSD is the loop that serves, alone is the same loop with one model. Methods take turns
//! question by question, so that a machine that drifts hits all alike, and each measured answer begins with empty caches. Graders and reports are in `rsd-evaluation`.

mod beam;
mod entry;
mod method;
mod oracle;
mod recall;
mod remote;
mod runner;
mod speculative;
mod verdict;

pub use beam::Width;
pub use method::Method;
pub use recall::Recall;
pub use remote::{Remote, RemoteError};
pub use runner::{Recipe, Runner};

#[cfg(test)]
mod tests;
