//! llama.cpp's server, by `/completion`.
//!
//! Its streams leave out the ids of tokens that end inside a character, so replies are asked for as a whole. A stop
//! string is cut off the text, and the ids hold every sampled token. Its lists of log-probabilities leave out tokens
//! that end inside a character and those of a stop string, so they cannot be told apart and are not asked for.

use rsd_core::sampling::Sampling;
use serde_json::{Value, json};

use super::{
    ChatEncoding, CompletionCall, CompletionDelta, CompletionEnd, CompletionPrefix, EngineAbilities, EngineAdapter,
    LabelCall, PromptUse, ReplyError, ReplyParser, ScoreReply,
    reply_fields::{self, count, get, ids, logprob, post, token_id},
};
use crate::transport::EngineRequest;

/// The likeliest tokens that are asked for where the labels should be among them.
const LABEL_PROBS: usize = 128;
/// Makes one of the labels the token that is decoded. The reported log-probabilities are those without it.
const LABEL_BIAS: f32 = 100.0;

/// Requests to llama.cpp's server.
pub struct LlamaServerAdapter;

impl EngineAdapter for LlamaServerAdapter {
    fn name(&self) -> &'static str {
        "llama_server"
    }

    fn abilities(&self) -> EngineAbilities {
        EngineAbilities { token_ids: true, complete_streams: false, logprobs: false }
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
            // What the server's own options would change in spite of the list.
            "mirostat": 0,
            "dynatemp_range": 0.0,
            "min_keep": 0,
            "ignore_eos": false,
            "n_cache_reuse": 0,
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
            "n_probs": 0,
            "response_fields": ["content", "tokens", "stop_type", "tokens_evaluated", "timings"],
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

    /// It reports the likeliest tokens only. One label is decoded, because half a character would not be reported.
    fn labels(&self, call: &LabelCall<'_>) -> EngineRequest {
        let bias = call.labels.iter().map(|id| (*id, LABEL_BIAS)).collect();
        let sampling = Sampling { logit_bias: bias, ..Sampling::default() };
        let mut request = self.completion(&CompletionCall {
            model: call.model,
            prefix: call.prefix,
            max_tokens: 1,
            sampling: &sampling,
            seed: 0,
            stop: &[],
            stream: false,
            logprobs: None,
        });
        if let Some(body) = &mut request.body {
            body["n_probs"] = json!(LABEL_PROBS);
            body["post_sampling_probs"] = json!(false);
            body["response_fields"] = json!(["completion_probabilities", "tokens_evaluated", "timings"]);
        }
        request
    }

    fn labels_reply(&self, call: &LabelCall<'_>, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let entries = reply["completion_probabilities"][0]["top_logprobs"].as_array();
        let entries = entries.ok_or(ReplyError::Unexpected("completion_probabilities"))?;
        let of = |id: u32| entries.iter().find(|entry| token_id(&entry["id"]) == Some(id));
        let rows = reply_fields::label_row(call.labels, |_, id| of(id).map(|entry| logprob(&entry["logprob"])));
        Ok(ScoreReply { rows, prompt: prompt_use(reply) })
    }

    /// A server with `--embeddings --pooling last` returns the state itself if it may not scale it to length 1.
    fn state(&self, model: &str, prompt: &[u32]) -> Option<EngineRequest> {
        Some(post("/embeddings", json!({ "model": model, "input": prompt, "embd_normalize": -1 })))
    }

    fn state_reply(&self, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let rows = reply[0]["embedding"].as_array().ok_or(ReplyError::Unexpected("embedding"))?;
        let rows = rows.iter().map(|row| reply_fields::row(row).ok_or(ReplyError::Unexpected("embedding")));
        Ok(ScoreReply { rows: rows.collect::<Result<_, _>>()?, prompt: None })
    }

    fn model_info(&self) -> EngineRequest {
        get("/v1/models")
    }

    fn model_info_reply(&self, reply: &Value) -> Result<Vec<(String, Option<usize>)>, ReplyError> {
        // Of one slot. `n_ctx_train` is what the model could do.
        reply_fields::models(reply, |model| count(&model["meta"]["n_ctx"]))
    }
}

