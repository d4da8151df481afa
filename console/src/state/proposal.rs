//! What an operator should do, told by the console's keys on a screen and by its commands in a script.

use rsd_protocol::preview::PolicyPreview;

/// Speedups that differ from 1 by less than this are called the same speed.
pub const SAME_SPEED: f64 = 0.03;

/// A threshold and the speedup that the server predicts for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PredictedSpeedup {
    pub delta: f64,
    pub speedup: f64,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ProposedAction {
    Nothing,
    /// Start the server, or give its address.
    StartServer,
    /// Look at the server, which answered before.
    CheckServer,
    /// Look at the alerts and at the server's log.
    SeeAlerts,
    SendRequest,
    /// Send more requests, because the numbers are preliminary.
    SendMore,
    /// Change the route from one model to RSD, unless RSD is predicted to be slower.
    LetRsdAnswer(Option<PredictedSpeedup>),
    /// Take this threshold, or the target alone.
    TakeThreshold(PredictedSpeedup),
    /// Lower the threshold, or take the target alone.
    LowerThreshold,
    /// Change the route to the target, because no threshold is predicted to be faster.
    TargetAlone,
}

impl ProposedAction {
    /// For a server that RSD makes slower: the highest threshold for which the server predicts a speedup, or else the
    /// target alone.
    #[must_use]
    pub fn against_slowness(delta: Option<f64>, preview: Option<&PolicyPreview>) -> Self {
        let curve = preview.map(|preview| preview.curve.as_slice()).unwrap_or_default();
        let faster = curve.iter().rev().find_map(|point| {
            let speedup = point.speedup.map(|speedup| speedup.value).filter(|value| *value > 1.0 + SAME_SPEED)?;
            let found = PredictedSpeedup { delta: point.delta, speedup };
            Some(found).filter(|found| delta.is_none_or(|delta| found.delta < delta))
        });
        match faster {
            Some(found) => Self::TakeThreshold(found),
            None if curve.is_empty() => Self::LowerThreshold,
            None => Self::TargetAlone,
        }
    }

    /// A sentence that names the console's keys.
    #[must_use]
    pub fn by_key(&self) -> String {
        match self {
            Self::StartServer => {
                "If this lasts: is the server running (mistralrs-rsd serve), and is this its address?".into()
            }
            Self::SeeAlerts => "See the alerts (press 7) and the server's log.".into(),
            Self::SendRequest => "Send a request; see screen 4.".into(),
            Self::LetRsdAnswer(None) => "Press s to let RSD answer (route rsd).".into(),
            Self::LetRsdAnswer(Some(found)) if found.speedup >= 1.0 - SAME_SPEED => {
                format!("Press s for route rsd: predicted {:.2}x at delta {:.2}.", found.speedup, found.delta)
            }
            Self::TakeThreshold(found) => {
                format!("Press d: delta {:.2} (predicted {:.2}x); s: target alone.", found.delta, found.speedup)
            }
            Self::LowerThreshold => "Press d: lower delta; s: target alone.".into(),
            Self::TargetAlone => "No delta is predicted to be faster; press s: target alone.".into(),
            other => other.by_command(),
        }
    }

    /// A sentence that names commands of a shell.
    #[must_use]
    pub fn by_command(&self) -> String {
        let set = |what: &str| format!("`rsd-console set {what}`");
        match self {
            Self::Nothing => "Nothing to do.".into(),
            Self::StartServer => "Start it with `mistralrs-rsd serve --rsd FILE`, or give its address.".into(),
            Self::CheckServer => "See the server's log.".into(),
            Self::SeeAlerts => "See the alerts and the server's log.".into(),
            Self::SendRequest => "Send a request.".into(),
            Self::SendMore => "Send more requests; the numbers so far are preliminary.".into(),
            Self::LetRsdAnswer(None) => format!("{} lets RSD answer.", set("policy.route=rsd")),
            Self::LetRsdAnswer(Some(found)) if found.speedup >= 1.0 - SAME_SPEED => format!(
                "{} lets RSD answer: predicted {:.2}x at delta {:.2}.",
                set("policy.route=rsd"),
                found.speedup,
                found.delta
            ),
            Self::LetRsdAnswer(Some(found)) => {
                format!(
                    "Leave it so: RSD is predicted to be {:.2}x as fast at delta {:.2}.",
                    found.speedup, found.delta
                )
            }
            Self::TakeThreshold(found) => format!(
                "{} is predicted to be {:.2}x as fast; {} ends RSD.",
                set(&format!("policy.delta={:.2}", found.delta)),
                found.speedup,
                set("policy.route=target")
            ),
            Self::LowerThreshold => format!("Lower policy.delta, or end RSD: {}.", set("policy.route=target")),
            Self::TargetAlone => {
                format!("No delta is predicted to be faster: {} ends RSD.", set("policy.route=target"))
            }
        }
    }
}
