//! The console as a whole: drawn on a test backend, against a server made of the protocol's own types, and in a real
//! terminal.

mod editing;
mod endurance;
mod fake;
mod faults;
mod fixture;
mod pty;
mod scripts;
mod views;
