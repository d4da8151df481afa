//! Speculative decoding is counted without running its rounds; here they are run.

use mistralrs_rsd::{
    engine::{Engine, EngineSpec},
    pipeline::{
        roles::{Generator, Message, Prompt, RunRequest},
        segment::{Boundary, Segmentation},
    },
};
use rsd_evaluation::record::{Answer, Source};

use crate::rig::{MAX_TOKENS, Pair, Rig, succeed};

const PROPOSALS: usize = 3;

/// What a model writes greedily after a prefix: text and tokens, and whether that is all.
async fn write(engine: &Engine, prefix: &[u32], max_tokens: usize) -> (Vec<u32>, bool) {
    let in_one = Segmentation { boundary: Boundary::Tokens(usize::MAX), max_tokens: usize::MAX };
    let mut run = engine.start(RunRequest::greedy(prefix.to_vec(), in_one, max_tokens)).await.unwrap();
    let step = run.next().await.unwrap().unwrap();
    run.finish().await;
    let ended = step.tokens.len() < max_tokens;
    (step.tokens, ended)
}

/// The rounds of an answer and its tokens.
async fn rounds(draft: &Engine, target: &Engine, prompt: &[u32], max_tokens: usize) -> (usize, Vec<u32>) {
    let (mut rounds, mut text) = (0, prompt.to_vec());
    loop {
        let room = prompt.len() + max_tokens - text.len();
        let (proposed, _) = write(draft, &text, PROPOSALS).await;
        let (own, ended) = write(target, &text, (PROPOSALS + 1).min(room)).await;
        rounds += 1;
        let kept = proposed.iter().zip(&own).take_while(|(a, b)| a == b).count();
        let written = own.len().min(kept + 1);
        text.extend(&own[..written]);
        if ended && kept >= own.len() || text.len() == prompt.len() + max_tokens {
            return (rounds, text.split_off(prompt.len()));
        }
    }
}

#[test]
fn what_is_counted_is_what_its_rounds_take() {
    let rig = Rig::new(Pair::Kin, 8);
    succeed(rig.eval("run", &format!("--methods target,sd --proposals {PROPOSALS} --system Count.")));
    tokio::runtime::Runtime::new().unwrap().block_on(compare(&rig));
}

async fn compare(rig: &Rig) {
    let logged = rig.answers("run");
    let [draft, target] = &rig.models;
    let load = async |name, spec| Engine::load(name, spec).await.unwrap();
    let draft = load("draft", EngineSpec::from_role(&draft.role()).unwrap()).await;
    let target = load("target", EngineSpec::from_role(&target.role()).unwrap()).await;
    let (mut kept, mut own) = (0, 0);
    for question in rig.questions() {
        let of = |method: &str| -> &Answer { &logged[&(question.id.clone(), method.to_owned(), 0)] };
        let (alone, found) = (of("target"), of(&format!("sd@{PROPOSALS}")));
        assert_eq!((&found.text, found.finished), (&alone.text, alone.finished));
        let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
        let prompt = Prompt::Chat(vec![message("system", "Count."), message("user", &question.text)]);
        let prompt = target.encode_prompt(&prompt).await.unwrap();
        let (rounds, tokens) = rounds(&draft, &target, &prompt, MAX_TOKENS.parse().unwrap()).await;
        assert_eq!((found.draft.generated, found.tokens), (rounds * PROPOSALS, tokens.len()), "{found:?}");
        let by =
            |source| found.steps.iter().filter(|step| step.source == source).map(|step| step.tokens).sum::<usize>();
        kept += by(Source::Draft);
        own += by(Source::Target);
    }
    assert!(kept > 0 && own > 0, "{kept} {own}");
}
