//! The commands for scripts: one request, one answer, one exit code.

use std::io::Write;

use rsd_protocol::live::{Change, Changed, PolicyView, Rollback};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{self, Output},
    clock,
    exit::Stop,
    source::{
        admin::{Admin, AdminError},
        find::Target,
    },
    state::settings,
    view::{self, text},
};

/// One server, and how to print what it says.
pub struct Script {
    admin: Admin,
    output: Output,
    readonly: bool,
}

impl Script {
    /// For the one server that was named or found.
    pub fn new(targets: &[Target], readonly: bool, output: Output) -> Result<Self, Stop> {
        let [target] = targets else {
            let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
            return Err(Stop::Usage(format!(
                "this command is for one server; {} were named: {}",
                names.len(),
                names.join(", ")
            )));
        };
        let base = target.admin.as_deref().ok_or_else(|| {
            Stop::Forbidden(format!("{}: no token is known for it; give --token-file or --token-env", target.name))
        })?;
        Ok(Self { admin: Admin::new(base, target.credentials.clone(), readonly)?, output, readonly })
    }

    /// Prints a setting, or all.
    pub async fn get(&self, path: Option<&str>) -> Result<(), Stop> {
        let (_, view) = self.admin.policy().await?;
        let Some(path) = path else {
            return self.print(&view, || {
                let line = |setting: &rsd_protocol::live::Setting| format!("{} {}", setting.path, word(&setting.value));
                view.settings.iter().map(line).collect()
            });
        };
        let setting = view.settings.iter().find(|setting| setting.path == path);
        let setting = setting.ok_or_else(|| Stop::Usage(format!("no setting {path}; there are {}", paths(&view))))?;
        self.print(setting, || vec![word(&setting.value)])
    }

    /// Changes settings, or says what would happen.
    pub async fn set(
        &self,
        settings: &[String],
        change: Change,
        dry_run: bool,
        revision: Option<u64>,
    ) -> Result<(), Stop> {
        self.may_write(dry_run)?;
        let pairs = settings.iter().map(|setting| pair(setting)).collect::<Result<Vec<_>, _>>()?;
        let set = settings::nested(pairs.iter().map(|(path, value)| (*path, value.clone())));
        let (etag, view) = self.admin.policy().await?;
        if let Some(wanted) = revision
            && wanted != view.revision
        {
            return Err(Stop::Conflict(format!(
                "the policy has revision {}, not {wanted}: nothing was changed",
                view.revision
            )));
        }
        let by = change.by.clone().or_else(cli::user);
        let changed = self.admin.change(&Change { set, by, ..change }, &etag, dry_run).await.map_err(explained)?;
        self.changed(&changed)
    }

    /// Goes back to an earlier revision.
    pub async fn rollback(&self, rollback: Rollback) -> Result<(), Stop> {
        self.may_write(false)?;
        let (etag, _) = self.admin.policy().await?;
        let by = rollback.by.clone().or_else(cli::user);
        let changed = self.admin.rollback(&Rollback { by, ..rollback }, &etag).await.map_err(explained)?;
        self.changed(&changed)
    }

    /// Prints who changed what.
    pub async fn history(&self, limit: usize) -> Result<(), Stop> {
        let mut history = self.admin.history().await?;
        history.truncate(limit);
        self.print(&history, || {
            history
                .iter()
                .map(|entry| {
                    let differences: Vec<_> = entry.differences.iter().map(line).collect();
                    format!(
                        "{:>4} {} {:<10} by {}: {}{}",
                        entry.revision,
                        clock::time_of_day(entry.at_ms),
                        view::history::cause(entry.cause),
                        text::harmless(entry.by.as_deref().unwrap_or("-")),
                        differences.join(", "),
                        entry.why.as_deref().map(|why| format!(" ({})", text::harmless(why))).unwrap_or_default()
                    )
                })
                .collect()
        })
    }

    fn may_write(&self, dry_run: bool) -> Result<(), Stop> {
        if self.readonly && !dry_run { Err(Stop::Forbidden("--readonly: nothing is changed".into())) } else { Ok(()) }
    }

    fn changed(&self, changed: &Changed) -> Result<(), Stop> {
        self.print(changed, || {
            let what = if changed.dry_run { "would change" } else { "changed" };
            let mut lines: Vec<_> = changed.differences.iter().map(|d| format!("{what} {}", line(d))).collect();
            if changed.differences.is_empty() {
                lines.push("nothing is different".into());
            }
            if let Some(prediction) = &changed.prediction {
                let (now, then) = (prediction.now, prediction.then);
                let row = |name: &str, now: String, then: String| format!("predicted {name}: {now} -> {then}");
                lines.push(row(
                    "kept",
                    text::percent_interval(Some(now.acceptance)),
                    text::percent_interval(Some(then.acceptance)),
                ));
                lines.push(row("speed-up", text::factor_interval(now.speed_up), text::factor_interval(then.speed_up)));
                lines.push(row(
                    "FLOPs saved",
                    text::percent_interval(now.flops_saving),
                    text::percent_interval(then.flops_saving),
                ));
            }
            lines.extend(changed.warnings.iter().map(|warning| format!("warning: {}", text::harmless(warning))));
            lines.extend(changed.persisted.iter().map(|file| format!("written to {file}")));
            lines.push(format!("revision {}", changed.revision));
            lines
        })
    }

    fn print(&self, value: &impl Serialize, plain: impl FnOnce() -> Vec<String>) -> Result<(), Stop> {
        print(self.output, value, plain)
    }
}

/// Prints a value in one of the forms; whoever stops reading has read enough.
pub fn print(output: Output, value: &impl Serialize, plain: impl FnOnce() -> Vec<String>) -> Result<(), Stop> {
    let text = match output {
        Output::Plain => plain().join("\n"),
        Output::Json => serde_json::to_string(value).map_err(std::io::Error::from)?,
    };
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Err(_) => std::process::exit(0),
        Ok(()) => Ok(()),
    }
}

/// Names every refused setting.
fn explained(error: AdminError) -> Stop {
    if let AdminError::Refused(mut detail) = error {
        for problem in std::mem::take(&mut detail.problems) {
            detail.message = format!("{}\n  {}: {}", detail.message, problem.path, problem.message);
        }
        if let Some(current) = &detail.current {
            let delta = text::threshold(Some(current.values.policy.delta));
            detail.message = format!("{} (revision {}, delta {delta})", detail.message, current.revision);
        }
        return Stop::Admin(AdminError::Refused(detail));
    }
    Stop::Admin(error)
}

fn pair(setting: &str) -> Result<(&str, Value), Stop> {
    let wrong = || Stop::Usage(format!("{setting}: expected PATH=VALUE, such as policy.delta=0.6"));
    let (path, value) = setting.split_once('=').ok_or_else(wrong)?;
    if path.is_empty() || value.is_empty() {
        return Err(wrong());
    }
    Ok((path, serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))))
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), text::harmless)
}

fn line(difference: &rsd_protocol::live::Difference) -> String {
    format!("{} {} -> {}", difference.path, word(&difference.old), word(&difference.new))
}

fn paths(view: &PolicyView) -> String {
    view.settings.iter().map(|setting| setting.path.as_str()).collect::<Vec<_>>().join(", ")
}
