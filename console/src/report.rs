//! The state for scripts, as JSON with a published schema or as lines for people.

use rsd_protocol::{
    policy::AnswerRoute,
    settings::{ChangeResult, PolicyRevision, PolicyView, ScheduledRevert, SettingInfo},
};
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    clock,
    state::{
        alerts::{self, Alert, AlertSeverity},
        app::App,
        headline::{HeadlineTone, ServerHeadline},
        server::{ServerConnection, ServerState},
        summary::MetricSummary,
    },
    view::text,
};

/// What `--once` and `watch` print.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StatusReport {
    /// Time of the report, in milliseconds since 1970.
    pub at_ms: u64,
    pub servers: Vec<ServerReport>,
}

/// The state of one server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServerReport {
    pub name: String,
    pub headline: HeadlineReport,
    /// Whether the data are current.
    pub connection: ConnectionWord,
    /// Why the data are not current, or why there are no metrics.
    pub cause: Option<String>,
    /// The active threshold.
    pub delta: Option<f64>,
    /// The policy's revision.
    pub revision: Option<u64>,
    /// Which models answer.
    pub route: Option<AnswerRoute>,
    /// Numbers over the window; absent until the metrics were scraped. Numbers that are NaN or infinite are null.
    pub metrics: Option<MetricSummary>,
    /// The currency of money, three letters; absent unless the target has a price.
    pub currency: Option<String>,
    /// The most urgent first.
    pub alerts: Vec<Alert>,
}

/// Whether RSD pays.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HeadlineReport {
    /// Whether RSD pays, in one sentence.
    pub statement: String,
    /// `good` if RSD pays, `bad` if it costs time or FLOPs or the server does not answer, else `neutral`.
    pub tone: HeadlineTone,
    /// What the statement rests on; may be empty.
    pub basis: String,
    /// What to do, with commands of a shell; absent if nothing is proposed.
    pub proposal: Option<String>,
}

/// Whether the data of a server are current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionWord {
    /// There was no answer yet.
    Connecting,
    Live,
    /// There was neither an answer nor a failure for a while.
    Stale,
    /// The last request failed.
    Down,
}

impl StatusReport {
    #[must_use]
    pub fn from_app(app: &App) -> Self {
        let (now_ms, window_ms) = (app.data.now_ms, app.options.window_ms);
        let report = |server| ServerReport::from_server(server, window_ms, now_ms);
        Self { at_ms: now_ms, servers: app.data.servers.iter().map(report).collect() }
    }

    /// For people: of each server first whether RSD pays, then on what that rests and what to do, then the numbers.
    #[must_use]
    pub fn paragraphs(&self) -> Vec<String> {
        let many = self.servers.len() > 1;
        let told = |(server, line): (&ServerReport, String)| {
            let name = if many { format!("{}: ", server.name) } else { String::new() };
            let headline = &server.headline;
            let detail = [Some(headline.basis.clone()), headline.proposal.clone()];
            let detail: Vec<_> = detail.into_iter().flatten().filter(|part| !part.is_empty()).collect();
            let detail = Some(detail.join(" ")).filter(|detail| !detail.is_empty());
            let told = [Some(format!("{name}{}.", headline.statement)), detail];
            told.into_iter().flatten().map(|text| text::one_line(&text, 300, "...")).chain([line]).collect::<Vec<_>>()
        };
        self.servers.iter().zip(self.lines()).flat_map(told).collect()
    }

    /// One line per server, for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let many = self.servers.len() > 1;
        self.servers
            .iter()
            .map(|server| {
                let name = if many { format!("{} ", server.name) } else { String::new() };
                format!("{} UTC {name}{}", clock::utc_time_of_day(self.at_ms), server.line())
            })
            .collect()
    }
}

impl ServerReport {
    fn from_server(server: &ServerState, window_ms: u64, now_ms: u64) -> Self {
        let ServerHeadline { statement, basis, proposal, tone } = ServerHeadline::of(server, window_ms, now_ms);
        let proposal = proposal.map(|proposal| proposal.by_command());
        let (connection, cause) = match server.connection(now_ms) {
            ServerConnection::Connecting => (ConnectionWord::Connecting, None),
            ServerConnection::Live => (ConnectionWord::Live, server.metrics_problem(now_ms)),
            ServerConnection::Stale(age) => (ConnectionWord::Stale, Some(format!("no answer for {} s", age / 1000))),
            ServerConnection::Down { cause, .. } => (ConnectionWord::Down, Some(cause)),
        };
        Self {
            name: server.name.clone(),
            headline: HeadlineReport { statement, tone, basis, proposal },
            connection,
            cause,
            delta: server.delta(),
            revision: server.policy.as_ref().map(|(_, view)| view.revision),
            route: server.status.as_ref().map(|status| status.route),
            metrics: server.points.back().map(|point| point.summary),
            currency: server.currency().map(str::to_owned),
            alerts: alerts::active_alerts(server, now_ms),
        }
    }

    fn line(&self) -> String {
        let word = format!("{:?}", self.connection).to_lowercase();
        if self.connection == ConnectionWord::Down {
            return format!("{word}: {}", text::one_line(self.cause.as_deref().unwrap_or_default(), 300, ""));
        }
        let metrics = self.metrics.unwrap_or_default();
        let revision = self.revision.map_or_else(|| "-".into(), |revision| revision.to_string());
        let bad: Vec<_> =
            self.alerts.iter().filter(|alert| alert.severity > AlertSeverity::Note).map(|alert| alert.rule).collect();
        let bad = if bad.is_empty() { String::new() } else { format!(", alerts: {}", bad.join(" ")) };
        let money = text::money_per_hour(metrics.money_saved_per_hour, self.currency.as_deref());
        let money = money.map_or_else(String::new, |money| format!("{money} saved, "));
        format!(
            "{word}, delta {} (revision {revision}), acceptance rate {} of {} steps, speedup {}, FLOP savings {}, {money}{} tok/s, {} waiting{bad}",
            text::threshold(self.delta),
            text::percent(metrics.step_acceptance),
            text::count(metrics.decided_steps),
            text::factor(metrics.speedup),
            text::percent(metrics.flop_savings_total),
            text::rate(metrics.throughput),
            text::count(metrics.waiting),
        )
    }
}

/// The JSON schema of what `--output json` prints, by command.
#[must_use]
pub fn schema() -> Value {
    let report = schema_for!(StatusReport);
    json!({
        "--once": report,
        "watch (one object per line)": schema_for!(StatusReport),
        "get": schema_for!(PolicyView),
        "get PATH": schema_for!(SettingInfo),
        "set": schema_for!(ChangeResult),
        "confirm": schema_for!(Vec<ScheduledRevert>),
        "rollback": schema_for!(ChangeResult),
        "history": schema_for!(Vec<PolicyRevision>),
    })
}
