//! `mistralrs-rsd eval`, `calibrate` and `bench`, the programs themselves, in processes of their own on two tiny models.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::float_cmp)]

mod afar;
mod benched;
mod calibrated;
mod folder;
mod killed;
mod methods;
mod oracle;
#[allow(dead_code)]
#[path = "../console/programs.rs"]
mod programs;
mod rig;
mod speculative;
