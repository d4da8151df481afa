//! `eval` derives the cost of speculative decoding without running its rounds. This test runs the rounds and compares.

use mistralrs_rsd::engine::{Engine, EngineSpec};

use rsd_core::pipeline::{
    roles::{ChatMessage, Generator, Prompt, RunRequest},
    segment::{Segmentation, StepBoundary},
};
use rsd_evaluation::run_log::{Answer, StepSource};

use crate::setup::{EvalFolder, MAX_TOKENS, ModelPair, succeed};

const PROPOSALS: usize = 3;

/// What a model decodes greedily after a prefix: the tokens, and whether the answer ended.
async fn decode(engine: &Engine, prefix: &[u32], max_tokens: usize) -> (Vec<u32>, bool) {
    let in_one = Segmentation { boundary: StepBoundary::Tokens(usize::MAX), max_tokens: usize::MAX };
    let mut run = engine.start(RunRequest::greedy(prefix.to_vec(), in_one, max_tokens)).await.unwrap();
    let step = run.next().await.unwrap().unwrap();
    run.finish().await;
    let ended = step.tokens.len() < max_tokens;
    (step.tokens, ended)
}

/// Runs speculative decoding. Returns the number of rounds and the answer's tokens.
async fn rounds(draft: &Engine, target: &Engine, prompt: &[u32], max_tokens: usize) -> (usize, Vec<u32>) {
    let (mut rounds, mut text) = (0, prompt.to_vec());
    loop {
        let room = prompt.len() + max_tokens - text.len();
        let (proposed, _) = decode(draft, &text, PROPOSALS).await;
        let (own, ended) = decode(target, &text, (PROPOSALS + 1).min(room)).await;
        rounds += 1;
        let accepted = proposed.iter().zip(&own).take_while(|(a, b)| a == b).count();
        let decoded = own.len().min(accepted + 1);
        text.extend(&own[..decoded]);
        if ended && accepted >= own.len() || text.len() == prompt.len() + max_tokens {
            return (rounds, text.split_off(prompt.len()));
        }
    }
}

#[test]
fn the_derived_cost_is_that_of_the_rounds() {
    let folder = EvalFolder::new(ModelPair::Kin, 8);
    succeed(folder.eval("run", &format!("--methods target,sd --proposals {PROPOSALS} --system Count.")));
    tokio::runtime::Runtime::new().unwrap().block_on(compare(&folder));
}

async fn compare(folder: &EvalFolder) {
    let logged = folder.answers("run");
    let [draft, target] = &folder.models;
    let load = async |name, spec| Engine::load(name, spec).await.unwrap();
    let draft = load("draft", EngineSpec::from_role(&draft.role()).unwrap()).await;
    let target = load("target", EngineSpec::from_role(&target.role()).unwrap()).await;
    let (mut accepted, mut own) = (0, 0);
    for question in folder.questions() {
        let of = |method: &str| -> &Answer { &logged[&(question.id.clone(), method.to_owned(), 0)] };
        let (alone, found) = (of("target"), of(&format!("sd@{PROPOSALS}")));
        assert_eq!((&found.text, found.finished), (&alone.text, alone.finished));
        let message = |role: &str, content: &str| ChatMessage { role: role.to_owned(), content: content.to_owned() };
        let prompt = Prompt::Chat(vec![message("system", "Count."), message("user", &question.text)]);
        let prompt = target.encode_prompt(&prompt).await.unwrap();
        let (rounds, tokens) = rounds(&draft, &target, &prompt, MAX_TOKENS.parse().unwrap()).await;
        assert_eq!((found.draft.generated, found.tokens), (rounds * PROPOSALS, tokens.len()), "{found:?}");
        let by =
            |source| found.steps.iter().filter(|step| step.source == source).map(|step| step.tokens).sum::<usize>();
        accepted += by(StepSource::Draft);
        own += by(StepSource::Target);
    }
    assert!(accepted > 0 && own > 0, "{accepted} {own}");
}
