//! Programs that try to get out, each in a real sandbox. Without bubblewrap every one of these tests fails and says so.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use rsd_sandbox::{ExecutionLimits, ExecutionOutcome, PythonSandbox};

async fn sandbox() -> PythonSandbox {
    let limits = ExecutionLimits {
        cpu_seconds: 2,
        wall: Duration::from_secs(10),
        memory: 128 << 20,
        ..ExecutionLimits::default()
    };
    PythonSandbox::find(limits).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn run(program: &str) -> ExecutionOutcome {
    sandbox().await.run(program).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn passes(program: &str) {
    assert_eq!(run(program).await, ExecutionOutcome::Passed, "{program}");
}

/// Asserts that each Python expression raises an `OSError` with this text.
async fn each_raises(expressions: &[&str], text: &str) {
    for expression in expressions {
        let program = format!(
            "import os, socket\ntry:\n    {expression}\nexcept OSError as error:\n    assert {text:?} in str(error), \
             error\nelse:\n    raise ValueError('it worked')"
        );
        passes(&program).await;
    }
}

/// Processes of this machine, in any namespace below this one, whose command line contains `text`.
fn processes(text: &str) -> usize {
    let command_line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(command_line);
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

/// Waits, a few seconds at most, until no process has this in its command line.
fn gone(text: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes(text) > 0 {
        assert!(Instant::now() < deadline, "a process is left: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_leaves_no_process() {
    let counted = "
import os
started = 0
try:
    while True:
        if os.fork() == 0:
            os.execv('/usr/bin/sleep', ['sleep', '3217.5'])
        started += 1
except OSError as error:
    assert error.errno == 11, error
assert 1 <= started < 8, started
";
    passes(counted).await;
    gone("3217.5");
    let relentless = "
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
";
    assert_eq!(run(relentless).await, ExecutionOutcome::TimedOut);
    gone(relentless);
}

#[tokio::test]
async fn threads_are_bounded_too() {
    let program = "
import threading, time
try:
    for n in range(100):
        threading.Thread(target=time.sleep, args=(30,)).start()
except RuntimeError:
    assert n < 8, n
else:
    raise ValueError('it worked')
";
    passes(program).await;
}

#[tokio::test]
async fn a_process_that_outlives_its_program_is_killed() {
    let program = "
import subprocess
subprocess.Popen(['/usr/bin/sleep', '3218.5'], start_new_session=True, stdin=subprocess.DEVNULL)
";
    passes(program).await;
    gone("3218.5");
}

#[tokio::test]
async fn a_program_that_is_no_longer_waited_for_is_killed() {
    let sandbox = sandbox().await;
    let program = "import os\nos.execv('/usr/bin/sleep', ['sleep', '3219.5'])";
    let run = tokio::spawn(async move { sandbox.run(program).await });
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes("sleep\x003219.5") == 0 {
        assert!(Instant::now() < deadline, "the program does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    gone("3219.5");
}

#[tokio::test]
async fn nothing_can_be_written_outside_a_private_folder() {
    let paths = ["/x", "/usr/x", "/usr/lib/x", "/usr/bin/python3", "/dev/x", "/dev/shm/x", "/lib/x"];
    let opened: Vec<String> = paths.iter().map(|path| format!("open({path:?}, 'w')")).collect();
    each_raises(&opened.iter().map(String::as_str).collect::<Vec<_>>(), "Read-only file system").await;
    let name = format!("rsd-sandbox-{}", std::process::id());
    passes(&format!("open('/tmp/{name}', 'w').write('x')\nassert open('/tmp/{name}').read() == 'x'")).await;
    assert!(!std::path::Path::new("/tmp").join(&name).exists());
    passes(&format!("import os\nassert os.listdir('/tmp') == [], {name:?}")).await;
}

#[tokio::test]
async fn the_disk_cannot_be_filled() {
    // The kernel sends SIGXFSZ, which Python ignores.
    let large = "f = open('/tmp/x', 'wb'); f.seek(1 << 22); f.write(b'x'); f.flush()";
    each_raises(&[large], "File too large").await;
    each_raises(&["[open(f'/tmp/{n}', 'wb').write(b'x' * (1 << 20)) for n in range(40)]"], "No space left on device")
        .await;
}

#[tokio::test]
async fn there_is_no_network_not_even_this_machines() {
    each_raises(
        &["socket.create_connection(('192.0.2.1', 80), 2)", "socket.create_connection(('2001:db8::1', 80), 2)"],
        "etwork is unreachable",
    )
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    each_raises(&[&format!("socket.create_connection(('127.0.0.1', {port}), 2)")], "Connection refused").await;
    each_raises(&["socket.getaddrinfo('example.org', 80)"], "").await;
}

#[tokio::test]
async fn files_of_this_machine_and_its_users_cannot_be_seen() {
    let home = std::env::home_dir().unwrap().display().to_string();
    let here = env!("CARGO_MANIFEST_DIR");
    let program = format!(
        "import os\nfor path in ['/etc/shadow', '/etc/passwd', '/root', '/home', '/var', '/run', '/sys', {home:?}, \
         {here:?}]:\n    assert not os.path.exists(path), path\nassert set(os.listdir('/')) <= {{'dev', 'lib', \
         'lib64', 'proc', 'tmp', 'usr'}}, os.listdir('/')"
    );
    passes(&program).await;
}

#[tokio::test]
async fn links_do_not_lead_out() {
    let here = env!("CARGO_MANIFEST_DIR");
    let program = format!(
        "
import os
for path in ['/etc/shadow', '{here}/Cargo.toml', '/proc/1/root/etc/shadow', '/proc/1/cwd/../etc/shadow', '../../../etc/shadow']:
    os.symlink(path, '/tmp/link')
    try:
        open('/tmp/link')
    except OSError as error:
        assert error.errno in (2, 13), error
    else:
        raise ValueError(path)
    os.unlink('/tmp/link')
os.symlink('/usr/x', '/tmp/link')
try:
    open('/tmp/link', 'w')
except OSError as error:
    assert error.errno == 30, error
else:
    raise ValueError('it worked')
"
    );
    passes(&program).await;
}

#[tokio::test]
async fn environment_variables_are_seen_neither_in_the_program_nor_in_the_processes_around_it() {
    // Every test process has variables such as CARGO_MANIFEST_DIR.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let program = "
import glob, os
assert set(os.environ) <= {'PATH', 'HOME', 'LANG', 'LC_CTYPE', 'PWD', 'PYTHONHASHSEED'}, os.environ
texts = [open(path, 'rb').read() for path in glob.glob('/proc/[0-9]*/environ')]
assert len(texts) >= 2 and not any(b'CARGO' in text for text in texts), texts
";
    passes(program).await;
}

#[tokio::test]
async fn open_files_of_this_process_are_not_inherited() {
    // What a careless parent leaves open, such as a shell's `3<secret`.
    let secret = tempfile::NamedTempFile::new().unwrap();
    let exe = std::env::current_exe().unwrap();
    let script = "exec 7<\"$0\"; exec \"$1\" --exact --nocapture only_the_standard_streams_and_the_report_are_open";
    let status = Command::new("/bin/sh").arg("-c").arg(script).arg(secret.path()).arg(exe).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn only_the_standard_streams_and_the_report_are_open() {
    // 4 is the folder that is listed.
    passes("import os\nassert os.listdir('/proc/self/fd') == ['0', '1', '2', '3', '4'], os.listdir('/proc/self/fd')")
        .await;
}

#[tokio::test]
async fn signals_reach_no_process_outside() {
    let mut other = Command::new("/usr/bin/sleep").arg("60").spawn().unwrap();
    let program = format!(
        "
import os, signal
for pid in [1, os.getppid()]:
    os.kill(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGSTOP)
for pid in [{}, {}, -1]:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    else:
        raise ValueError(pid)
",
        std::process::id(),
        other.id()
    );
    passes(&program).await;
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn privileges_cannot_be_gained() {
    let program = "
import os, subprocess
status = open('/proc/self/status').read()
capabilities = [line.split()[1] for line in status.splitlines() if line.startswith('Cap')]
assert capabilities == ['0000000000000000'] * 5, status
assert 'NoNewPrivs:\\t1' in status and 'Seccomp:\\t2' in status, status
for command in [['unshare', '--user', 'true'], ['mount', '-t', 'tmpfs', 'x', '/tmp'], ['su', '-c', 'true']]:
    assert subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode != 0, command
for call in [lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.chroot('/usr')]:
    try:
        call()
    except OSError:
        pass
    else:
        raise ValueError('it worked')
assert os.getresuid() == os.getresgid() == (65534, 65534, 65534), (os.getresuid(), os.getresgid())
assert os.getgroups() in [[], [65534]], os.getgroups()
";
    passes(program).await;
}

#[tokio::test]
async fn other_processes_cannot_be_traced_and_their_memory_not_read() {
    let program = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16
for pid in [1, os.getpid()]:
    assert libc.ptrace(PTRACE_ATTACH, pid, None, None) == -1 and ctypes.get_errno() == 1, pid
    buffer = (ctypes.c_char * 8)()
    assert libc.process_vm_readv(pid, buffer, 0, buffer, 0, 0) == -1 and ctypes.get_errno() == 1, pid
";
    passes(program).await;
}

#[tokio::test]
async fn memory_is_bounded_and_not_hidden_where_no_limit_counts_it() {
    let memory = ExecutionOutcome::Failed("MemoryError".to_owned());
    assert_eq!(run("x = bytearray(1 << 30)").await, memory);
    assert_eq!(run("x = []\nwhile True:\n    x.append('y' * (1 << 20) + str(len(x)))").await, memory);
    let program = "
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
IPC_PRIVATE, IPC_CREAT = 0, 0o1000
assert libc.shmget(IPC_PRIVATE, 1 << 28, IPC_CREAT | 0o600) == -1 and ctypes.get_errno() == 1, ctypes.get_errno()
for call in [lambda: os.memfd_create('x'), lambda: mmap.mmap(-1, 1 << 30)]:
    try:
        call()
    except OSError as error:
        assert error.errno in (1, 12), error
    else:
        raise ValueError('it worked')
";
    passes(program).await;
}

#[tokio::test]
async fn limits_cannot_be_raised() {
    let program = "
import resource
for name in ['CPU', 'AS', 'NPROC', 'FSIZE', 'NOFILE', 'CORE']:
    number = getattr(resource, f'RLIMIT_{name}')
    soft, hard = resource.getrlimit(number)
    assert hard != resource.RLIM_INFINITY, name
    try:
        resource.setrlimit(number, (hard + 1, hard + 1))
    except (ValueError, PermissionError):
        pass
    else:
        raise KeyError(name)
";
    passes(program).await;
}

#[tokio::test]
async fn endless_output_is_read_and_forgotten() {
    let limits = ExecutionLimits { wall: Duration::from_secs(3), ..ExecutionLimits::default() };
    let sandbox = PythonSandbox::find(limits).await.unwrap_or_else(|error| panic!("{error}"));
    for stream in ["stdout", "stderr"] {
        let program = format!("import sys\nwhile True:\n    sys.{stream}.write('x' * 100_000)");
        assert_eq!(sandbox.run(&program).await.unwrap(), ExecutionOutcome::TimedOut, "{stream}");
    }
    passes("print('x' * 5_000_000, flush=True)").await;
    let end = ExecutionOutcome::Failed("AssertionError: the end".to_owned());
    assert_eq!(run("print('x' * 5_000_000, flush=True)\nassert False, 'the end'").await, end);
}

#[tokio::test]
async fn a_program_cannot_pass_for_the_sandbox_itself() {
    // What a sandbox that does not start says. Else an answer could end an evaluation.
    let program = "import sys\nsys.stderr.write('bwrap: Creating new namespace failed\\n')\nsys.exit(1)";
    let expected = ExecutionOutcome::Failed("bwrap: Creating new namespace failed".to_owned());
    assert_eq!(run(program).await, expected);
    let flood = "import os\nwhile True:\n    os.write(3, b'x' * 4096)";
    assert!(matches!(run(flood).await, ExecutionOutcome::Failed(_)));
}
