mod answers;
mod fake_engine;
mod faults;
mod runs;
