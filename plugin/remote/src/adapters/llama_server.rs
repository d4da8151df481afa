//! llama.cpp's server, by `/completion`.
//!
//! Its streams leave out the ids of tokens that end inside a character, so replies are asked for as a whole. A stop
//! string is cut off the text, and the ids hold every sampled token.

use rsd_core::sampling::Sampling;
use serde_json::{Value, json};

use super::{
    ChatEncoding, CompletionCall, CompletionDelta, CompletionEnd, CompletionPrefix, EngineAbilities, EngineAdapter,
    PromptUse, ReplyError, ReplyParser,
    reply_fields::{self, count, get, ids, logprob, post, token_id, token_logprob},
};
use crate::transport::EngineRequest;

/// Requests to llama.cpp's server.
pub struct LlamaServerAdapter;

impl EngineAdapter for LlamaServerAdapter {
    fn name(&self) -> &'static str {
        "llama_server"
    }

    fn abilities(&self) -> EngineAbilities {
        EngineAbilities { token_ids: true, complete_streams: false, seeds: true, logprobs: true }
    }

    fn unsupported(&self, _: &Sampling) -> Option<&'static str> {
        None
    }

    fn completion(&self, call: &CompletionCall<'_>) -> EngineRequest {
        let sampling = call.sampling;
        let bias: Vec<_> = sampling.logit_bias.iter().map(|(id, bias)| json!([id, bias])).collect();
        let length = match call.prefix {
            CompletionPrefix::Ids(ids) => ids.len(),
            CompletionPrefix::Text(text) => text.len(),
        };
        let body = json!({
            "model": call.model,
            "prompt": reply_fields::prefix(call.prefix),
            "n_predict": call.max_tokens,
            "stop": call.stop,
            "stream": false,
            "cache_prompt": true,
            "return_tokens": true,
            // Its seeds have 32 bits, of which all ones mean a random one.
            "seed": (call.seed & 0xffff_ffff).min(0xffff_fffe),
            // Only these, so that none of its other samplers is on.
            "samplers": ["penalties", "top_k", "top_p", "min_p", "temperature"],
            "temperature": sampling.temperature,
            "top_k": sampling.top_k.unwrap_or(0),
            "top_p": sampling.top_p.unwrap_or(1.0),
            "min_p": sampling.min_p.unwrap_or(0.0),
            "repeat_penalty": sampling.repetition_penalty.unwrap_or(1.0),
            "presence_penalty": sampling.presence_penalty.unwrap_or(0.0),
            "frequency_penalty": sampling.frequency_penalty.unwrap_or(0.0),
            // The penalties look at the whole context, not at the last 64 tokens. -1 said so once and is refused today.
            "repeat_last_n": length + call.max_tokens,
            "logit_bias": bias,
            "n_probs": call.logprobs.unwrap_or(0),
            "response_fields": [
                "content", "tokens", "stop_type", "tokens_evaluated", "timings", "completion_probabilities",
            ],
        });
        post("/completion", body)
    }

    fn parser(&self, _: &CompletionCall<'_>) -> Box<dyn ReplyParser> {
        Box::new(LlamaServerParser)
    }

    fn chat_encoding(&self, _: &str, messages: &[(&str, &str)]) -> Option<EngineRequest> {
        Some(post("/apply-template", json!({ "messages": reply_fields::messages(messages) })))
    }

    fn chat_encoding_reply(&self, reply: &Value) -> Result<ChatEncoding, ReplyError> {
        Ok(ChatEncoding::Text(reply["prompt"].as_str().ok_or(ReplyError::Unexpected("prompt"))?.to_owned()))
    }

    fn model_info(&self) -> EngineRequest {
        get("/v1/models")
    }

    fn model_info_reply(&self, reply: &Value) -> Result<Vec<(String, Option<usize>)>, ReplyError> {
        // Of one slot. `n_ctx_train` is what the model could do.
        reply_fields::models(reply, |model| count(&model["meta"]["n_ctx"]))
    }
}

struct LlamaServerParser;

