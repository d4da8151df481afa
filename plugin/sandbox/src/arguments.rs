//! The command line of bubblewrap.

use crate::limits::ExecutionLimits;

/// User and group inside: the number that has the name `nobody` on most systems.
pub(crate) const NOBODY: u32 = 65534;

pub(crate) const PYTHON: &str = "/usr/bin/python3";
const HARNESS: &str = include_str!("harness.py");

/// Arguments after which bubblewrap runs `program` under `limits`, with the filter of system calls on standard input.
pub(crate) fn of(limits: &ExecutionLimits, program: &str) -> Vec<String> {
    let sandbox = [
        "--unshare-user --disable-userns --unshare-ipc --unshare-pid --unshare-net --unshare-uts --unshare-cgroup-try",
        "--die-with-parent --new-session --cap-drop ALL --seccomp 0 --hostname sandbox",
        &format!("--uid {NOBODY} --gid {NOBODY}"),
        // A fixed hash seed: the order of a set does not decide whether an answer is right.
        "--clearenv --setenv PATH /usr/bin --setenv HOME /tmp --setenv LANG C.UTF-8 --setenv PYTHONHASHSEED 0",
        "--ro-bind /usr /usr --ro-bind-try /lib /lib --ro-bind-try /lib64 /lib64 --proc /proc --dev /dev",
        &format!("--size {} --tmpfs /tmp", limits.files),
        // These two are file systems in memory without a limit on their size.
        "--remount-ro /dev --remount-ro / --chdir /tmp --",
    ];
    let mut arguments: Vec<String> = sandbox.into_iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect();
    arguments.extend([PYTHON, "-s", "-B", "-c", HARNESS].map(str::to_owned));
    arguments.extend([limits.cpu_seconds, limits.memory, limits.processes, limits.file].map(|limit| limit.to_string()));
    arguments.push(program.to_owned());
    arguments
}
