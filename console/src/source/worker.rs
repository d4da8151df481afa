//! One server's tasks: they scrape, poll, listen and carry out commands, and send everything as messages. A task that
//! fails says why and when it tries again, and goes on for as long as somebody listens.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use rsd_protocol::{
    event::Event,
    live::{Changed, Noted},
    token_file,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    Answer, Channel, Command, Failure, Message, Update,
    admin::{Admin, AdminError},
    backoff::Backoff,
    find::Target,
    http::{Bounds, Http, HttpError},
    prometheus::Prometheus,
    sse,
};
use crate::{clock::Clock, exposition};

/// How often servers are asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two scrapes of the metrics.
    pub metrics: Duration,
    /// Between two rounds of the admin API.
    pub admin: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { metrics: Duration::from_secs(1), admin: Duration::from_secs(2) }
    }
}

/// Where messages of one server go.
#[derive(Debug, Clone)]
struct Sink {
    target: usize,
    clock: Clock,
    messages: mpsc::Sender<Message>,
}

impl Sink {
    /// Sends it; says whether somebody listens.
    async fn send(&self, update: Update) -> bool {
        let message = Message { at_ms: self.clock.now_ms(), target: self.target, update };
        self.messages.send(message).await.is_ok()
    }

    async fn failed(&self, channel: Channel, cause: String, wait: Duration) {
        tracing::warn!(server = self.target, ?channel, "{cause}; next try in {} ms", wait.as_millis());
        let retry_at_ms = self.clock.now_ms() + crate::clock::millis(wait);
        self.send(Update::Failed(Failure { channel, cause, retry_at_ms })).await;
    }
}

/// Starts the tasks of one server; they end when the set is dropped.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    (index, target): (usize, Target),
    pace: Pace,
    readonly: bool,
    clock: Clock,
    messages: mpsc::Sender<Message>,
) -> Result<mpsc::Sender<Command>, HttpError> {
    let sink = Sink { target: index, clock, messages };
    let (commands, received) = mpsc::channel(16);
    let (endpoint, endpoint_seen) = watch::channel(target.endpoint.clone());
    let refresh = Arc::new(Notify::new());
    let http = Http::new(Bounds::default(), 3)?;
    tasks.spawn(scrape(sink.clone(), http, endpoint_seen, pace.metrics));
    if let Some(base) = &target.admin {
        let admin = Admin::new(base, target.credentials.clone(), readonly)?;
        tasks.spawn(poll(sink.clone(), admin.clone(), endpoint, refresh.clone(), pace.admin));
        tasks.spawn(listen(sink.clone(), admin.clone(), refresh.clone()));
        tasks.spawn(obey(sink, Some(admin), received, refresh));
    } else {
        tasks.spawn(obey(sink, None, received, refresh));
    }
    Ok(commands)
}

/// Starts the task that asks Prometheus.
pub fn spawn_prometheus(
    tasks: &mut JoinSet<()>,
    base: &str,
    instances: Vec<String>,
    clock: Clock,
    messages: mpsc::Sender<Message>,
) -> Result<(), HttpError> {
    let prometheus = Prometheus::new(base)?;
    tasks.spawn(async move {
        let sink = Sink { target: 0, clock, messages };
        for (target, instance) in instances.iter().enumerate() {
            if let Ok(past) = prometheus.past(instance, clock.now_ms()).await {
                Sink { target, ..sink.clone() }.send(Update::Past(past)).await;
            }
        }
        let mut backoff = Backoff::default();
        loop {
            match prometheus.fleet().await {
                Ok(rows) => {
                    backoff.reset();
                    if !sink.send(Update::Fleet(rows)).await {
                        return;
                    }
                    sleep(Duration::from_secs(15)).await;
                }
                Err(error) => {
                    let wait = backoff.wait();
                    sink.failed(Channel::Prometheus, error.to_string(), wait).await;
                    sleep(wait).await;
                }
            }
        }
    });
    Ok(())
}

/// The metrics of an endpoint, or why it has none.
pub async fn metrics_of(http: &Http, endpoint: &str) -> Result<String, String> {
    let url = if endpoint.ends_with("/metrics") { endpoint.to_owned() } else { format!("{endpoint}/metrics") };
    let reply = http.send(http.request(Method::GET, &url, None)).await.map_err(|error| error.to_string())?;
    if reply.status != 200 {
        return Err(format!("{url} answers {}", reply.status));
    }
    let text = reply.text();
    let found = exposition::parse(&text);
    if found.samples.iter().any(|sample| sample.name.starts_with("rsd_")) {
        Ok(text)
    } else {
        let (samples, bad) = (found.samples.len(), found.bad_lines);
        Err(format!(
            "{url} has no rsd_ metrics ({samples} other samples, {bad} unreadable lines): is it another server?"
        ))
    }
}

async fn scrape(sink: Sink, http: Http, mut endpoint: watch::Receiver<Option<String>>, pace: Duration) {
    let mut backoff = Backoff::default();
    loop {
        let Some(url) = endpoint.borrow_and_update().clone() else {
            if endpoint.changed().await.is_err() {
                return;
            }
            continue;
        };
        match metrics_of(&http, &url).await {
            Ok(text) => {
                backoff.reset();
                if !sink.send(Update::Metrics(text)).await {
                    return;
                }
                sleep(pace).await;
            }
            Err(cause) => {
                let wait = backoff.wait();
                sink.failed(Channel::Metrics, cause, wait).await;
                sleep(wait).await;
            }
        }
    }
}

/// What the rounds remember of each other.
#[derive(Debug, Default)]
struct Rounds {
    number: u64,
    /// The server's start and its revision, as of the history that was fetched last.
    history_of: Option<(String, u64)>,
}

