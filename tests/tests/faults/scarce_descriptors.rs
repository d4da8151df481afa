//! A server that may open 64 files, and more idle connections than that.

use std::{
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use rsd_protocol::{routes, status::ServerStatus};
use rsd_tests::operator_site::OperatorSite;

#[test]
fn idle_connections_that_use_up_the_descriptors_shut_out_nobody_for_long() {
    let mut site = OperatorSite::prepare(|_| {});
    site.launch();
    let limited = Command::new("prlimit").args([format!("--pid={}", site.pid()), "--nofile=64:64".to_owned()]).status();
    assert!(limited.unwrap().success());
    site.until_ready(None);
    assert!(site.log().contains("the limit of open files allows fewer connections"), "{}", site.log());
    let tokens = site.tokens();
    let idle: Vec<TcpStream> = [&tokens.endpoint, &tokens.admin]
        .into_iter()
        .flat_map(|url| {
            let address = url.strip_prefix("http://").unwrap();
            (0..100).map(move |_| TcpStream::connect(address).unwrap())
        })
        .collect();
    let began = Instant::now();
    let health = || {
        let request = site.client.get(format!("{}/health", tokens.endpoint)).timeout(Duration::from_secs(30));
        site.runtime.block_on(async { request.send().await?.error_for_status() })
    };
    health().unwrap();
    assert!(site.get::<ServerStatus>(routes::STATUS).is_some(), "{}", site.log());
    println!("both APIs answered {:?} after {} idle connections", began.elapsed(), idle.len());
    assert!(!site.decided_under(1).is_empty());
    drop(idle);
    site.signal("TERM");
    assert!(site.exit_within(Duration::from_secs(40)).is_some_and(|status| status.success()), "{}", site.log());
}
