mod answers;
mod endurance;
mod fake_engine;
mod faults;
mod identity;
mod readers;
mod runs;
