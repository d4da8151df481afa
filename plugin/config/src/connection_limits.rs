//! What a server lets its clients hold: connections, time, memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds on connections and bodies. The defaults hold in a container of 1 GB; the time-outs apply to the admin
/// listener too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionLimits {
    /// Open connections. One more closes the one that has been without a request for longest; if all have one, it may
    /// only ask for the status of the server.
    #[schemars(range(min = 1, max = 65_536))]
    pub connections: usize,
    /// Requests that one client address may have at the same time; more get status 429. Without a value there is no such
    /// bound, because behind a proxy all requests come from one address.
    #[schemars(range(min = 1, max = 65_536))]
    pub requests_per_client: Option<usize>,
    /// Seconds from the first byte of a request to the end of its headers; then the connection is closed.
    #[schemars(range(min = 1, max = 3600))]
    pub header_seconds: u64,
    /// Seconds that a connection may be open without a request; then it is closed.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_seconds: u64,
    /// Seconds for a whole request body; then the request gets status 408.
    #[schemars(range(min = 1, max = 3600))]
    pub body_seconds: u64,
    /// Seconds without a byte of a request body; then the request gets status 408.
    #[schemars(range(min = 1, max = 3600))]
    pub body_idle_seconds: u64,
    /// Seconds in which a client receives nothing although there is something to send; then it counts as gone.
    #[schemars(range(min = 1, max = 3600))]
    pub send_seconds: u64,
    /// Bytes of all request bodies together while they are received and parsed, without the first 64 KiB of each. A
    /// request that exceeds it gets status 503.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub body_memory: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            requests_per_client: None,
            header_seconds: 10,
            idle_seconds: 75,
            body_seconds: 60,
            body_idle_seconds: 10,
            send_seconds: 30,
            body_memory: 32 << 20,
        }
    }
}
