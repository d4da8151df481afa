//! The admin API's routes.

/// The policy: GET, PATCH.
pub const POLICY: &str = "/admin/v1/policy";
/// Its revisions: GET, newest first.
pub const HISTORY: &str = "/admin/v1/policy/history";
/// Back to an earlier revision: POST.
pub const ROLLBACK: &str = "/admin/v1/policy/rollback";
/// Write what changed at run time into the deployment file: POST.
pub const PERSIST: &str = "/admin/v1/policy/persist";
/// Keep a change that would be taken back: POST.
pub const KEEP: &str = "/admin/v1/policy/keep";
/// Read the deployment file again: POST.
pub const RELOAD: &str = "/admin/v1/reload";
/// Acceptance, speed-up and FLOPs over delta: GET.
pub const PREVIEW: &str = "/admin/v1/preview";
/// What the server is and how it is: GET.
pub const STATUS: &str = "/admin/v1/status";
/// Recent requests: GET.
pub const TRACES: &str = "/admin/v1/traces";
/// One of them: GET.
pub const TRACE: &str = "/admin/v1/traces/{id}";
/// Recent attempts, the denied too: GET.
pub const AUDIT: &str = "/admin/v1/audit";
/// What happens, as it happens: GET, server-sent events.
pub const EVENTS: &str = "/admin/v1/events";
/// This API, described: GET.
pub const OPENAPI: &str = "/admin/v1/openapi.json";

/// Default port of the admin listener.
pub const DEFAULT_PORT: u16 = 1235;
