//! What the tests of the adapters share.

use std::sync::LazyLock;

use proptest::prelude::*;
use rsd_core::sampling::Sampling;
use serde_json::Value;

use super::{
    CompletionCall, CompletionPrefix, EngineAdapter, LabelCall, LlamaServerAdapter, OpenAiAdapter, SglangAdapter,
    VllmAdapter,
};

static GREEDY: LazyLock<Sampling> = LazyLock::new(Sampling::default);

/// A greedy call for eight tokens.
pub(super) fn greedy_call(ids: &[u32]) -> CompletionCall<'_> {
    CompletionCall {
        model: "m",
        prefix: CompletionPrefix::Ids(ids),
        max_tokens: 8,
        sampling: &GREEDY,
        seed: 9,
        stop: &[],
        stream: false,
        logprobs: None,
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z ]{0,8}".prop_map(Value::from),
    ];
    let names = prop_oneof![
        Just("choices"),
        Just("token_ids"),
        Just("tokens"),
        Just("output_ids"),
        Just("meta_info"),
        Just("data"),
        Just("finish_reason"),
        Just("stop_type"),
        Just("logprobs"),
        Just("usage"),
        Just("text"),
        Just("content"),
        Just("completion_probabilities"),
        Just("output_token_logprobs"),
        Just("output_token_ids_logprobs"),
        Just("top_logprobs"),
        Just("embedding"),
        Just("timings"),
        Just("id"),
        Just("meta"),
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_reply_makes_a_parser_panic(replies in proptest::collection::vec(any_json(), 1..4)) {
        let adapters: [&dyn EngineAdapter; 4] = [&VllmAdapter, &SglangAdapter, &LlamaServerAdapter, &OpenAiAdapter];
        for adapter in adapters {
            let mut parser = adapter.parser(&greedy_call(&[1]));
            for reply in &replies {
                let _ = parser.parse(reply);
                let _ = adapter.chat_encoding_reply(reply);
                let _ = adapter.model_info_reply(reply);
                let _ = adapter.pooling_reply(reply);
                let _ = adapter.state_reply(reply);
                let labels = LabelCall { model: "m", prefix: CompletionPrefix::Ids(&[1]), labels: &[5], texts: &[] };
                let _ = adapter.labels_reply(&labels, reply);
            }
        }
    }
}
