//! SGLang, by its own `/generate`.
//!
//! Its streams repeat everything so far with each event, unless the server runs with
//! `--incremental-streaming-output`; both are understood. Unknown sampling parameters are errors there.

use rsd_core::sampling::Sampling;
use serde_json::{Value, json};

use super::{
    ChatEncoding, CompletionCall, CompletionDelta, CompletionEnd, CompletionPrefix, EngineAbilities, EngineAdapter,
    LabelCall, PromptUse, ReplyError, ReplyParser, ScoreReply,
    reply_fields::{self, count, get, ids, logprob, post, token_id, token_logprob},
};
use crate::transport::EngineRequest;

/// Stop strings that SGLang takes.
const MAX_STOP: usize = 32;

/// Requests to SGLang.
pub struct SglangAdapter;

impl EngineAdapter for SglangAdapter {
    fn name(&self) -> &'static str {
        "sglang"
    }

    fn abilities(&self) -> EngineAbilities {
        EngineAbilities { token_ids: true, complete_streams: true, logprobs: true }
    }

    fn unsupported(&self, sampling: &Sampling) -> Option<&'static str> {
        sampling.repetition_penalty.is_some_and(|penalty| penalty > 2.0).then_some("repetition_penalty above 2")
    }

    fn completion(&self, call: &CompletionCall<'_>) -> EngineRequest {
        let mut sampling = reply_fields::sampling_fields(call.sampling);
        sampling.insert("max_new_tokens".to_owned(), json!(call.max_tokens));
        sampling.insert("sampling_seed".to_owned(), json!(call.seed));
        sampling.insert("skip_special_tokens".to_owned(), json!(true));
        if !call.stop.is_empty() {
            sampling.insert("stop".to_owned(), call.stop.iter().take(MAX_STOP).map(String::as_str).collect());
            sampling.insert("no_stop_trim".to_owned(), json!(true));
        }
        let mut body = json!({ "sampling_params": sampling, "stream": call.stream });
        match call.prefix {
            CompletionPrefix::Ids(ids) => body["input_ids"] = json!(ids),
            CompletionPrefix::Text(text) => body["text"] = json!(text),
        }
        if let Some(top) = call.logprobs {
            body["return_logprob"] = json!(true);
            body["top_logprobs_num"] = json!(top);
        }
        post("/generate", body)
    }

    fn parser(&self, call: &CompletionCall<'_>) -> Box<dyn ReplyParser> {
        Box::new(SglangParser { stop: call.stop.to_vec(), ..SglangParser::default() })
    }

    /// Without `add_generation_prompt`: the prompt is then that of a chat completion, and templates that are not Jinja
    /// work, too.
    fn chat_encoding(&self, model: &str, messages: &[(&str, &str)]) -> Option<EngineRequest> {
        Some(post("/tokenize", json!({ "model": model, "messages": reply_fields::messages(messages) })))
    }

    fn chat_encoding_reply(&self, reply: &Value) -> Result<ChatEncoding, ReplyError> {
        Ok(ChatEncoding::Ids(ids(&reply["tokens"], "tokens")?))
    }

    fn labels(&self, call: &LabelCall<'_>) -> EngineRequest {
        let mut sampling = reply_fields::sampling_fields(&Sampling::default());
        sampling.insert("max_new_tokens".to_owned(), json!(1));
        let mut body = json!({
            "sampling_params": sampling, "stream": false, "return_logprob": true, "token_ids_logprob": call.labels,
        });
        match call.prefix {
            CompletionPrefix::Ids(ids) => body["input_ids"] = json!(ids),
            CompletionPrefix::Text(text) => body["text"] = json!(text),
        }
        post("/generate", body)
    }

    fn labels_reply(&self, call: &LabelCall<'_>, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let meta = &reply["meta_info"];
        SglangParser::default().end(&meta["finish_reason"])?;
        // Entries are lists: log-probability, id, text.
        let entries = meta["output_token_ids_logprobs"][0].as_array();
        let entries = entries.ok_or(ReplyError::Unexpected("output_token_ids_logprobs"))?;
        let of = |id: u32| entries.iter().find(|entry| token_id(&entry[1]) == Some(id)).map(|entry| logprob(&entry[0]));
        Ok(ScoreReply { rows: reply_fields::label_row(call.labels, |_, id| of(id)), prompt: prompt_use(meta) })
    }

    /// SGLang pools the last token, and its model classes compute no activation.
    fn pooling(&self, _: &str, prompt: &[u32]) -> Option<EngineRequest> {
        Some(post("/classify", json!({ "input_ids": prompt })))
    }

    fn pooling_reply(&self, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let meta = &reply["meta_info"];
        SglangParser::default().end(&meta["finish_reason"])?;
        let row = reply_fields::row(&reply["embedding"]).ok_or(ReplyError::Unexpected("embedding"))?;
        Ok(ScoreReply { rows: vec![row], prompt: prompt_use(meta) })
    }

    fn model_info(&self) -> EngineRequest {
        get("/v1/models")
    }

    fn model_info_reply(&self, reply: &Value) -> Result<Vec<(String, Option<usize>)>, ReplyError> {
        reply_fields::models(reply, |model| count(&model["max_model_len"]))
    }
}

