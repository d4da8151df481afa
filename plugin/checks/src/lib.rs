//! Checks of a step that need no model: each finds what a step states and can be decided, and says what is false.
//!
//! A check has an opinion only where it is sure. What it does not understand it leaves out.

mod arithmetic;
mod fences;
mod python;

use std::ops::Range;

pub use arithmetic::ArithmeticCheck;
pub use python::PythonCheck;

/// A step, with what stands before it.
#[derive(Debug, Clone, Copy)]
pub struct CheckedStep<'a> {
    pub question: &'a str,
    /// The steps of the answer before it.
    pub earlier: &'a [String],
    pub step: &'a str,
}

/// Something false in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalseStatement {
    /// Bytes of the step.
    pub place: Range<usize>,
    /// The statement and what is wrong with it, for people.
    pub reason: String,
}

/// What a check found in a step. Without anything it has no opinion.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckFindings {
    /// Number of statements that hold.
    pub holding: usize,
    /// The false ones, in the order of the text.
    pub false_statements: Vec<FalseStatement>,
}

/// Decides statements of one kind.
pub trait StepCheck: Send + Sync {
    /// The name in the deployment file.
    fn name(&self) -> &'static str;
    /// Checks a step. The work is bounded, whatever the text is.
    fn check(&self, step: &CheckedStep<'_>) -> CheckFindings;
}
