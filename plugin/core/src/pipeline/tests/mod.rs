mod failures;
mod handover;
mod laws;
mod permits;
mod price;
mod speculation;
mod target_down;
