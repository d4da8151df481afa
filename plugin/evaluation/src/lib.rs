//! Evaluation: questions, the log of a run, the report made from it, and the runner of the compared methods.
//!
//! A run is logged in full before any answer is graded. Reports only read the log, so a better grader or a
//! new table needs no model. Nothing here depends on mistral.rs.

pub mod calibration;
pub mod code;
pub mod grades;
mod markup;
pub mod question;
pub mod report;
pub mod run_log;
pub mod runner;
pub mod svg;

pub use rsd_statistics as statistics;
