//! The demo pair as a new user gets it: downloaded, loaded, served, and checked against what the documents promise.
//!
//! It is a single test in its own binary, so that the models are loaded once and nothing else allocates memory in the
//! process that is measured. `RSD_TEST_REQUESTS=200` measures as many requests as the documents promise, with the
//! default cache budgets; a shorter run reduces the budgets in proportion, so that the caches are full equally early.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

use std::time::{Duration, Instant};

use futures::StreamExt;
use mistralrs_rsd::deploy::deploy;
use rsd_config::{LimitsConfig, SettingOverride, TargetRule};
use rsd_core::pipeline::{PipelineSettings, Rsd, segment::StepBoundary};
use rsd_tests::test_server::TestServer;
use serde_json::{Value, json};

/// Requests of the memory test unless `RSD_TEST_REQUESTS` sets their number.
const REQUESTS: usize = 24;

/// The default prefix cache of a model in megabytes, and the number of requests over which it is measured.
const SHIPPED: (usize, usize) = (256, 200);

/// The question of the sampled answers.
const QUESTION: &str = "Why is the sky blue?";

const HOUR: Duration = Duration::from_secs(3600);

/// Qwen2.5's end tokens, which are forbidden in requests for long answers.
const ENDS: [&str; 2] = ["151643", "151645"];

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_pair_keeps_its_promises() {
    let requests = std::env::var("RSD_TEST_REQUESTS").map_or(REQUESTS, |n| n.parse().unwrap());
    let (rsd, limits) = demo(SHIPPED.0 * requests / SHIPPED.1).await;

    let server = TestServer::start(rsd.clone(), limits.clone(), None).await.unwrap();
    the_extremes_are_the_models_alone(&server).await;
    a_token_that_is_text_is_shown(&server).await;
    memory_stays_where_it_is(&server, requests).await;
    server.drain().await.unwrap();

    let server = TestServer::start(short_steps(&rsd), unhurried(&limits), None).await.unwrap();
    let delta = threshold_between_rewards(&server).await;
    let alone = a_seed_repeats_its_answer(&server, delta).await;
    let (again, other, x, y) = tokio::join!(
        seeded(&server, 11, QUESTION, delta),
        seeded(&server, 12, QUESTION, delta),
        seeded(&server, 1, "Name three rivers.", delta),
        seeded(&server, 2, "What is 12 times 13?", delta),
    );
    assert_eq!(again.0, alone, "beside other requests {:#}", again.1);
    assert!(other.0 != alone && x.0 != y.0, "the seed has no effect");
    server.drain().await.unwrap();

    let server = TestServer::start(rsd, LimitsConfig { running: 1, waiting: 0, ..limits }, None).await.unwrap();
    a_client_that_leaves_frees_the_models(&server).await;
    server.drain().await.unwrap();
}

/// The demo's pipeline and limits, with a prefix cache of `budget` megabytes per model.
async fn demo(budget: usize) -> (Rsd, LimitsConfig) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/demo.yaml");
    let budgets = ["roles.draft.prefix_cache_mb", "roles.target.prefix_cache_mb"];
    let budgets = budgets.map(|path| SettingOverride::value(path, budget as u64, "the test"));
    let loaded = rsd_config::load(Some(file.as_ref()), std::iter::empty(), &budgets, TargetRule::Required).unwrap();
    (Box::pin(deploy(&loaded.deployment, None)).await.unwrap().rsd, loaded.deployment.limits)
}

/// Limits so generous that a busy machine changes no answer.
fn unhurried(limits: &LimitsConfig) -> LimitsConfig {
    LimitsConfig { running: 4, request_seconds: HOUR.as_secs(), ..limits.clone() }
}

/// Steps of a few tokens, so that a short answer has several and both models contribute to it. The reward has no
/// practical timeout: with four requests on a busy machine a score waits long, and a timeout would change the answer.
fn short_steps(rsd: &Rsd) -> Rsd {
    let boundary = StepBoundary::Tokens(6);
    Rsd { settings: PipelineSettings { boundary, reward_timeout: HOUR, proposals: 0 }, ..rsd.clone() }
}

async fn the_extremes_are_the_models_alone(server: &TestServer) {
    let ask = async |model: &str, rsd: Value| {
        let body = json!({
            "model": model, "temperature": 0, "max_tokens": 48, "rsd": rsd,
            "messages": [
                {"role": "system", "content": "Please reason step by step, and put your final answer within \\boxed{}."},
                {"role": "user", "content": "A box holds 12 pens. How many pens are in 7 boxes and 5 single pens?"},
            ],
        });
        server.ask("/v1/chat/completions", &body).await.unwrap()
    };
    let text = |answer: &Value| answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let draft = text(&ask("draft", Value::Null).await);
    let target = text(&ask("target", Value::Null).await);
    assert!(draft.len() > 40 && target.len() > 40 && draft != target, "{draft}\n{target}");
    assert_eq!(text(&ask("rsd", json!({"delta": 0})).await), draft);
    let rejected = ask("rsd", json!({"delta": 2, "trace": true, "after_rejection": "draft"})).await;
    assert_eq!(text(&rejected), target);
    for step in rejected["rsd"]["choices"][0]["steps"].as_array().unwrap() {
        let reward = step["reward"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&reward) && step["source"] == "target", "{step}");
    }
}

