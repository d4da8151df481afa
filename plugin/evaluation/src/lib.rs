//! An evaluation without its models: the questions, how answers are graded, the log of a run and the report made
//! from it.
//!
//! A run is recorded whole before anything is judged: grading and reporting read the log, so that a better grader or
//! another table needs no model. No mistral.rs here.

pub mod calibration;
pub mod grade;
pub mod question;
pub mod record;
pub mod report;
pub mod statistics;
pub mod svg;
