//! Runs the methods that a running server supports, through its API.

use std::{sync::Arc, time::Duration};

use crate::{question::Question, run_log::Answer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Method, RunRecipe, log_entry::AnswerBuilder, method_runner::sample_seed};
use rsd_config::SecretSource;
use rsd_core::pipeline::trace::{AnswerTrace, StepSource, StepTrace};

/// A running server that answers questions.
#[derive(Clone)]
pub struct RemoteRunner(Arc<RemoteServer>);

struct RemoteServer {
    agent: ureq::Agent,
    url: String,
    key: Option<SecretSource>,
    recipe: RunRecipe,
}

/// A server gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No connection.
    #[error("cannot reach {url}: {reason}. Check that the server is running at this address")]
    Unreachable {
        /// The server's address.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused the request.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// The server's address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The message of its answer.
        message: String,
    },
    /// The answer is not that of an RSD server.
    #[error("{url} did not answer like an RSD server: {reason}")]
    UnexpectedAnswer {
        /// The server's address.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The method needs models in this process.
    #[error("{0} needs the models in this process: omit --url or this method")]
    NotRemote(Method),
    /// The task that waited for the answer ended.
    #[error("the request was interrupted: {0}")]
    Interrupted(String),
}

#[derive(Deserialize)]
struct RemoteCompletion {
    choices: Vec<CompletionChoice>,
    usage: TokenUsage,
    rsd: RemoteTraces,
}

#[derive(Deserialize)]
struct CompletionChoice {
    message: CompletionMessage,
    finish_reason: String,
}

#[derive(Deserialize)]
struct CompletionMessage {
    content: String,
}

#[derive(Deserialize)]
struct TokenUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

#[derive(Deserialize)]
struct RemoteTraces {
    choices: Vec<AnswerTrace>,
}

