//! The filter of system calls, as the kernel's seccomp takes it: a classic BPF program.

/// The filter's bytes; empty on a system for which there is none.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn of_this_system() -> Vec<u8> {
    linux::filter()
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn of_this_system() -> Vec<u8> {
    Vec::new()
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux {
    /// System calls that fail with EPERM.
    const DENIED: [libc::c_long; 13] = [
        // Memory that no limit of a process counts.
        libc::SYS_shmget,
        libc::SYS_memfd_create,
        libc::SYS_memfd_secret,
        // Other processes' memory.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        // Parts of the kernel that no answer needs and many attacks have used.
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
    ];

    /// `AUDIT_ARCH_*` of linux/audit.h.
    #[cfg(target_arch = "x86_64")]
    const ARCHITECTURE: u32 = 0xC000_003E;
    #[cfg(target_arch = "aarch64")]
    const ARCHITECTURE: u32 = 0xC000_00B7;
    /// Numbers from here on are those of x86-64's x32, which would go around the list. ARM64 has none so high.
    const X32: u32 = 0x4000_0000;
    /// Places in `struct seccomp_data`.
    const NUMBER_AT: u32 = 0;
    const ARCHITECTURE_AT: u32 = 4;

    /// A `struct sock_filter`: jumps count the instructions that are skipped.
    fn instruction(code: u32, if_true: u8, if_false: u8, value: u32) -> [u8; 8] {
        let [c0, c1, ..] = code.to_ne_bytes();
        let [v0, v1, v2, v3] = value.to_ne_bytes();
        [c0, c1, if_true, if_false, v0, v1, v2, v3]
    }

    pub(super) fn filter() -> Vec<u8> {
        let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
        let ends = |what| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, what);
        // Each goes on to the next instruction if it holds, and skips that otherwise.
        let is = |value| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, value);
        let is_at_least = |value| instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, value);
        let is_not = |value| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, value);
        let kill = ends(libc::SECCOMP_RET_KILL_PROCESS);
        let deny = ends(libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs());
        let mut filter = vec![load(ARCHITECTURE_AT), is_not(ARCHITECTURE), kill];
        filter.extend([load(NUMBER_AT), is_at_least(X32), kill]);
        for number in DENIED.into_iter().filter_map(|number| u32::try_from(number).ok()) {
            filter.extend([is(number), deny]);
        }
        filter.push(ends(libc::SECCOMP_RET_ALLOW));
        filter.concat()
    }
}
