//! Paths of the admin API.

/// `GET` the policy, `PATCH` to change it.
pub const POLICY: &str = "/admin/v1/policy";
/// `GET` the policy's revisions, newest first.
pub const HISTORY: &str = "/admin/v1/policy/history";
/// `POST` to return to an earlier revision.
pub const ROLLBACK: &str = "/admin/v1/policy/rollback";
/// `POST` to write the changes made at run time into the deployment file.
pub const PERSIST: &str = "/admin/v1/policy/persist";
/// `POST` to confirm a change that would otherwise be reverted.
pub const CONFIRM: &str = "/admin/v1/policy/confirm";
/// Deprecated path of [`CONFIRM`]; served for one more release.
pub const CONFIRM_OLD: &str = "/admin/v1/policy/keep";
/// `POST` to read the deployment file again.
pub const RELOAD: &str = "/admin/v1/reload";
/// `GET` the predicted acceptance, speedup and FLOP savings over a range of thresholds.
pub const PREVIEW: &str = "/admin/v1/preview";
/// `GET` what runs and in which state it is.
pub const STATUS: &str = "/admin/v1/status";
/// `GET` recent requests.
pub const TRACES: &str = "/admin/v1/traces";
/// `GET` one recent request, step by step.
pub const TRACE: &str = "/admin/v1/traces/{id}";
/// `GET` recent attempts to change something, including refused ones.
pub const AUDIT: &str = "/admin/v1/audit";
/// `GET` a stream of server-sent events.
pub const EVENTS: &str = "/admin/v1/events";
/// `GET` the `OpenAPI` document of this API.
pub const OPENAPI: &str = "/admin/v1/openapi.json";

/// Default port of the admin listener.
pub const DEFAULT_PORT: u16 = 1235;
