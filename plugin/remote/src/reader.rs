//! A model on a remote engine that is read at the end of prompts: a process reward model, a judge, or the draft itself.
//!
//! A model with a head is asked for the head's outputs; another one for the log-probabilities of a few tokens. Both come
//! without an activation, so rewards are computed as for a model in this process. The draft is asked for its hidden
//! state, for a head that is here.

use std::{sync::OnceLock, time::Instant};

use async_trait::async_trait;
use rsd_core::pipeline::{
    prompt_reader::{PromptReader, PromptReading},
    roles::{ChatMessage, ModelHealth, RemoteTraffic, RoleError},
};

use crate::{
    ConnectError, RemoteSettings,
    adapters::{CompletionPrefix, LabelCall, ScoreReply},
    chat_prompt,
    completion::{CompletionError, session_headers},
    connect::reach,
    pooled_rows::{PooledRows, step_tokens},
    remote_core::RemoteCore,
};

/// How far probabilities that were rounded may be from a sum of 1.
const ROUNDED: f32 = 0.01;

/// How far the length of a state that was scaled to length 1 may be from it.
const SCALED: f64 = 1e-3;

/// What is read at the end of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderTask {
    /// The outputs of the model's head.
    Head {
        /// How many there are.
        outputs: usize,
    },
    /// The log-probabilities of these tokens.
    Tokens(Vec<u32>),
    /// The hidden state after the final norm.
    State {
        /// How many numbers it has.
        width: usize,
    },
}

/// A model on a remote engine, read at the end of prompts.
pub struct RemoteReader {
    core: RemoteCore,
    task: ReaderTask,
    /// What the tokens of the task spell.
    texts: Vec<String>,
    /// For which tokens an engine with a head returns rows. The first reply tells it, so the first prompt must have two steps.
    rows: OnceLock<PooledRows>,
}

impl RemoteReader {
    /// Connects to an engine, and checks its model and its context. For a model with a head the first prompt that is read
    /// must have at least two steps: its reply shows which tokens the engine pools.
    ///
    /// # Errors
    /// The engine is not reached, is not what the settings say, or cannot be read in this way.
    pub async fn connect(settings: RemoteSettings, task: ReaderTask) -> Result<Self, ConnectError> {
        let section = settings.section.clone();
        let core = reach(settings).await?;
        if matches!(task, ReaderTask::Head { .. }) && core.adapter.pooling(&core.model, &[]).is_none() {
            let reason = format!("{} runs no reward heads: use vllm or sglang", core.adapter.name());
            return Err(ConnectError::Probe { section, reason });
        }
        if matches!(task, ReaderTask::State { .. }) && core.adapter.state(&core.model, &[]).is_none() {
            let reason = format!("{} returns no hidden states here: use llama_server", core.adapter.name());
            return Err(ConnectError::Probe { section, reason });
        }
        let texts = match &task {
            ReaderTask::Head { .. } | ReaderTask::State { .. } => Vec::new(),
            ReaderTask::Tokens(tokens) => tokens.iter().map(|token| core.vocabulary.spelled(&[*token])).collect(),
        };
        Ok(Self { core, task, texts, rows: OnceLock::new() })
    }

    async fn ask(&self, prompt: &[u32], answer: u64) -> Result<ScoreReply, CompletionError> {
        let RemoteCore { adapter, model, client, .. } = &self.core;
        let text = (!adapter.abilities().token_ids).then(|| self.core.vocabulary.spelled(prompt));
        let labels = match &self.task {
            ReaderTask::Head { .. } | ReaderTask::State { .. } => None,
            ReaderTask::Tokens(tokens) => Some(LabelCall {
                model,
                prefix: text.as_deref().map_or(CompletionPrefix::Ids(prompt), CompletionPrefix::Text),
                labels: tokens,
                texts: &self.texts,
            }),
        };
        let reads_state = matches!(self.task, ReaderTask::State { .. });
        let request = match &labels {
            Some(call) => Some(adapter.labels(call)),
            None if reads_state => adapter.state(model, prompt),
            None => adapter.pooling(model, prompt),
        };
        let Some(mut request) = request else {
            return Err(CompletionError::Text(format!("{} cannot be read", adapter.name())));
        };
        request.headers.extend(session_headers(answer));
        let reply = client.json(&request).await?;
        Ok(match &labels {
            Some(call) => adapter.labels_reply(call, &reply)?,
            None if reads_state => adapter.state_reply(&reply)?,
            None => adapter.pooling_reply(&reply)?,
        })
    }

