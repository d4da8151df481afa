//! Whether an answer is right.

pub mod number;
