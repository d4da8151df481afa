//! Random clients and a restless operator against one server. Every request is accounted for, no engine dies, and the
//! process does not grow.
//!
//! `RSD_CAMPAIGN_SECONDS` sets how long it runs (default: 20), `RSD_CAMPAIGN_SEED` the random choices, which are printed.
//! `RSD_CAMPAIGN_MODELS=demo` takes the demo's models and its head in place of tiny ones.

use std::{
    env, fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Client;
use rsd_protocol::{routes, token_file::TokenFile};
use rsd_tests::{operator_site::OperatorSite, tiny_model::SplitMix64};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    client::{ClientOutcome, ClientPlan},
    vital_signs::{VitalSigns, samples, sum},
};

/// Requests that run and wait at most.
const CAPACITY: usize = 8;
/// What a process may vary by without growing.
const THREADS: u64 = 4;
const DESCRIPTORS: u64 = 8;
const KILOBYTES: u64 = 64 << 10;

#[derive(Debug, Default, PartialEq, Eq)]
struct RequestLedger {
    sent: usize,
    answered: usize,
    refused: usize,
    left: usize,
    wronged: Vec<String>,
}

impl RequestLedger {
    fn enter(&mut self, outcome: ClientOutcome) {
        self.sent += 1;
        match outcome {
            ClientOutcome::Answered => self.answered += 1,
            ClientOutcome::Refused => self.refused += 1,
            ClientOutcome::Left => self.left += 1,
            ClientOutcome::Wronged(how) => self.wronged.push(how),
        }
    }
}

/// The models of the server.
#[derive(Debug, Clone, Copy)]
enum CampaignModels {
    Tiny,
    Demo,
}

impl CampaignModels {
    fn chosen() -> Self {
        match env::var("RSD_CAMPAIGN_MODELS").as_deref() {
            Err(_) | Ok("tiny") => Self::Tiny,
            Ok("demo") => Self::Demo,
            Ok(other) => panic!("RSD_CAMPAIGN_MODELS={other}: expected tiny or demo"),
        }
    }

    /// Sets the roles and the reward. The caches are so small that they are full before the campaign begins.
    fn deploy(self, deployment: &mut Value) {
        let cache_mb = match self {
            Self::Tiny => 4,
            Self::Demo => {
                for role in ["draft", "target"] {
                    deployment["roles"][role] = json!({"bundled": role, "cpu": true, "context_length": 4096});
                }
                let head = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/demo-head.safetensors");
                deployment["reward"] =
                    json!({"kind": "resident", "head": head, "checks": ["arithmetic"], "reject_false": true});
                32
            }
        };
        for role in ["draft", "target"] {
            deployment["roles"][role]["prefix_cache_mb"] = cache_mb.into();
        }
    }

    /// How long a client may wait for its answer before it leaves, in milliseconds: about as long as an answer takes,
    /// so that clients leave in every phase of it.
    fn longest_wait(self) -> u64 {
        match self {
            Self::Tiny => 60,
            Self::Demo => 6000,
        }
    }
}

pub fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: expected a number")))
}

#[test]
fn every_request_of_a_campaign_is_accounted_for_and_the_server_is_as_before() {
    let (seconds, seed) = (number("RSD_CAMPAIGN_SECONDS", 20), number("RSD_CAMPAIGN_SEED", 1));
    let models = CampaignModels::chosen();
    println!("RSD_CAMPAIGN_SECONDS={seconds} RSD_CAMPAIGN_SEED={seed} RSD_CAMPAIGN_MODELS={models:?}");
    let mut site = OperatorSite::prepare(|deployment| {
        deployment["limits"] = json!({"running": 2, "waiting": (CAPACITY - 2)});
        models.deploy(deployment);
    });
    if let CampaignModels::Demo = models {
        // The server's home folder is empty.
        site.environment.push(("RSD_CACHE", rsd_head::models::cache_dir().unwrap().into()));
    }
    site.launch();
    site.until_ready(None);
    let (tokens, client, pid) = (site.tokens(), site.client.clone(), site.pid());
    let address = tokens.endpoint.strip_prefix("http://").unwrap().to_owned();
    let mut random = SplitMix64(seed);
    let mut ledger = RequestLedger::default();
    // Buffers, threads and caches grow to their size first.
    let warm_up = Duration::from_secs((seconds / 4).clamp(5, 60));
    site.runtime.block_on(rounds(&address, &mut random, &mut ledger, models, warm_up));
    let before = VitalSigns::read(pid);

    let stop = Arc::new(AtomicBool::new(false));
    let operator = site.runtime.spawn(operate(client, tokens, site.file.clone(), pid, seed, stop.clone()));
    site.runtime.block_on(rounds(&address, &mut random, &mut ledger, models, Duration::from_secs(seconds)));
    stop.store(true, Ordering::Relaxed);
    let interventions = site.runtime.block_on(operator).unwrap();

    let metrics = site.runtime.block_on(idle_metrics(&site));
    let after = VitalSigns::read(pid);
    let outcome = |name: &str| sum(&metrics, &format!("rsd_requests_total{{outcome=\"{name}\"")) as usize;
    println!(
        "{} requests: {} answered, {} refused, {} left; {interventions} interventions",
        ledger.sent, ledger.answered, ledger.refused, ledger.left
    );
    println!("before {before:?}\nafter  {after:?}");
    assert_eq!(ledger.wronged, [""; 0], "{}", site.log());
    assert_eq!(ledger.sent, ledger.answered + ledger.refused + ledger.left);
    assert!(ledger.answered > 10 && ledger.left > 10 && ledger.refused > 10, "{ledger:?}");
    let (completed, refused) = (outcome("completed"), outcome("refused"));
    assert_eq!(outcome("failed"), 0, "{}", site.log());
    assert!((ledger.answered..=ledger.answered + ledger.left).contains(&completed), "{completed} {ledger:?}");
    assert!((ledger.refused..=ledger.refused + ledger.left).contains(&refused), "{refused} {ledger:?}");
    assert_eq!(sum(&metrics, "rsd_model_failures_total"), 0.0, "an engine died, or a model failed:\n{}", site.log());
    assert_eq!(sum(&metrics, "rsd_model_up"), 3.0);
    assert!(after.threads <= before.threads + THREADS, "{before:?} {after:?}");
    assert!(after.descriptors <= before.descriptors + DESCRIPTORS, "{before:?} {after:?}");
    assert!(after.kilobytes <= before.kilobytes + before.kilobytes / 20 + KILOBYTES, "{before:?} {after:?}");
    site.signal("TERM");
    let status = site.exit_within(Duration::from_secs(40)).expect("the server does not end");
    assert!(status.success(), "{status}: {}", site.log());
}

