//! Uses mistralrs-rsd as a library: asks one question and shows step by step who wrote the answer.
//!
//! ```sh
//! cargo run --release --example library -- "A train covers 240 km in 3 hours. How far does it get in 5 hours?"
//! ```

use std::path::Path;

use anyhow::Context;
use mistralrs_rsd::{
    config::{self, TargetRule},
    deploy::deploy,
    pipeline::{
        Overrides, Request,
        roles::{Message, Prompt},
    },
    sampling::Sampling,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let question = std::env::args().nth(1).context("no question")?;
    let file = Path::new("config/demo.yaml");
    let deployment = config::load(Some(file), config::environment(), &[], TargetRule::Required)?.deployment;
    let rsd = deploy(&deployment, None).await?.rsd;

    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let system = "Please reason step by step, and put your final answer within \\boxed{}.";
    let outcome = rsd
        .complete(Request {
            prompt: Prompt::Chat(vec![message("system", system), message("user", &question)]),
            sampling: Sampling::default(),
            max_tokens: 512,
            stop: Vec::new(),
            model: None,
            // What the deployment says; another `delta` or `weighting` would be for this request alone.
            overrides: Overrides::default(),
            logprobs: None,
            deadline: None,
        })
        .await?;

    for step in &outcome.trace.steps {
        println!("[{:?}, reward {:?}] {}", step.source, step.reward, step.text.trim_end());
    }
    Ok(())
}
