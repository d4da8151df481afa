//! vLLM, by `/v1/completions` with token ids.
//!
//! Seen on vLLM 0.32.0: a stop string ends after the token that completes it and the ids hold that whole token; the end
//! token is the last id. `stop_reason` is the stop string; it is null where the model ended with the tokenizer's end
//! token, and the id where it ended with another one that its `generation_config.json` lists.

use rsd_core::sampling::Sampling;
use serde_json::{Value, json};

use super::{
    ChatEncoding, CompletionCall, CompletionDelta, CompletionEnd, EngineAbilities, EngineAdapter, ReplyError,
    ReplyParser,
    reply_fields::{self, get, ids, logprob, post, token_logprob},
};
use crate::transport::EngineRequest;

/// Stop strings that vLLM takes unless it is told otherwise. They only save tokens: steps are cut here.
const MAX_STOP: usize = 4;

/// Requests to vLLM.
pub struct VllmAdapter;

impl EngineAdapter for VllmAdapter {
    fn name(&self) -> &'static str {
        "vllm"
    }

    fn abilities(&self) -> EngineAbilities {
        EngineAbilities { token_ids: true, complete_streams: true, logprobs: true }
    }

    fn unsupported(&self, _: &Sampling) -> Option<&'static str> {
        None
    }

    fn completion(&self, call: &CompletionCall<'_>) -> EngineRequest {
        let mut body = json!({
            "model": call.model,
            "prompt": reply_fields::prefix(call.prefix),
            "max_tokens": call.max_tokens,
            "seed": call.seed,
            "return_token_ids": true,
            "skip_special_tokens": true,
            "stream": call.stream,
        });
        for (name, value) in reply_fields::sampling_fields(call.sampling) {
            body[name] = value;
        }
        if !call.stop.is_empty() {
            body["stop"] = call.stop.iter().take(MAX_STOP).map(String::as_str).collect();
            body["include_stop_str_in_output"] = json!(true);
        }
        if call.stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        if let Some(top) = call.logprobs {
            body["logprobs"] = json!(top);
            body["return_tokens_as_token_ids"] = json!(true);
        }
        post("/v1/completions", body)
    }

    fn parser(&self, _: &CompletionCall<'_>) -> Box<dyn ReplyParser> {
        Box::new(VllmParser)
    }

    fn chat_encoding(&self, model: &str, messages: &[(&str, &str)]) -> Option<EngineRequest> {
        let messages = reply_fields::messages(messages);
        Some(post("/tokenize", json!({ "model": model, "messages": messages, "add_generation_prompt": true })))
    }

    fn chat_encoding_reply(&self, reply: &Value) -> Result<ChatEncoding, ReplyError> {
        Ok(ChatEncoding::Ids(ids(&reply["tokens"], "tokens")?))
    }

    fn model_info(&self) -> EngineRequest {
        get("/v1/models")
    }

    fn model_info_reply(&self, reply: &Value) -> Result<Vec<(String, Option<usize>)>, ReplyError> {
        reply_fields::models(reply, |model| reply_fields::count(&model["max_model_len"]))
    }
}

struct VllmParser;

impl ReplyParser for VllmParser {
    fn parse(&mut self, reply: &Value) -> Result<CompletionDelta, ReplyError> {
        let prompt = reply_fields::usage(reply);
        let choices = reply["choices"].as_array().ok_or(ReplyError::Unexpected("choices"))?;
        // The event with the usage has no choice.
        let Some(choice) = choices.first() else { return Ok(CompletionDelta { prompt, ..CompletionDelta::default() }) };
        let mut tokens = match &choice["token_ids"] {
            Value::Null => Vec::new(),
            found => ids(found, "token_ids")?,
        };
        let end = match (choice["finish_reason"].as_str(), &choice["stop_reason"]) {
            (None, _) => None,
            (Some("length"), _) => Some(CompletionEnd::Length),
            (Some("stop"), Value::String(_)) => Some(CompletionEnd::StopString),
            (Some("stop"), _) => Some(CompletionEnd::EndOfText),
            (Some(other), _) => {
                return Err(ReplyError::Engine { status: None, message: format!("it ended with `{other}`") });
            }
        };
        if end == Some(CompletionEnd::EndOfText) {
            tokens.pop();
        }
        let logprobs = match &choice["logprobs"] {
            Value::Null => Vec::new(),
            found => tokens.iter().enumerate().map(|(index, id)| vllm_logprob(found, index, *id)).collect(),
        };
        let text = choice["text"].as_str().unwrap_or_default().to_owned();
        Ok(CompletionDelta { tokens, text, logprobs, end, prompt, prefill_seconds: None })
    }
}

