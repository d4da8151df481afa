//! The operator's terminal beside a real server: the programs themselves, in processes of their own, the one in a
//! terminal and the other on two tiny models.
//!
//! Cargo gives a test no program of another package, and one that an earlier build has left may be old. So this test
//! binary is both: started again with [`programs::PROGRAM`] set it does what that program's `main` does.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::float_cmp)]

mod day;
mod load;
mod programs;
mod site;
#[path = "../../../console/tests/terminal.rs"]
mod terminal;
