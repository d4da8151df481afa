//! The sandbox: started once per program, tried once before the first.

use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    arguments::{self, NOBODY, PYTHON},
    error::SandboxError,
    filter,
    limits::ExecutionLimits,
    outcome::ExecutionOutcome,
    output::last_bytes,
};

const BUBBLEWRAP: &str = "bwrap";
/// Where bubblewrap is looked for. It gets no other variable: a program can see those of bubblewrap's process.
const PATH: &str = "/usr/bin:/bin:/usr/local/bin";
/// Linux takes 128 KiB as one argument of a command.
const LONGEST_PROGRAM: usize = 120 << 10;
/// What the harness reports is shorter.
const REPORT: u64 = 64;

/// A sandbox that has run a program on this machine.
#[derive(Debug, Clone)]
pub struct PythonSandbox {
    limits: ExecutionLimits,
    bubblewrap: String,
    filter: Vec<u8>,
    /// Whether this process runs as root and must give that up before bubblewrap starts: the kernel does not count
    /// root's processes.
    root: bool,
}

/// What a program left behind.
struct ProgramEnd {
    status: ExitStatus,
    report: Vec<u8>,
    output: Vec<u8>,
}

impl PythonSandbox {
    /// The sandbox of this machine, after it has run an empty program.
    ///
    /// # Errors
    /// Bubblewrap, user namespaces or Python are missing; the error says which and how to get them.
    pub async fn find(limits: ExecutionLimits) -> Result<Self, SandboxError> {
        Self::find_with(limits, BUBBLEWRAP, PYTHON).await
    }

    async fn find_with(limits: ExecutionLimits, bubblewrap: &str, python: &str) -> Result<Self, SandboxError> {
        let unusable = |reason: &str| SandboxError::Unusable { reason: reason.to_owned() };
        let filter = filter::of_this_system();
        if filter.is_empty() {
            return Err(unusable("there is no filter of system calls for this system"));
        }
        if !Path::new(python).exists() {
            return Err(SandboxError::Missing { tool: python.to_owned(), package: "python3" });
        }
        let sandbox = Self { limits, bubblewrap: bubblewrap.to_owned(), filter, root: is_root()? };
        match sandbox.run("").await? {
            ExecutionOutcome::Passed => Ok(sandbox),
            other => Err(unusable(&format!("an empty program ended as {other:?}"))),
        }
    }

    /// Runs a program to its end or a limit. Dropping the future kills it.
    ///
    /// # Errors
    /// The sandbox does not start. Whatever the program does is an [`ExecutionOutcome`].
    pub async fn run(&self, program: &str) -> Result<ExecutionOutcome, SandboxError> {
        if program.len() > LONGEST_PROGRAM || program.contains('\0') {
            let reason = format!("it has a null character or more than {LONGEST_PROGRAM} bytes");
            return Ok(ExecutionOutcome::Failed(reason));
        }
        let child = self.command(program).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SandboxError::Missing { tool: self.bubblewrap.clone(), package: "bubblewrap" },
            _ => error.into(),
        })?;
        let Ok(end) = timeout(self.limits.wall, self.finish(child)).await else {
            return Ok(ExecutionOutcome::TimedOut);
        };
        let ProgramEnd { status, report, output } = end?;
        let Some(report) = report.strip_prefix(b"begins\n") else {
            let text = String::from_utf8_lossy(&output);
            let reason = text.lines().next().map_or_else(|| status.to_string(), str::to_owned);
            return Err(SandboxError::not_started(reason));
        };
        Ok(ExecutionOutcome::of(status, report.starts_with(b"completed\n"), &output))
    }

    async fn finish(&self, mut child: Child) -> io::Result<ProgramEnd> {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("a pipe is missing"));
        };
        let filter = async {
            // A sandbox that does not start does not take it; what it says on standard error tells more.
            let _ = stdin.write_all(&self.filter).await;
            drop(stdin);
            Ok(())
        };
        let report = async {
            let mut bytes = Vec::new();
            stdout.take(REPORT).read_to_end(&mut bytes).await?;
            Ok(bytes)
        };
        let ((), report, output) = tokio::try_join!(filter, report, last_bytes(self.limits.output, stderr))?;
        Ok(ProgramEnd { status: child.wait().await?, report, output })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.bubblewrap);
        command
            .args(arguments::of(&self.limits, program))
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        if self.root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

#[cfg(target_os = "linux")]
fn is_root() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata("/proc/self")?.uid() == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_root() -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    async fn missing(bubblewrap: &str, python: &str) -> String {
        PythonSandbox::find_with(ExecutionLimits::default(), bubblewrap, python).await.unwrap_err().to_string()
    }

    /// A program in bubblewrap's place that says this and fails.
    fn saying(text: &str) -> tempfile::TempPath {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempfile().unwrap();
        std::fs::write(file.path(), format!("#!/bin/sh\necho '{text}' >&2\nexit 1\n")).unwrap();
        file.into_temp_path()
    }

    #[tokio::test]
    async fn what_is_missing_is_named_with_the_way_to_get_it() {
        insta::assert_snapshot!(missing("no-bwrap", PYTHON).await, @"no sandbox: no-bwrap is missing; install it (Debian, Ubuntu: apt-get install bubblewrap)");
        insta::assert_snapshot!(missing(BUBBLEWRAP, "/usr/bin/no-python3").await, @"no sandbox: /usr/bin/no-python3 is missing; install it (Debian, Ubuntu: apt-get install python3)");
        let denied = saying("bwrap: No permissions to create a new namespace");
        insta::assert_snapshot!(missing(denied.to_str().unwrap(), PYTHON).await, @"no sandbox: user namespaces are missing (bwrap: No permissions to create a new namespace). Allow them for ordinary users: sysctl user.max_user_namespaces above 0; on Ubuntu sysctl kernel.apparmor_restrict_unprivileged_userns=0; in a container a seccomp profile that allows them, such as docker run --security-opt seccomp=unconfined");
        let old = saying("bwrap: Unknown option --disable-userns");
        insta::assert_snapshot!(missing(old.to_str().unwrap(), PYTHON).await, @"no sandbox: bwrap: Unknown option --disable-userns. It needs Linux 5.14 on x86-64 or ARM64, bubblewrap 0.8 and Python 3 in /usr/bin");
    }
}
