//! The target that a command line names.

use mistralrs_core::ModelSelected;

use crate::config::RoleConfig;

/// A target named on the command line; it replaces `roles.target` of the deployment file entirely.
#[derive(Debug, Clone)]
pub enum TargetFromLine {
    /// By the options of `mistralrs serve`, or its subcommands `auto` and `text`.
    Role(Box<RoleConfig>),
    /// By a subcommand of the older server.
    Selected {
        /// What mistral.rs is to load, as its own parser read it.
        model: Box<ModelSelected>,
        /// The same in a role's words, with the options that stood around the subcommand.
        role: Box<RoleConfig>,
    },
}

impl TargetFromLine {
    /// The target in a role's words, to be checked and shown.
    pub fn role(&self) -> &RoleConfig {
        match self {
            Self::Role(role) | Self::Selected { role, .. } => role,
        }
    }

    pub(super) fn role_mut(&mut self) -> &mut RoleConfig {
        match self {
            Self::Role(role) | Self::Selected { role, .. } => role,
        }
    }
}