/// How much of the prompt the cache held.
fn prompt_use(reply: &Value) -> Option<PromptUse> {
    Some(PromptUse { prompt: count(&reply["tokens_evaluated"])?, cached: count(&reply["timings"]["cache_n"]) })
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
        let prefill_seconds = reply["timings"]["prompt_ms"].as_f64().map(|milliseconds| milliseconds / 1e3);
        let prompt = prompt_use(reply);
        let text = reply["content"].as_str().ok_or(ReplyError::Unexpected("content"))?.to_owned();
        Ok(CompletionDelta { tokens, text, logprobs: Vec::new(), end: Some(end), prompt, prefill_seconds })
    }
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

    /// What its options say, which a request overrides: `samplers` alone leaves these two on.
    #[test]
    fn options_of_the_server_change_nothing() {
        let body = LlamaServerAdapter.completion(&greedy_call(&[1])).body.unwrap();
        assert_eq!((&body["mirostat"], &body["dynatemp_range"]), (&json!(0), &json!(0.0)));
        assert_eq!(
            (&body["ignore_eos"], &body["min_keep"], &body["n_cache_reuse"]),
            (&json!(false), &json!(0), &json!(0))
        );
    }

    #[test]
    fn labels_are_found_among_the_likeliest_tokens() {
        let call = LabelCall { model: "m", prefix: CompletionPrefix::Ids(&[1, 2]), labels: &[15, 16], texts: &[] };
        let body = LlamaServerAdapter.labels(&call).body.unwrap();
        assert_eq!((&body["n_predict"], &body["n_probs"]), (&json!(1), &json!(128)));
        assert_eq!(body["logit_bias"].as_array().unwrap().len(), 2);
        let entry = |id: u32, logprob: f32| json!({"id": id, "token": "", "bytes": [], "logprob": logprob});
        let reply = json!({"tokens_evaluated": 2, "timings": {"cache_n": 1}, "completion_probabilities": [
            {"id": 16, "token": "1", "bytes": [49], "logprob": -0.25, "top_logprobs": [entry(16, -0.25), entry(9, -3.0)]}]});
        let found = LlamaServerAdapter.labels_reply(&call, &reply).unwrap();
        assert_eq!(found.rows, [[f32::NEG_INFINITY, -0.25]]);
        assert_eq!(found.prompt, Some(PromptUse { prompt: 2, cached: Some(1) }));
        assert!(LlamaServerAdapter.labels_reply(&call, &json!({"completion_probabilities": []})).is_err());
    }

    #[test]
    fn a_state_is_asked_for_as_it_is() {
        let body = LlamaServerAdapter.state("m", &[1, 2]).unwrap().body.unwrap();
        assert_eq!(body, json!({"model": "m", "input": [1, 2], "embd_normalize": -1}));
        let found = LlamaServerAdapter.state_reply(&recorded("a state")).unwrap();
        assert_eq!((found.rows.len(), found.prompt), (1, None));
        assert_eq!(found.rows[0].len(), 8);
        assert!(LlamaServerAdapter.state_reply(&json!({"embedding": [1.0]})).is_err());
    }

    fn recorded(name: &str) -> Value {
        let replies: Value = serde_json::from_str(include_str!("../../fixtures/llama_server.json")).unwrap();
        replies[name]["reply"].clone()
    }

    #[test]
    fn the_token_that_completes_a_stop_string_is_whole_in_recorded_replies() {
        for (name, tokens) in [
            ("a stop string inside a token", vec![382]),
            ("a token with more than the stop string", vec![1406]),
            ("a stop string of two tokens", vec![198, 198]),
            ("a stop string in the last token allowed", vec![382]),
        ] {
            let delta = LlamaServerParser.parse(&recorded(name)).unwrap();
            assert_eq!((delta.tokens, delta.end), (tokens, Some(CompletionEnd::StopString)), "{name}");
        }
    }

    #[test]
    fn the_end_token_is_left_out_of_recorded_replies() {
        for (name, tokens) in [
            ("the end of an answer", vec![198, 9707, 0, 2585, 646, 358, 7789, 498, 3351, 30]),
            ("another end token", vec![]),
            ("the end of an answer in the last token allowed", vec![]),
        ] {
            let delta = LlamaServerParser.parse(&recorded(name)).unwrap();
            assert_eq!((delta.tokens, delta.end), (tokens, Some(CompletionEnd::EndOfText)), "{name}");
        }
    }

    #[test]
    fn limits_and_unfinished_characters_are_found_in_recorded_replies() {
        let full = LlamaServerParser.parse(&recorded("the context is full")).unwrap();
        assert_eq!((full.tokens, full.end), (vec![220; 7], Some(CompletionEnd::Length)));
        assert_eq!(full.prompt, Some(PromptUse { prompt: 505, cached: Some(19) }));
        let prefill = full.prefill_seconds.unwrap();
        assert!((10.286..10.287).contains(&prefill), "{prefill}");
        let unfinished = LlamaServerParser.parse(&recorded("half a character, twice")).unwrap();
        assert_eq!(unfinished.tokens, [123_918, 123_918]);
    }

    #[test]
    fn the_context_is_that_of_one_slot() {
        let found = LlamaServerAdapter.model_info_reply(&recorded("models")).unwrap();
        assert_eq!(found, [("coder".to_owned(), Some(512))]);
        let rendered = LlamaServerAdapter.chat_encoding_reply(&recorded("a rendered chat")).unwrap();
        let prompt = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 2+2?<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(rendered, ChatEncoding::Text(prompt.to_owned()));
    }

    #[test]
    fn what_is_no_completion_is_an_error() {
        assert!(LlamaServerParser.parse(&recorded("a prompt longer than the context")).is_err());
        assert!(LlamaServerParser.parse(&json!({"content": ""})).is_err());
    }

    /// Why log-probabilities are not offered. If this fails after a new recording, they can be.
    #[test]
    fn recorded_logprobs_are_fewer_than_the_tokens() {
        let reply = recorded("log-probabilities");
        let tokens = ids(&reply["tokens"], "tokens").unwrap();
        let entries = reply["completion_probabilities"].as_array().unwrap();
        let named: Vec<u32> = entries.iter().map(|entry| token_id(&entry["id"]).unwrap()).collect();
        assert_eq!(tokens, [64, 123_918, 250, 963, 293, 123_918, 250, 13, 198, 198]);
        assert_eq!(
            named,
            [64, 250, 963, 293, 250, 13, 198],
            "123918 is half a character; the last 198 ends the stop string"
        );
    }
}
