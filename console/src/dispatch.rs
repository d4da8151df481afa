//! Starts what the command line asks for: the terminal screens, a replay, or a command.

use std::{
    fs::File,
    io::{BufReader, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use clap::CommandFactory;
use rsd_protocol::{
    settings::{ChangeNote, PolicyChange, RollbackRequest},
    token_file,
};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use crate::{
    cli::{self, Cli, CliCommand, CommonOptions},
    clock::{self, SteadyClock},
    commands::{self, CommandRunner},
    event_loop::EventLoop,
    exit::ExitReason,
    log::ConsoleLog,
    recording::{RecordingHeader, RecordingReader, RecordingWriter},
    report::{self, StatusReport},
    screenshot::{ImageFormat, take_screenshot},
    source::{
        ServerCommand, SourceMessage,
        discovery::{self, ServerTarget, TokenOptions},
        worker::{self, PollIntervals},
    },
    state::{
        app::{App, AppOptions},
        server::{STALE_AFTER_MS, ServerConnection},
    },
    view::theme_file::{self, LoadedTheme},
};

/// Runs what the command line asks for.
pub async fn run(cli: Cli) -> Result<(), ExitReason> {
    let common = &cli.common;
    // A theme that does not exist is refused whatever the command is.
    let theme = theme(common)?;
    match cli.command {
        Some(CliCommand::Schema) => print_text(&pretty(&report::schema())?),
        Some(CliCommand::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rsd-console", &mut text);
            print_text(&String::from_utf8_lossy(&text))
        }
        Some(CliCommand::Man) => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            print_text(&String::from_utf8_lossy(&text))
        }
        Some(CliCommand::Get { path }) => command_runner(common)?.get(path.as_deref()).await,
        Some(CliCommand::Set { settings, why, by, ttl, persist, dry_run, if_revision }) => {
            let change = PolicyChange { why, by, ttl_seconds: ttl, persist, ..PolicyChange::default() };
            command_runner(common)?.set(&settings, change, dry_run, if_revision).await
        }
        Some(CliCommand::Confirm { why, by }) => command_runner(common)?.confirm(ChangeNote { why, by }).await,
        Some(CliCommand::History { limit }) => command_runner(common)?.history(limit).await,
        Some(CliCommand::Rollback { revision, why, by }) => {
            command_runner(common)?.rollback(RollbackRequest { revision, why, by }).await
        }
        Some(CliCommand::Watch { every, count }) => watch(common, seconds(every)?, count).await,
        None if common.replay.is_some() => replay(common, theme).await,
        None if common.once => once(common).await,
        None if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() => {
            watch(common, Duration::from_secs(5), None).await
        }
        None => show_screens(common, theme).await,
    }
}

fn targets(common: &CommonOptions) -> Result<Vec<ServerTarget>, ExitReason> {
    let tokens =
        TokenOptions { file: common.token_file.clone(), env: common.token_env.clone(), readonly: common.readonly };
    Ok(discovery::find_targets(&common.target, common.targets.as_deref(), &tokens, token_file::folder().as_deref())?)
}

fn command_runner(common: &CommonOptions) -> Result<CommandRunner, ExitReason> {
    CommandRunner::new(&targets(common)?, common.readonly, common.output)
}

fn options(common: &CommonOptions) -> AppOptions {
    // A server that is asked every 30 seconds is not silent after 7.
    let two_intervals = common.interval.and_then(|seconds| Duration::try_from_secs_f64(2.0 * seconds).ok());
    AppOptions {
        readonly: common.readonly,
        window_ms: common.window.clamp(5, 600) * 1000,
        stale_after_ms: two_intervals.map_or(0, clock::millis).max(STALE_AFTER_MS),
        by: cli::user(),
    }
}

fn theme(common: &CommonOptions) -> Result<LoadedTheme, ExitReason> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let name = common.theme.as_deref().unwrap_or(if no_color { "mono" } else { "dark" });
    // An SVG image is UTF-8 whatever the terminal is.
    let ascii = common.ascii || !common.svg && !locale_is_utf8(|name| std::env::var(name).ok());
    Ok(theme_file::load_theme(name, ascii)?)
}

