mod failures;
mod laws;
mod permits;
