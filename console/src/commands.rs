//! The commands for scripts, which send a request, print the answer and end with an exit code.

use std::io::Write;

use rsd_protocol::settings::{ChangeNote, ChangeResult, PolicyChange, PolicyView, RollbackRequest};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{self, OutputFormat},
    clock,
    exit::ExitReason,
    source::{
        admin::{AdminClient, AdminError},
        discovery::ServerTarget,
    },
    state::settings,
    view::{self, text},
};

/// Runs commands on one server and prints the answers.
pub struct CommandRunner {
    admin: AdminClient,
    output: OutputFormat,
    readonly: bool,
}

impl CommandRunner {
    /// For the only server of `targets`.
    ///
    /// # Errors
    /// If there are several, or if no token is known.
    pub fn new(targets: &[ServerTarget], readonly: bool, output: OutputFormat) -> Result<Self, ExitReason> {
        let [target] = targets else {
            let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
            return Err(ExitReason::Usage(format!(
                "this command works on one server, but {} were given: {}",
                names.len(),
                names.join(", ")
            )));
        };
        let base = target.admin.as_deref().ok_or_else(|| {
            ExitReason::Forbidden(format!(
                "{}: no token is known for it; give --token-file or --token-env",
                target.name
            ))
        })?;
        Ok(Self { admin: AdminClient::new(base, target.credentials.clone(), readonly)?, output, readonly })
    }

    /// Prints one setting or all of them.
    pub async fn get(&self, path: Option<&str>) -> Result<(), ExitReason> {
        let (_, view) = self.admin.policy().await?;
        let Some(path) = path else {
            return self.print(&view, || {
                let line = |setting: &rsd_protocol::settings::SettingInfo| {
                    format!("{} {}", setting.path, value_text(&setting.value))
                };
                view.settings.iter().map(line).collect()
            });
        };
        let setting = view.settings.iter().find(|setting| setting.path == path);
        let setting = setting.ok_or_else(|| {
            ExitReason::Usage(format!("there is no setting {path}; the settings are {}", paths(&view)))
        })?;
        self.print(setting, || vec![value_text(&setting.value)])
    }

    /// Changes settings, or with `dry_run` prints what would happen. `revision` is the one that the policy must have.
    pub async fn set(
        &self,
        settings: &[String],
        change: PolicyChange,
        dry_run: bool,
        revision: Option<u64>,
    ) -> Result<(), ExitReason> {
        self.may_write(dry_run)?;
        let pairs = settings.iter().map(|setting| parse_setting(setting)).collect::<Result<Vec<_>, _>>()?;
        let set = settings::nest_settings(pairs.iter().map(|(path, value)| (*path, value.clone())));
        let (etag, view) = self.admin.policy().await?;
        if let Some(wanted) = revision
            && wanted != view.revision
        {
            return Err(ExitReason::Conflict(format!(
                "the policy has revision {}, not {wanted}; nothing was changed",
                view.revision
            )));
        }
        let by = change.by.clone().or_else(cli::user);
        let changed =
            self.admin.change(&PolicyChange { set, by, ..change }, &etag, dry_run).await.map_err(detailed_error)?;
        self.print_change(&changed)
    }

    /// Confirms the changes that would otherwise be reverted.
    pub async fn confirm(&self, note: ChangeNote) -> Result<(), ExitReason> {
        self.may_write(false)?;
        let by = note.by.clone().or_else(cli::user);
        let confirmed = self.admin.confirm(&ChangeNote { by, ..note }).await?;
        self.print(&confirmed, || match confirmed.as_slice() {
            [] => vec!["no change was about to be reverted".to_owned()],
            some => some.iter().map(|revert| format!("confirmed revision {}", revert.revision)).collect(),
        })
    }

    /// Returns to an earlier revision.
    pub async fn rollback(&self, rollback: RollbackRequest) -> Result<(), ExitReason> {
        self.may_write(false)?;
        let (etag, _) = self.admin.policy().await?;
        let by = rollback.by.clone().or_else(cli::user);
        let changed = self.admin.rollback(&RollbackRequest { by, ..rollback }, &etag).await.map_err(detailed_error)?;
        self.print_change(&changed)
    }

