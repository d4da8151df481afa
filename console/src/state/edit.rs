//! Changing settings with care: draft values, see what the server says of them, confirm. Holds where in that the
//! operator is; sends nothing and draws nothing.

use rsd_protocol::{
    error::{ErrorCode, ErrorDetail},
    live::{Change, Changed, Difference, PolicyView, Revision},
};
use serde_json::Value;

use super::{draft::Draft, settings::leaves};

/// Where in a change the operator is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Edit {
    /// Nowhere.
    #[default]
    Closed,
    /// Choosing settings and values.
    Draft(Box<Draft>),
    /// Looking at what the server says of them.
    Review(Box<Review>),
    /// Somebody else was faster.
    Conflict(Box<Conflict>),
}

/// What is to be done once confirmed.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// A change.
    Change,
    /// A return to this revision.
    Rollback(u64),
}

/// What the server said of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing yet.
    Asked,
    /// What it would do.
    Shown(Box<Changed>),
    /// That it would refuse.
    Refused(Box<ErrorDetail>),
    /// Nothing that can be read.
    Failed(String),
}

/// A change that waits for a yes.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// What is to be done.
    pub plan: Plan,
    /// The change that the server was asked about.
    pub change: Change,
    /// The policy it is made for.
    pub etag: String,
    /// What the server says.
    pub verdict: Verdict,
    /// Whether the cursor is on "apply"; it begins on "cancel".
    pub apply: bool,
    /// Whether it was sent.
    pub sent: bool,
    /// The number of the command whose answer is waited for.
    pub ticket: u64,
}

/// Somebody else made a change meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// What was wanted.
    pub wanted: Change,
    /// What was planned.
    pub plan: Plan,
    /// What holds now.
    pub current: Option<Box<PolicyView>>,
    /// Whether the cursor is on "review again"; it begins on "discard".
    pub again: bool,
}

impl Conflict {
    /// The change that came first, as far as the history tells.
    #[must_use]
    pub fn theirs<'a>(&self, history: &'a [Revision]) -> Option<&'a Revision> {
        let revision = self.current.as_ref()?.revision;
        history.iter().find(|entry| entry.revision == revision)
    }

    /// Every wanted setting, with what holds now and what was wanted.
    #[must_use]
    pub fn both(&self) -> Vec<Difference> {
        let now = self.current.as_ref().map(|view| &view.values);
        let now = now.and_then(|live| serde_json::to_value(live).ok()).unwrap_or(Value::Null);
        let wanted = leaves(&self.wanted.set);
        let at = |path: &str| now.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or(Value::Null);
        wanted.into_iter().map(|(path, new)| Difference { old: at(&path), path, new }).collect()
    }
}

impl Review {
    /// Whether it can be applied.
    #[must_use]
    pub fn ready(&self) -> bool {
        !self.sent && matches!(&self.verdict, Verdict::Shown(shown) if !shown.differences.is_empty())
    }

    /// What becomes of it when the server refuses.
    #[must_use]
    pub fn refused(self, detail: Box<ErrorDetail>) -> Edit {
        if detail.code == ErrorCode::RevisionStale {
            let current = detail.current;
            Edit::Conflict(Box::new(Conflict { wanted: self.change, plan: self.plan, current, again: false }))
        } else {
            self.settled(Verdict::Refused(detail))
        }
    }

    /// With a verdict that ends it.
    #[must_use]
    pub fn settled(self, verdict: Verdict) -> Edit {
        Edit::Review(Box::new(Self { verdict, apply: false, sent: false, ..self }))
    }
}
