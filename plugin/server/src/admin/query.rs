//! Query parameters of the admin API.

use axum::{extract::Query, http::Uri};
use rsd_protocol::error::ErrorCode;
use serde::{Deserialize, de::DeserializeOwned};

use super::error::AdminError;

/// Highest number of thresholds in one preview.
const MAX_THRESHOLDS: usize = 1000;

/// `?dry_run=true`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DryRunQuery {
    pub dry_run: bool,
}

/// `?limit=20`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitQuery {
    pub limit: usize,
}

impl Default for LimitQuery {
    fn default() -> Self {
        Self { limit: 100 }
    }
}

/// `?delta=0.1..0.9&step=0.05` or `?delta=0.3`; the default is 0 to 1.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeltaQuery {
    pub delta: String,
    pub step: f64,
}

impl Default for DeltaQuery {
    fn default() -> Self {
        Self { delta: "0..1".to_owned(), step: 0.05 }
    }
}

/// A query without parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyQuery {}

/// Parses the query of a request. An unknown parameter is an error: a mistyped `dry_run` must not make a change.
pub(super) fn parse<T: DeserializeOwned>(uri: &Uri) -> Result<T, AdminError> {
    let query = Query::<T>::try_from_uri(uri);
    query.map(|Query(query)| query).map_err(|error| AdminError::new(ErrorCode::InvalidQuery, error.body_text()))
}

impl DeltaQuery {
    /// The thresholds of the query.
    pub fn thresholds(&self) -> Result<Vec<f64>, AdminError> {
        let wrong = |field, message: &str| Err(AdminError::at(ErrorCode::InvalidQuery, field, message));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|delta| (-1.0..=2.0).contains(delta));
        let (low, high) = self.delta.split_once("..").unwrap_or((&self.delta, &self.delta));
        let (Some(low), Some(high)) = (number(low), number(high)) else {
            return wrong("delta", "delta: expected a threshold such as 0.3 or a range such as 0.1..0.9, from -1 to 2");
        };
        if high < low {
            return wrong("delta", "delta: the range ends below its start");
        }
        if !self.step.is_finite() || self.step <= 0.0 || (high - low) / self.step > MAX_THRESHOLDS as f64 {
            return wrong("step", "step: expected a number above 0 that gives at most 1000 thresholds");
        }
        // The steps are multiplied, because a sum such as 0.1 + 0.05 + ... would drift off the grid.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let steps = ((high - low) / self.step + 1e-9).floor() as usize;
        Ok((0..=steps).map(|step| ((low + step as f64 * self.step) * 1e9).round() / 1e9).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deltas(query: &str) -> Result<Vec<f64>, String> {
        let uri: Uri = format!("/p?{query}").parse().unwrap();
        parse::<DeltaQuery>(&uri).and_then(|deltas| deltas.thresholds()).map_err(|error| error.detail.message)
    }

    #[test]
    fn a_range_is_a_grid_with_both_ends() {
        assert_eq!(deltas("delta=0.1..0.3&step=0.05").unwrap(), [0.1, 0.15, 0.2, 0.25, 0.3]);
        assert_eq!(deltas("delta=0.3").unwrap(), [0.3]);
        assert_eq!(deltas("").unwrap().len(), 21);
    }

    #[test]
    fn nonsense_is_refused() {
        for query in [
            "delta=x",
            "delta=0.5..0.1",
            "delta=NaN",
            "delta=0..3",
            "step=0",
            "step=-1",
            "step=inf",
            "step=1e-9",
            "dleta=1",
        ] {
            assert!(deltas(query).is_err(), "{query}");
        }
    }
}
