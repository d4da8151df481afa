//! Tells by a server's own replies which kind of engine it is.
//!
//! | asked | what speaks for a kind |
//! |---|---|
//! | `/v1/models` | `owned_by`: `vllm`, `sglang` or `llamacpp`; any list of models speaks for OpenAI's API |
//! | `/version` | nothing: vLLM answers, and so do others. It is shown |
//! | `/get_model_info`, `/server_info` | SGLang answers with `model_path` and `tokenizer_path` |
//! | `/props` | llama.cpp's server answers with `default_generation_settings` and `total_slots` |

use std::fmt;

use serde_json::Value;

use super::{
    EngineAdapter, LlamaServerAdapter, OpenAiAdapter, SglangAdapter, VllmAdapter,
    reply_fields::{self, get},
};
use crate::transport::EngineRequest;

/// What a server is asked, in this order.
const QUESTIONS: [&str; 5] = ["/v1/models", "/version", "/get_model_info", "/server_info", "/props"];

/// Characters of a reply that an error repeats.
const SHOWN: usize = 160;

/// The requests whose replies tell what a server is.
pub fn identifying_requests() -> impl Iterator<Item = EngineRequest> {
    QUESTIONS.into_iter().map(get)
}

/// What a server replied to one of [`identifying_requests`].
#[derive(Debug, Clone, PartialEq)]
pub struct IdentityReply {
    /// The path that was asked.
    pub path: &'static str,
    /// The reply, or why there is none.
    pub reply: Result<Value, String>,
}

/// The kind of engine that a server is.
pub struct IdentifiedEngine {
    /// How it is asked.
    pub adapter: Box<dyn EngineAdapter>,
    /// The reply that says so, such as `/v1/models: owned_by vllm`.
    pub evidence: String,
    /// Its version, where it tells it.
    pub version: Option<String>,
}

/// No kind of engine fits the replies. Its text lists them.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownEngine(Vec<IdentityReply>);

impl fmt::Display for UnknownEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`auto` found no engine that it knows")?;
        for IdentityReply { path, reply } in &self.0 {
            let text = match reply {
                Ok(value) => value.to_string(),
                Err(reason) => reason.clone(),
            };
            let shown: String = text.chars().take(SHOWN).collect();
            let dots = if shown.len() < text.len() { "..." } else { "" };
            write!(f, "; {path}: {shown}{dots}")?;
        }
        f.write_str(". Name the kind of engine, or check the URL and the key")
    }
}

impl std::error::Error for UnknownEngine {}

/// The kind of engine that gave these replies.
///
/// # Errors
/// No kind fits.
pub fn identify(replies: Vec<IdentityReply>) -> Result<IdentifiedEngine, UnknownEngine> {
    let reply = |path: &str| {
        let found = replies.iter().find(|reply| reply.path == path)?;
        found.reply.as_ref().ok()
    };
    let text = |path: &str, field: &str| reply(path)?[field].as_str().map(str::to_owned);
    let has = |path: &str, fields: [&str; 2]| {
        reply(path).is_some_and(|reply| fields.iter().all(|field| !reply[field].is_null()))
    };
    let models = reply("/v1/models");
    let owners: Vec<&str> = models.into_iter().flat_map(owners).collect();
    let found = |adapter: Box<dyn EngineAdapter>, evidence: String, version: Option<String>| {
        Ok(IdentifiedEngine { adapter, evidence, version })
    };
    let owned = |owner: &str| owners.contains(&owner).then(|| format!("/v1/models: owned_by {owner}"));
    let answers = |paths: &[&str], fields: [&str; 2]| {
        let path = paths.iter().find(|path| has(path, fields))?;
        Some(format!("{path}: {} and {}", fields[0], fields[1]))
    };
    if let Some(evidence) = owned("vllm") {
        return found(Box::new(VllmAdapter), evidence, text("/version", "version"));
    }
    let sglang = || answers(&["/get_model_info", "/server_info"], ["model_path", "tokenizer_path"]);
    if let Some(evidence) = owned("sglang").or_else(sglang) {
        return found(Box::new(SglangAdapter), evidence, text("/server_info", "version"));
    }
    let llama_server = || answers(&["/props"], ["default_generation_settings", "total_slots"]);
    if let Some(evidence) = owned("llamacpp").or_else(llama_server) {
        return found(Box::new(LlamaServerAdapter), evidence, text("/props", "build_info"));
    }
    if models.is_some_and(|models| reply_fields::models(models, |_| None).is_ok()) {
        return found(Box::new(OpenAiAdapter), "/v1/models: a list of models".to_owned(), text("/version", "version"));
    }
    Err(UnknownEngine(replies))
}

