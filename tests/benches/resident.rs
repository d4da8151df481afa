//! Measures how much a resident reward head slows the demo draft down: the published draft against the same draft
//! whose hidden states are read, whose features are collected and whose steps the head scores. Both decode the same
//! prompt greedily, in alternation.
//!
//! ```sh
//! cargo bench -p rsd-tests --bench resident
//! ```

use std::time::Instant;

use anyhow::Context;
use mistralrs_rsd::{deploy::observable_draft, engine::Engine, engine::EngineSpec};
use rsd_config::{RewardScorer, TargetRule};
use rsd_core::pipeline::{
    roles::{ChatMessage, Generator, Prompt, RunRequest},
    segment::{Segmentation, StepBoundary},
};
use rsd_head::{check_counts::CheckCounts, gguf, head::RewardHead, models, progress::ProgressReporter};

const PAIRS: usize = 9;
const TOKENS: usize = 160;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/demo.yaml");
    let demo = rsd_config::load(Some(file.as_ref()), std::iter::empty(), &[], TargetRule::Required)?.deployment;
    let RewardScorer::Resident { head, .. } = &demo.reward.scorer else {
        anyhow::bail!("the demo's reward is not resident")
    };
    let head = RewardHead::load(head)?;
    let role = demo.roles.draft;
    let observed = observable_draft(&role).await?;
    // The same weights without the state rows: the file from which the one with exposed states was made.
    let published =
        models::ensure(role.bundled.as_deref().context("the demo's draft is bundled")?, &ProgressReporter::silent())?;
    let fast = gguf::requantized(&published, &ProgressReporter::silent())?;
    let plain = EngineSpec::from_role(&role_of(&role, &fast))?;
    let plain = Engine::load("draft", plain).await?;
    let observed = Engine::load("draft", observed.spec).await?;

    let question = "Mira saves 12 euros a week. After 8 weeks she buys a lamp for 35 euros and two books for 14 euros \
                    each. How many euros does she have left? Please reason step by step.";
    let prompt = Prompt::Chat(vec![ChatMessage { role: "user".to_owned(), content: question.to_owned() }]);
    let mut ratios = Vec::new();
    println!("| pair | without head, tok/s | with head, tok/s | ratio |\n|---|---|---|---|");
    for pair in 0..=PAIRS {
        let (a, first) = speed(&plain, &prompt, None).await?;
        let (b, second) = speed(&observed, &prompt, Some(&head)).await?;
        anyhow::ensure!(first == second, "the two decoded different tokens");
        // The first pair is the warm-up.
        if pair > 0 {
            println!("| {pair} | {a:.2} | {b:.2} | {:.4} |", b / a);
            ratios.push(b / a);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nmedian ratio {:.4}, from {:.4} to {:.4}", ratios[PAIRS / 2], ratios[0], ratios[PAIRS - 1]);
    Ok(())
}

fn role_of(role: &rsd_config::RoleConfig, file: &std::path::Path) -> rsd_config::RoleConfig {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    rsd_config::RoleConfig {
        bundled: None,
        model_id: text(file.parent().map(std::path::Path::as_os_str)),
        quantized_file: text(file.file_name()),
        format: Some(rsd_config::ModelFormat::Gguf),
        ..role.clone()
    }
}

/// Tokens per second decoded after the first step, and all tokens.
async fn speed(draft: &Engine, prompt: &Prompt, head: Option<&RewardHead>) -> anyhow::Result<(f64, Vec<u32>)> {
    let segmentation = Segmentation { boundary: StepBoundary::Delimiter(vec!["\n\n".to_owned()]), max_tokens: 256 };
    let greedy = RunRequest::greedy(draft.encode_prompt(prompt).await?, segmentation, TOKENS);
    let request = RunRequest { lookahead: 0, features: head.is_some(), ..greedy };
    let mut run = draft.start(request).await?;
    let (mut tokens, mut drafted, mut texts, mut since) = (Vec::new(), Vec::new(), Vec::new(), None);
    while let Some(step) = run.next().await {
        let step = step?;
        if let (Some(head), Some(features)) = (head, &step.features) {
            let text = step.text();
            let reward = head.reward(&drafted, features, CheckCounts::of(&texts, &text));
            anyhow::ensure!((0.0..=1.0).contains(&reward), "a reward of {reward}");
            drafted.push((**features).clone());
            texts.push(text);
        }
        tokens.extend_from_slice(&step.tokens);
        since.get_or_insert((Instant::now(), tokens.len()));
        run.accept();
    }
    let (since, first) = since.context("no step was decoded")?;
    Ok(((tokens.len() - first) as f64 / since.elapsed().as_secs_f64(), tokens))
}
