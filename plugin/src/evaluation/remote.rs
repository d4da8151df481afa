//! The methods that a running server can be asked for.

use std::{sync::Arc, time::Duration};

use rsd_evaluation::{question::Question, record::Answer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Method, Recipe, entry::Said, runner::sample_seed};
use crate::{
    config::Secret,
    pipeline::trace::{Source, StepTrace, Trace},
};

/// A server that is asked.
#[derive(Clone)]
pub struct Remote(Arc<Inner>);

struct Inner {
    agent: ureq::Agent,
    url: String,
    key: Option<Secret>,
    recipe: Recipe,
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It is not to be reached.
    #[error("{url}: {reason}. Is the server running, and is this its address?")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It refused.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// Which server.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It answered something else.
    #[error("{url}: no answer of an RSD server: {reason}")]
    Strange {
        /// Which server.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Only models in this process can do that.
    #[error("{0} needs the models in this process: leave out --url, or this method")]
    NotRemote(Method),
    /// The task that waited died.
    #[error("the request was interrupted: {0}")]
    Interrupted(String),
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Usage,
    rsd: Traces,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: String,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

#[derive(Deserialize)]
struct Traces {
    choices: Vec<Trace>,
}

impl Remote {
    /// A server by its address, such as `http://127.0.0.1:1234`, and its API key.
    #[must_use]
    pub fn new(url: &str, key: Option<Secret>, recipe: Recipe) -> Self {
        let agent = ureq::AgentBuilder::new()
            .timeout_connect(Duration::from_secs(10))
            // An answer comes in one piece, after all of its tokens.
            .timeout_read(Duration::from_secs(3600))
            .user_agent(concat!("mistralrs-rsd/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(Arc::new(Inner { agent, url: url.trim_end_matches('/').to_owned(), key, recipe }))
    }

    /// Whether these methods can be had from afar.
    ///
    /// # Errors
    /// The first that cannot.
    pub fn check(methods: &[Method]) -> Result<(), RemoteError> {
        methods.iter().find(|method| !method.is_remote()).map_or(Ok(()), |method| Err(RemoteError::NotRemote(*method)))
    }

    /// What all methods have in common.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.0.recipe
    }

    /// The threshold in force there, as a first short answer shows it.
    ///
    /// # Errors
    /// No RSD server answers.
    pub async fn delta(&self) -> Result<f64, RemoteError> {
        let body = json!({ "messages": [{ "role": "user", "content": "1 + 1 =" }], "max_tokens": 1, "temperature": 0 });
        let completion = self.ask(body).await?;
        let first = completion.rsd.choices.first().and_then(|trace| trace.steps.first());
        first.map(|step: &StepTrace| step.delta).ok_or_else(|| self.0.strange("its trace holds no step"))
    }

    /// All answers to a question, method by method. `delta` is the server's.
    ///
    /// # Errors
    /// The server refused or is gone, or a method cannot be had from afar.
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
            Method::Sweep(delta) => body["rsd"] = json!({ "enabled": true, "delta": delta }),
            Method::Samples(source) => {
                match source {
                    // Every step is judged and none is refused.
                    Source::Draft => body["rsd"] = json!({ "enabled": true, "delta": 0, "weighting": "binary" }),
                    // Nobody judges there what the target writes alone.
                    Source::Target => body["model"] = json!("target"),
                }
                body["temperature"] = json!(recipe.sampling.temperature);
                body["top_k"] = json!(recipe.sampling.top_k);
                body["top_p"] = json!(recipe.sampling.top_p);
                // The API's seeds are signed numbers.
                body["seed"] = json!(sample_seed(recipe, question, sample as u64) >> 1);
            }
            Method::Beam | Method::Speculative(_) | Method::OracleAnswer | Method::OracleTarget => {
                return Err(RemoteError::NotRemote(method));
            }
        }
        Ok(body)
    }

    async fn ask(&self, mut body: Value) -> Result<Completion, RemoteError> {
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
        completion: Completion,
    ) -> Result<Answer, RemoteError> {
        let Completion { mut choices, usage, rsd } = completion;
        let (choice, trace) = choices
            .pop()
            .zip(rsd.choices.into_iter().next())
            .ok_or_else(|| self.0.strange("it holds no choice with its trace"))?;
        let said = Said {
            question,
            method,
            sample,
            text: choice.message.content,
            finished: choice.finish_reason == "stop",
            prompt_tokens: usage.prompt_tokens,
            tokens: usage.completion_tokens,
        };
        Ok(said.traced(&trace, self.0.recipe.timed))
    }
}

impl Inner {
    fn strange(&self, reason: &str) -> RemoteError {
        RemoteError::Strange { url: self.url.clone(), reason: reason.to_owned() }
    }

    fn post(&self, body: &Value) -> Result<Completion, RemoteError> {
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
        let text = response.into_string().map_err(|error| self.strange(&error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| self.strange(&error.to_string()))
    }
}
