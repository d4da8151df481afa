//! Labels of collected steps, by a reward model and by continuations, from a tiny draft to the training data.

use std::{collections::BTreeMap, sync::Arc};

use mistralrs_rsd::{deploy::observable_draft, engine::Engine};

use rsd_core::{
    pipeline::segment::{Segmentation, StepBoundary},
    sampling::Sampling,
};

use rsd_evaluation::question::Question;
use rsd_grading::AnswerKind;
use rsd_head::{
    collect::{
        CollectedSolution, CollectionRecipe, RolloutCollector,
        labels::{ContinuationLabeler, StepLabeler},
        store::{CollectionInfo, RolloutStore},
    },
    progress::ProgressReporter,
    training::RolloutDataset,
};
use rsd_tests::tiny_model::{HIDDEN, TinyModel};

use crate::loaded::{LoadedPrm, role};

async fn collector(labels: Option<StepLabeler>) -> (RolloutCollector, TinyModel) {
    let tiny = TinyModel::gguf(1).unwrap();
    let draft = Engine::load("draft", observable_draft(&tiny.role()).await.unwrap().spec).await.unwrap();
    let ends = tiny.ends().into_iter().map(|id| (id, -1e9));
    // Without this bias the answers would contain no number.
    let digits = ('0'..='9').map(|digit| (tiny.token(&digit.to_string()), 6.0));
    let recipe = CollectionRecipe {
        system: String::new(),
        sampling: Sampling {
            temperature: 1.0,
            seed: 3,
            logit_bias: ends.chain(digits).collect(),
            ..Sampling::default()
        },
        max_tokens: 32,
        segmentation: Segmentation { boundary: StepBoundary::Tokens(8), max_tokens: 64 },
    };
    (RolloutCollector { draft: Arc::new(draft), recipe, labels, sandbox: None }, tiny)
}

async fn solve(collector: &RolloutCollector, answer: f64) -> CollectedSolution {
    let problem = Question {
        id: "p".to_owned(),
        text: "how many".to_owned(),
        answers: vec![answer.to_string()],
        kind: AnswerKind::Number,
        code: None,
        level: None,
    };
    collector.solve(&problem, 0, None).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reward_models_scores_are_stored_as_labels_that_training_reads() {
    let prm = Arc::new(LoadedPrm::load(role("rlhflow"), None).await.prm);
    let (collector, _tiny) = collector(Some(StepLabeler::Reward(prm))).await;
    let solved = solve(&collector, 1.0).await;
    let labels = solved.rollout.labels.clone().unwrap();
    assert_eq!(labels.len(), 4);

    let alone = LoadedPrm::load(role("rlhflow"), None).await;
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
    let collection = CollectionInfo::new("d".to_owned(), "tiny".to_owned(), HIDDEN, BTreeMap::new());
    let mut store = RolloutStore::open(dir.path(), &collection, &ProgressReporter::silent()).unwrap();
    store.add(&solved.rollout, &solved.features).unwrap();
    drop(store);
    assert!(
        RolloutStore::open(dir.path(), &collection, &ProgressReporter::silent()).unwrap().has("p", 0),
        "a stored solution is not collected again"
    );
    let data = RolloutDataset::read(&[dir.path().to_path_buf()]).unwrap();
    for (step, label) in data.steps.iter().zip(&labels) {
        assert!((f64::from(step.label.unwrap()) - label.unwrap()).abs() < 1e-6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn continuations_say_how_often_the_answer_comes_out_right() {
    let (plain, _tiny) = collector(None).await;
    let bare = solve(&plain, 1.0).await.rollout;
    let answer = bare.answer.and_then(|answer| answer.as_f64()).expect("the solution ends with a number");
    let how = ContinuationLabeler { count: 6, every: 2 };
    let (collector, _tiny) = collector(Some(StepLabeler::Continuations(how))).await;
    let solved = solve(&collector, answer).await.rollout;
    assert_eq!(solved.tokens, bare.tokens, "labels change nothing of the solution");
    let labels = solved.labels.clone().unwrap();
    assert_eq!((labels[0], labels[2], labels[3]), (None, None, Some(1.0)));
    let sixths = labels[1].unwrap() * 6.0;
    assert!((sixths - sixths.round()).abs() < 1e-9, "{sixths}");
    assert_eq!(solve(&collector, answer).await.rollout, solved, "the continuations are sampled with the same seeds");
}

fn token_bytes(collector: &RolloutCollector, token: u32) -> Vec<u8> {
    collector.draft.token_bytes(token)
}