fn vllm_logprob(logprobs: &Value, index: usize, id: u32) -> rsd_core::pipeline::roles::TokenLogprob {
    let id_of = |name: &str| name.strip_prefix("token_id:")?.parse().ok();
    let top = logprobs["top_logprobs"][index].as_object().into_iter().flatten();
    let top = top.filter_map(|(name, value)| Some((id_of(name)?, logprob(value)))).collect();
    token_logprob(id, logprob(&logprobs["token_logprobs"][index]), top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{PromptUse, testing::greedy_call};

    fn parse(reply: &Value) -> CompletionDelta {
        VllmParser.parse(reply).unwrap()
    }

    #[test]
    fn every_sampling_parameter_is_sent() {
        let stop = ["\n\n", "a", "b", "c", "d"].map(str::to_owned);
        let sampling = Sampling { temperature: 0.5, top_k: Some(7), seed: 3, ..Sampling::default() };
        let call = CompletionCall { stop: &stop, sampling: &sampling, stream: true, ..greedy_call(&[1, 2]) };
        let request = VllmAdapter.completion(&call);
        assert_eq!(request.path, "/v1/completions");
        assert_eq!(
            request.body.unwrap(),
            json!({
                "model": "m", "prompt": [1, 2], "max_tokens": 8, "seed": 9, "return_token_ids": true,
                "skip_special_tokens": true, "stream": true, "stream_options": {"include_usage": true},
                "temperature": 0.5, "top_p": 1.0, "top_k": 7, "min_p": 0.0, "repetition_penalty": 1.0,
                "presence_penalty": 0.0, "frequency_penalty": 0.0, "stop": ["\n\n", "a", "b", "c"],
                "include_stop_str_in_output": true,
            })
        );
    }

    /// The shapes are those of vLLM 0.32.0.
    #[test]
    fn the_end_of_an_answer_and_a_stop_string_are_told_apart() {
        let reply = |ids: Value, finish: &str, stop: Value| {
            json!({"choices": [{"index": 0, "text": " I add four.\n\n", "logprobs": null, "finish_reason": finish,
                "stop_reason": stop, "token_ids": ids}],
                "usage": {"prompt_tokens": 32, "prompt_tokens_details": {"cached_tokens": 16}}})
        };
        let stopped = parse(&reply(json!([358, 912, 3040, 382]), "stop", json!("\n\n")));
        assert_eq!((stopped.tokens, stopped.end), (vec![358, 912, 3040, 382], Some(CompletionEnd::StopString)));
        assert_eq!(stopped.prompt, Some(PromptUse { prompt: 32, cached: Some(16) }));
        let ended = parse(&reply(json!([358, 151_645]), "stop", Value::Null));
        assert_eq!((ended.tokens, ended.end), (vec![358], Some(CompletionEnd::EndOfText)));
        let other_end_token = parse(&reply(json!([358, 151_643]), "stop", json!(151_643)));
        assert_eq!((other_end_token.tokens, other_end_token.end), (vec![358], Some(CompletionEnd::EndOfText)));
        assert_eq!(parse(&reply(json!([358]), "length", Value::Null)).end, Some(CompletionEnd::Length));
        let aborted = VllmParser.parse(&reply(json!([]), "abort", Value::Null));
        assert!(matches!(aborted, Err(ReplyError::Engine { .. })));
    }

    #[test]
    fn a_stream_brings_ids_and_at_its_end_the_usage() {
        let event = json!({"choices": [{"index": 0, "text": " the", "logprobs": null, "finish_reason": null,
            "stop_reason": null, "prompt_token_ids": null, "token_ids": [279]}]});
        assert_eq!(parse(&event), CompletionDelta { tokens: vec![279], text: " the".into(), ..Default::default() });
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}});
        assert_eq!(parse(&usage).prompt, Some(PromptUse { prompt: 5, cached: None }));
    }

    #[test]
    fn logprobs_name_tokens_by_their_ids() {
        let reply = json!({"choices": [{"text": "a", "finish_reason": null, "stop_reason": null, "token_ids": [7],
            "logprobs": {"tokens": ["token_id:7"], "token_logprobs": [-0.5],
                "top_logprobs": [{"token_id:9": -2.0, "token_id:7": -0.5}]}}]});
        assert_eq!(parse(&reply).logprobs, [token_logprob(7, -0.5, vec![(7, -0.5), (9, -2.0)])]);
    }
}
