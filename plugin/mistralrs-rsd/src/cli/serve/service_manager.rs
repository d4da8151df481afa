//! Tells systemd how the server is, where it started it with `Type=notify`. Elsewhere nothing is told.

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// The server is ready and answers as this model. Until this is told, `systemctl start` waits.
pub(super) fn tell_ready(model: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("answers as model `{model}`"))]);
}

/// The server accepts no new request and finishes those that it has.
pub(super) fn tell_stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishes its requests")]);
}

/// Answers the watchdog twice in the unit's `WatchdogSec`, from a task like those that answer requests. systemd restarts
/// a server that stays silent.
pub(super) fn answer_watchdog() -> Option<JoinHandle<()>> {
    let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())?;
    let mut pace = tokio::time::interval(limit / 2);
    Some(tokio::spawn(async move {
        loop {
            pace.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }))
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("cannot tell systemd how the server is: {error}");
    }
}
