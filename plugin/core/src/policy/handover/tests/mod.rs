//! Laws of the comparison when it is told the truth, and of learning in simulated answers.

mod simulation;
mod truth;
