//! How log lines are written to the standard error output.

use std::{fmt::Debug, io::IsTerminal};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use super::environment;

/// The log level of each target. The log of mistral.rs's engine is off, because it logs every failed forward pass and
/// we cause one on purpose to empty a cache. We get its errors as answers and log them ourselves.
const LEVELS: &str = "info,mistralrs_core=warn,mistralrs_quant=warn,mistralrs_core::engine=off";

/// What mistral.rs warns of whenever a model is on a CPU, also where there is no GPU with which it could be mixed.
const CPU_WARNING: &str = "Device mapping contains a mix of GPU and CPU";

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people, with colors on a terminal
    #[default]
    Text,
    /// One JSON object per line, for a log collector
    Json,
}

impl LogFormat {
    /// Logs to the standard error output from now on; `RUST_LOG` chooses what.
    pub(super) fn install(self) {
        let chosen = environment::variable(EnvFilter::DEFAULT_ENV).and_then(|_| EnvFilter::try_from_default_env().ok());
        let filter = chosen.unwrap_or_else(|| EnvFilter::new(LEVELS));
        let registry = tracing_subscriber::registry().with(filter).with(MisleadingWarnings);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        match self {
            Self::Text => {
                let color = std::io::stderr().is_terminal() && environment::variable("NO_COLOR").is_none();
                registry.with(lines.with_ansi(color).with_target(false)).init();
            }
            Self::Json => registry.with(lines.json().flatten_event(true)).init(),
        }
    }
}

/// Leaves out warnings that cannot be true in this build.
struct MisleadingWarnings;

impl<S: Subscriber> Layer<S> for MisleadingWarnings {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        const HAS_GPU: bool = cfg!(any(feature = "cuda", feature = "metal"));
        if HAS_GPU || !event.metadata().target().starts_with("mistralrs_core") {
            return true;
        }
        let mut message = EventMessage(String::new());
        event.record(&mut message);
        !message.0.starts_with(CPU_WARNING)
    }
}

/// The message of an event.
struct EventMessage(String);

impl Visit for EventMessage {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