/// Who owns the models of a list, as the list says.
fn owners(models: &Value) -> impl Iterator<Item = &str> {
    models["data"].as_array().into_iter().flatten().filter_map(|model| model["owned_by"].as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The recorded replies of a server; what is not recorded gave status 404.
    fn recorded(server: &str) -> Vec<IdentityReply> {
        let servers: Value = serde_json::from_str(include_str!("../../fixtures/identity.json")).unwrap();
        let replies = servers[server].as_object().unwrap();
        assert!(replies.keys().all(|path| QUESTIONS.contains(&path.as_str())), "{server}");
        let reply = |path: &&'static str| IdentityReply {
            path,
            reply: replies.get(*path).cloned().ok_or_else(|| "status 404: Not Found".to_owned()),
        };
        QUESTIONS.iter().map(reply).collect()
    }

    fn identified(replies: Vec<IdentityReply>) -> String {
        let found = identify(replies).ok().unwrap();
        format!("{} {} by {}", found.adapter.name(), found.version.unwrap_or_default(), found.evidence)
    }

    #[test]
    fn every_recorded_server_is_found_for_what_it_is() {
        insta::assert_snapshot!(
            ["vllm", "sglang", "llama_server", "tensorrt_llm", "mistralrs"]
                .map(|server| format!("{server}: {}", identified(recorded(server))))
                .join("\n"),
            @"
        vllm: vllm 0.32.0 by /v1/models: owned_by vllm
        sglang: sglang 0.5.23 by /v1/models: owned_by sglang
        llama_server: llama_server b0-unknown by /v1/models: owned_by llamacpp
        tensorrt_llm: openai 1.2.0 by /v1/models: a list of models
        mistralrs: openai  by /v1/models: a list of models
        "
        );
    }

    #[test]
    fn a_proxy_that_names_another_owner_hides_neither_sglang_nor_llama_server() {
        for (server, kind) in [("sglang", "sglang"), ("llama_server", "llama_server"), ("vllm", "openai")] {
            let mut replies = recorded(server);
            replies[0].reply = Ok(json!({"object": "list", "data": [{"id": "m", "owned_by": "openai"}]}));
            assert_eq!(identify(replies).ok().unwrap().adapter.name(), kind);
        }
    }

    #[test]
    fn what_fits_no_engine_is_refused_with_every_question_and_reply() {
        let refused = |reply: Value| {
            let reply = |path| IdentityReply {
                path,
                reply: if path == "/version" { Ok(reply.clone()) } else { Err("status 404: Not Found".to_owned()) },
            };
            identify(QUESTIONS.iter().map(|path| reply(path)).collect()).err().unwrap().to_string()
        };
        insta::assert_snapshot!(refused(json!({"version": "1"})), @r#"`auto` found no engine that it knows; /v1/models: status 404: Not Found; /version: {"version":"1"}; /get_model_info: status 404: Not Found; /server_info: status 404: Not Found; /props: status 404: Not Found. Name the kind of engine, or check the URL and the key"#);
        assert!(refused(json!({"long": "x".repeat(10_000)})).len() < 600);
    }

    #[test]
    fn an_ollama_like_answer_at_the_root_of_every_path_is_no_engine() {
        let reply = |path: &&'static str| IdentityReply { path, reply: Ok(json!({"status": "ok"})) };
        assert!(identify(QUESTIONS.iter().map(reply).collect()).is_err());
    }
}
