//! Requests as their clients see them: how long they took, and how they ended.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, Result};
use rsd_protocol::metrics::{FIRST_TOKEN, INTER_TOKEN, REQUEST_SECONDS, REQUESTS};

use super::register::Register;

/// How a request for an answer ended, in the order of the label's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With its answer.
    Completed,
    /// The client left, or the server stopped.
    Cancelled,
    /// Something of ours broke.
    Failed,
    /// It was the client's fault, or there was no place.
    Refused,
}

/// What is counted of requests.
#[derive(Debug)]
pub struct Requests {
    outcomes: [IntCounter; 4],
    first_token: Histogram,
    inter_token: Histogram,
    seconds: Histogram,
}

impl Requests {
    pub(super) fn new(register: &Register<'_>) -> Result<Self> {
        Ok(Self {
            outcomes: register.by(&REQUESTS)?,
            first_token: register.one(&FIRST_TOKEN)?,
            inter_token: register.one(&INTER_TOKEN)?,
            seconds: register.one(&REQUEST_SECONDS)?,
        })
    }

    /// The first text of an answer is there, so long after the request arrived.
    pub fn first_text(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// So many tokens followed the ones before within a time that they share.
    pub fn tokens(&self, tokens: usize, within: Duration) {
        let each = within.as_secs_f64() / tokens.max(1) as f64;
        for _ in 0..tokens {
            self.inter_token.observe(each);
        }
    }

    /// A request ended, so long after it arrived.
    pub fn ended(&self, outcome: Outcome, after: Duration) {
        self.outcomes[outcome as usize].inc();
        if outcome == Outcome::Completed {
            self.seconds.observe(after.as_secs_f64());
        }
    }
}
