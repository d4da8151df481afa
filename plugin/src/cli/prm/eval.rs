//! `mistralrs-rsd prm eval`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::say;
use crate::{
    models::atomic,
    reward::training::{Dataset, HeadFile, report, svg, table},
};

/// Measure a head.
#[derive(Debug, Clone, Args)]
pub(super) struct Eval {
    /// A directory that `prm collect` wrote; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The head
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// Also write the report here: report.md, report.json, report.svg
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Eval {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let head = HeadFile::read(&self.head)?;
        let data = Dataset::read(&self.data)?;
        let rewards = head.rewards(&data)?;
        let everything: Vec<usize> = (0..data.solutions.len()).collect();
        let seen = everything.len() - head.unseen(&data).len();
        let report = report(&data, &everything, &rewards);
        let warning = match seen {
            0 => String::new(),
            _ => format!(
                "The head was trained on the problems of {seen} of these {} solutions: these figures flatter it.\n\n",
                everything.len()
            ),
        };
        let text = format!("# {}\n\n{warning}{}", self.head.display(), table::markdown(&report));
        say(&text)?;
        let Some(out) = self.out else { return Ok(()) };
        std::fs::create_dir_all(&out).with_context(|| format!("cannot make the directory {}", out.display()))?;
        let json = json!({"head": self.head, "draft": head.draft, "solutions_trained_on": seen, "report": report});
        atomic::write(&out.join("report.md"), (text + "\n![report](report.svg)\n").as_bytes())?;
        atomic::write(&out.join("report.json"), (serde_json::to_string_pretty(&json)? + "\n").as_bytes())?;
        atomic::write(&out.join("report.svg"), svg(&report).as_bytes())?;
        say(&format!("written to {}", out.display()))?;
        Ok(())
    }
}
