//! The metrics of a real server: scraped over HTTP, checked with Prometheus' tools and queried from a Prometheus.
// The counts are whole numbers, which an f64 represents exactly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

mod prometheus;
mod scrape;
mod support;
mod warmup;
