//! The tasks of one server: scrape its metrics, poll its admin API, follow its events and carry out commands. They send
//! what they fetch as messages. A task that fails reports the cause and the time of its next attempt, and runs until the
//! receiver of the messages is dropped.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use rsd_protocol::{
    event::AdminEvent,
    settings::{ChangeNote, ChangeResult},
    token_file,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    ChannelFailure, CommandAnswer, ServerCommand, SourceChannel, SourceMessage, SourceUpdate,
    admin::{AdminClient, AdminError},
    backoff::Backoff,
    discovery::ServerTarget,
    http::{HttpClient, HttpError, RequestLimits},
    prometheus::PrometheusClient,
    sse,
};
use crate::{clock::SteadyClock, exposition};

/// How often the servers are queried.
#[derive(Debug, Clone, Copy)]
pub struct PollIntervals {
    /// Time between two scrapes of the metrics.
    pub metrics: Duration,
    /// Time between two polls of the admin API.
    pub admin: Duration,
}

/// Servers that are scraped every second. More are scraped less often, so that a large fleet costs no more.
const SERVERS_EVERY_SECOND: f64 = 10.0;
/// The longest default interval: a server that is silent for 7 s is shown as stale.
const LONGEST_INTERVAL: f64 = 5.0;

impl PollIntervals {
    /// The intervals for this number of servers.
    #[must_use]
    pub fn for_fleet(servers: usize) -> Self {
        let metrics = (servers as f64 / SERVERS_EVERY_SECOND).clamp(1.0, LONGEST_INTERVAL);
        let admin = (2.0 * metrics).min(LONGEST_INTERVAL);
        Self { metrics: Duration::from_secs_f64(metrics), admin: Duration::from_secs_f64(admin) }
    }
}

/// Sends the messages of one server.
#[derive(Debug, Clone)]
struct MessageSender {
    target: usize,
    clock: SteadyClock,
    messages: mpsc::Sender<SourceMessage>,
}

impl MessageSender {
    /// Returns whether there is still a receiver.
    async fn send(&self, update: SourceUpdate) -> bool {
        let message = SourceMessage { at_ms: self.clock.now_ms(), target: self.target, update };
        self.messages.send(message).await.is_ok()
    }

    async fn report_failure(&self, channel: SourceChannel, cause: String, wait: Duration) {
        tracing::warn!(server = self.target, ?channel, "{cause}; next attempt in {} ms", wait.as_millis());
        let retry_at_ms = self.clock.now_ms() + crate::clock::millis(wait);
        self.send(SourceUpdate::Failed(ChannelFailure { channel, cause, retry_at_ms })).await;
    }
}

/// Starts the tasks of one server, which end when `tasks` is dropped.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    (index, target): (usize, ServerTarget),
    pace: PollIntervals,
    readonly: bool,
    clock: SteadyClock,
    messages: mpsc::Sender<SourceMessage>,
) -> Result<mpsc::Sender<ServerCommand>, HttpError> {
    let sender = MessageSender { target: index, clock, messages };
    let (commands, received) = mpsc::channel(16);
    let (endpoint, endpoint_seen) = watch::channel(target.endpoint.clone());
    let refresh = Arc::new(Notify::new());
    let http = HttpClient::new(RequestLimits::default(), 3)?;
    tasks.spawn(scrape(sender.clone(), http, endpoint_seen, pace.metrics));
    if let Some(base) = &target.admin {
        let admin = AdminClient::new(base, target.credentials.clone(), readonly)?;
        tasks.spawn(poll(sender.clone(), admin.clone(), endpoint, refresh.clone(), pace.admin));
        tasks.spawn(follow_events(sender.clone(), admin.clone(), refresh.clone()));
        tasks.spawn(run_commands(sender, Some(admin), received, refresh));
    } else {
        tasks.spawn(run_commands(sender, None, received, refresh));
    }
    Ok(commands)
}

/// Starts the task that queries Prometheus.
pub fn spawn_prometheus(
    tasks: &mut JoinSet<()>,
    base: &str,
    instances: Vec<String>,
    clock: SteadyClock,
    messages: mpsc::Sender<SourceMessage>,
) -> Result<(), HttpError> {
    let prometheus = PrometheusClient::new(base)?;
    tasks.spawn(async move {
        let sender = MessageSender { target: 0, clock, messages };
        for (target, instance) in instances.iter().enumerate() {
            if let Ok(past) = prometheus.past_acceptance(instance, clock.now_ms()).await {
                MessageSender { target, ..sender.clone() }.send(SourceUpdate::Past(past)).await;
            }
        }
        let mut backoff = Backoff::default();
        loop {
            match prometheus.fleet().await {
                Ok(rows) => {
                    backoff.reset();
                    if !sender.send(SourceUpdate::Fleet(rows)).await {
                        return;
                    }
                    sleep(Duration::from_secs(15)).await;
                }
                Err(error) => {
                    let wait = backoff.next_delay();
                    sender.report_failure(SourceChannel::Prometheus, error.to_string(), wait).await;
                    sleep(wait).await;
                }
            }
        }
    });
    Ok(())
}

