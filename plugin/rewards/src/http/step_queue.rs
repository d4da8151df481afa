//! Steps that wait for a scorer which takes several at once.
//!
//! One request is under way at a time. The steps that arrive meanwhile are in the next one, so that nothing waits for a
//! batch to fill.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

use super::client::{ScorerClient, ScorerError};

type Answer = Result<Option<f64>, ScorerError>;

struct WaitingStep {
    step: Value,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<WaitingStep>,
    /// Whether a task sends what waits.
    sending: bool,
}

/// The steps that no request contains yet.
pub(super) struct StepQueue {
    client: Arc<ScorerClient>,
    max_batch: usize,
    state: Arc<Mutex<QueueState>>,
}

impl StepQueue {
    pub fn new(client: Arc<ScorerClient>, max_batch: usize) -> Self {
        Self { client, max_batch, state: Arc::default() }
    }

    /// The reward of a step, which shares a request with others that wait.
    pub async fn ask(&self, step: Value) -> Answer {
        let (answer, answered) = oneshot::channel();
        let start = {
            let mut state = self.state.lock();
            state.waiting.push_back(WaitingStep { step, answer });
            !std::mem::replace(&mut state.sending, true)
        };
        if start {
            // A task of its own: the steps of others do not end with the caller whose step came first.
            tokio::spawn(send_all(self.client.clone(), self.max_batch, self.state.clone()));
        }
        answered.await.unwrap_or_else(|_| {
            Err(ScorerError { reason: "the server stopped before the scorer answered".to_owned(), passing: false })
        })
    }
}

/// Sends batches until nothing waits.
async fn send_all(client: Arc<ScorerClient>, max_batch: usize, state: Arc<Mutex<QueueState>>) {
    loop {
        let batch = next_batch(&mut state.lock(), max_batch);
        let Some(batch) = batch else { return };
        send(&client, batch).await;
    }
}

/// The steps that have waited longest and whose callers still wait; `None`, and nothing is being sent, if there are none.
fn next_batch(state: &mut QueueState, max_batch: usize) -> Option<Vec<WaitingStep>> {
    state.waiting.retain(|waiting| !waiting.answer.is_closed());
    let count = max_batch.min(state.waiting.len());
    state.sending = count > 0;
    state.sending.then(|| state.waiting.drain(..count).collect())
}

async fn send(client: &Arc<ScorerClient>, batch: Vec<WaitingStep>) {
    let (steps, callers): (Vec<Value>, Vec<_>) = batch.into_iter().map(|step| (step.step, step.answer)).unzip();
    let answers: Vec<Answer> = match client.ask(&steps).await {
        Ok(rewards) => rewards.into_iter().map(Ok).collect(),
        // A step that the scorer does not take must not cost the others their scores.
        Err(error) if !error.passing && steps.len() > 1 => {
            let mut answers = Vec::new();
            for step in &steps {
                answers.push(client.ask_one(step).await);
            }
            answers
        }
        Err(error) => vec![Err(error); steps.len()],
    };
    for (caller, answer) in callers.into_iter().zip(answers) {
        // A caller that left does not need it.
        let _ = caller.send(answer);
    }
}
