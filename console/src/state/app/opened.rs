//! What is opened on top of a screen: one request, which is followed while it is in work, or the comparison.

use super::{App, AppEffect};
use crate::{input::UserIntent, source::ServerCommand};

/// The outcome of a request in work.
pub const RUNNING: &str = "running";
/// Milliseconds after which an unanswered question for the steps of a request is asked again.
const ASK_AGAIN_MS: u64 = 5_000;

/// What is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenedPage {
    /// One request, step by step.
    Request {
        id: String,
        /// Whether its end is shown, whatever is added; the user has not scrolled.
        follow: bool,
    },
    /// The overview's comparison with an hour ago.
    Comparison,
}

impl App {
    /// Whether one request is shown step by step.
    #[must_use]
    pub fn shows_request(&self) -> bool {
        matches!(self.ui.opened, Some(OpenedPage::Request { .. }))
    }

    /// Whether the request with this id is in work, as far as is known.
    #[must_use]
    pub fn is_running(&self, id: &str) -> bool {
        let Some(server) = self.server() else { return false };
        let listed = server.traces.iter().find(|trace| trace.id == id);
        let fetched = server.trace.as_ref().map(|trace| &trace.summary).filter(|trace| trace.id == id);
        fetched.or(listed).is_some_and(|trace| trace.outcome == RUNNING)
    }

    pub(super) fn open_request(&mut self, id: String) -> Vec<AppEffect> {
        let follow = self.is_running(&id);
        self.ui.opened = Some(OpenedPage::Request { id: id.clone(), follow });
        self.ui.scroll.set(0);
        self.ask_for_steps(id)
    }

    /// What is due every second without a key: the steps so far of the request in work that is shown.
    pub fn due_effects(&mut self) -> Vec<AppEffect> {
        let Some(OpenedPage::Request { id, .. }) = &self.ui.opened else { return Vec::new() };
        let pending = self.asked_ms.is_some_and(|asked| self.data.now_ms < asked + ASK_AGAIN_MS);
        if pending || self.frozen.is_some() || !self.is_running(id) {
            return Vec::new();
        }
        let id = id.clone();
        self.ask_for_steps(id)
    }

    fn ask_for_steps(&mut self, id: String) -> Vec<AppEffect> {
        self.asked_ms = Some(self.data.now_ms);
        vec![AppEffect::Send(self.ui.server, ServerCommand::Trace(id))]
    }

    /// Follows the end of a request only until the user scrolls up, and again from its end on.
    pub(super) fn follow_by(&mut self, intent: UserIntent) {
        if let Some(OpenedPage::Request { follow, .. }) = &mut self.ui.opened
            && !self.ui.help
        {
            match intent {
                UserIntent::Up | UserIntent::PageUp | UserIntent::Top => *follow = false,
                UserIntent::Bottom => *follow = true,
                _ => {}
            }
        }
    }
}