/// Fetches the metrics of an endpoint.
///
/// # Errors
/// Why there are none.
pub async fn fetch_metrics(http: &HttpClient, endpoint: &str) -> Result<String, String> {
    let url = if endpoint.ends_with("/metrics") { endpoint.to_owned() } else { format!("{endpoint}/metrics") };
    let reply = http.send(http.request(Method::GET, &url, None)).await.map_err(|error| error.to_string())?;
    if reply.status != 200 {
        return Err(format!("{url} answers {}", reply.status));
    }
    let text = reply.text();
    // The whole text is parsed where it is shown; one valid sample of ours is enough here.
    let is_ours = |line: &str| line.trim().starts_with("rsd_") && !exposition::parse(line).samples.is_empty();
    if text.lines().any(is_ours) {
        return Ok(text);
    }
    let found = exposition::parse(&text);
    let (samples, bad) = (found.samples.len(), found.bad_lines);
    Err(format!(
        "{url} has no rsd_ metrics, but {samples} other samples and {bad} invalid lines: is it another kind of server?"
    ))
}

async fn scrape(
    sender: MessageSender,
    http: HttpClient,
    mut endpoint: watch::Receiver<Option<String>>,
    pace: Duration,
) {
    let mut backoff = Backoff::default();
    loop {
        let Some(url) = endpoint.borrow_and_update().clone() else {
            if endpoint.changed().await.is_err() {
                return;
            }
            continue;
        };
        match fetch_metrics(&http, &url).await {
            Ok(text) => {
                backoff.reset();
                if !sender.send(SourceUpdate::Metrics(text)).await {
                    return;
                }
                sleep(pace).await;
            }
            Err(cause) => {
                let wait = backoff.next_delay();
                sender.report_failure(SourceChannel::Metrics, cause, wait).await;
                sleep(wait).await;
            }
        }
    }
}

/// What the task remembers from one poll to the next.
#[derive(Debug, Default)]
struct PollState {
    number: u64,
    /// The server's `instance` and revision when the history was last fetched.
    history_of: Option<(String, u64)>,
}

async fn poll(
    sender: MessageSender,
    admin: AdminClient,
    endpoint: watch::Sender<Option<String>>,
    refresh: Arc<Notify>,
    pace: Duration,
) {
    let mut backoff = Backoff::default();
    let mut state = PollState::default();
    loop {
        let wait = match poll_once(&sender, &admin, &endpoint, &mut state).await {
            Ok(()) => {
                backoff.reset();
                pace
            }
            Err(_) if admin.renew_token() => Duration::ZERO,
            Err(error) => {
                let wait = backoff.next_delay();
                sender.report_failure(SourceChannel::Admin, error.to_string(), wait).await;
                state = PollState::default();
                wait
            }
        };
        if sender.messages.is_closed() {
            return;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = refresh.notified() => {}
        }
    }
}

async fn poll_once(
    sender: &MessageSender,
    admin: &AdminClient,
    endpoint: &watch::Sender<Option<String>>,
    state: &mut PollState,
) -> Result<(), AdminError> {
    let status = admin.status().await?;
    let serves = status.endpoint.trim_end_matches('/').to_owned();
    endpoint.send_if_modified(|known| known.replace(serves.clone()).as_ref() != Some(&serves));
    let (instance, revision) = (status.instance.clone(), status.revision);
    sender.send(SourceUpdate::Status(Box::new(status))).await;
    let (etag, view) = admin.policy().await?;
    sender.send(SourceUpdate::Policy { etag, view: Box::new(view) }).await;
    if state.history_of.as_ref() != Some(&(instance.clone(), revision)) {
        if let Some(history) = optional(admin.history().await)? {
            sender.send(SourceUpdate::History(history)).await;
            state.history_of = Some((instance, revision));
        }
        state.number = 0;
    }
    if let Some(traces) = optional(admin.traces().await)? {
        sender.send(SourceUpdate::Traces(traces)).await;
    }
    if state.number.is_multiple_of(3) {
        if let Some(preview) = optional(admin.preview().await)? {
            sender.send(SourceUpdate::Preview(Box::new(preview))).await;
        }
        if let Some(audit) = optional(admin.audit().await)? {
            sender.send(SourceUpdate::Audit(audit)).await;
        }
    }
    state.number += 1;
    Ok(())
}

