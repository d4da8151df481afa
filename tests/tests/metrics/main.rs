//! The metrics of a real server: scraped over HTTP, read by Prometheus' own tools and by a running Prometheus.
// Counts are whole numbers, exact in a float.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

mod probe;
mod prometheus;
mod scrape;
mod support;