    /// Prints who changed what.
    pub async fn history(&self, limit: usize) -> Result<(), ExitReason> {
        let mut history = self.admin.history().await?;
        history.truncate(limit);
        self.print(&history, || {
            history
                .iter()
                .map(|entry| {
                    let differences: Vec<_> = entry.differences.iter().map(difference_text).collect();
                    format!(
                        "{:>4} {} UTC {:<10} by {}: {}{}",
                        entry.revision,
                        clock::utc_time_of_day(entry.at_ms),
                        view::history::cause_text(entry.cause),
                        text::harmless(entry.by.as_deref().unwrap_or("-")),
                        differences.join(", "),
                        entry.why.as_deref().map(|why| format!(" ({})", text::harmless(why))).unwrap_or_default()
                    )
                })
                .collect()
        })
    }

    fn may_write(&self, dry_run: bool) -> Result<(), ExitReason> {
        if self.readonly && !dry_run {
            Err(ExitReason::Forbidden("--readonly does not allow changes".into()))
        } else {
            Ok(())
        }
    }

    fn print_change(&self, changed: &ChangeResult) -> Result<(), ExitReason> {
        self.print(changed, || {
            let what = if changed.dry_run { "would change" } else { "changed" };
            let mut lines: Vec<_> =
                changed.differences.iter().map(|d| format!("{what} {}", difference_text(d))).collect();
            if changed.differences.is_empty() {
                lines.push("no value is different".into());
            }
            if let Some(prediction) = &changed.prediction {
                let (now, then) = (prediction.now, prediction.then);
                let row = |name: &str, now: String, then: String| format!("predicted {name}: {now} -> {then}");
                lines.push(row(
                    "acceptance rate (steps)",
                    text::percent_interval(Some(now.acceptance)),
                    text::percent_interval(Some(then.acceptance)),
                ));
                lines.push(row("speedup", text::factor_interval(now.speedup), text::factor_interval(then.speedup)));
                lines.push(row(
                    "FLOP savings",
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

    fn print(&self, value: &impl Serialize, plain: impl FnOnce() -> Vec<String>) -> Result<(), ExitReason> {
        print(self.output, value, plain)
    }
}

/// Prints a value in this format. A closed pipe is not an error: the program then ends with success.
pub fn print(
    output: OutputFormat,
    value: &impl Serialize,
    plain: impl FnOnce() -> Vec<String>,
) -> Result<(), ExitReason> {
    let text = match output {
        OutputFormat::Plain => plain().join("\n"),
        OutputFormat::Json => serde_json::to_string(value).map_err(std::io::Error::from)?,
    };
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Err(_) => std::process::exit(0),
        Ok(()) => Ok(()),
    }
}

/// Adds every invalid setting and the policy in effect to the message.
fn detailed_error(error: AdminError) -> ExitReason {
    if let AdminError::Refused(mut detail) = error {
        for problem in std::mem::take(&mut detail.problems) {
            detail.message = format!("{}\n  {}: {}", detail.message, problem.path, problem.message);
        }
        if let Some(current) = &detail.current {
            let delta = text::threshold(Some(current.values.policy.delta));
            detail.message = format!("{} (revision {}, delta {delta})", detail.message, current.revision);
        }
        return ExitReason::Admin(AdminError::Refused(detail));
    }
    ExitReason::Admin(error)
}

fn parse_setting(setting: &str) -> Result<(&str, Value), ExitReason> {
    let wrong = || ExitReason::Usage(format!("{setting}: expected PATH=VALUE, such as policy.delta=0.6"));
    let (path, value) = setting.split_once('=').ok_or_else(wrong)?;
    if path.is_empty() || value.is_empty() {
        return Err(wrong());
    }
    Ok((path, serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))))
}

fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), text::harmless)
}

fn difference_text(difference: &rsd_protocol::settings::SettingDifference) -> String {
    format!("{} {} -> {}", difference.path, value_text(&difference.old), value_text(&difference.new))
}

fn paths(view: &PolicyView) -> String {
    view.settings.iter().map(|setting| setting.path.as_str()).collect::<Vec<_>>().join(", ")
}
