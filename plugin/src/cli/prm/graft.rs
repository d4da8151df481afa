//! `mistralrs-rsd prm graft`: recognise a published reward model and prepare it, without loading it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::{
    config::{PrmFormat, RoleConfig},
    models,
    reward::{self, Published},
};

#[derive(Debug, Args)]
pub(super) struct GraftArgs {
    /// A checkpoint in safetensors or `.bin`: a local folder, or a model id on the hub.
    source: String,
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
        let role = RoleConfig { model_id: Some(args.source), ..RoleConfig::default() };
        Ok(reward::prepare(&role, args.format.family(), &cache, models::on_stderr().as_ref())?)
    });
    print!("{}", report(&prepared.await.context("the task that prepares the model died")??));
    Ok(())
}

fn report(published: &Published) -> String {
    let folder = published.role.model_id.as_deref().unwrap_or_default();
    let layers: Vec<String> =
        published.head.iter().map(|layer| format!("{} to {}", layer.inputs(), layer.outputs())).collect();
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
        let published = reward::prepare(&role, None, cache.path(), &Silent).unwrap();
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
