//! Metrics of models on remote engines; for a model in this process they stay 0.

use prometheus::{Counter, Gauge, GaugeVec, IntCounter, IntCounterVec, Result};
use rsd_core::pipeline::roles::{RemoteEndpoint, RemoteTraffic};
use rsd_protocol::metrics::{
    REMOTE_ADDRESS_LEFT_ALONE, REMOTE_ADDRESS_USABLE, REMOTE_ENDPOINTS, REMOTE_FAILOVERS, REMOTE_FAILURES,
    REMOTE_FIRST_PART_SECONDS, REMOTE_FIRST_PARTS, REMOTE_IN_FLIGHT, REMOTE_REQUESTS, REMOTE_RETRIES, REMOTE_WAITING,
    ROLES,
};

use super::collector_registry::CollectorRegistry;

/// The collectors, each for draft, reward and target.
pub(super) struct RemoteMetrics {
    requests: [IntCounter; 3],
    retries: [IntCounter; 3],
    failovers: [IntCounter; 3],
    failures: [[IntCounter; 9]; 3],
    first_parts: [IntCounter; 3],
    first_part_seconds: [Counter; 3],
    in_flight: [Gauge; 3],
    waiting: [Gauge; 3],
    endpoints: [[Gauge; 2]; 3],
    addresses: AddressMetrics,
}

/// What is known of each address. A series begins when its address is first seen.
struct AddressMetrics {
    usable: GaugeVec,
    left_alone: IntCounterVec,
}

impl RemoteMetrics {
    pub fn new(register: &CollectorRegistry<'_>) -> Result<Self> {
        Ok(Self {
            requests: register.labeled(&REMOTE_REQUESTS)?,
            retries: register.labeled(&REMOTE_RETRIES)?,
            failovers: register.labeled(&REMOTE_FAILOVERS)?,
            failures: register.labeled_twice(&REMOTE_FAILURES)?,
            first_parts: register.labeled(&REMOTE_FIRST_PARTS)?,
            first_part_seconds: register.labeled(&REMOTE_FIRST_PART_SECONDS)?,
            in_flight: register.labeled(&REMOTE_IN_FLIGHT)?,
            waiting: register.labeled(&REMOTE_WAITING)?,
            endpoints: register.labeled_twice(&REMOTE_ENDPOINTS)?,
            addresses: AddressMetrics {
                usable: register.open(&REMOTE_ADDRESS_USABLE, GaugeVec::new)?,
                left_alone: register.open(&REMOTE_ADDRESS_LEFT_ALONE, IntCounterVec::new)?,
            },
        })
    }

    /// Takes over the counts of a model; `role` is its place in `ROLES`. Only one caller at a time: the counts are
    /// made elsewhere, and this adds those since the last call.
    pub fn update(&self, role: usize, traffic: &RemoteTraffic) {
        catch_up(&self.requests[role], traffic.requests);
        catch_up(&self.retries[role], traffic.retries);
        catch_up(&self.failovers[role], traffic.failovers);
        for (counter, (_, count)) in self.failures[role].iter().zip(&traffic.errors) {
            catch_up(counter, *count);
        }
        catch_up(&self.first_parts[role], traffic.first_parts);
        let seconds = &self.first_part_seconds[role];
        seconds.inc_by((traffic.first_part_seconds - seconds.get()).max(0.0));
        self.in_flight[role].set(traffic.in_flight as f64);
        self.waiting[role].set(traffic.waiting as f64);
        let usable = traffic.endpoints.iter().filter(|endpoint| endpoint.usable).count();
        self.endpoints[role][0].set(usable as f64);
        self.endpoints[role][1].set((traffic.endpoints.len() - usable) as f64);
        for endpoint in &traffic.endpoints {
            self.addresses.update(ROLES[role], endpoint);
        }
    }
}

impl AddressMetrics {
    fn update(&self, role: &str, endpoint: &RemoteEndpoint) {
        let labels = [role, &endpoint.url];
        self.usable.with_label_values(&labels).set(f64::from(u8::from(endpoint.usable)));
        catch_up(&self.left_alone.with_label_values(&labels), endpoint.openings);
    }
}

fn catch_up(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder as _, Registry, TextEncoder};
    use rsd_core::pipeline::roles::RemoteEndpoint;

    use super::*;

    #[test]
    fn counts_are_taken_over_once() {
        let registry = Registry::new();
        let metrics = RemoteMetrics::new(&CollectorRegistry(&registry)).unwrap();
        let endpoint = |name: &str, usable| RemoteEndpoint { url: format!("http://{name}"), usable, openings: 1 };
        let traffic = RemoteTraffic {
            requests: 7,
            retries: 2,
            failovers: 1,
            errors: rsd_protocol::metrics::REMOTE_ERRORS.iter().map(|kind| (*kind, 3)).collect(),
            waiting: 4,
            in_flight: 5,
            first_parts: 6,
            first_part_seconds: 1.5,
            endpoints: vec![endpoint("a", true), endpoint("b", false)],
        };
        metrics.update(2, &traffic);
        metrics.update(2, &traffic);
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let shown: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("role=\"target\"") && !line.contains("errors") || line.contains("timeout"))
            .filter(|line| !line.starts_with('#') && line.contains("target"))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        rsd_remote_address_left_alone_total{role="target",url="http://a"} 1
        rsd_remote_address_left_alone_total{role="target",url="http://b"} 1
        rsd_remote_address_usable{role="target",url="http://a"} 1
        rsd_remote_address_usable{role="target",url="http://b"} 0
        rsd_remote_endpoints{role="target",state="left_alone"} 1
        rsd_remote_endpoints{role="target",state="usable"} 1
        rsd_remote_errors_total{kind="timeout",role="target"} 3
        rsd_remote_failovers_total{role="target"} 1
        rsd_remote_first_part_seconds_total{role="target"} 1.5
        rsd_remote_first_parts_total{role="target"} 6
        rsd_remote_requests_in_flight{role="target"} 5
        rsd_remote_requests_total{role="target"} 7
        rsd_remote_requests_waiting{role="target"} 4
        rsd_remote_retries_total{role="target"} 2
        "#);
    }
}
