//! vLLM, by `/v1/completions` with token ids.
//!
//! Seen on vLLM 0.32.0: a stop string ends after the token that completes it and the ids hold that whole token; the end
//! token is the last id. `stop_reason` is the stop string; it is null where the model ended with the tokenizer's end
//! token, and the id where it ended with another one that its `generation_config.json` lists.

use rsd_core::sampling::Sampling;
use serde_json::{Value, json};

use super::{
    ChatEncoding, CompletionCall, CompletionDelta, CompletionEnd, EngineAbilities, EngineAdapter, LabelCall,
    ReplyError, ReplyParser, ScoreReply,
    reply_fields::{self, get, ids, logprob, post, token_logprob},
};
use crate::transport::EngineRequest;

/// Stop strings that vLLM takes unless it is told otherwise. They only save tokens: steps are cut here.
const MAX_STOP: usize = 4;

/// The likeliest tokens that vLLM reports unless it is told otherwise.
const MAX_LOGPROBS: usize = 20;

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

    /// A server that does not know `logprob_token_ids` reports the likeliest tokens. Only a label is decoded, so that the
    /// reply is never empty; the log-probabilities are those before that.
    fn labels(&self, call: &LabelCall<'_>) -> EngineRequest {
        let mut body = json!({
            "model": call.model,
            "prompt": reply_fields::prefix(call.prefix),
            "max_tokens": 1,
            "logprobs": MAX_LOGPROBS,
            "logprob_token_ids": call.labels,
            "allowed_token_ids": call.labels,
            "return_tokens_as_token_ids": true,
            "stream": false,
        });
        for (name, value) in reply_fields::sampling_fields(&Sampling::default()) {
            body[name] = value;
        }
        post("/v1/completions", body)
    }

    fn labels_reply(&self, call: &LabelCall<'_>, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let logprobs = &reply["choices"][0]["logprobs"]["top_logprobs"][0];
        let found = logprobs.as_object().ok_or(ReplyError::Unexpected("top_logprobs"))?;
        let rows = reply_fields::label_row(call.labels, |_, id| found.get(&format!("token_id:{id}")).map(logprob));
        Ok(ScoreReply { rows, prompt: reply_fields::usage(reply) })
    }

    /// The activation is computed here, as for a model in this process.
    fn pooling(&self, model: &str, prompt: &[u32]) -> Option<EngineRequest> {
        let body = json!({ "model": model, "input": prompt, "use_activation": false, "encoding_format": "float" });
        Some(post("/pooling", body))
    }

    /// A row for each token that is pooled; a flat list is the row of the last token.
    fn pooling_reply(&self, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let wrong = || ReplyError::Unexpected("data");
        let [of_prompt] = reply["data"].as_array().map_or(&[][..], Vec::as_slice) else { return Err(wrong()) };
        let data = of_prompt["data"].as_array().ok_or_else(wrong)?;
        let rows = if data.first().is_some_and(Value::is_number) {
            vec![reply_fields::row(&of_prompt["data"]).ok_or_else(wrong)?]
        } else {
            data.iter().map(|row| reply_fields::row(row).ok_or_else(wrong)).collect::<Result<_, _>>()?
        };
        Ok(ScoreReply { rows, prompt: reply_fields::usage(reply) })
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
    use crate::adapters::{CompletionPrefix, PromptUse, testing::greedy_call};

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

    /// The shapes are those of vLLM 0.32.0.
    #[test]
    fn a_head_is_asked_without_an_activation_and_has_a_row_for_each_step() {
        let request = VllmAdapter.pooling("prm", &[1, 403, 2, 403]).unwrap();
        assert_eq!(request.path, "/pooling");
        let body =
            json!({"model": "prm", "input": [1, 403, 2, 403], "use_activation": false, "encoding_format": "float"});
        assert_eq!(request.body, Some(body));
        let reply = |data: Value| {
            json!({"id": "pooling-1", "object": "list", "model": "prm",
                "data": [{"index": 0, "object": "pooling", "data": data}],
                "usage": {"prompt_tokens": 4, "total_tokens": 4, "completion_tokens": 0, "prompt_tokens_details": null}})
        };
        let found = VllmAdapter.pooling_reply(&reply(json!([[0.5, -2.5], [1.0, 0.25]]))).unwrap();
        assert_eq!(found.rows, [[0.5, -2.5], [1.0, 0.25]]);
        assert_eq!(found.prompt, Some(PromptUse { prompt: 4, cached: None }));
        let last = VllmAdapter.pooling_reply(&reply(json!([0.75]))).unwrap();
        assert_eq!(last.rows, [[0.75]], "a model that pools the last token");
        let none = VllmAdapter.pooling_reply(&reply(json!([]))).unwrap();
        assert!(none.rows.is_empty(), "no step token");
        for wrong in [json!([[0.5, null]]), json!([["a"]]), json!("AAAA"), json!([0.5, [1.0]])] {
            assert!(VllmAdapter.pooling_reply(&reply(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_asked_for_by_their_ids_and_those_that_are_missing_have_no_probability() {
        let call = LabelCall { model: "m", prefix: CompletionPrefix::Ids(&[1, 2]), labels: &[15, 16], texts: &[] };
        let body = VllmAdapter.labels(&call).body.unwrap();
        assert_eq!((&body["prompt"], &body["max_tokens"]), (&json!([1, 2]), &json!(1)));
        assert_eq!((&body["logprob_token_ids"], &body["temperature"]), (&json!([15, 16]), &json!(0.0)));
        let reply = json!({"choices": [{"index": 0, "text": "1", "finish_reason": "length", "logprobs": {
            "tokens": ["token_id:16"], "token_logprobs": [-0.25],
            "top_logprobs": [{"token_id:16": -0.25, "token_id:9": -3.0}]}}], "usage": {"prompt_tokens": 2}});
        let found = VllmAdapter.labels_reply(&call, &reply).unwrap();
        assert_eq!(found.rows, [[f32::NEG_INFINITY, -0.25]]);
        assert!(VllmAdapter.labels_reply(&call, &json!({"choices": []})).is_err());
    }
}