/// Sends clients for a while: a few at a time, and now and then ten times as many as the server takes.
async fn rounds(
    address: &str,
    random: &mut SplitMix64,
    ledger: &mut RequestLedger,
    models: CampaignModels,
    time: Duration,
) {
    let end = Instant::now() + time;
    let mut crowd = true;
    while Instant::now() < end {
        let clients = if std::mem::take(&mut crowd) || random.below(12) == 0 {
            10 * CAPACITY
        } else {
            1 + random.below(CAPACITY as u64) as usize
        };
        let plans: Vec<_> = (0..clients).map(|_| ClientPlan::draw(random, models.longest_wait())).collect();
        let clients = plans.into_iter().map(|plan| plan.carry_out(address));
        for outcome in futures::future::join_all(clients).await {
            ledger.enter(outcome);
        }
    }
}

/// Changes the policy and the file, sends SIGHUP, and looks at the server, which must answer. Returns how often.
async fn operate(
    client: Client,
    tokens: TokenFile,
    file: std::path::PathBuf,
    pid: u32,
    seed: u64,
    stop: Arc<AtomicBool>,
) -> usize {
    let text = fs::read_to_string(&file).unwrap();
    let mut random = SplitMix64(!seed);
    let mut interventions = 0;
    while !stop.load(Ordering::Relaxed) {
        interventions += 1;
        match random.below(6) {
            0 => {
                let delta = random.below(11) as f64 / 10.0;
                let change = json!({"set": {"policy": {"delta": delta}}});
                let patch = client.patch(format!("{}{}", tokens.admin, routes::POLICY)).json(&change);
                let patch =
                    patch.header("if-match", "*").bearer_auth(&tokens.write_token).timeout(Duration::from_secs(20));
                let status = patch.send().await.unwrap().status();
                assert!(status.is_success(), "{status}");
            }
            1 => spoil(&file, &text, random.below(4)),
            2 => {
                assert!(
                    std::process::Command::new("kill").args(["-HUP", &pid.to_string()]).status().unwrap().success()
                );
            }
            3 => {
                let url = format!("{}{}", tokens.admin, routes::STATUS);
                let status =
                    client.get(url).bearer_auth(&tokens.read_token).timeout(Duration::from_secs(20)).send().await;
                assert!(status.unwrap().status().is_success());
            }
            4 => {
                let ready =
                    client.get(format!("{}/ready", tokens.endpoint)).timeout(Duration::from_secs(20)).send().await;
                assert_eq!(ready.unwrap().text().await.unwrap(), "ready");
            }
            _ => sleep(Duration::from_millis(random.below(100))).await,
        }
        sleep(Duration::from_millis(10 + random.below(60))).await;
    }
    spoil(&file, &text, 0);
    interventions
}

/// Replaces the deployment file: by itself, by nonsense, by nothing, or by a folder.
fn spoil(file: &Path, text: &str, how: u64) {
    let _ = fs::remove_dir(file);
    match how {
        0 => fs::write(file, text).unwrap(),
        1 => fs::write(file, "version: [").unwrap(),
        2 => drop(fs::remove_file(file)),
        _ => {
            let _ = fs::remove_file(file);
            fs::create_dir(file).unwrap();
        }
    }
}

/// The server's metrics once no request runs or waits.
async fn idle_metrics(site: &OperatorSite) -> std::collections::BTreeMap<String, f64> {
    let url = format!("{}/metrics", site.tokens().endpoint);
    let began = Instant::now();
    loop {
        let text = site.client.get(&url).send().await.unwrap().text().await.unwrap();
        let metrics = samples(&text);
        if sum(&metrics, "rsd_requests_running") + sum(&metrics, "rsd_requests_waiting") == 0.0 {
            return metrics;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "requests of clients that left go on:\n{text}");
        sleep(Duration::from_millis(50)).await;
    }
}
