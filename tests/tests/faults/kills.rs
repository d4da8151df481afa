//! `kill -9` at any moment of a start or of a write into the deployment file: the next start works.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rsd_config::TargetRule;
use rsd_protocol::routes;
use rsd_tests::{operator_site::OperatorSite, tiny_model::SplitMix64};
use serde_json::json;

#[test]
fn a_server_that_is_killed_in_its_first_starts_answers_in_the_next_one() {
    let mut random = SplitMix64(5);
    let mut site = OperatorSite::prepare(|_| {});
    // The caches are cold: hidden states are exposed and head and models are read in these starts.
    for _ in 0..8 {
        site.launch();
        thread::sleep(Duration::from_millis(random.below(1200)));
        site.kill();
        site.forget_tokens();
    }
    site.launch();
    site.until_ready(None);
    assert!(!site.decided_under(1).is_empty());
}

#[test]
fn a_server_that_is_killed_while_it_writes_its_file_has_the_old_or_the_new_one() {
    let mut random = SplitMix64(6);
    let mut site = OperatorSite::start(0.5);
    for _ in 0..6 {
        let (tokens, client) = (site.tokens(), site.client.clone());
        let stop = AtomicBool::new(false);
        let delay = Duration::from_millis(20 + random.below(150));
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                for delta in (1..=9).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let change = json!({"set": {"policy": {"delta": f64::from(delta) / 10.0}}, "persist": true});
                    let patch = client.patch(format!("{}{}", tokens.admin, routes::POLICY)).json(&change);
                    let patch = patch.header("if-match", "*").bearer_auth(&tokens.write_token);
                    // It fails once the server is killed.
                    let _ = runtime.block_on(async { patch.timeout(Duration::from_secs(5)).send().await });
                }
            });
            thread::sleep(delay);
            site.kill();
            stop.store(true, Ordering::Relaxed);
        });
        site.forget_tokens();
        let loaded = rsd_config::load(Some(&site.file), [], &[], TargetRule::Required).unwrap();
        let tenths = loaded.deployment.policy.delta * 10.0;
        assert!((tenths - tenths.round()).abs() < 1e-6, "{tenths}");
        site.launch();
        site.until_ready(Some(&tokens.write_token));
        assert!((site.policy().values.policy.delta * 10.0 - tenths).abs() < 1e-6);
    }
}
