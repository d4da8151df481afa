mod failures;
mod handover;
mod laws;
mod permits;
mod price;
mod target_down;