/// Tells on the screen and in the log what about the theme is hard to read.
fn warn_of_theme(app: &mut App, theme: &LoadedTheme) {
    for warning in &theme.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(first) = theme.warnings.first() {
        app.show_note(first.clone(), true);
    }
}

/// Whether the locale's characters are UTF-8: the first of these variables that is set decides, as in the C library,
/// and where none is set the locale is `C`, which is ASCII.
fn locale_is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The tasks that fetch, and the state that they feed.
struct DataSources {
    app: App,
    head: RecordingHeader,
    commands: Vec<mpsc::Sender<ServerCommand>>,
    messages: mpsc::Receiver<SourceMessage>,
    clock: SteadyClock,
    /// Dropping the set ends the tasks.
    tasks: JoinSet<()>,
}

fn sources(common: &CommonOptions) -> Result<DataSources, ExitReason> {
    let targets = targets(common)?;
    let servers: Vec<_> = targets.iter().map(|target| (target.name.clone(), target.admin.is_some())).collect();
    let clock = SteadyClock::start();
    let (sender, messages) = mpsc::channel(256);
    let mut pace = PollIntervals::for_fleet(servers.len());
    if let Some(interval) = common.interval {
        pace.metrics = seconds(interval)?;
    }
    let mut tasks = JoinSet::new();
    let hosts = |target: &ServerTarget| {
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
    Ok(DataSources { app, head: RecordingHeader::new(servers), commands, messages, clock, tasks })
}

async fn show_screens(common: &CommonOptions, theme: LoadedTheme) -> Result<(), ExitReason> {
    let DataSources { mut app, head, commands, messages, clock, tasks } = sources(common)?;
    let recorder = common.record.as_deref().map(|path| RecordingWriter::begin(path, &head)).transpose()?;
    let log = ConsoleLog::start(common.log_file.clone());
    warn_of_theme(&mut app, &theme);
    let ended = EventLoop { app, commands, messages, clock, theme: theme.theme, recorder, log }.run().await;
    drop(tasks);
    ended
}

/// Shows a recording: a screenshot or report of its end, or the screens at the recorded pace.
async fn replay(common: &CommonOptions, theme: LoadedTheme) -> Result<(), ExitReason> {
    let path = common.replay.as_deref().unwrap_or(Path::new("-"));
    let file = File::open(path)
        .map_err(|error| ExitReason::Recording { path: path.display().to_string(), cause: error.to_string() })?;
    let mut recording = RecordingReader::open(path, BufReader::new(file))?;
    let mut app = App::new(&recording.head.servers, options(common));
    if let Some(screen) = &common.screenshot {
        recording.replay_into(&mut app);
        let format = if common.svg { ImageFormat::Svg } else { ImageFormat::Text };
        for warning in &theme.warnings {
            let _ = writeln!(std::io::stderr(), "rsd-console: warning: {warning}");
        }
        return print_text(&take_screenshot(app, screen, &common.size, format, &theme.theme)?);
    }
    if common.once || !std::io::stdout().is_terminal() {
        recording.replay_into(&mut app);
        let report = StatusReport::from_app(&app);
        return commands::print(common.output, &report, || report.paragraphs());
    }
    let (sender, messages) = mpsc::channel(1);
    let clock = SteadyClock::start();
    let pace = tokio::spawn(async move {
        let mut before = None;
        for message in recording {
            let wait = before.map_or(0, |before| message.at_ms.saturating_sub(before));
            before = Some(message.at_ms);
            sleep(Duration::from_millis(wait)).await;
            if sender.send(SourceMessage { at_ms: clock.now_ms(), ..message }).await.is_err() {
                return;
            }
        }
        // The screen stays at the end of the recording until the user quits.
        sender.closed().await;
    });
    let log = ConsoleLog::start(common.log_file.clone());
    app.tick(clock.now_ms());
    warn_of_theme(&mut app, &theme);
    let tui = EventLoop { app, commands: Vec::new(), messages, clock, theme: theme.theme, recorder: None, log };
    let ended = tui.run().await;
    pace.abort();
    ended
}

async fn watch(common: &CommonOptions, every: Duration, count: Option<u64>) -> Result<(), ExitReason> {
    let mut sources = sources(common)?;
    let mut recorder = common.record.as_deref().map(|path| RecordingWriter::begin(path, &sources.head)).transpose()?;
    let mut left = count.unwrap_or(u64::MAX);
    // The first line waits until every server has answered or failed.
    wait_until_complete(&mut sources, recorder.as_mut()).await?;
    while left > 0 {
        let report = StatusReport::from_app(&sources.app);
        commands::print(common.output, &report, || report.lines())?;
        left -= 1;
        if left > 0 {
            let until = sleep(every);
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    message = sources.messages.recv() => receive(&mut sources.app, recorder.as_mut(), message)?,
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

async fn once(common: &CommonOptions) -> Result<(), ExitReason> {
    let mut sources = sources(common)?;
    wait_until_complete(&mut sources, None).await?;
    let report = StatusReport::from_app(&sources.app);
    commands::print(common.output, &report, || report.paragraphs())?;
    drop(sources.tasks);
    let down = sources.app.data.servers.iter().find_map(|server| match server.connection(sources.app.data.now_ms) {
        ServerConnection::Down { cause, .. } => Some(format!("{}: {cause}", server.name)),
        ServerConnection::Connecting => Some(format!("{}: no answer", server.name)),
        _ => None,
    });
    down.map_or(Ok(()), |down| Err(ExitReason::Unavailable(down)))
}

/// Takes messages until every server has failed or has sent two scrapes, which rates need, and the preview.
async fn wait_until_complete(
    sources: &mut DataSources,
    mut recorder: Option<&mut RecordingWriter>,
) -> Result<(), ExitReason> {
    let deadline = sleep(Duration::from_secs(10));
    tokio::pin!(deadline);
    loop {
        let complete = |server: &crate::state::server::ServerState| {
            let admin = !server.has_admin || server.preview.is_some() || server.admin.failure.is_some();
            let unknown_endpoint = server.admin.failure.is_some() && server.metrics.last_ok_ms.is_none();
            let metrics = server.points.len() >= 2 || server.metrics.failure.is_some() || unknown_endpoint;
            admin && metrics
        };
        if sources.app.data.servers.iter().all(complete) {
            return Ok(());
        }
        tokio::select! {
            () = &mut deadline => break,
            message = sources.messages.recv() => receive(&mut sources.app, recorder.as_deref_mut(), message)?,
        }
    }
    sources.app.tick(sources.clock.now_ms());
    Ok(())
}

fn receive(
    app: &mut App,
    recorder: Option<&mut RecordingWriter>,
    message: Option<SourceMessage>,
) -> Result<(), ExitReason> {
    let message = message.ok_or_else(|| ExitReason::Unavailable("the tasks that fetch have ended".into()))?;
    if let Some(recorder) = recorder {
        recorder.write(&message)?;
    }
    app.receive(message);
    Ok(())
}

fn seconds(seconds: f64) -> Result<Duration, ExitReason> {
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(ExitReason::Usage(format!("{seconds} seconds: expected a number from 0.1 to 3600")))
    }
}

fn pretty(value: &serde_json::Value) -> Result<String, ExitReason> {
    Ok(serde_json::to_string_pretty(value).map_err(std::io::Error::from)? + "\n")
}

fn print_text(text: &str) -> Result<(), ExitReason> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_is_utf8_where_the_first_variable_that_is_set_says_so() {
        let of = |set: &[(&str, &str)]| {
            locale_is_utf8(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        for utf8 in ["C.UTF-8", "en_US.utf8", "ja_JP.UTF-8@x"] {
            assert!(of(&[("LANG", utf8)]) && of(&[("LC_CTYPE", utf8), ("LANG", "C")]), "{utf8}");
            assert!(of(&[("LC_ALL", ""), ("LC_CTYPE", ""), ("LANG", utf8)]), "an empty variable is not set");
        }
        for other in ["C", "POSIX", "de_DE.ISO-8859-1", "ja_JP.eucJP", ""] {
            assert!(!of(&[("LANG", other)]) && !of(&[("LC_ALL", other), ("LANG", "C")]), "{other}");
        }
        assert!(!of(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]), "LC_ALL comes first");
        assert!(!of(&[]), "without a locale the terminal is taken for ASCII");
    }
}
