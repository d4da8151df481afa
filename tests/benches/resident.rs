//! What judging with a resident head costs the demo draft: the draft as published against the same draft with its
//! states read, its features gathered and the head applied to every step. Same prompt, greedy, in turn.
//!
//! ```sh
//! cargo bench -p rsd-tests --bench resident
//! ```
#![allow(missing_docs)]

use std::time::Instant;

use anyhow::Context;
use mistralrs_rsd::{
    config::{self, RewardConfig, TargetRule},
    deploy::observed_draft,
    engine::{Engine, EngineSpec},
    models::{self, Silent},
    pipeline::{
        roles::{Generator, Message, Prompt, RunRequest},
        segment::{Boundary, Segmentation},
    },
    reward::Head,
};

const PAIRS: usize = 9;
const TOKENS: usize = 160;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/demo.yaml");
    let demo = config::load(Some(file.as_ref()), std::iter::empty(), &[], TargetRule::Required)?.deployment;
    let RewardConfig::Resident { head } = &demo.reward else { anyhow::bail!("the demo's reward is not resident") };
    let head = Head::load(head)?;
    let role = demo.roles.draft;
    let observed = observed_draft(&role).await?;
    // The same weights without the state rows: the file that the grafted one was made from.
    let published = models::ensure(role.bundled.as_deref().context("the demo's draft is bundled")?, &Silent)?;
    let fast = models::requantized(&published, &Silent)?;
    let plain = EngineSpec::from_role(&role_of(&role, &fast))?;
    let plain = Engine::load("draft", plain).await?;
    let observed = Engine::load("draft", observed.spec).await?;

    let question = "Mira saves 12 euros a week. After 8 weeks she buys a lamp for 35 euros and two books for 14 euros \
                    each. How many euros does she have left? Please reason step by step.";
    let prompt = Prompt::Chat(vec![Message { role: "user".to_owned(), content: question.to_owned() }]);
    let mut ratios = Vec::new();
    println!("| pair | as published, tok/s | judged, tok/s | ratio |\n|---|---|---|---|");
    for pair in 0..=PAIRS {
        let (a, first) = speed(&plain, &prompt, None).await?;
        let (b, second) = speed(&observed, &prompt, Some(&head)).await?;
        anyhow::ensure!(first == second, "the two wrote different tokens");
        // The first pair warms up.
        if pair > 0 {
            println!("| {pair} | {a:.2} | {b:.2} | {:.4} |", b / a);
            ratios.push(b / a);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nmedian ratio {:.4}, from {:.4} to {:.4}", ratios[PAIRS / 2], ratios[0], ratios[PAIRS - 1]);
    Ok(())
}

fn role_of(role: &config::RoleConfig, file: &std::path::Path) -> config::RoleConfig {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    config::RoleConfig {
        bundled: None,
        model_id: text(file.parent().map(std::path::Path::as_os_str)),
        quantized_file: text(file.file_name()),
        format: Some(config::Format::Gguf),
        ..role.clone()
    }
}

/// Decoded tokens per second after the first step, and the tokens.
async fn speed(draft: &Engine, prompt: &Prompt, head: Option<&Head>) -> anyhow::Result<(f64, Vec<u32>)> {
    let segmentation = Segmentation { boundary: Boundary::Delimiter(vec!["\n\n".to_owned()]), max_tokens: 256 };
    let greedy = RunRequest::greedy(draft.encode_prompt(prompt).await?, segmentation, TOKENS);
    let request = RunRequest { lookahead: 0, features: head.is_some(), ..greedy };
    let mut run = draft.start(request).await?;
    let (mut tokens, mut drafted, mut since) = (Vec::new(), Vec::new(), None);
    while let Some(step) = run.next().await {
        let step = step?;
        if let (Some(head), Some(features)) = (head, &step.features) {
            let reward = head.reward(&drafted, features);
            anyhow::ensure!((0.0..=1.0).contains(&reward), "a reward of {reward}");
            drafted.push((**features).clone());
        }
        tokens.extend_from_slice(&step.tokens);
        since.get_or_insert((Instant::now(), tokens.len()));
        run.accept();
    }
    let (since, first) = since.context("no step was written")?;
    Ok(((tokens.len() - first) as f64 / since.elapsed().as_secs_f64(), tokens))
}
