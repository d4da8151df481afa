//! `kill -9` at any moment of a start or of a write into the deployment file: the next start works.

use std::{
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rsd_config::TargetRule;
use rsd_protocol::routes;
use rsd_tests::{operator_site::OperatorSite, programs, tiny_model::SplitMix64};
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
fn a_preparation_that_is_killed_leaves_nothing_that_the_next_one_takes_for_whole() {
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/prm/qwen-prm");
    let mut random = SplitMix64(7);
    let prepare = |cache: &Path| {
        let cache = cache.to_str().unwrap();
        let mut command = programs::command(&["mistralrs-rsd", "prm", "prepare", checkpoint, "--cache", cache]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let began = Instant::now();
    let undisturbed = tempfile::tempdir().unwrap();
    assert!(prepare(undisturbed.path()).status().unwrap().success());
    let whole = u64::try_from(began.elapsed().as_millis()).unwrap();
    let disturbed = tempfile::tempdir().unwrap();
    for _ in 0..12 {
        let mut child = prepare(disturbed.path()).spawn().unwrap();
        thread::sleep(Duration::from_millis(random.below(whole.max(1))));
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(prepare(disturbed.path()).status().unwrap().success());
    let weights = |folder: &Path| -> Vec<Vec<u8>> {
        let mut open = vec![folder.to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    open.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "safetensors") {
                    found.push(std::fs::read(entry).unwrap());
                }
            }
        }
        found.sort();
        found
    };
    let [expected, found] = [undisturbed.path(), disturbed.path()].map(weights);
    assert!(!expected.is_empty() && found == expected, "{} and {} files", expected.len(), found.len());
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
