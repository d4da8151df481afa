//! The metrics of a real server: scraped over HTTP, read by Prometheus' own tools and by a running Prometheus.
#![allow(missing_docs)]

mod probe;
mod prometheus;
mod scrape;
mod support;
