//! The state as scripts read it: JSON by a published schema, or a line for people.

use rsd_protocol::{
    live::{Changed, PolicyView, Revision, Setting},
    policy::Answers,
};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock,
    state::{
        alerts::{self, Alert, Severity},
        app::App,
        figures::Figures,
        server::{Connection, Server},
    },
    view::text,
};

/// What `--once` and `watch` print.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The servers.
    pub servers: Vec<ServerReport>,
}

/// One server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerReport {
    /// What it is called.
    pub name: String,
    /// Whether what follows still holds.
    pub connection: ConnectionWord,
    /// Why it does not.
    pub cause: Option<String>,
    /// The threshold in force.
    pub delta: Option<f64>,
    /// The policy's revision.
    pub revision: Option<u64>,
    /// Who answers.
    pub answers: Option<Answers>,
    /// Figures of the window; absent until the metrics were read. What is no number is null too.
    pub figures: Option<Figures>,
    /// What is wrong, the worst first.
    pub alerts: Vec<Alert>,
}

/// Whether a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionWord {
    /// Nothing has answered yet.
    Connecting,
    /// It answers.
    Live,
    /// It has not answered for a while.
    Stale,
    /// It fails.
    Down,
}

impl Report {
    /// Of the state.
    #[must_use]
    pub fn of(app: &App) -> Self {
        let now_ms = app.data.now_ms;
        Self {
            at_ms: now_ms,
            servers: app.data.servers.iter().map(|server| ServerReport::of(server, now_ms)).collect(),
        }
    }

    /// A line a server, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let many = self.servers.len() > 1;
        self.servers
            .iter()
            .map(|server| {
                let name = if many { format!("{} ", server.name) } else { String::new() };
                format!("{} {name}{}", clock::time_of_day(self.at_ms), server.line())
            })
            .collect()
    }
}

impl ServerReport {
    fn of(server: &Server, now_ms: u64) -> Self {
        let (connection, cause) = match server.connection(now_ms) {
            Connection::Connecting => (ConnectionWord::Connecting, None),
            Connection::Live => (ConnectionWord::Live, server.half(now_ms)),
            Connection::Stale(age) => (ConnectionWord::Stale, Some(format!("no answer for {} s", age / 1000))),
            Connection::Down { cause, .. } => (ConnectionWord::Down, Some(cause)),
        };
        Self {
            name: server.name.clone(),
            connection,
            cause,
            delta: server.delta(),
            revision: server.policy.as_ref().map(|(_, view)| view.revision),
            answers: server.status.as_ref().map(|status| status.answers),
            figures: server.moments.back().map(|moment| moment.figures),
            alerts: alerts::of(server, now_ms),
        }
    }

    fn line(&self) -> String {
        let word = format!("{:?}", self.connection).to_lowercase();
        if self.connection == ConnectionWord::Down {
            return format!("{word}: {}", text::one_line(self.cause.as_deref().unwrap_or_default(), 300, ""));
        }
        let figures = self.figures.unwrap_or_default();
        let revision = self.revision.map_or_else(|| "-".into(), |revision| revision.to_string());
        let bad: Vec<_> =
            self.alerts.iter().filter(|alert| alert.severity > Severity::Note).map(|alert| alert.rule).collect();
        let bad = if bad.is_empty() { String::new() } else { format!(", alerts: {}", bad.join(" ")) };
        format!(
            "{word}, delta {} (revision {revision}), kept {} of {} steps, speed-up {}, FLOPs saved {}, {} tok/s, {} waiting{bad}",
            text::threshold(self.delta),
            text::percent(figures.step_acceptance),
            text::count(figures.judged),
            text::factor(figures.speed_up),
            text::percent(figures.saving_total),
            text::rate(figures.throughput),
            text::count(figures.waiting),
        )
    }
}

/// The schema of everything that `--output json` prints, by command.
#[must_use]
pub fn schema() -> Value {
    let report = schema_for!(Report);
    json!({
        "--once": report,
        "watch (a line each)": schema_for!(Report),
        "get": schema_for!(PolicyView),
        "get PATH": schema_for!(Setting),
        "set": schema_for!(Changed),
        "rollback": schema_for!(Changed),
        "history": schema_for!(Vec<Revision>),
    })
}
