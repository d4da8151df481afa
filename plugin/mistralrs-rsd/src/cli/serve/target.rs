//! The target that a `serve` command line names.

use mistralrs_core::ModelSelected;

use rsd_config::RoleConfig;

/// A target on the command line. It replaces `roles.target` of the deployment file entirely.
#[derive(Debug, Clone)]
pub(crate) enum TargetFromLine {
    /// Named by the options of `mistralrs serve`, or by its subcommands `auto` and `text`.
    Role(Box<RoleConfig>),
    /// Named by a subcommand of the older server.
    Selected {
        /// The model as mistral.rs's own parser has read it.
        model: Box<ModelSelected>,
        /// The same model as a role, with the options around the subcommand.
        role: Box<RoleConfig>,
    },
}

impl TargetFromLine {
    /// The target as a role.
    #[cfg(test)]
    pub(super) fn role(&self) -> &RoleConfig {
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
