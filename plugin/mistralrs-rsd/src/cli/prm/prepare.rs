//! `mistralrs-rsd prm prepare`: recognizes a published reward model and prepares it without loading it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use rsd_config::{PrmFormat, RoleConfig};

use rsd_head::{
    models,
    prepare::{self, PreparedPrm},
    progress::ProgressReporter,
};

#[derive(Debug, Args)]
pub(super) struct PrepareArgs {
    /// A checkpoint in safetensors or `.bin` (a local folder or a model id of the hub), or a GGUF file
    source: String,
    /// The head of a GGUF: a safetensors file, or the folder of the checkpoint that the GGUF was made from
    #[arg(long, value_name = "PATH")]
    head: Option<PathBuf>,
    /// The model or folder whose tokenizer a GGUF uses, if `--head` has no tokenizer
    #[arg(long, value_name = "MODEL")]
    tok_model_id: Option<String>,
    /// The family of the model, if it cannot be recognized by its files and its name
    #[arg(long, value_enum, default_value_t = PrmFormat::Auto)]
    format: PrmFormat,
    /// The folder for the prepared model; without one the cache folder
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

pub(super) async fn run(args: PrepareArgs) -> anyhow::Result<()> {
    let prepared = tokio::task::spawn_blocking(move || -> anyhow::Result<PreparedPrm> {
        let cache = args.cache.map_or_else(models::cache_dir, Ok)?;
        let file = PathBuf::from(&args.source);
        let role = if file.extension().is_some_and(|extension| extension == "gguf") {
            let role = RoleConfig { tok_model_id: args.tok_model_id, ..RoleConfig::default() };
            role.with_gguf(&file)
        } else {
            anyhow::ensure!(
                args.head.is_none() && args.tok_model_id.is_none(),
                "--head and --tok-model-id are for a GGUF only"
            );
            RoleConfig { model_id: Some(args.source), ..RoleConfig::default() }
        };
        let progress = ProgressReporter::on_stderr();
        Ok(prepare::prepare(&role, args.format.family(), args.head.as_deref(), &cache, &progress)?)
    });
    crate::cli::output::print(&report(&prepared.await.context("the task that prepares the model panicked")??))?;
    Ok(())
}

fn report(published: &PreparedPrm) -> String {
    let folder = published.role.model_id.as_deref().unwrap_or_default();
    let layers: Vec<String> =
        published.head.iter().map(|layer| format!("{} to {}", layer.inputs, layer.outputs)).collect();
    let head = if layers.is_empty() { "none; the model is used as it is".to_owned() } else { layers.join(", then ") };
    format!(
        "format           {}\nhead             {head}\nloaded from      {folder}\nthreshold        {} as a first choice\n",
        published.family.name(),
        published.family.default_delta()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsd_config::PrmFamily;

    #[test]
    fn the_report_names_format_head_folder_and_threshold() {
        let cache = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/prm/qwen-prm");
        let role = RoleConfig { model_id: Some(source.to_owned()), ..RoleConfig::default() };
        let published = prepare::prepare(&role, None, None, cache.path(), &ProgressReporter::silent()).unwrap();
        assert_eq!(published.family, PrmFamily::QwenPrm);
        let text = report(&published).replace(published.role.model_id.as_deref().unwrap(), "FOLDER");
        insta::assert_snapshot!(text, @r"
        format           qwen-prm
        head             64 to 64, then 64 to 2
        loaded from      FOLDER
        threshold        0.9 as a first choice
        ");
    }
}
