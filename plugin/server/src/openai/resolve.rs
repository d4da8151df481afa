//! Applies the policy, the model names and the limits in effect to a parsed request.

use rsd_core::{
    pipeline::{PolicyOverrides, Request, roles::Prompt},
    policy::{AnswerRoute, Policy},
    sampling::Sampling,
};
use serde_json::{Value, json};

use super::{
    error::{ApiError, ApiErrorCode},
    request::{ParsedRequest, RsdOptions, check_range, invalid_value},
};
use crate::app::{AppState, NamedModel};

/// What to generate.
#[derive(Debug)]
pub(super) struct AnswerJob {
    /// The request of every choice. Each choice has its own seed, and all share one deadline.
    pub request: Request,
    pub choices: usize,
}

/// How to send the answer.
#[derive(Debug, Clone)]
// Each of them is an independent option of the API.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct AnswerFormat {
    /// The model name that the client used.
    pub model: String,
    /// The models that answer.
    pub route: AnswerRoute,
    pub choices: usize,
    pub logprobs: bool,
    /// Whether this is a chat completion; otherwise it is a plain one.
    pub chat: bool,
    pub stream: bool,
    pub include_usage: bool,
    pub trace: bool,
}

impl ParsedRequest {
    /// Resolves the request under the settings in effect.
    pub fn resolve(self, app: &AppState) -> Result<(AnswerJob, AnswerFormat), ApiError> {
        let model = self.model.unwrap_or_else(|| app.names.rsd.clone());
        let snapshot = app.rsd.policy.current();
        let named = app.names.find(&model, &snapshot.settings).ok_or_else(|| {
            let names = app.names.all(&snapshot.settings).join(", ");
            let message = format!("model: there is no `{model}`; this server answers as {names}");
            ApiError::new(ApiErrorCode::ModelNotFound, message)
        })?;
        let policy = snapshot.policy(Some(&model));
        let overrides = overrides(policy, &self.rsd, named)?;
        let route = overrides.apply(policy).values.route;
        if self.logprobs.is_some() && route == AnswerRoute::Rsd {
            return Err(ApiError::invalid(
                ApiErrorCode::LogprobsUnsupported,
                "logprobs",
                "logprobs: under RSD the tokens come from two models, so their probabilities cannot be compared; \
                 use model `draft` or `target`",
            ));
        }
        let limit = snapshot.settings.limits.max_tokens;
        let max_tokens = self.max_tokens.unwrap_or(limit);
        check_range("max_tokens", max_tokens as f64, 1.0, limit as f64)?;
        let choices = self.choices.unwrap_or(1);
        check_range("n", choices as f64, 1.0, app.limits.max_choices as f64)?;
        let format = AnswerFormat {
            model: model.clone(),
            route,
            choices,
            logprobs: self.logprobs.is_some(),
            chat: matches!(self.prompt, Prompt::Chat(_)),
            stream: self.stream,
            include_usage: self.include_usage,
            trace: self.rsd.trace,
        };
        let request = Request {
            sampling: Sampling { seed: self.seed.or(app.seed).unwrap_or_else(rand::random), ..self.sampling },
            max_tokens,
            stop: self.stop,
            model: Some(model),
            overrides,
            logprobs: self.logprobs,
            ..Request::new(self.prompt)
        };
        Ok((AnswerJob { request, choices }, format))
    }
}

impl AnswerJob {
    /// The line of the request log.
    pub fn log_entry(&self) -> Value {
        let prompt = match &self.request.prompt {
            Prompt::Text(text) => json!(text),
            Prompt::Tokens(prompt) => json!(prompt.ids),
            Prompt::Chat(messages) => {
                messages.iter().map(|message| json!({"role": message.role, "content": message.content})).collect()
            }
        };
        json!({
            "model": self.request.model,
            "prompt": prompt,
            "max_tokens": self.request.max_tokens,
            "seed": self.request.sampling.seed,
        })
    }
}

fn overrides(policy: Policy, options: &RsdOptions, named: NamedModel) -> Result<PolicyOverrides, ApiError> {
    let route = match (named, options.enabled) {
        // `draft` and `target` answer alone, whatever the request enables.
        (NamedModel::Fixed(route), _) => Some(route),
        (NamedModel::ByPolicy, Some(true)) => Some(AnswerRoute::Rsd),
        (NamedModel::ByPolicy, Some(false)) => Some(AnswerRoute::Target),
        (NamedModel::ByPolicy, None) => None,
    };
    let RsdOptions { delta, weighting, after_rejection, .. } = *options;
    let overrides = PolicyOverrides { delta, weighting, route, after_rejection };
    overrides.apply(policy).values.validate().map_err(|error| {
        let param = format!("rsd.{}", error.field);
        let message = format!("{param}: expected {}, found {}", error.expected, error.found);
        invalid_value(param, message)
    })?;
    Ok(overrides)
}
