//! Starts a server on two tiny models with a scripted reward.

use rsd_config::LimitsConfig;

use rsd_server::ApiKey;
pub(crate) use rsd_tests::tiny_pipeline::limits;
use rsd_tests::{test_server::TestServer, tiny_pipeline};

pub(crate) async fn serve_with(limits: LimitsConfig, key: Option<ApiKey>) -> TestServer {
    TestServer::start(tiny_pipeline::rsd(&limits).await.unwrap(), limits, key).await.unwrap()
}

pub(crate) async fn serve() -> TestServer {
    serve_with(limits(), None).await
}
