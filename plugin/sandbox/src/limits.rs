//! What a program may use.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Limits on one program. Beyond them it is ended, or the system call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionLimits {
    /// CPU time of each process, in whole seconds.
    pub cpu_seconds: u64,
    /// Time from start to end, whatever the program does.
    pub wall: Duration,
    /// Address space of each process, in bytes.
    pub memory: u64,
    /// Processes and threads at the same time, the sandbox's own two included.
    pub processes: u64,
    /// Bytes of each file.
    pub file: u64,
    /// Bytes of all files in `/tmp` together.
    pub files: u64,
    /// Bytes of output that are read; of more, the end.
    pub output: usize,
}

impl Default for ExecutionLimits {
    /// For short functions and their tests.
    fn default() -> Self {
        Self {
            // The slowest reference solution of MBPP takes 4 seconds.
            cpu_seconds: 10,
            wall: Duration::from_secs(60),
            memory: 512 * MIB,
            processes: 8,
            file: 4 * MIB,
            files: 16 * MIB,
            output: 64 << 10,
        }
    }
}
