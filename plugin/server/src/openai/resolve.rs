//! Applies the policy, the model names and the limits in effect to a parsed request.

use rsd_core::{
    pipeline::{
        PolicyOverrides, Request, Rsd,
        roles::{Generator, Prompt},
        trace::StepSource,
    },
    policy::{AnswerRoute, Policy},
    sampling::Sampling,
};
use serde_json::{Value, json};

use super::{
    body_fields::RsdOptions,
    error::{ApiError, ApiErrorCode},
    request::{ParsedRequest, check_range, invalid_value, prompt_path},
};
use crate::app::{AppState, NamedModel};

/// What to generate.
#[derive(Debug)]
pub(super) struct AnswerJob {
    /// One request for each prompt. All choices share one deadline.
    pub requests: Vec<Request>,
    /// Choices of each prompt; each has its own seed.
    pub choices: usize,
    /// The models that answer.
    pub route: AnswerRoute,
    /// The model that scores each prompt first.
    pub prompt_scorer: Option<StepSource>,
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
    /// The prompts of a plain completion as text.
    pub prompts: Vec<String>,
    /// Choices of each prompt.
    pub choices: usize,
    pub echo: bool,
    pub logprobs: bool,
    /// Whether this is a chat completion; otherwise it is a plain one.
    pub chat: bool,
    pub stream: bool,
    pub include_usage: bool,
    pub trace: bool,
    /// The limit on tokens, if it is lower than the one that was asked for.
    pub lowered_limit: Option<usize>,
}

impl ParsedRequest {
    /// Resolves the request under the settings in effect.
    pub fn resolve(self, app: &AppState) -> Result<(AnswerJob, AnswerFormat), ApiError> {
        let model = self.model.unwrap_or_else(|| app.names.rsd.clone());
        let snapshot = app.rsd.policy.current();
        let named = app
            .names
            .find(&model, &snapshot.settings)
            .ok_or_else(|| ApiError::model_not_found(&model, &app.names.all(&snapshot.settings)))?;
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
        let model_of_ids = decoder(&app.rsd, route);
        if let Some(id) = self.sampling.logit_bias.keys().filter(|id| !model_of_ids.has_token(**id)).min() {
            let message = format!("logit_bias: the {} model has no token {id}", model_of_ids.role());
            return Err(invalid_value("logit_bias", message));
        }
        let limit = snapshot.settings.limits.max_tokens;
        let max_tokens = self.max_tokens.unwrap_or(limit).min(limit);
        let choices = self.choices.unwrap_or(1);
        check_range("n", choices as f64, 1.0, app.limits.max_choices as f64)?;
        let scores_prompts = self.echo && self.logprobs.is_some();
        let prompts: Vec<_> = self.prompts.into_iter().map(|prompt| prompt.resolve(model_of_ids)).collect();
        let chat = prompts.iter().any(|prompt| matches!(prompt, Prompt::Chat(_)));
        let format = AnswerFormat {
            model: model.clone(),
            route,
            prompts: if chat {
                Vec::new()
            } else {
                prompts.iter().map(|prompt| prompt.question().into_owned()).collect()
            },
            choices,
            echo: self.echo,
            logprobs: self.logprobs.is_some(),
            chat,
            stream: self.stream,
            include_usage: self.include_usage,
            trace: self.rsd.trace,
            lowered_limit: self.max_tokens.is_some_and(|asked| asked > limit).then_some(limit),
        };
        let seed = self.seed.or(app.seed);
        let request = |prompt| Request {
            sampling: Sampling { seed: seed.unwrap_or_else(rand::random), ..self.sampling.clone() },
            max_tokens,
            stop: self.stop.clone(),
            model: Some(model.clone()),
            overrides,
            logprobs: self.logprobs,
            ..Request::new(prompt)
        };
        let prompt_scorer =
            scores_prompts.then_some(if route == AnswerRoute::Draft { StepSource::Draft } else { StepSource::Target });
        let requests = prompts.into_iter().map(request).collect();
        Ok((AnswerJob { requests, choices, route, prompt_scorer }, format))
    }
}

/// The model whose vocabulary token ids of a request and of log-probabilities belong to.
pub(super) fn decoder(rsd: &Rsd, route: AnswerRoute) -> &dyn Generator {
    match route {
        AnswerRoute::Draft => rsd.draft.as_ref(),
        AnswerRoute::Rsd | AnswerRoute::Target => rsd.target.as_ref(),
    }
}

impl AnswerJob {
    /// Where the prompt with this index stands in the body.
    pub fn prompt_field(&self, index: usize) -> String {
        match self.requests.first().map(|request| &request.prompt) {
            Some(Prompt::Chat(_)) => "messages".to_owned(),
            _ => prompt_path(index, self.requests.len()),
        }
    }

    /// The line of the request log: that of all prompts, with the seed of the first.
    pub fn log_entry(&self) -> Value {
        let mut prompts: Vec<_> = self.requests.iter().map(|request| logged_prompt(&request.prompt)).collect();
        let prompt = if prompts.len() == 1 { prompts.remove(0) } else { Value::Array(prompts) };
        let first = self.requests.first();
        json!({
            "model": first.map(|request| &request.model),
            "prompt": prompt,
            "max_tokens": first.map(|request| request.max_tokens),
            "seed": first.map(|request| request.sampling.seed),
        })
    }
}

fn logged_prompt(prompt: &Prompt) -> Value {
    match prompt {
        Prompt::Text(text) => json!(text),
        Prompt::Tokens(prompt) => json!(prompt.ids),
        Prompt::Chat(messages) => {
            messages.iter().map(|message| json!({"role": message.role, "content": message.content})).collect()
        }
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
