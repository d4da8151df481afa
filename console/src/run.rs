//! From the command line to what runs.

use std::{
    fs::File,
    io::{BufReader, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use clap::CommandFactory;
use rsd_protocol::live::{Change, Rollback};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use crate::{
    cli::{self, Cli, Command, Common},
    clock::Clock,
    exit::Stop,
    log::Log,
    record::{Head, Recorder, Recording},
    report::{self, Report},
    screenshot,
    script::{self, Script},
    source::{
        Command as ToServer, Message,
        find::{self, Target, Tokens},
        worker::{self, Pace},
    },
    state::{
        app::{App, Options},
        server::Connection,
    },
    tui::Tui,
    view::theme::{Name, Theme},
};

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<(), Stop> {
    let common = &cli.common;
    match cli.command {
        Some(Command::Schema) => print_text(&pretty(&report::schema())?),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rsd-console", &mut text);
            print_text(&String::from_utf8_lossy(&text))
        }
        Some(Command::Man) => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            print_text(&String::from_utf8_lossy(&text))
        }
        Some(Command::Get { path }) => script(common)?.get(path.as_deref()).await,
        Some(Command::Set { settings, why, by, ttl, persist, dry_run, if_revision }) => {
            let change = Change { why, by, ttl_seconds: ttl, persist, ..Change::default() };
            script(common)?.set(&settings, change, dry_run, if_revision).await
        }
        Some(Command::History { limit }) => script(common)?.history(limit).await,
        Some(Command::Rollback { revision, why, by }) => script(common)?.rollback(Rollback { revision, why, by }).await,
        Some(Command::Watch { every, count }) => watch(common, seconds(every)?, count).await,
        None if common.replay.is_some() => replay(common).await,
        None if common.once => once(common).await,
        None if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() => {
            watch(common, Duration::from_secs(5), None).await
        }
        None => live(common).await,
    }
}

fn targets(common: &Common) -> Result<Vec<Target>, Stop> {
    let tokens = Tokens { file: common.token_file.clone(), env: common.token_env.clone(), readonly: common.readonly };
    Ok(find::targets(&common.target, common.targets.as_deref(), &tokens, find::folder().as_deref())?)
}

fn script(common: &Common) -> Result<Script, Stop> {
    Script::new(&targets(common)?, common.readonly, common.output)
}

fn options(common: &Common) -> Options {
    Options { readonly: common.readonly, window_ms: common.window.clamp(5, 600) * 1000, by: cli::user() }
}

fn theme(common: &Common) -> Theme {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Theme::new(common.theme.unwrap_or(if no_color { Name::Mono } else { Name::Dark }), common.ascii)
}

/// Everything that fetches, and the state it feeds.
struct Sources {
    app: App,
    head: Head,
    commands: Vec<mpsc::Sender<ToServer>>,
    messages: mpsc::Receiver<Message>,
    clock: Clock,
    /// Dropping it ends the tasks.
    tasks: JoinSet<()>,
}

fn sources(common: &Common) -> Result<Sources, Stop> {
    let targets = targets(common)?;
    let servers: Vec<_> = targets.iter().map(|target| (target.name.clone(), target.admin.is_some())).collect();
    let clock = Clock::start();
    let (sender, messages) = mpsc::channel(256);
    let pace = Pace { metrics: seconds(common.interval)?, ..Pace::default() };
    let mut tasks = JoinSet::new();
    let hosts = |target: &Target| {
        let url = target.endpoint.as_deref().or(target.admin.as_deref()).unwrap_or_default();
        url.trim_start_matches("http://").to_owned()
    };
    let instances = targets.iter().map(hosts).collect();
    let mut commands = Vec::new();
    for target in targets.into_iter().enumerate() {
        commands.push(worker::spawn(&mut tasks, target, pace, common.readonly, clock, sender.clone())?);
    }
    if let Some(base) = &common.prometheus {
        worker::spawn_prometheus(&mut tasks, base, instances, clock, sender)?;
    }
    let mut app = App::new(&servers, options(common));
    app.tick(clock.now_ms());
    Ok(Sources { app, head: Head::new(servers), commands, messages, clock, tasks })
}

async fn live(common: &Common) -> Result<(), Stop> {
    let Sources { app, head, commands, messages, clock, tasks } = sources(common)?;
    let recorder = common.record.as_deref().map(|path| Recorder::begin(path, &head)).transpose()?;
    let log = Log::start(common.log_file.clone());
    let ended = Tui { app, commands, messages, clock, theme: theme(common), recorder, log }.run().await;
    drop(tasks);
    ended
}

