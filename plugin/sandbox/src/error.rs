//! Why no program can be run.

use std::io;

/// There is no sandbox, so nothing is run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// A program that makes up the sandbox is not installed.
    #[error("no sandbox: {tool} is missing; install it (Debian, Ubuntu: apt-get install {package})")]
    Missing {
        /// The path or the name of the program.
        tool: String,
        /// Debian's package.
        package: &'static str,
    },
    /// Bubblewrap may not make namespaces.
    #[error(
        "no sandbox: user namespaces are missing ({reason}). Allow them for ordinary users: sysctl \
         user.max_user_namespaces above 0; on Ubuntu sysctl kernel.apparmor_restrict_unprivileged_userns=0; in a \
         container a seccomp profile that allows them, such as docker run --security-opt seccomp=unconfined"
    )]
    Namespaces {
        /// What bubblewrap said.
        reason: String,
    },
    /// The sandbox does not start, or not on this system.
    #[error("no sandbox: {reason}. It needs Linux 5.14 on x86-64 or ARM64, bubblewrap 0.8 and Python 3 in /usr/bin")]
    Unusable {
        /// What bubblewrap or Python said.
        reason: String,
    },
    /// The sandbox's process cannot be started or waited for.
    #[error("cannot run the sandbox: {0}")]
    Process(#[from] io::Error),
}

impl SandboxError {
    /// For what bubblewrap said, or how it ended, instead of starting a program.
    pub(crate) fn not_started(reason: String) -> Self {
        // bubblewrap 0.8: "Creating new namespace failed", "No permissions to create a new namespace".
        if reason.contains("namespace") { Self::Namespaces { reason } } else { Self::Unusable { reason } }
    }
}
