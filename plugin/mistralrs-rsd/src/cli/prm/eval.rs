//! `mistralrs-rsd prm eval`: measures a reward head on collected rollouts.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::cli::output::print_line;
use rsd_files::FileAccess;
use rsd_head::training::{HeadFile, RolloutDataset, report, svg, table};

/// Measure a head.
#[derive(Debug, Clone, Args)]
pub(super) struct EvalHeadArgs {
    /// A folder that `prm collect` has written; may be repeated
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The file of the head
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// Also write the report to this folder: report.md, report.json, report.svg
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl EvalHeadArgs {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let head = HeadFile::read(&self.head)?;
        let data = RolloutDataset::read(&self.data)?;
        let rewards = head.rewards(&data)?;
        let everything: Vec<usize> = (0..data.solutions.len()).collect();
        let seen = everything.len() - head.unseen(&data).len();
        let report = report(&data, &everything, &rewards);
        let warning = match seen {
            0 => String::new(),
            _ => format!(
                "The head was trained on the problems of {seen} of these {} solutions, so these results are too good.\n\n",
                everything.len()
            ),
        };
        let text = format!("# {}\n\n{warning}{}", self.head.display(), table::markdown(&report));
        print_line(&text)?;
        let Some(out) = self.out else { return Ok(()) };
        std::fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
        let json = json!({"head": self.head, "draft": head.draft, "solutions_trained_on": seen, "report": report});
        let markdown = text + "\n![report](report.svg)\n";
        rsd_files::replace(&out.join("report.md"), markdown.as_bytes(), FileAccess::Shared)?;
        rsd_files::replace_json(&out.join("report.json"), &json, FileAccess::Shared)?;
        rsd_files::replace(&out.join("report.svg"), svg(&report).as_bytes(), FileAccess::Shared)?;
        print_line(&format!("report written to {}", out.display()))?;
        Ok(())
    }
}