impl ReplyParser for LlamaServerParser {
    fn parse(&mut self, reply: &Value) -> Result<CompletionDelta, ReplyError> {
        let mut tokens = ids(&reply["tokens"], "tokens")?;
        let end = match reply["stop_type"].as_str() {
            Some("eos") => CompletionEnd::EndOfText,
            Some("word") => CompletionEnd::StopString,
            Some("limit") => CompletionEnd::Length,
            _ => return Err(ReplyError::Unexpected("stop_type")),
        };
        if end == CompletionEnd::EndOfText {
            tokens.pop();
        }
        let probabilities = reply["completion_probabilities"].as_array().into_iter().flatten();
        let logprobs = probabilities.filter_map(llama_logprob).collect();
        let cached = count(&reply["timings"]["cache_n"]);
        let prefill_seconds = reply["timings"]["prompt_ms"].as_f64().map(|milliseconds| milliseconds / 1e3);
        let prompt = count(&reply["tokens_evaluated"]).map(|prompt| PromptUse { prompt, cached });
        let text = reply["content"].as_str().ok_or(ReplyError::Unexpected("content"))?.to_owned();
        Ok(CompletionDelta { tokens, text, logprobs, end: Some(end), prompt, prefill_seconds })
    }
}

fn llama_logprob(entry: &Value) -> Option<rsd_core::pipeline::roles::TokenLogprob> {
    let top = entry["top_logprobs"].as_array().into_iter().flatten();
    let top = top.filter_map(|other| Some((token_id(&other["id"])?, logprob(&other["logprob"])))).collect();
    Some(token_logprob(token_id(&entry["id"])?, logprob(&entry["logprob"]), top))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::testing::greedy_call;

    #[test]
    fn a_request_is_a_whole_reply_with_every_parameter() {
        let sampling =
            Sampling { logit_bias: [(5, -100.0)].into(), repetition_penalty: Some(1.25), ..Sampling::default() };
        let stop = ["\n\n".to_owned()];
        let call = CompletionCall { sampling: &sampling, stop: &stop, seed: u64::MAX >> 1, ..greedy_call(&[1, 2]) };
        let body = LlamaServerAdapter.completion(&call).body.unwrap();
        assert_eq!(body["prompt"], json!([1, 2]));
        assert_eq!((&body["n_predict"], &body["stop"], &body["stream"]), (&json!(8), &json!(["\n\n"]), &json!(false)));
        assert_eq!((&body["logit_bias"], &body["repeat_penalty"]), (&json!([[5, -100.0]]), &json!(1.25)));
        assert_eq!(body["repeat_last_n"], json!(10));
        assert_eq!((&body["seed"], &body["temperature"]), (&json!(0xffff_fffe_u64), &json!(0.0)));
    }

    /// The shapes are those of llama.cpp b11549.
    #[test]
    fn ends_and_cached_tokens_are_found() {
        let reply = |stop_type: &str, tokens: Value| {
            json!({"content": " I add", "tokens": tokens, "stop_type": stop_type, "tokens_evaluated": 40,
                "timings": {"cache_n": 36, "prompt_n": 4, "prompt_ms": 250.0}})
        };
        let parse = |reply| LlamaServerParser.parse(&reply).unwrap();
        let word = parse(reply("word", json!([358, 912, 382])));
        assert_eq!((word.tokens, word.end), (vec![358, 912, 382], Some(CompletionEnd::StopString)));
        assert_eq!(word.prompt, Some(PromptUse { prompt: 40, cached: Some(36) }));
        assert_eq!(word.prefill_seconds, Some(0.25));
        let eos = parse(reply("eos", json!([358, 151_645])));
        assert_eq!((eos.tokens, eos.end), (vec![358], Some(CompletionEnd::EndOfText)));
        assert_eq!(parse(reply("limit", json!([358]))).end, Some(CompletionEnd::Length));
        assert!(LlamaServerParser.parse(&json!({"content": ""})).is_err());
    }

    #[test]
    fn logprobs_come_with_alternatives() {
        let reply = json!({"content": "a", "tokens": [7], "stop_type": "limit", "completion_probabilities": [
            {"id": 7, "token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": [
                {"id": 7, "token": "a", "bytes": [97], "logprob": -0.5},
                {"id": 9, "token": "b", "bytes": [98], "logprob": -2.0}]}]});
        let delta = LlamaServerParser.parse(&reply).unwrap();
        assert_eq!(delta.logprobs, [token_logprob(7, -0.5, vec![(7, -0.5), (9, -2.0)])]);
    }
}
