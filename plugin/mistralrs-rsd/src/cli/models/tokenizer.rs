//! `mistralrs-rsd models tokenizer`: writes the tokenizer of a GGUF as a `tokenizer.json`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rsd_config::RoleConfig;
use rsd_files::{FileAccess, replace};

use crate::engine::{Engine, EngineSpec};

/// A model on a remote engine needs a tokenizer here. For a GGUF that is not published beside a tokenizer.json, this
/// writes the one that mistral.rs makes of the file.
#[derive(Debug, Clone, Args)]
pub(super) struct TokenizerArgs {
    /// The name of a bundled model, or the path of a GGUF file
    model: String,
    /// The file to write
    #[arg(short, long, default_value = "tokenizer.json")]
    output: PathBuf,
}

impl TokenizerArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let path = Path::new(&self.model);
        let role = RoleConfig { cpu: true, ..RoleConfig::default() };
        let role = if path.is_file() {
            role.with_gguf(&std::path::absolute(path)?)
        } else {
            let name = self.model.clone();
            let file = tokio::task::spawn_blocking(move || {
                rsd_head::models::ensure(&name, &rsd_head::progress::ProgressReporter::on_stderr())
            });
            role.with_gguf(
                &file.await?.with_context(|| format!("{} is neither a file nor a bundled model", self.model))?,
            )
        };
        let engine = Box::pin(Engine::load("tokenizer", EngineSpec::from_role(&role)?)).await?;
        let json = engine.tokenizer().to_string(false).map_err(anyhow::Error::from_boxed)?;
        replace(&self.output, json.as_bytes(), FileAccess::Inherited)?;
        crate::cli::output::print(&format!("{}\n", self.output.display()))
    }
}
