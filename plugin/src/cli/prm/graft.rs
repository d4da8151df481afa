//! `mistralrs-rsd prm graft`: recognise a published reward model and prepare it, without loading it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{
    config::{PrmFormat, RoleConfig},
    deploy, models,
    reward::{self, Published},
};

#[derive(Debug, Args)]
pub(super) struct GraftArgs {
    /// A checkpoint in safetensors or `.bin`, which is a local folder or a model id on the hub; or a GGUF file.
    source: String,
    /// Where the head of a GGUF is kept: a safetensors file, or the folder of the checkpoint it was made from.
    #[arg(long, value_name = "PATH")]
    head: Option<PathBuf>,
    /// The model or folder whose tokenizer a GGUF uses, where `--head` is none that has one.
    #[arg(long, value_name = "MODEL")]
    tok_model_id: Option<String>,
    /// Its kind, where its files and its name do not tell.
    #[arg(long, value_enum, default_value_t = PrmFormat::Auto)]
    format: PrmFormat,
    /// Where the prepared folder goes; the cache directory if not given.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

pub(super) async fn run(args: GraftArgs) -> anyhow::Result<()> {
    let prepared = tokio::task::spawn_blocking(move || -> anyhow::Result<Published> {
        let cache = args.cache.map_or_else(models::cache_dir, Ok)?;
        let file = PathBuf::from(&args.source);
        let role = if file.extension().is_some_and(|extension| extension == "gguf") {
            let role = RoleConfig { tok_model_id: args.tok_model_id, ..RoleConfig::default() };
            deploy::with_file(role, &file)
        } else {
            anyhow::ensure!(
                args.head.is_none() && args.tok_model_id.is_none(),
                "--head and --tok-model-id are for a GGUF"
            );
            RoleConfig { model_id: Some(args.source), ..RoleConfig::default() }
        };
        let progress = models::on_stderr();
        Ok(reward::prepare(&role, args.format.family(), args.head.as_deref(), &cache, progress.as_ref())?)
    });
    print!("{}", report(&prepared.await.context("the task that prepares the model died")??));
    Ok(())
}

fn report(published: &Published) -> String {
    let folder = published.role.model_id.as_deref().unwrap_or_default();
    let layers: Vec<String> =
        published.head.iter().map(|layer| format!("{} to {}", layer.inputs, layer.outputs)).collect();
    let head = if layers.is_empty() {
        "none; it is read as it is, nothing was written".to_owned()
    } else {
        layers.join(", then ")
    };
    format!(
        "format           {}\nhead             {head}\nloaded from      {folder}\nthreshold        {} to begin with\n",
        published.family.name(),
        published.family.default_delta()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        models::Silent,
        reward::{self, format::Family},
    };

    #[test]
    fn the_report_names_format_head_folder_and_threshold() {
        let cache = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/prm/qwen-prm");
        let role = RoleConfig { model_id: Some(source.to_owned()), ..RoleConfig::default() };
        let published = reward::prepare(&role, None, None, cache.path(), &Silent).unwrap();
        assert_eq!(published.family, Family::QwenPrm);
        let text = report(&published).replace(published.role.model_id.as_deref().unwrap(), "FOLDER");
        insta::assert_snapshot!(text, @r"
        format           qwen-prm
        head             64 to 64, then 64 to 2
        loaded from      FOLDER
        threshold        0.9 to begin with
        ");
    }
}
