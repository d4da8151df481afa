//! A reward head on the hidden states of a draft on llama.cpp's server, against the same head in a draft in this
//! process.

use std::{fs, path::Path};

use mistralrs_rsd::deploy::{deploy, observable_draft};
use rsd_config::{RoleConfig, TargetRule};
use rsd_core::pipeline::{
    AnswerOutcome, Rsd,
    roles::{ChatMessage, Prompt, Step, StepEnd, Trajectory},
};
use rsd_tests::tiny_head::{self, TEMPERATURE};
use serde_json::{Value, json};

use crate::{LlamaServer, SYSTEM, demo_model, request};

/// Numbers in a hidden state of the demo's draft.
const WIDTH: usize = 896;
/// Tokens of a step.
const STEP: usize = 8;

async fn deployed(folder: &Path, roles: Value, states: Value) -> Rsd {
    let file = folder.join("deployment.yaml");
    let deployment = json!({
        "version": 1,
        "roles": roles,
        "reward": {"kind": "resident", "head": "head.safetensors", "states": states},
        "steps": {"unit": "tokens", "tokens": STEP},
    });
    fs::write(&file, deployment.to_string()).unwrap();
    let loaded = rsd_config::load(Some(&file), std::iter::empty(), &[], TargetRule::Required).unwrap();
    Box::pin(deploy(&loaded.deployment, None)).await.unwrap().rsd
}

/// Answers that the draft decodes, with a score for each step.
async fn scored_answers(rsd: &Rsd) -> Vec<(Prompt, AnswerOutcome)> {
    let mut answers = Vec::new();
    for question in crate::questions() {
        let prompt = Prompt::Chat(vec![ChatMessage::system(SYSTEM), ChatMessage::user(&question)]);
        let request = request(&question).delta(0.0);
        answers.push((prompt, rsd.complete(request).await.unwrap()));
    }
    answers
}

/// The scores of the steps of an answer by a reward that reads the states of their tokens.
async fn scores_of(rsd: &Rsd, prompt: &Prompt, answer: &AnswerOutcome) -> Vec<f64> {
    let mut prefix = rsd.draft.encode_prompt(prompt).await.unwrap();
    let (mut rest, mut texts, mut scores) = (answer.tokens.as_slice(), Vec::new(), Vec::new());
    for step in &answer.trace.steps {
        let (tokens, others) = rest.split_at(step.tokens);
        rest = others;
        let generated = Step {
            tokens: tokens.to_vec(),
            bytes: step.text.clone().into_bytes(),
            end: step.end,
            features: None,
            logprobs: Vec::new(),
            seconds: 0.0,
        };
        let score = rsd.reward.score(Trajectory {
            prompt,
            steps: &texts,
            prefix: &prefix,
            step: &step.text,
            generated_step: &generated,
            draft_features: &[],
        });
        let score = score.await.unwrap();
        assert_eq!(score.prefilled, prefix.len() + tokens.len() - usize::from(step.end != StepEnd::EndOfText));
        scores.push(score.reward);
        prefix.extend_from_slice(tokens);
        texts.push(step.text.clone());
    }
    scores
}

fn logit(reward: f64) -> f64 {
    TEMPERATURE * (reward / (1.0 - reward)).ln()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_reads_the_same_states_on_llama_server_as_in_this_process() {
    let (draft_file, target_file) = (demo_model("draft"), demo_model("target"));
    let folder = tempfile::tempdir().unwrap();
    let role = RoleConfig { bundled: Some("draft".to_owned()), cpu: true, ..RoleConfig::default() };
    let observed = Box::pin(observable_draft(&role)).await.unwrap();
    tiny_head::write_for_last_state(&folder.path().join("head.safetensors"), &observed.sha256, WIDTH).unwrap();
    let target_server = LlamaServer::start(&target_file).await;
    let tokenizer = folder.path().join("tokenizer.json");
    let answers = {
        let target = json!({"remote": {"engine": "llama_server", "urls": [target_server.url]}});
        let roles = json!({"draft": {"bundled": "draft", "cpu": true}, "target": target});
        let here = deployed(folder.path(), roles, Value::Null).await;
        scored_answers(&here).await
    };
    {
        let engine = Box::pin(mistralrs_rsd::engine::Engine::load("draft", observed.spec)).await.unwrap();
        engine.tokenizer().save(&tokenizer, false).unwrap();
    }
    let (draft_server, states_server) =
        (LlamaServer::start(&draft_file).await, LlamaServer::start_for_states(&draft_file).await);
    let remote = |server: &LlamaServer| json!({"engine": "llama_server", "urls": [server.url]});
    let role = |server: &LlamaServer| json!({"remote": remote(server), "tokenizer": tokenizer});
    let roles = json!({"draft": role(&draft_server), "target": role(&target_server)});
    let afar = deployed(folder.path(), roles, json!({"remote": remote(&states_server)})).await;

    let (mut here, mut there) = (Vec::new(), Vec::new());
    for (prompt, answer) in &answers {
        here.extend(answer.trace.steps.iter().map(|step| logit(step.reward.unwrap())));
        there.extend(scores_of(&afar, prompt, answer).await.into_iter().map(logit));
    }
    let mean = here.iter().sum::<f64>() / here.len() as f64;
    let spread = (here.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / here.len() as f64).sqrt();
    let apart = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("{} steps: logits spread by {spread:.3}, the engines are at most {apart:.3} apart", here.len());
    assert!(here.len() > 8 && spread > 0.0 && apart < spread / 4.0, "{here:?}\n{there:?}");

    // An answer from beginning to end: each draft step has a score, which cost the tokens before it.
    for (_, answer) in scored_answers(&afar).await {
        assert!(answer.trace.steps.iter().all(|step| step.reward.is_some()), "{:?}", answer.trace.steps);
        assert!(answer.trace.totals.reward.prefilled > 0);
    }
    assert!(afar.reward.traffic().unwrap().requests > 0);
}
