//! Runs one Python program that nobody has read, and says how it ended.
//!
//! The program runs in bubblewrap's namespaces: without network, without privileges, as another user where this process
//! runs as root, with a read-only `/usr`, an empty `/tmp` of its own and nothing else of the file system. It sees no
//! process but its own and no environment variable of this process. [`ExecutionLimits`] bound what it uses, a filter of
//! system calls closes the ways around them, and every process that it started ends with it. Needs Linux 5.14 on x86-64
//! or ARM64, bubblewrap 0.8 and Python 3 in `/usr/bin`.
//!
//! What is left is the kernel: a program that breaks out of Linux's namespaces breaks out of this sandbox.

mod arguments;
mod error;
mod filter;
mod limits;
mod outcome;
mod output;
mod python;

pub use self::{error::SandboxError, limits::ExecutionLimits, outcome::ExecutionOutcome, python::PythonSandbox};
