//! The model names of `GET /v1/models` and `GET /v1/models/{id}`.

use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use crate::app::AppState;

/// The model names of `GET /v1/models`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelList {
    /// `list`.
    object: &'static str,
    data: Vec<ModelEntry>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelEntry {
    /// The name that requests give as `model`.
    id: String,
    /// `model`.
    object: &'static str,
    /// When the server started, in seconds since 1970.
    created: u64,
    /// `local`.
    owned_by: &'static str,
}

impl ModelList {
    /// The names that answer now.
    pub fn new(app: &AppState) -> Self {
        let names = app.names.all(&app.rsd.policy.current().settings);
        let entry = |id| ModelEntry { id, object: "model", created: app.started, owned_by: "local" };
        Self { object: "list", data: names.into_iter().map(entry).collect() }
    }

    /// The entry of one name.
    pub fn find(self, id: &str) -> Result<ModelEntry, ApiError> {
        let names: Vec<_> = self.data.iter().map(|model| model.id.clone()).collect();
        self.data.into_iter().find(|model| model.id == id).ok_or_else(|| ApiError::model_not_found(id, &names))
    }
}
