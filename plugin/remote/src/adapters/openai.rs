//! Any server with OpenAI's `/v1/completions`. Text goes both ways, so the text is tokenized here.

use rsd_core::sampling::Sampling;
use serde_json::{Value, json};

use super::{
    ChatEncoding, CompletionCall, CompletionDelta, CompletionEnd, EngineAbilities, EngineAdapter, LabelCall,
    ReplyError, ReplyParser, ScoreReply,
    reply_fields::{self, get, logprob, post},
};
use crate::transport::EngineRequest;

/// The likeliest tokens that the API reports at most.
const MAX_LOGPROBS: usize = 5;

/// Requests by OpenAI's API.
pub struct OpenAiAdapter;

impl EngineAdapter for OpenAiAdapter {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn abilities(&self) -> EngineAbilities {
        EngineAbilities { token_ids: false, complete_streams: true, logprobs: false }
    }

    #[allow(clippy::float_cmp, reason = "only the exact neutral values change nothing")]
    fn unsupported(&self, sampling: &Sampling) -> Option<&'static str> {
        let given = [
            ("top_k", sampling.top_k.is_some()),
            ("min_p", sampling.min_p.is_some_and(|min_p| min_p != 0.0)),
            ("repetition_penalty", sampling.repetition_penalty.is_some_and(|penalty| penalty != 1.0)),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Without stop strings: the API does not say whether a string or the model ended the answer, and cuts the string off.
    /// So the end of a step is found here.
    fn completion(&self, call: &CompletionCall<'_>) -> EngineRequest {
        let sampling = call.sampling;
        let mut body = json!({
            "model": call.model,
            "prompt": reply_fields::prefix(call.prefix),
            "max_tokens": call.max_tokens,
            "seed": call.seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p.unwrap_or(1.0),
            "presence_penalty": sampling.presence_penalty.unwrap_or(0.0),
            "frequency_penalty": sampling.frequency_penalty.unwrap_or(0.0),
            "stream": call.stream,
        });
        if let Some(bias) = reply_fields::logit_bias(&sampling.logit_bias) {
            body["logit_bias"] = bias;
        }
        if call.stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        post("/v1/completions", body)
    }

    fn parser(&self, _: &CompletionCall<'_>) -> Box<dyn ReplyParser> {
        Box::new(OpenAiParser)
    }

    fn chat_encoding(&self, _: &str, _: &[(&str, &str)]) -> Option<EngineRequest> {
        None
    }

    fn chat_encoding_reply(&self, _: &Value) -> Result<ChatEncoding, ReplyError> {
        Err(ReplyError::Unexpected("prompt"))
    }

    fn labels(&self, call: &LabelCall<'_>) -> EngineRequest {
        let body = json!({
            "model": call.model,
            "prompt": reply_fields::prefix(call.prefix),
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": MAX_LOGPROBS,
            "stream": false,
        });
        post("/v1/completions", body)
    }

    /// Tokens are named by their text, some with the blank before them.
    fn labels_reply(&self, call: &LabelCall<'_>, reply: &Value) -> Result<ScoreReply, ReplyError> {
        let entries = reply["choices"][0]["logprobs"]["top_logprobs"][0].as_object();
        let entries = entries.ok_or(ReplyError::Unexpected("top_logprobs"))?;
        let of = |text: &str| {
            let found = entries.iter().filter(|(name, _)| name.trim() == text).map(|(_, value)| logprob(value));
            found.max_by(f32::total_cmp)
        };
        let rows = reply_fields::label_row(call.labels, |index, _| of(call.texts.get(index)?.trim()));
        Ok(ScoreReply { rows, prompt: reply_fields::usage(reply) })
    }

    fn model_info(&self) -> EngineRequest {
        get("/v1/models")
    }

    fn model_info_reply(&self, reply: &Value) -> Result<Vec<(String, Option<usize>)>, ReplyError> {
        // Some servers add it.
        reply_fields::models(reply, |model| reply_fields::count(&model["max_model_len"]))
    }
}

struct OpenAiParser;

impl ReplyParser for OpenAiParser {
    fn parse(&mut self, reply: &Value) -> Result<CompletionDelta, ReplyError> {
        let prompt = reply_fields::usage(reply);
        let choices = reply["choices"].as_array().ok_or(ReplyError::Unexpected("choices"))?;
        let Some(choice) = choices.first() else { return Ok(CompletionDelta { prompt, ..CompletionDelta::default() }) };
        let end = match choice["finish_reason"].as_str() {
            None => None,
            Some("length") => Some(CompletionEnd::Length),
            // No stop strings are sent.
            Some("stop") => Some(CompletionEnd::EndOfText),
            Some(_) => Some(CompletionEnd::Unknown),
        };
        let text = choice["text"].as_str().unwrap_or_default().to_owned();
        Ok(CompletionDelta { text, end, prompt, ..CompletionDelta::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::{CompletionPrefix, testing::greedy_call};

    #[test]
    fn text_is_sent_and_what_the_api_does_not_have_is_named() {
        let call = CompletionCall { prefix: CompletionPrefix::Text("Two and"), ..greedy_call(&[]) };
        let body = OpenAiAdapter.completion(&call).body.unwrap();
        assert_eq!((&body["prompt"], &body["max_tokens"], body.get("stop")), (&json!("Two and"), &json!(8), None));
        let top_k = Sampling { top_k: Some(5), min_p: Some(0.1), ..Sampling::default() };
        assert_eq!(OpenAiAdapter.unsupported(&top_k), Some("top_k"));
        let neutral = Sampling { min_p: Some(0.0), repetition_penalty: Some(1.0), ..Sampling::default() };
        assert_eq!(OpenAiAdapter.unsupported(&neutral), None);
    }

    #[test]
    fn text_and_ends_are_found() {
        let event =
            |text: &str, finish: Value| json!({"choices": [{"index": 0, "text": text, "finish_reason": finish}]});
        let parse = |reply: Value| OpenAiParser.parse(&reply).unwrap();
        assert_eq!(parse(event(" two", Value::Null)), CompletionDelta { text: " two".into(), ..Default::default() });
        assert_eq!(parse(event("", json!("stop"))).end, Some(CompletionEnd::EndOfText));
        assert_eq!(parse(event("", json!("length"))).end, Some(CompletionEnd::Length));
        assert!(OpenAiParser.parse(&json!({"object": "error"})).is_err());
    }

    #[test]
    fn labels_are_found_by_their_text() {
        let texts = ["3", "4"].map(str::to_owned);
        let call = LabelCall { model: "m", prefix: CompletionPrefix::Text("Two"), labels: &[18, 19], texts: &texts };
        let body = OpenAiAdapter.labels(&call).body.unwrap();
        assert_eq!((&body["prompt"], &body["max_tokens"], &body["logprobs"]), (&json!("Two"), &json!(1), &json!(5)));
        let reply =
            json!({"choices": [{"text": " 4", "logprobs": {"top_logprobs": [{" 4": -0.25, "4": -3.0, "x": -4.0}]}}]});
        let found = OpenAiAdapter.labels_reply(&call, &reply).unwrap();
        assert_eq!(found.rows, [[f32::NEG_INFINITY, -0.25]]);
        assert!(OpenAiAdapter.labels_reply(&call, &json!({"choices": [{"logprobs": null}]})).is_err());
    }
}
