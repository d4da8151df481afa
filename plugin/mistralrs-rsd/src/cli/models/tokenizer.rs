//! `mistralrs-rsd models tokenizer`: writes the tokenizer of a GGUF as a `tokenizer.json`, and its chat template.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rsd_config::RoleConfig;
use rsd_files::{FileAccess, replace};
use rsd_head::gguf::tokenizer_config;

use crate::{
    cli::output::print_line,
    engine::{Engine, EngineSpec},
};

/// A model on a remote engine needs a tokenizer here. For a GGUF that is not published beside a tokenizer.json, this
/// writes the one that mistral.rs makes of the file, and beside it a `tokenizer_config.json` with the chat template.
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
        let file = if path.is_file() {
            std::path::absolute(path)?
        } else {
            let name = self.model.clone();
            let file = tokio::task::spawn_blocking(move || {
                rsd_head::models::ensure(&name, &rsd_head::progress::ProgressReporter::on_stderr())
            });
            file.await?.with_context(|| format!("{} is neither a file nor a bundled model", self.model))?
        };
        let config = tokenizer_config(&file)?;
        let role = RoleConfig { cpu: true, ..RoleConfig::default() }.with_gguf(&file);
        let engine = Box::pin(Engine::load("tokenizer", EngineSpec::from_role(&role)?)).await?;
        let json = engine.tokenizer().to_string(false).map_err(anyhow::Error::from_boxed)?;
        replace(&self.output, json.as_bytes(), FileAccess::Inherited)?;
        print_line(&self.output.display().to_string())?;
        if let Some(config) = config {
            let beside = self.output.with_file_name("tokenizer_config.json");
            replace(&beside, config.to_string().as_bytes(), FileAccess::Inherited)?;
            print_line(&beside.display().to_string())?;
        }
        Ok(())
    }
}