/// Makes an answer optional that a poll can do without: a server that refuses it or sends another shape is not down.
/// Only a failed connection remains an error.
fn optional<T>(result: Result<T, AdminError>) -> Result<Option<T>, AdminError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(AdminError::Http(error)) => Err(error.into()),
        Err(other) => {
            tracing::warn!("{other}");
            Ok(None)
        }
    }
}

async fn follow_events(sender: MessageSender, admin: AdminClient, refresh: Arc<Notify>) {
    let mut backoff = Backoff::default();
    while !sender.messages.is_closed() {
        match admin.events().await {
            Ok(mut response) => {
                let mut reader = sse::EventReader::default();
                while let Ok(Some(bytes)) = response.chunk().await {
                    for data in reader.feed(&bytes) {
                        let Ok(event) = serde_json::from_str::<AdminEvent>(&data) else {
                            tracing::warn!("skipped an event that this version does not know");
                            continue;
                        };
                        backoff.reset();
                        let quiet = matches!(event, AdminEvent::Hello { .. } | AdminEvent::Attempt(_));
                        sender.send(SourceUpdate::Event(Box::new(event))).await;
                        if !quiet {
                            refresh.notify_one();
                        }
                    }
                }
                tracing::info!(server = sender.target, "the stream of events has ended");
            }
            Err(error) => tracing::debug!(server = sender.target, "no events: {error}"),
        }
        sleep(backoff.next_delay()).await;
    }
}

async fn run_commands(
    sender: MessageSender,
    admin: Option<AdminClient>,
    mut commands: mpsc::Receiver<ServerCommand>,
    refresh: Arc<Notify>,
) {
    while let Some(command) = commands.recv().await {
        let Some(admin) = &admin else {
            let none = format!(
                "no admin API is known for this server: give its address and a token, and check that this user may read {}",
                token_folder()
            );
            if let Some(ticket) = ticket_of(&command) {
                sender.send(SourceUpdate::Answer { ticket, answer: Box::new(CommandAnswer::Failed(none)) }).await;
            }
            continue;
        };
        let update = match command {
            ServerCommand::DryRun { ticket, change, etag } => {
                change_answer(ticket, admin.change(&change, &etag, true).await)
            }
            ServerCommand::Apply { ticket, change, etag } => {
                change_answer(ticket, admin.change(&change, &etag, false).await)
            }
            ServerCommand::Rollback { ticket, rollback, etag } => {
                change_answer(ticket, admin.rollback(&rollback, &etag).await)
            }
            ServerCommand::Confirm { ticket } => {
                let answer = admin.confirm(&ChangeNote::default()).await.map(CommandAnswer::Confirmed);
                command_answer(ticket, answer)
            }
            ServerCommand::Trace(id) => match admin.trace(&id).await {
                Ok(trace) => SourceUpdate::Trace(Box::new(trace)),
                Err(error) => {
                    tracing::warn!("request {id}: {error}");
                    continue;
                }
            },
            ServerCommand::Refresh => {
                refresh.notify_one();
                continue;
            }
        };
        sender.send(update).await;
        refresh.notify_one();
    }
}

fn ticket_of(command: &ServerCommand) -> Option<u64> {
    match command {
        ServerCommand::DryRun { ticket, .. }
        | ServerCommand::Apply { ticket, .. }
        | ServerCommand::Rollback { ticket, .. }
        | ServerCommand::Confirm { ticket, .. } => Some(*ticket),
        ServerCommand::Trace(_) | ServerCommand::Refresh => None,
    }
}

fn change_answer(ticket: u64, result: Result<ChangeResult, AdminError>) -> SourceUpdate {
    command_answer(ticket, result.map(|changed| CommandAnswer::Changed(Box::new(changed))))
}

fn command_answer(ticket: u64, result: Result<CommandAnswer, AdminError>) -> SourceUpdate {
    let answer = match result {
        Ok(answer) => answer,
        Err(AdminError::Refused(detail)) => CommandAnswer::Refused(detail),
        Err(error) => CommandAnswer::Failed(error.to_string()),
    };
    SourceUpdate::Answer { ticket, answer: Box::new(answer) }
}

fn token_folder() -> String {
    token_file::folder().map_or_else(|| "the folder of token files".to_owned(), |folder| folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_fleet_is_queried_less_often_and_never_so_seldom_that_it_looks_stale() {
        let seconds = |servers| {
            let intervals = PollIntervals::for_fleet(servers);
            (intervals.metrics.as_secs_f64(), intervals.admin.as_secs_f64())
        };
        assert_eq!([0, 1, 10, 20, 1000].map(seconds), [(1.0, 2.0), (1.0, 2.0), (1.0, 2.0), (2.0, 4.0), (5.0, 5.0)]);
    }
}