/// `<tool_call>` is a user-defined token, which the engine's tokenizer takes for a control token.
async fn a_token_that_is_text_is_shown(server: &TestServer) {
    for model in ["draft", "target"] {
        let body = json!({"model": model, "prompt": "x", "max_tokens": 1, "logit_bias": {"151657": 100}});
        assert_eq!(server.complete(&body).await.unwrap(), "<tool_call>");
    }
}

/// Without our work-around the prefix caches of mistral.rs grow with each request.
async fn memory_stays_where_it_is(server: &TestServer, requests: usize) {
    let began = Instant::now();
    let mut resident = Vec::new();
    for n in 0..requests {
        let prompt = format!("{} apples and {} pears make", 100 + 7 * n, 300 + 11 * n);
        let body = json!({"model": "rsd", "prompt": prompt, "max_tokens": 8, "temperature": 0});
        assert!(!server.complete(&body).await.unwrap().is_empty());
        resident.push(resident_mb());
    }
    let (early, late) = (resident[requests / 4 - 1], resident[requests - 1]);
    let every: Vec<_> = resident.iter().step_by(requests.div_ceil(20)).map(|mb| mb.round()).collect();
    println!("{requests} requests in {:.0?}; resident MB {every:?}", began.elapsed());
    println!("after request {}: {early:.0} MB, after request {requests}: {late:.0} MB", requests / 4);
    assert!(late <= 1.1 * early, "resident memory grew from {early:.0} to {late:.0} MB");
}

/// Megabytes of memory that this process holds, from Linux's `/proc`.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this test reads Linux's /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().strip_suffix(" kB").expect("kB").parse::<f64>().expect("a number") / 1024.0
}

/// A sampled answer of several steps: its text and its trace.
async fn seeded(server: &TestServer, seed: u64, question: &str, delta: f64) -> (String, Value) {
    let body = json!({
        "model": "rsd", "temperature": 0.7, "seed": seed, "max_tokens": 18,
        "rsd": {"trace": true, "delta": delta, "after_rejection": "draft"},
        "messages": [{"role": "user", "content": question}],
    });
    let answer = server.ask("/v1/chat/completions", &body).await.unwrap();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    (text, answer["rsd"]["choices"][0].clone())
}

/// A threshold at which both models decode, whatever the head: between the rewards of the draft's own steps.
async fn threshold_between_rewards(server: &TestServer) -> f64 {
    let (_, trace) = seeded(server, 11, QUESTION, 1e-9).await;
    let steps = trace["steps"].as_array().unwrap().iter();
    let mut rewards: Vec<f64> = steps.map(|step| step["reward"].as_f64().unwrap()).collect();
    rewards.sort_by(f64::total_cmp);
    f64::midpoint(rewards[0], rewards[rewards.len() - 1])
}

async fn a_seed_repeats_its_answer(server: &TestServer, delta: f64) -> String {
    let (first, trace) = seeded(server, 11, QUESTION, delta).await;
    let totals = &trace["totals"];
    assert!(totals["accepted_steps"].as_u64() > Some(0) && totals["rejected_steps"].as_u64() > Some(0), "{totals}");
    let (again, trace) = seeded(server, 11, QUESTION, delta).await;
    assert_eq!(again, first, "{trace:#}");
    first
}

async fn a_client_that_leaves_frees_the_models(server: &TestServer) {
    let forbidden: serde_json::Map<String, Value> = ENDS.iter().map(|end| ((*end).to_owned(), json!(-100))).collect();
    let long = |stream: bool| {
        // A thousand tokens take minutes unless the request is cancelled.
        json!({"model": "rsd", "prompt": "Once", "max_tokens": 1024, "stream": stream, "logit_bias": forbidden,
               "rsd": {"delta": 0}})
        .to_string()
    };
    let short = json!({"model": "rsd", "prompt": "2 + 2 =", "max_tokens": 3, "temperature": 0,
                       "rsd": {"delta": 2, "after_rejection": "draft"}});
    // How long an idle server takes for this request, on this machine and under its current load.
    let began = Instant::now();
    assert_eq!(server.post("/v1/completions", short.to_string()).await.unwrap().status(), 200);
    let usual = began.elapsed();
    for stream in [true, false] {
        if stream {
            let response = server.post("/v1/completions", long(true)).await.unwrap();
            assert_eq!(response.status(), 200);
            response.bytes_stream().next().await.unwrap().unwrap();
        } else {
            let asked = server.post("/v1/completions", long(false));
            assert!(
                tokio::time::timeout(Duration::from_secs(2), asked).await.is_err(),
                "the answer came before the client left"
            );
        }
        let left = Instant::now();
        // With one place and no queue, an answer means that the earlier request has ended. At delta 2 it needs the
        // draft, the reward and the target.
        let freed = async {
            loop {
                match server.post("/v1/completions", short.to_string()).await.unwrap().status().as_u16() {
                    200 => break,
                    429 => tokio::time::sleep(Duration::from_millis(20)).await,
                    other => panic!("status {other}"),
                }
            }
        };
        tokio::time::timeout(4 * usual + Duration::from_secs(2), freed).await.expect("the models were not freed");
        println!(
            "left {}: the next answer came after {:.1?}, usually {usual:.1?}",
            if stream { "mid-stream" } else { "waiting" },
            left.elapsed()
        );
    }
}
