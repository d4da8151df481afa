//! The dialog in which settings are changed: enter values, review what the server would do, confirm. This module holds
//! the dialog's state; it sends nothing and draws nothing.

use rsd_protocol::{
    error::{ErrorCode, ErrorDetail},
    settings::{ChangeResult, PolicyChange, PolicyRevision, PolicyView, SettingDifference},
};
use serde_json::Value;

use super::{fleet_change::FleetChange, pending_change::PendingChange, settings::leaves};

/// The dialog's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ChangeDialog {
    #[default]
    Closed,
    /// The user enters values.
    Form(Box<PendingChange>),
    /// The user reviews what the server would do.
    Review(Box<ChangeReview>),
    /// The policy was changed meanwhile by somebody else.
    Conflict(Box<ChangeConflict>),
    /// A change of all servers: the answers to its dry run, and then the report.
    Fleet(Box<FleetChange>),
}

/// What is sent once the user has confirmed.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangePlan {
    Change,
    /// Return to this revision.
    Rollback(u64),
}

/// The server's answer to the dry run of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum DryRunAnswer {
    Pending,
    /// What the change would do.
    Shown(Box<ChangeResult>),
    /// The server would refuse the change.
    Refused(Box<ErrorDetail>),
    /// No answer, or one that cannot be understood.
    Failed(String),
}

/// A change that waits for the user's confirmation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeReview {
    pub plan: ChangePlan,
    /// The change of the dry run.
    pub change: PolicyChange,
    /// `ETag` of the policy that the change is based on.
    pub etag: String,
    pub answer: DryRunAnswer,
    /// Whether "apply" is selected; at first it is "cancel".
    pub apply: bool,
    /// Whether the change itself was sent.
    pub sent: bool,
    /// The number of the command whose answer is awaited.
    pub ticket: u64,
}

/// A change that was not made because the policy was changed meanwhile by somebody else.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeConflict {
    pub change: PolicyChange,
    pub plan: ChangePlan,
    /// The policy in effect now.
    pub current: Option<Box<PolicyView>>,
    /// Whether "review again" is selected; at first it is "discard".
    pub review_again: bool,
}

impl ChangeConflict {
    /// The other change, if the history contains it.
    #[must_use]
    pub fn other_change<'a>(&self, history: &'a [PolicyRevision]) -> Option<&'a PolicyRevision> {
        let revision = self.current.as_ref()?.revision;
        history.iter().find(|entry| entry.revision == revision)
    }

    /// Every setting of the change, with the value in effect now and the requested one.
    #[must_use]
    pub fn differences(&self) -> Vec<SettingDifference> {
        let now = self.current.as_ref().map(|view| &view.values);
        let now = now.and_then(|live| serde_json::to_value(live).ok()).unwrap_or(Value::Null);
        let wanted = leaves(&self.change.set);
        let at = |path: &str| now.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or(Value::Null);
        wanted.into_iter().map(|(path, new)| SettingDifference { old: at(&path), path, new }).collect()
    }
}

impl ChangeReview {
    /// Whether the change can be applied.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.sent && matches!(&self.answer, DryRunAnswer::Shown(shown) if !shown.differences.is_empty())
    }

    /// The dialog after the server has refused the change.
    #[must_use]
    pub fn refused(self, detail: Box<ErrorDetail>) -> ChangeDialog {
        if detail.code == ErrorCode::RevisionStale {
            let current = detail.current;
            ChangeDialog::Conflict(Box::new(ChangeConflict {
                change: self.change,
                plan: self.plan,
                current,
                review_again: false,
            }))
        } else {
            self.answered(DryRunAnswer::Refused(detail))
        }
    }

    /// The dialog after an answer with which the change cannot be applied.
    #[must_use]
    pub fn answered(self, answer: DryRunAnswer) -> ChangeDialog {
        ChangeDialog::Review(Box::new(Self { answer, apply: false, sent: false, ..self }))
    }
}
