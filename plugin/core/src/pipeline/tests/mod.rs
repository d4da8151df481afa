mod failures;
mod handover;
mod laws;
mod permits;
mod speculation;
