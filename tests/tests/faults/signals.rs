//! SIGINT and SIGTERM end the server at every moment, also where its deployment file hangs.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use rsd_protocol::{routes, status::ServerStatus};
use rsd_tests::operator_site::OperatorSite;
use serde_json::{Value, json};

/// How long the end of a process may take that has nothing to wait for.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The exit status of a server that was stopped before its work was done.
const INTERRUPTED: i32 = 130;

fn wait_for(site: &OperatorSite, line: &str) {
    let began = Instant::now();
    while !site.log().contains(line) {
        assert!(began.elapsed() < Duration::from_secs(120), "{line} was not logged:\n{}", site.log());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_signal_ends_the_server_in_every_part_of_its_start() {
    let mut site = OperatorSite::prepare(|_| {});
    for (line, signal) in [("admin API", "TERM"), ("loaded", "INT"), ("warmed up", "TERM"), ("warmed up", "INT")] {
        site.launch();
        wait_for(&site, line);
        site.signal(signal);
        let status = site.exit_within(AT_ONCE).unwrap_or_else(|| panic!("SIG{signal} after `{line}`:\n{}", site.log()));
        // The probe may be over and the server ready when the signal arrives: then it drains.
        let drained = status.success() && site.log().contains("shutting down");
        assert!(drained || status.code() == Some(INTERRUPTED), "{line}: {status}\n{}", site.log());
        assert_eq!(site.token_file(), None, "{line}");
    }
}

#[test]
fn log_lines_are_json_where_that_is_asked_for() {
    let mut site = OperatorSite::prepare(|_| {});
    site.environment = vec![("RSD_LOG_FORMAT", "json".into())];
    site.launch();
    site.until_ready(None);
    site.signal("TERM");
    assert!(site.exit_within(AT_ONCE).is_some_and(|status| status.success()), "{}", site.log());
    // The test program says what it runs before the server logs anything.
    let log = site.log();
    let logged = log.lines().skip_while(|line| !line.starts_with('{')).filter(|line| !line.is_empty());
    let lines: Vec<Value> = logged.map(|line| serde_json::from_str(line).expect(line)).collect();
    let said = |field: &str| lines.iter().all(|line| line[field].is_string());
    assert!(lines.len() > 3 && said("timestamp") && said("level") && said("message"), "{}", site.log());
    assert!(lines.iter().any(|line| line["role"] == "target"), "fields are members: {}", site.log());
    assert!(!site.log().contains("a mix of GPU and CPU"), "{}", site.log());
}

#[test]
fn the_second_signal_ends_a_server_that_drains() {
    let mut site = OperatorSite::prepare(|deployment| {
        deployment["limits"] = json!({"running": 1, "waiting": 500});
        deployment["server"]["drain_seconds"] = 120.into();
    });
    site.launch();
    site.until_ready(None);
    let status = || site.get::<ServerStatus>(routes::STATUS);
    for seed in 0..300 {
        let (url, mut body) = site.question(seed);
        body["max_tokens"] = 1000.into();
        let request = site.client.post(url).json(&body).send();
        site.runtime.spawn(request);
    }
    let metrics = || {
        let url = format!("{}/metrics", site.tokens().endpoint);
        site.runtime.block_on(async { site.client.get(url).send().await?.text().await }).unwrap()
    };
    let began = Instant::now();
    while !metrics().lines().any(|line| line.starts_with("rsd_requests_waiting 2")) {
        assert!(began.elapsed() < Duration::from_secs(60), "the requests do not arrive: {:?}", status());
        std::thread::sleep(Duration::from_millis(20));
    }
    site.signal("TERM");
    assert_eq!(site.exit_within(Duration::from_millis(700)), None, "it did not drain:\n{}", site.log());
    site.signal("TERM");
    let ended = site.exit_within(AT_ONCE).unwrap_or_else(|| panic!("the second signal is ignored:\n{}", site.log()));
    assert_eq!(ended.code(), Some(INTERRUPTED), "{}", site.log());
    assert_eq!(site.token_file(), None);
}

#[test]
fn a_deployment_file_that_hangs_stops_neither_the_admin_api_nor_the_end() {
    let mut site = OperatorSite::start(0.5);
    fs::remove_file(&site.file).unwrap();
    assert!(Command::new("mkfifo").arg(&site.file).status().unwrap().success());
    site.signal("HUP");
    wait_for(&site, "it is not a regular file");
    let tokens = site.tokens();
    let change = json!({"set": {"policy": {"delta": 0.25}}});
    let patch = |change: Value| {
        let patch = site.client.patch(format!("{}{}", tokens.admin, routes::POLICY)).json(&change);
        let patch = patch.header("if-match", "*").bearer_auth(&tokens.write_token).timeout(AT_ONCE);
        site.runtime.block_on(async { patch.send().await }).unwrap().status().as_u16()
    };
    assert_eq!(patch(change), 200);
    assert_eq!(site.policy().values.policy.delta.to_string(), "0.25");
    assert!(patch(json!({"set": {"policy": {"delta": 0.75}}, "persist": true})) >= 400);
    site.signal("TERM");
    let ended = site.exit_within(AT_ONCE).unwrap_or_else(|| panic!("the server does not end:\n{}", site.log()));
    assert!(ended.success(), "{ended}\n{}", site.log());
}
