mod answers;
mod chat;
mod endurance;
mod fake_engine;
mod faults;
mod identity;
mod runs;
mod throughput;
