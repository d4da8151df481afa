//! `eval --url` gets the same answers from a running server as from models in the process, and reports why it gets
//! none.

use rsd_config::TargetRule;

use mistralrs_rsd::deploy::deploy;

use rsd_evaluation::run_log::Answer;
use rsd_server::ApiKey;
use rsd_tests::test_server::TestServer;

use crate::setup::{EvalFolder, ModelPair, fail, succeed};

/// Greedy, because a server samples with other seeds.
const METHODS: &str =
    "--methods target,draft,rsd,majority --sweep 0.3 --samples 2 --samples-from draft,target --temperature 0";

fn key(text: &str) -> ApiKey {
    ApiKey::new(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gives_the_same_answers_and_no_error_damages_the_run() {
    let folder = tokio::task::spawn_blocking(|| EvalFolder::new(ModelPair::Kin, 6)).await.unwrap();
    let deployment =
        rsd_config::load(Some(&folder.path("deployment.yaml")), [], &[], TargetRule::Required).unwrap().deployment;
    let rsd = deploy(&deployment, None).await.unwrap().rsd;
    let served = TestServer::start(rsd, deployment.limits, Some(key("open sesame"))).await.unwrap();
    let url = served.url.clone();
    let folder = tokio::task::spawn_blocking(move || {
        ask_server(&folder, &url);
        folder
    })
    .await
    .unwrap();
    served.drain().await.unwrap();
    drop(folder);
}

fn ask_server(folder: &EvalFolder, url: &str) {
    let remote = |url: &str, key: &str, more: &str| {
        let mut command = folder.command("eval", "remote", &format!("--url {url} --api-key-env EVAL_KEY {more}"));
        command.env("EVAL_KEY", key);
        command
    };
    let printed = fail(remote("http://127.0.0.1:9", "open sesame", METHODS));
    assert!(printed.contains("http://127.0.0.1:9: "), "{printed}");
    assert!(printed.contains("Check that the server is running at this address"), "{printed}");
    let printed = fail(remote(url, "sesame", METHODS));
    assert!(printed.contains(&format!("{url} answered 401: ")), "{printed}");
    let printed = fail(remote(url, "open sesame", "--methods target,beam"));
    assert!(printed.contains("beam needs the models in this process: omit --url or this method"), "{printed}");
    let printed = fail(remote(url, "open sesame", "--methods best-of-n --samples-from target"));
    assert!(printed.contains("best-of-n on samples of the target needs the models in this process"), "{printed}");
    let printed = fail(folder.command("eval", "remote", &format!("--url {url} --api-key-env EVAL_NO_KEY {METHODS}")));
    assert!(printed.contains("--api-key-env: the environment variable EVAL_NO_KEY is not set"), "{printed}");
    assert!(!folder.path("remote").join("answers.jsonl").exists(), "a question was asked before the error");

    succeed(remote(url, "open sesame", &format!("{METHODS} --limit 2")));
    let first = folder.answers("remote");
    fail(remote(url, "sesame", METHODS));
    assert_eq!(folder.answers("remote"), first);
    let printed = succeed(remote(url, "open sesame", METHODS));
    assert!(printed.contains("4 questions to ask, 2 already answered"), "{printed}");

    succeed(folder.eval("here", METHODS));
    let (remote, here) = (folder.answers("remote"), folder.answers("here"));
    let result = |answer: &Answer| (answer.text.clone(), answer.finished, answer.tokens, answer.steps.len());
    assert_eq!(remote.keys().collect::<Vec<_>>(), here.keys().collect::<Vec<_>>());
    for (key, answer) in &remote {
        assert_eq!(result(answer), result(&here[key]), "{key:?}");
    }
    let texts =
        |method: &str| remote.iter().filter(|(key, _)| key.1 == method).map(|(_, a)| &a.text).collect::<Vec<_>>();
    assert_ne!(texts("target"), texts("draft"));
}