async fn poll(sink: Sink, admin: Admin, endpoint: watch::Sender<Option<String>>, refresh: Arc<Notify>, pace: Duration) {
    let mut backoff = Backoff::default();
    let mut rounds = Rounds::default();
    loop {
        let wait = match round(&sink, &admin, &endpoint, &mut rounds).await {
            Ok(()) => {
                backoff.reset();
                pace
            }
            Err(_) if admin.renew_token() => Duration::ZERO,
            Err(error) => {
                let wait = backoff.wait();
                sink.failed(Channel::Admin, error.to_string(), wait).await;
                rounds = Rounds::default();
                wait
            }
        };
        if sink.messages.is_closed() {
            return;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = refresh.notified() => {}
        }
    }
}

async fn round(
    sink: &Sink,
    admin: &Admin,
    endpoint: &watch::Sender<Option<String>>,
    rounds: &mut Rounds,
) -> Result<(), AdminError> {
    let status = admin.status().await?;
    let serves = status.endpoint.trim_end_matches('/').to_owned();
    endpoint.send_if_modified(|known| known.replace(serves.clone()).as_ref() != Some(&serves));
    let (instance, revision) = (status.instance.clone(), status.revision);
    sink.send(Update::Status(Box::new(status))).await;
    let (etag, view) = admin.policy().await?;
    sink.send(Update::Policy { etag, view: Box::new(view) }).await;
    if rounds.history_of.as_ref() != Some(&(instance.clone(), revision)) {
        if let Some(history) = wished(admin.history().await)? {
            sink.send(Update::History(history)).await;
            rounds.history_of = Some((instance, revision));
        }
        rounds.number = 0;
    }
    if let Some(traces) = wished(admin.traces().await)? {
        sink.send(Update::Traces(traces)).await;
    }
    if rounds.number.is_multiple_of(3) {
        if let Some(preview) = wished(admin.preview().await)? {
            sink.send(Update::Preview(Box::new(preview))).await;
        }
        if let Some(audit) = wished(admin.audit().await)? {
            sink.send(Update::Audit(audit)).await;
        }
    }
    rounds.number += 1;
    Ok(())
}

/// What a round can do without: a server that refuses it, or says it otherwise, is still there.
fn wished<T>(result: Result<T, AdminError>) -> Result<Option<T>, AdminError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(AdminError::Http(error)) => Err(error.into()),
        Err(other) => {
            tracing::warn!("{other}");
            Ok(None)
        }
    }
}

async fn listen(sink: Sink, admin: Admin, refresh: Arc<Notify>) {
    let mut backoff = Backoff::default();
    while !sink.messages.is_closed() {
        match admin.events().await {
            Ok(mut response) => {
                let mut reader = sse::Reader::default();
                while let Ok(Some(bytes)) = response.chunk().await {
                    for data in reader.feed(&bytes) {
                        let Ok(event) = serde_json::from_str::<Event>(&data) else {
                            tracing::warn!("an event of another version was skipped");
                            continue;
                        };
                        backoff.reset();
                        let quiet = matches!(event, Event::Hello { .. } | Event::Attempt(_));
                        sink.send(Update::Event(Box::new(event))).await;
                        if !quiet {
                            refresh.notify_one();
                        }
                    }
                }
                tracing::info!(server = sink.target, "the stream of events has ended");
            }
            Err(error) => tracing::debug!(server = sink.target, "no events: {error}"),
        }
        sleep(backoff.wait()).await;
    }
}

async fn obey(sink: Sink, admin: Option<Admin>, mut commands: mpsc::Receiver<Command>, refresh: Arc<Notify>) {
    while let Some(command) = commands.recv().await {
        let Some(admin) = &admin else {
            let none = format!("no admin API is known for this server; give its address and a token, or {}", hint());
            if let Some(ticket) = ticket_of(&command) {
                sink.send(Update::Answer { ticket, answer: Box::new(Answer::Failed(none)) }).await;
            }
            continue;
        };
        let update = match command {
            Command::DryRun { ticket, change, etag } => answer(ticket, admin.change(&change, &etag, true).await),
            Command::Apply { ticket, change, etag } => answer(ticket, admin.change(&change, &etag, false).await),
            Command::Rollback { ticket, rollback, etag } => answer(ticket, admin.rollback(&rollback, &etag).await),
            Command::Keep { ticket, etag } => answer(ticket, admin.keep(&Noted::default(), &etag).await),
            Command::Trace(id) => match admin.trace(&id).await {
                Ok(trace) => Update::Trace(Box::new(trace)),
                Err(error) => {
                    tracing::warn!("request {id}: {error}");
                    continue;
                }
            },
            Command::Refresh => {
                refresh.notify_one();
                continue;
            }
        };
        sink.send(update).await;
        refresh.notify_one();
    }
}

fn ticket_of(command: &Command) -> Option<u64> {
    match command {
        Command::DryRun { ticket, .. }
        | Command::Apply { ticket, .. }
        | Command::Rollback { ticket, .. }
        | Command::Keep { ticket, .. } => Some(*ticket),
        Command::Trace(_) | Command::Refresh => None,
    }
}

fn answer(ticket: u64, result: Result<Changed, AdminError>) -> Update {
    let answer = match result {
        Ok(changed) => Answer::Changed(Box::new(changed)),
        Err(AdminError::Refused(detail)) => Answer::Refused(detail),
        Err(error) => Answer::Failed(error.to_string()),
    };
    Update::Answer { ticket, answer: Box::new(answer) }
}

fn hint() -> String {
    let folder = token_file::folder().map_or_else(String::new, |folder| folder.display().to_string());
    format!("see that this user may read {folder}")
}
