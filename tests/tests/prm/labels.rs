//! Collected steps labelled by a reward model and by continuations, from a tiny draft to a data set.

use std::{collections::BTreeMap, sync::Arc};

use mistralrs_rsd::{
    deploy::observed_draft,
    engine::Engine,
    pipeline::segment::{Boundary, Segmentation},
    reward::{
        collect::{
            Collected, Collector, Recipe,
            labels::{Continuations, Labels},
            problems::Problem,
            store::{Collection, Store},
        },
        training::Dataset,
    },
    sampling::Sampling,
};
use rsd_tests::tiny::{HIDDEN, Tiny};

use crate::rig::{Rig, role};

async fn collector(labels: Option<Labels>) -> (Collector, Tiny) {
    let tiny = Tiny::gguf(1).unwrap();
    let draft = Engine::load("draft", observed_draft(&tiny.role()).await.unwrap().spec).await.unwrap();
    let ends = tiny.ends().into_iter().map(|id| (id, -1e9));
    // Noise would hold no number.
    let digits = ('0'..='9').map(|digit| (tiny.token(&digit.to_string()), 6.0));
    let recipe = Recipe {
        system: String::new(),
        sampling: Sampling {
            temperature: 1.0,
            seed: 3,
            logit_bias: ends.chain(digits).collect(),
            ..Sampling::default()
        },
        max_tokens: 32,
        segmentation: Segmentation { boundary: Boundary::Tokens(8), max_tokens: 64 },
    };
    (Collector { draft, recipe, labels }, tiny)
}

async fn solve(collector: &Collector, answer: f64) -> Collected {
    let problem = Problem { id: "p".to_owned(), question: "how many".to_owned(), answer };
    collector.solve(&problem, 0, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reward_models_verdicts_are_kept_as_labels_that_training_reads() {
    let prm = Arc::new(Rig::load(role("rlhflow"), None).await.prm);
    let (collector, _tiny) = collector(Some(Labels::Reward(prm))).await;
    let solved = solve(&collector, 1.0).await;
    let labels = solved.rollout.labels.clone().unwrap();
    assert_eq!(labels.len(), 4);

    let alone = Rig::load(role("rlhflow"), None).await;
    let mut texts: Vec<String> = Vec::new();
    let mut tokens = solved.rollout.tokens.iter();
    for (count, label) in solved.rollout.steps.iter().zip(&labels) {
        let bytes = tokens.by_ref().take(*count).flat_map(|token| token_bytes(&collector, *token));
        texts.push(String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned());
        let steps: Vec<&str> = texts.iter().map(String::as_str).collect();
        let expected = alone.prm.score_newest("how many", &steps).await.unwrap().reward;
        assert!((label.unwrap() - expected).abs() < 1e-4, "{label:?} {expected}");
    }

    let dir = tempfile::tempdir().unwrap();
    let collection = Collection::new("d".to_owned(), "tiny".to_owned(), HIDDEN, BTreeMap::new());
    let mut store = Store::open(dir.path(), &collection).unwrap();
    store.add(&solved.rollout, &solved.features).unwrap();
    drop(store);
    assert!(Store::open(dir.path(), &collection).unwrap().has("p", 0), "a labelled solution is not made again");
    let data = Dataset::read(&[dir.path().to_path_buf()]).unwrap();
    for (step, label) in data.steps.iter().zip(&labels) {
        assert!((f64::from(step.label.unwrap()) - label.unwrap()).abs() < 1e-6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn continuations_say_how_often_the_answer_comes_out_right() {
    let (plain, _tiny) = collector(None).await;
    let bare = solve(&plain, 1.0).await.rollout;
    let answer = bare.answer.expect("it writes digits");
    let how = Continuations { count: 6, every: 2 };
    let (collector, _tiny) = collector(Some(Labels::Continuations(how))).await;
    let solved = solve(&collector, answer).await.rollout;
    assert_eq!(solved.tokens, bare.tokens, "labels change nothing of the solution");
    let labels = solved.labels.clone().unwrap();
    assert_eq!((labels[0], labels[2], labels[3]), (None, None, Some(1.0)));
    let sixths = labels[1].unwrap() * 6.0;
    assert!((sixths - sixths.round()).abs() < 1e-9, "{sixths}");
    assert_eq!(solve(&collector, answer).await.rollout, solved, "the same draws again");
}

fn token_bytes(collector: &Collector, token: u32) -> Vec<u8> {
    use mistralrs_rsd::pipeline::roles::Generator as _;
    collector.draft.token_bytes(token)
}
