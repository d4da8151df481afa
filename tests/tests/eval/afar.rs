//! A running server gives the same answers as the models in the process, and says clearly why it gives none.

use mistralrs_rsd::{
    config::{self, TargetRule},
    deploy::deploy,
    server::ApiKey,
};
use rsd_evaluation::record::Answer;
use rsd_tests::served::Served;

use crate::rig::{Pair, Rig, fail, succeed};

/// What is drawn at random has another seed there.
const METHODS: &str =
    "--methods target,draft,rsd,majority --sweep 0.3 --samples 2 --samples-from draft,target --temperature 0";

fn key(text: &str) -> ApiKey {
    ApiKey::new(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gives_the_same_answers_and_every_refusal_leaves_the_run_whole() {
    let rig = tokio::task::spawn_blocking(|| Rig::new(Pair::Kin, 6)).await.unwrap();
    let deployment =
        config::load(Some(&rig.path("deployment.yaml")), [], &[], TargetRule::Required).unwrap().deployment;
    let rsd = deploy(&deployment, None).await.unwrap().rsd;
    let served = Served::start(rsd, deployment.limits, Some(key("open sesame"))).await.unwrap();
    let url = served.url.clone();
    let rig = tokio::task::spawn_blocking(move || {
        asked(&rig, &url);
        rig
    })
    .await
    .unwrap();
    served.drain().await.unwrap();
    drop(rig);
}

fn asked(rig: &Rig, url: &str) {
    let afar = |url: &str, key: &str, more: &str| {
        let mut command = rig.command("eval", "afar", &format!("--url {url} --api-key-env EVAL_KEY {more}"));
        command.env("EVAL_KEY", key);
        command
    };
    let printed = fail(afar("http://127.0.0.1:9", "open sesame", METHODS));
    assert!(printed.contains("http://127.0.0.1:9: "), "{printed}");
    assert!(printed.contains("Is the server running, and is this its address?"), "{printed}");
    let printed = fail(afar(url, "sesame", METHODS));
    assert!(printed.contains(&format!("{url} answered 401: ")), "{printed}");
    let printed = fail(afar(url, "open sesame", "--methods target,beam"));
    assert!(printed.contains("beam needs the models in this process: leave out --url, or this method"), "{printed}");
    let printed = fail(afar(url, "open sesame", "--methods best-of-n --samples-from target"));
    assert!(printed.contains("best-of-n of the target's samples needs the models in this process"), "{printed}");
    let printed = fail(rig.command("eval", "afar", &format!("--url {url} --api-key-env EVAL_NO_KEY {METHODS}")));
    assert!(printed.contains("--api-key-env: the environment variable EVAL_NO_KEY is not set"), "{printed}");
    assert!(!rig.path("afar").join("answers.jsonl").exists(), "something was asked before it was refused");

    succeed(afar(url, "open sesame", &format!("{METHODS} --limit 2")));
    let first = rig.answers("afar");
    fail(afar(url, "sesame", METHODS));
    assert_eq!(rig.answers("afar"), first);
    let printed = succeed(afar(url, "open sesame", METHODS));
    assert!(printed.contains("4 questions to ask, 2 answered before"), "{printed}");

    succeed(rig.eval("here", METHODS));
    let (afar, here) = (rig.answers("afar"), rig.answers("here"));
    let said = |answer: &Answer| (answer.text.clone(), answer.finished, answer.tokens, answer.steps.len());
    assert_eq!(afar.keys().collect::<Vec<_>>(), here.keys().collect::<Vec<_>>());
    for (key, answer) in &afar {
        assert_eq!(said(answer), said(&here[key]), "{key:?}");
    }
    let texts = |method: &str| afar.iter().filter(|(key, _)| key.1 == method).map(|(_, a)| &a.text).collect::<Vec<_>>();
    assert_ne!(texts("target"), texts("draft"));
}
