use async_trait::async_trait;
use parking_lot::Mutex;
use rsd_core::{
    pipeline::{
        roles::{GeneratorRun, RunReport, StepEnd, StepScore},
        segment::{Segmentation, StepBoundary},
    },
    sampling::{Sampling, uniform},
};

use rsd_evaluation::question::Question;
use rsd_grading::AnswerKind;

use super::*;

/// A question whose answer is 7.
fn seven() -> Question {
    Question {
        id: "p".to_owned(),
        text: "q".to_owned(),
        answers: vec!["7".to_owned()],
        kind: AnswerKind::Number,
        code: None,
        level: None,
    }
}

fn step(text: &str, end: StepEnd) -> Step {
    let tokens = text.bytes().map(u32::from).collect();
    Step { tokens, bytes: text.into(), end, features: None, logprobs: vec![], seconds: 0.0 }
}

fn solution(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|text| step(text, StepEnd::Boundary)).collect()
}

fn request() -> RunRequest {
    RunRequest {
        prefix: vec![1, 2],
        position: 0,
        sampling: Sampling { temperature: 1.0, seed: 7, ..Sampling::default() },
        stream: RandomStream::Draft { rejections: 0 }.id(),
        segmentation: Segmentation { boundary: StepBoundary::Sentence, max_tokens: 10 },
        max_tokens: 100,
        max_steps: None,
        lookahead: usize::MAX,
        stop: vec![],
        tail: vec![],
        logprobs: None,
        features: true,
        live: None,
    }
}

/// Answers 7 with a probability of as many tenths as the prefix's last byte has as a digit, else 8.
#[derive(Default)]
struct DiceGenerator {
    asked: Mutex<Vec<RunRequest>>,
}

struct SingleStepRun(Option<Step>);

#[async_trait]
impl GeneratorRun for SingleStepRun {
    async fn next(&mut self) -> Option<Result<Step, RoleError>> {
        self.0.take().map(Ok)
    }

    fn accept(&mut self) {}

    async fn finish(self: Box<Self>) -> RunReport {
        RunReport::default()
    }
}

#[async_trait]
impl Generator for DiceGenerator {
    fn role(&self) -> &'static str {
        "draft"
    }

    fn vocabulary(&self) -> Arc<str> {
        "bytes".into()
    }

    fn context_length(&self) -> usize {
        1000
    }

    fn parameters(&self) -> Option<u64> {
        None
    }

    async fn encode_prompt(&self, _: &Prompt) -> Result<Vec<u32>, RoleError> {
        Ok(vec![])
    }

    fn encode_text(&self, _: &str) -> Result<Vec<u32>, RoleError> {
        Ok(vec![])
    }

    fn token_bytes(&self, _: u32) -> Vec<u8> {
        vec![]
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
        let chance = f64::from(request.prefix.last().unwrap() - u32::from(b'0')) / 10.0;
        let u = uniform(request.sampling.seed, request.stream, request.position as u64);
        let text = if u < chance { " so 7" } else { " so 8" };
        self.asked.lock().push(request);
        Ok(Box::new(SingleStepRun(Some(step(text, StepEnd::EndOfText)))))
    }
}

async fn labels(how: ContinuationLabeler, dice: &DiceGenerator, steps: &[Step]) -> Vec<Option<f64>> {
    let prompt = Prompt::Text("q".to_owned());
    let grader = SolutionGrader { question: &seven(), sandbox: None };
    StepLabeler::Continuations(how).label(dice, &prompt, &request(), grader, steps).await.unwrap()
}

#[tokio::test]
async fn a_label_is_the_share_of_continuations_that_turn_out_right() {
    let dice = DiceGenerator::default();
    let steps = solution(&["a0", "b5", "c9", "is 7"]);
    let found = labels(ContinuationLabeler { count: 200, every: 1 }, &dice, &steps).await;
    for (found, expected) in found.iter().zip([0.0, 0.5, 0.9, 1.0]) {
        assert!((found.unwrap() - expected).abs() < 0.1, "{found:?} for {expected}");
    }
    let asked = dice.asked.lock().clone();
    assert_eq!(asked.len(), 600, "the last step is not continued");
    let mut streams: Vec<u64> = asked.iter().map(|run| run.stream).collect();
    streams.push(request().stream);
    streams.sort_unstable();
    streams.dedup();
    assert_eq!(streams.len(), 601, "no two draw the same numbers, nor those of the solution");
    let second = &asked[200];
    assert_eq!((second.prefix.len(), second.position, second.max_tokens, second.features), (6, 4, 96, false));
    let again = labels(ContinuationLabeler { count: 200, every: 1 }, &dice, &steps).await;
    assert_eq!(found, again);
}

#[tokio::test]
async fn only_every_nth_step_is_continued_if_there_is_room() {
    let dice = DiceGenerator::default();
    let found = labels(ContinuationLabeler { count: 4, every: 2 }, &dice, &solution(&["a0", "b9", "c0", "8"])).await;
    assert_eq!((found[0], found[2], found[3]), (None, None, Some(0.0)));
    assert!(found[1].is_some());
    assert_eq!(dice.asked.lock().len(), 4);
    let full = "x".repeat(100);
    let found = labels(ContinuationLabeler { count: 4, every: 1 }, &dice, &solution(&[&full, "7"])).await;
    assert_eq!(found, [None, Some(1.0)]);
}

/// Its reward is the number in the step's text plus a hundredth for each step before.
struct NumberReward;

#[async_trait]
impl RewardModel for NumberReward {
    fn name(&self) -> &'static str {
        "reader"
    }

    fn parameters(&self) -> Option<u64> {
        None
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        assert_eq!(trajectory.prompt.question(), "q");
        let reward = match trajectory.step {
            "long" => {
                return Err(RoleError::ContextExceeded { role: "reward".to_owned(), tokens: 9, context: 1 });
            }
            "broken" => return Err(RoleError::Invalid("broken".to_owned())),
            text => text.parse::<f64>().unwrap() + trajectory.steps.len() as f64 / 100.0,
        };
        Ok(StepScore { reward, ..StepScore::default() })
    }
}

#[tokio::test]
async fn rewards_become_labels_and_what_is_none_leaves_a_gap() {
    let of = async |texts: &[&str]| {
        let (prompt, labels) = (Prompt::Text("q".to_owned()), StepLabeler::Reward(Arc::new(NumberReward)));
        let grader = SolutionGrader { question: &seven(), sandbox: None };
        labels.label(&DiceGenerator::default(), &prompt, &request(), grader, &solution(texts)).await
    };
    assert_eq!(of(&["0.25", "0.5", "nan", "7", "long"]).await.unwrap(), [Some(0.25), Some(0.51), None, None, None]);
    let error = of(&["0.25", "broken"]).await.unwrap_err();
    assert!(matches!(&error, CollectionError::Role(RoleError::Invalid(reason)) if reason == "broken"), "{error}");
}