    /// The row of the last token, if the reply is one to this prompt.
    fn last_row(&self, prompt: &[u32], reply: &ScoreReply) -> Result<Vec<f32>, String> {
        let row = match &self.task {
            ReaderTask::Tokens(tokens) => {
                let row = reply.rows.last().cloned().unwrap_or_default();
                if row.iter().all(|logprob| *logprob == f32::NEG_INFINITY) {
                    return Err(format!(
                        "it was asked for the log-probabilities of {} after a prompt of {} tokens, and reported none of \
                         them among its likeliest tokens",
                        self.texts.join(" "),
                        prompt.len()
                    ));
                }
                if row.len() != tokens.len() || row.iter().any(|logprob| logprob.is_nan()) {
                    return Err(format!("it was asked for {} log-probabilities, and replied {row:?}", tokens.len()));
                }
                return Ok(row);
            }
            ReaderTask::Head { outputs } => self.head_row(prompt, reply, *outputs)?,
            ReaderTask::State { width } => state_row(prompt, reply, *width)?,
        };
        Ok(row)
    }

    fn head_row(&self, prompt: &[u32], reply: &ScoreReply, outputs: usize) -> Result<Vec<f32>, String> {
        let asked = || {
            let (tokens, steps) = (prompt.len(), step_tokens(prompt));
            let last = prompt.last().copied().unwrap_or_default();
            format!(
                "it was asked for the {outputs} outputs of a head after {tokens} tokens, of which {steps} are step tokens (id {last})"
            )
        };
        if let Some(read) = reply.prompt.map(|prompt| prompt.prompt).filter(|read| *read != prompt.len()) {
            return Err(format!("{}, and says that it read {read} tokens", asked()));
        }
        let found = reply.rows.len();
        let known = self.rows.get().copied().or_else(|| PooledRows::explain(found, prompt));
        let Some(rows) = known else {
            return Err(format!(
                "{}, and returned {found} rows instead of one for the last token, for each step token or for each token: \
                 is its step token that of `format`?",
                asked()
            ));
        };
        if found != rows.expected(prompt) {
            return Err(format!("{}, and returned {found} rows instead of {rows}", asked()));
        }
        if let Some(row) = reply.rows.iter().find(|row| row.len() != outputs) {
            return Err(format!("{}, and returned {} of them: is `format` the model's?", asked(), row.len()));
        }
        if reply.rows.iter().flatten().any(|value| !value.is_finite()) {
            return Err(format!("{}, and returned one that is no finite number", asked()));
        }
        if self.rows.get().is_none() {
            if outputs > 1 && reply.rows.iter().all(|row| is_distribution(row)) {
                return Err(format!(
                    "{}, and returned probabilities although none were asked for (`use_activation: false`): it needs a newer \
                     version",
                    asked()
                ));
            }
            let _ = self.rows.set(rows);
        }
        Ok(reply.rows.last().cloned().unwrap_or_default())
    }
}

