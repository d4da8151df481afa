//! Code as a task: what a question of `HumanEval` or MBPP asks for, and the program that tests an answer to it.

mod data_sets;
mod task;

pub(crate) use self::data_sets::from_line;
pub use self::task::CodeTask;