#[derive(Default)]
struct SglangParser {
    /// The stop strings that were sent.
    stop: Vec<String>,
    /// Ids received so far, for streams that repeat them.
    received: Vec<u32>,
    /// Bytes of text received so far.
    text: usize,
    logprobs: usize,
}

impl ReplyParser for SglangParser {
    fn parse(&mut self, reply: &Value) -> Result<CompletionDelta, ReplyError> {
        let meta = &reply["meta_info"];
        let mut tokens = ids(&reply["output_ids"], "output_ids")?;
        let decoded = count(&meta["completion_tokens"]);
        // The count tells whether an event repeats what came before.
        let repeats = !self.received.is_empty()
            && tokens.starts_with(&self.received)
            && decoded.is_none_or(|decoded| decoded <= tokens.len());
        let all_text = reply["text"].as_str().unwrap_or_default();
        let (mut text, mut skipped) = (all_text, 0);
        if repeats {
            tokens.drain(..self.received.len());
            text = all_text.get(self.text..).unwrap_or_default();
            skipped = self.logprobs;
        }
        let end = self.end(&meta["finish_reason"])?;
        self.received.extend_from_slice(&tokens);
        self.text = if repeats { all_text.len() } else { self.text + text.len() };
        let matched = token_id(&meta["finish_reason"]["matched"]);
        if end == Some(CompletionEnd::EndOfText) && matched.is_some() && tokens.last() == matched.as_ref() {
            tokens.pop();
        }
        let entries = meta["output_token_logprobs"].as_array().map_or(&[][..], Vec::as_slice);
        let tops = &meta["output_top_logprobs"];
        let logprobs: Vec<_> = entries
            .iter()
            .enumerate()
            .skip(skipped)
            .filter_map(|(index, entry)| {
                let top = tops[index].as_array().into_iter().flatten();
                let top = top.filter_map(|other| Some((token_id(&other[1])?, logprob(&other[0])))).collect();
                Some(token_logprob(token_id(&entry[1])?, logprob(&entry[0]), top))
            })
            .collect();
        self.logprobs = if repeats { entries.len() } else { self.logprobs + entries.len() };
        let prompt = prompt_use(meta);
        Ok(CompletionDelta { tokens, text: text.to_owned(), logprobs, end, prompt, prefill_seconds: None })
    }
}

/// How much of the prompt the cache held.
fn prompt_use(meta: &Value) -> Option<PromptUse> {
    Some(PromptUse { prompt: count(&meta["prompt_tokens"])?, cached: count(&meta["cached_tokens"]) })
}