/// The state at the end of the prompt.
fn state_row(prompt: &[u32], reply: &ScoreReply, width: usize) -> Result<Vec<f32>, String> {
    let asked = || format!("it was asked for the hidden state after {} tokens", prompt.len());
    let [row] = reply.rows.as_slice() else {
        let found = reply.rows.len();
        return Err(format!("{}, and returned {found} of them: start it with `--pooling last`", asked()));
    };
    if row.len() != width {
        let found = row.len();
        return Err(format!(
            "{}, which has {width} numbers in the head's draft, and returned {found}: does it serve the draft's model?",
            asked()
        ));
    }
    if row.iter().any(|value| !value.is_finite()) {
        return Err(format!("{}, and returned one with a number that is not finite", asked()));
    }
    let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if (length - 1.0).abs() < SCALED {
        return Err(format!("{}, and returned it scaled to length 1: it needs a newer version", asked()));
    }
    Ok(row.clone())
}

/// Whether these are probabilities that add up to 1.
fn is_distribution(row: &[f32]) -> bool {
    row.iter().all(|value| (0.0..=1.0).contains(value)) && (row.iter().sum::<f32>() - 1.0).abs() < ROUNDED
}

#[async_trait]
impl PromptReader for RemoteReader {
    fn model(&self) -> String {
        self.core.model.clone()
    }

    fn parameters(&self) -> Option<u64> {
        self.core.parameters
    }

    fn context_length(&self) -> usize {
        self.core.context
    }

    fn health(&self) -> ModelHealth {
        self.core.client.health()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        Some(self.core.client.traffic())
    }

    /// The engine manages its cache. Only what is assumed of it is forgotten.
    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.core.sent.lock().clear();
        Ok(())
    }

    async fn encode_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, RoleError> {
        chat_prompt::encode(&self.core, messages).await
    }

    async fn read(&self, prompt: Vec<u32>, answer: u64) -> Result<PromptReading, RoleError> {
        let core = &self.core;
        if prompt.len() >= core.context {
            let (tokens, context) = (prompt.len(), core.context);
            return Err(RoleError::ContextExceeded { role: core.role.clone(), tokens, context });
        }
        let began = Instant::now();
        let reply = self.ask(&prompt, answer).await.map_err(|error| match error {
            CompletionError::Transport(error) => {
                RoleError::Failed { role: core.role.clone(), reason: error.to_string() }
            }
            other => core.failed(&other),
        })?;
        let values = self.last_row(&prompt, &reply).map_err(|reason| core.failed(&reason))?;
        let cached = match (reply.prompt.and_then(|prompt| prompt.cached), &self.task) {
            (Some(cached), _) => cached.min(prompt.len()),
            // An engine that pools tokens computes all of them, and does not say so.
            (None, ReaderTask::Head { .. } | ReaderTask::State { .. }) => 0,
            (None, ReaderTask::Tokens(_)) => core.sent.lock().cached(answer, &prompt),
        };
        let tokens = prompt.len();
        if matches!(self.task, ReaderTask::Tokens(_)) {
            core.sent.lock().insert(answer, prompt);
        }
        Ok(PromptReading { values, prompt: tokens, prefilled: tokens - cached, seconds: began.elapsed().as_secs_f64() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_row_of_the_right_width_that_was_not_scaled() {
        let reply = |rows: Vec<Vec<f32>>| ScoreReply { rows, prompt: None };
        assert_eq!(state_row(&[1, 2], &reply(vec![vec![3.0, -4.0]]), 2).unwrap(), [3.0, -4.0]);
        for (rows, problem) in [
            (vec![], "returned 0 of them: start it with `--pooling last`"),
            (vec![vec![1.0, 2.0]; 2], "returned 2 of them: start it with `--pooling last`"),
            (vec![vec![1.0; 3]], "has 2 numbers in the head's draft, and returned 3: does it serve the draft's model?"),
            (vec![vec![f32::NAN, 1.0]], "returned one with a number that is not finite"),
            (vec![vec![0.6, -0.8]], "returned it scaled to length 1"),
        ] {
            let found = state_row(&[1, 2], &reply(rows), 2).unwrap_err();
            assert!(
                found.starts_with("it was asked for the hidden state after 2 tokens, ") && found.contains(problem),
                "{found}"
            );
        }
    }
}
