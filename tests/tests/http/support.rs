//! A server on two tiny models with a scripted reward.

use mistralrs_rsd::{config::LimitsConfig, server::ApiKey};
pub(crate) use rsd_tests::pair::limits;
use rsd_tests::{pair, served::Served};

pub(crate) async fn serve_with(limits: LimitsConfig, key: Option<ApiKey>) -> Served {
    Served::start(pair::rsd(&limits).await.unwrap(), limits, key).await.unwrap()
}

pub(crate) async fn serve() -> Served {
    serve_with(limits(), None).await
}