impl SglangParser {
    /// Why the completion ended, if it did.
    fn end(&self, reason: &Value) -> Result<Option<CompletionEnd>, ReplyError> {
        let matched = &reason["matched"];
        let failed = |status: Option<u16>, message: &str| ReplyError::Engine { status, message: message.to_owned() };
        match (reason["type"].as_str(), matched.as_str()) {
            (None, _) => Ok(None),
            (Some("length"), _) => Ok(Some(CompletionEnd::Length)),
            (Some("stop"), None) => Ok(Some(CompletionEnd::EndOfText)),
            (Some("stop"), Some(string)) if self.stop.iter().any(|stop| stop == string) => {
                Ok(Some(CompletionEnd::StopString))
            }
            // A fault, such as logits that are no numbers, is reported as a stop string that nobody sent.
            (Some("stop"), Some(fault)) => Err(failed(None, fault)),
            (Some(other), _) => {
                let status = reason["status_code"].as_u64().and_then(|status| u16::try_from(status).ok());
                Err(failed(status, reason["message"].as_str().unwrap_or(other)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapters::testing::greedy_call;

    #[test]
    fn a_request_has_ids_and_only_known_sampling_parameters() {
        let stop = ["\n\n".to_owned()];
        let body = SglangAdapter.completion(&CompletionCall { stop: &stop, ..greedy_call(&[1, 2]) }).body.unwrap();
        assert_eq!(
            body,
            json!({"input_ids": [1, 2], "stream": false, "sampling_params": {
                "temperature": 0.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0,
                "presence_penalty": 0.0, "frequency_penalty": 0.0, "max_new_tokens": 8, "sampling_seed": 9,
                "skip_special_tokens": true, "stop": ["\n\n"], "no_stop_trim": true}})
        );
    }

    #[test]
    fn ends_are_told_apart() {
        let end = |reason: Value| {
            let reply = json!({"text": "a", "output_ids": [5, 7], "meta_info": {"finish_reason": reason,
                "prompt_tokens": 9, "cached_tokens": 8, "completion_tokens": 2}});
            let mut parser = SglangParser { stop: vec!["\n\n".to_owned()], ..SglangParser::default() };
            parser.parse(&reply).map(|delta| (delta.tokens, delta.end.unwrap(), delta.prompt.unwrap()))
        };
        let prompt = PromptUse { prompt: 9, cached: Some(8) };
        assert_eq!(
            end(json!({"type": "stop", "matched": "\n\n"})).unwrap(),
            (vec![5, 7], CompletionEnd::StopString, prompt)
        );
        assert_eq!(end(json!({"type": "stop", "matched": 7})).unwrap(), (vec![5], CompletionEnd::EndOfText, prompt));
        assert_eq!(end(json!({"type": "length", "length": 2})).unwrap(), (vec![5, 7], CompletionEnd::Length, prompt));
        let failed = |status, message: &str| Err(ReplyError::Engine { status, message: message.to_owned() });
        let full = json!({"type": "abort", "message": "queue full", "status_code": 503, "err_type": null});
        assert_eq!(end(full), failed(Some(503), "queue full"));
        assert_eq!(end(json!({"type": "stop", "matched": "NaN happened"})), failed(None, "NaN happened"));
    }

    /// The shapes are those of SGLang 0.5.23.
    #[test]
    fn messages_are_rendered_by_the_engine() {
        let request = SglangAdapter.chat_encoding("m", &[("user", "Hi")]).unwrap();
        assert_eq!(request.path, "/tokenize");
        assert_eq!(request.body, Some(json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})));
        let reply = json!({"tokens": [5, 7], "count": 2, "max_model_len": 4096});
        assert_eq!(SglangAdapter.chat_encoding_reply(&reply), Ok(ChatEncoding::Ids(vec![5, 7])));
        assert!(SglangAdapter.chat_encoding_reply(&json!({"tokens": [[5], [7]]})).is_err());
    }

    proptest! {
        #[test]
        fn streams_that_repeat_and_streams_that_do_not_bring_the_same(
            parts in proptest::collection::vec(proptest::collection::vec(0u32..3, 1..4), 1..8),
        ) {
            let event = |ids: &[u32], decoded: usize| {
                let text: String = ids.iter().map(|id| char::from_digit(*id, 10).unwrap()).collect();
                json!({"text": text, "output_ids": ids, "meta_info": {"finish_reason": null,
                    "completion_tokens": decoded}})
            };
            let (mut cumulative, mut incremental) = (SglangParser::default(), SglangParser::default());
            let mut all: Vec<u32> = Vec::new();
            for part in &parts {
                all.extend(part);
                let repeated = cumulative.parse(&event(&all, all.len())).unwrap();
                let new = incremental.parse(&event(part, all.len())).unwrap();
                prop_assert_eq!(&repeated.tokens, part);
                prop_assert_eq!(repeated, new);
            }
        }
    }

    /// The shapes are those of SGLang 0.5.23.
    #[test]
    fn labels_are_found_by_their_ids_and_a_head_is_read_at_the_last_token() {
        let call = LabelCall { model: "m", prefix: CompletionPrefix::Ids(&[1, 2]), labels: &[15, 16], texts: &[] };
        let body = SglangAdapter.labels(&call).body.unwrap();
        assert_eq!((&body["input_ids"], &body["token_ids_logprob"]), (&json!([1, 2]), &json!([15, 16])));
        assert_eq!(body["sampling_params"]["max_new_tokens"], json!(1));
        let prompt = Some(PromptUse { prompt: 2, cached: Some(1) });
        let meta = json!({"finish_reason": {"type": "length", "length": 1}, "prompt_tokens": 2, "cached_tokens": 1,
            "output_token_ids_logprobs": [[[-0.25, 16, null], [-2.5, 15, null]]]});
        let found = SglangAdapter.labels_reply(&call, &json!({"text": "1", "meta_info": meta})).unwrap();
        assert_eq!(found, ScoreReply { rows: vec![vec![-2.5, -0.25]], prompt });

        let request = SglangAdapter.pooling("m", &[1, 2]).unwrap();
        assert_eq!((request.path, request.body), ("/classify", Some(json!({"input_ids": [1, 2]}))));
        let classified = |reason: Value, embedding: Value| {
            let meta = json!({"finish_reason": reason, "prompt_tokens": 2, "cached_tokens": 1});
            SglangAdapter.pooling_reply(&json!({"embedding": embedding, "meta_info": meta}))
        };
        let ended = || json!({"type": "length", "length": 0});
        assert_eq!(classified(ended(), json!([1.5])), Ok(ScoreReply { rows: vec![vec![1.5]], prompt }));
        assert!(classified(ended(), json!([null])).is_err());
        let full = json!({"type": "abort", "message": "queue full", "status_code": 503});
        assert!(matches!(classified(full, json!([1.5])), Err(ReplyError::Engine { status: Some(503), .. })));
    }
}
