//! Uses mistralrs-rsd as a library: asks one question and shows which model generated each step.
//!
//! ```sh
//! cargo run --release --example library -- "A train covers 240 km in 3 hours. How far does it get in 5 hours?"
//! ```

use anyhow::Context;
use mistralrs_rsd::{ChatMessage, Request, deploy, load_deployment};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let question = std::env::args().nth(1).context("usage: library QUESTION")?;
    let deployment = load_deployment("config/demo.yaml")?;
    let rsd = deploy(&deployment, None).await?.rsd;

    let system = "Please reason step by step, and put your final answer within \\boxed{}.";
    let messages = [ChatMessage::system(system), ChatMessage::user(question)];
    // `delta`, `route` and `sampling` would change the policy and the sampling of this request alone.
    let outcome = rsd.complete(Request::chat(messages).max_tokens(512)).await?;

    for step in &outcome.trace.steps {
        println!("[{:?}, reward {:?}] {}", step.source, step.reward, step.text.trim_end());
    }
    Ok(())
}