impl RemoteRunner {
    /// The server at an address such as `http://127.0.0.1:1234`, with its API key.
    #[must_use]
    pub fn new(url: &str, key: Option<SecretSource>, recipe: RunRecipe) -> Self {
        let agent = ureq::AgentBuilder::new()
            .timeout_connect(Duration::from_secs(10))
            // The answer arrives in one piece, after its last token.
            .timeout_read(Duration::from_secs(3600))
            .user_agent(concat!("mistralrs-rsd/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(Arc::new(RemoteServer { agent, url: url.trim_end_matches('/').to_owned(), key, recipe }))
    }

    /// Checks that a server supports these methods.
    ///
    /// # Errors
    /// Names the first method that it does not support.
    pub fn check(methods: &[Method]) -> Result<(), RemoteError> {
        methods.iter().find(|method| !method.is_remote()).map_or(Ok(()), |method| Err(RemoteError::NotRemote(*method)))
    }

    /// The settings that all methods share.
    #[must_use]
    pub fn recipe(&self) -> &RunRecipe {
        &self.0.recipe
    }

    /// The server's threshold, taken from the trace of a short answer.
    ///
    /// # Errors
    /// No RSD server answers.
    pub async fn delta(&self) -> Result<f64, RemoteError> {
        let body = json!({ "messages": [{ "role": "user", "content": "1 + 1 =" }], "max_tokens": 1, "temperature": 0 });
        let completion = self.ask(body).await?;
        let first = completion.rsd.choices.first().and_then(|trace| trace.steps.first());
        first.map(|step: &StepTrace| step.delta).ok_or_else(|| self.0.unexpected("its trace has no step"))
    }

    /// Answers a question with each of the methods, in order. `delta` is the server's threshold.
    ///
    /// # Errors
    /// The server refused a request or cannot be reached, or does not support a method.
    pub async fn answers(
        &self,
        question: &Question,
        methods: &[Method],
        delta: f64,
    ) -> Result<Vec<Answer>, RemoteError> {
        let mut answers = Vec::new();
        for method in methods {
            for (_, sample) in method.entries(delta, self.0.recipe.samples) {
                let completion = self.ask(self.body(question, *method, sample)?).await?;
                let name = method.name(delta);
                answers.push(self.logged(question, &name, sample, completion)?);
            }
        }
        Ok(answers)
    }

    fn body(&self, question: &Question, method: Method, sample: usize) -> Result<Value, RemoteError> {
        let recipe = &self.0.recipe;
        let mut messages = vec![json!({ "role": "user", "content": question.text })];
        if !recipe.system.is_empty() {
            messages.insert(0, json!({ "role": "system", "content": recipe.system }));
        }
        let mut body = json!({ "messages": messages, "max_tokens": recipe.max_tokens, "temperature": 0 });
        match method {
            Method::Target => body["model"] = json!("target"),
            Method::Draft => body["model"] = json!("draft"),
            Method::Rsd => body["rsd"] = json!({ "enabled": true }),
            Method::RsdAfter(after) => body["rsd"] = json!({ "enabled": true, "after_rejection": after.name() }),
            Method::Sweep(delta) => body["rsd"] = json!({ "enabled": true, "delta": delta }),
            Method::Samples(source) => {
                match source {
                    // A threshold of 0 has every step scored and none rejected.
                    StepSource::Draft => body["rsd"] = json!({ "enabled": true, "delta": 0, "weighting": "binary" }),
                    // A server does not score what the target generates alone.
                    StepSource::Target => body["model"] = json!("target"),
                }
                body["temperature"] = json!(recipe.sampling.temperature);
                body["top_k"] = json!(recipe.sampling.top_k);
                body["top_p"] = json!(recipe.sampling.top_p);
                // Seeds of the API are signed numbers.
                body["seed"] = json!(sample_seed(recipe, question, sample as u64) >> 1);
            }
            Method::Beam | Method::Speculative(_) | Method::OracleAnswer | Method::OracleTarget => {
                return Err(RemoteError::NotRemote(method));
            }
        }
        Ok(body)
    }

    async fn ask(&self, mut body: Value) -> Result<RemoteCompletion, RemoteError> {
        body["rsd"]["trace"] = json!(true);
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || inner.post(&body))
            .await
            .map_err(|error| RemoteError::Interrupted(error.to_string()))?
    }

    fn logged(
        &self,
        question: &Question,
        method: &str,
        sample: usize,
        completion: RemoteCompletion,
    ) -> Result<Answer, RemoteError> {
        let RemoteCompletion { mut choices, usage, rsd } = completion;
        let (choice, trace) = choices
            .pop()
            .zip(rsd.choices.into_iter().next())
            .ok_or_else(|| self.0.unexpected("it has no choice with a trace"))?;
        let builder = AnswerBuilder {
            question,
            method,
            sample,
            text: choice.message.content,
            finished: choice.finish_reason == "stop",
            prompt_tokens: usage.prompt_tokens,
            tokens: usage.completion_tokens,
        };
        Ok(builder.traced(&trace, self.0.recipe.timed))
    }
}

impl RemoteServer {
    fn unexpected(&self, reason: &str) -> RemoteError {
        RemoteError::UnexpectedAnswer { url: self.url.clone(), reason: reason.to_owned() }
    }

    fn post(&self, body: &Value) -> Result<RemoteCompletion, RemoteError> {
        let mut request = self.agent.post(&format!("{}/v1/chat/completions", self.url));
        if let Some(key) = &self.key {
            request = request.set("Authorization", &format!("Bearer {}", &**key));
        }
        request = request.set("Content-Type", "application/json");
        let response = match request.send_string(&body.to_string()) {
            Ok(response) => response,
            Err(ureq::Error::Status(status, response)) => {
                let text = response.into_string().unwrap_or_default();
                let parsed: Option<Value> = serde_json::from_str(&text).ok();
                let message = parsed.as_ref().and_then(|value| value["error"]["message"].as_str());
                let message = message.map_or_else(|| text.chars().take(200).collect(), str::to_owned);
                return Err(RemoteError::Refused { url: self.url.clone(), status, message });
            }
            Err(error) => return Err(RemoteError::Unreachable { url: self.url.clone(), reason: error.to_string() }),
        };
        let text = response.into_string().map_err(|error| self.unexpected(&error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| self.unexpected(&error.to_string()))
    }
}
