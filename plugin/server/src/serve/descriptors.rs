//! How many connections the process's limit of open files allows.

/// Descriptors that stay free for files and for the models.
const RESERVED: usize = 16;

/// The connections that a listener may have, of those that are configured, for it and for the listeners that are
/// still to come. `share` is the part of the free descriptors that it may use.
pub(super) fn affordable(configured: usize, share: f64) -> usize {
    let Some(free) = free_descriptors() else { return configured };
    let possible = bounded(configured, free, share);
    if possible < configured {
        tracing::warn!(
            configured,
            possible,
            "the limit of open files allows fewer connections than are configured; raise it (ulimit -n, LimitNOFILE)"
        );
    }
    possible
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn bounded(configured: usize, free: usize, share: f64) -> usize {
    let possible = (free.saturating_sub(RESERVED) as f64 * share) as usize;
    configured.min(possible).max(1)
}

/// Descriptors that the process may still open; `None` where the system does not say.
fn free_descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(soft_limit(&limits)?.saturating_sub(open))
}

/// The soft limit of open files in `/proc/self/limits`; `None` if there is no limit.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_divided() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            64                   4096                 files     \n";
        assert_eq!(soft_limit(limits), Some(64));
        assert_eq!(soft_limit("Max open files            unlimited            unlimited            files\n"), None);
        // 21 are open in a server on models.
        assert_eq!((bounded(512, 43, 0.75), bounded(64, 43, 0.25), bounded(512, 2, 0.5)), (20, 6, 1));
        assert_eq!(bounded(512, 1 << 20, 0.75), 512);
        assert!(affordable(2, 0.75) <= 2);
    }
}