/// A recording: at its end as text, or from its start at its own pace.
async fn replay(common: &Common) -> Result<(), Stop> {
    let path = common.replay.as_deref().unwrap_or(Path::new("-"));
    let file = File::open(path)
        .map_err(|error| Stop::Recording { path: path.display().to_string(), cause: error.to_string() })?;
    let mut recording = Recording::open(path, BufReader::new(file))?;
    let mut app = App::new(&recording.head.servers, options(common));
    if let Some(screen) = &common.screenshot {
        recording.all(&mut app);
        return print_text(&screenshot::screenshot(app, screen, &common.size, &theme(common))?);
    }
    if common.once || !std::io::stdout().is_terminal() {
        recording.all(&mut app);
        let report = Report::of(&app);
        return script::print(common.output, &report, || report.lines());
    }
    let (sender, messages) = mpsc::channel(1);
    let clock = Clock::start();
    let pace = tokio::spawn(async move {
        let mut before = None;
        for message in recording {
            let wait = before.map_or(0, |before| message.at_ms.saturating_sub(before));
            before = Some(message.at_ms);
            sleep(Duration::from_millis(wait)).await;
            if sender.send(Message { at_ms: clock.now_ms(), ..message }).await.is_err() {
                return;
            }
        }
        // The end of a recording stays on the screen.
        sender.closed().await;
    });
    let log = Log::start(common.log_file.clone());
    let tui = Tui { app, commands: Vec::new(), messages, clock, theme: theme(common), recorder: None, log };
    let ended = tui.run().await;
    pace.abort();
    ended
}

async fn watch(common: &Common, every: Duration, count: Option<u64>) -> Result<(), Stop> {
    let mut sources = sources(common)?;
    let mut recorder = common.record.as_deref().map(|path| Recorder::begin(path, &sources.head)).transpose()?;
    let mut left = count.unwrap_or(u64::MAX);
    // The first line waits until there is something to say.
    settle(&mut sources, recorder.as_mut()).await?;
    while left > 0 {
        let report = Report::of(&sources.app);
        script::print(common.output, &report, || report.lines())?;
        left -= 1;
        if left > 0 {
            let until = sleep(every);
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    message = sources.messages.recv() => take(&mut sources.app, recorder.as_mut(), message)?,
                }
            }
            sources.app.tick(sources.clock.now_ms());
        }
    }
    if let Some(recorder) = &mut recorder {
        recorder.flush()?;
    }
    drop(sources.tasks);
    Ok(())
}

async fn once(common: &Common) -> Result<(), Stop> {
    let mut sources = sources(common)?;
    settle(&mut sources, None).await?;
    let report = Report::of(&sources.app);
    script::print(common.output, &report, || report.lines())?;
    drop(sources.tasks);
    let down = sources.app.data.servers.iter().find_map(|server| match server.connection(sources.app.data.now_ms) {
        Connection::Down { cause, .. } => Some(format!("{}: {cause}", server.name)),
        Connection::Connecting => Some(format!("{}: no answer", server.name)),
        _ => None,
    });
    down.map_or(Ok(()), |down| Err(Stop::Unavailable(down)))
}

/// Takes messages until every server has told everything or failed: two scrapes, for rates, and its policy.
async fn settle(sources: &mut Sources, mut recorder: Option<&mut Recorder>) -> Result<(), Stop> {
    let deadline = sleep(Duration::from_secs(10));
    tokio::pin!(deadline);
    loop {
        let told = |server: &crate::state::server::Server| {
            let admin = !server.has_admin || server.preview.is_some() || server.admin.failure.is_some();
            let unknown_endpoint = server.admin.failure.is_some() && server.metrics.last_ok_ms.is_none();
            let metrics = server.moments.len() >= 2 || server.metrics.failure.is_some() || unknown_endpoint;
            admin && metrics
        };
        if sources.app.data.servers.iter().all(told) {
            return Ok(());
        }
        tokio::select! {
            () = &mut deadline => break,
            message = sources.messages.recv() => take(&mut sources.app, recorder.as_deref_mut(), message)?,
        }
    }
    sources.app.tick(sources.clock.now_ms());
    Ok(())
}

fn take(app: &mut App, recorder: Option<&mut Recorder>, message: Option<Message>) -> Result<(), Stop> {
    let message = message.ok_or_else(|| Stop::Unavailable("nothing fetches any more".into()))?;
    if let Some(recorder) = recorder {
        recorder.write(&message)?;
    }
    app.take(message);
    Ok(())
}

fn seconds(seconds: f64) -> Result<Duration, Stop> {
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(Stop::Usage(format!("{seconds} seconds: expected 0.1 to 3600")))
    }
}

fn pretty(value: &serde_json::Value) -> Result<String, Stop> {
    Ok(serde_json::to_string_pretty(value).map_err(std::io::Error::from)? + "\n")
}

fn print_text(text: &str) -> Result<(), Stop> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
