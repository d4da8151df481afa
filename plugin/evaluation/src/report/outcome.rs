//! What a method made of each question: its answers graded and summed up, samples averaged.

use std::collections::BTreeMap;

use crate::{
    grade,
    question::{Kind, Question},
    record::{Answer, Source},
};

/// An answer and whether it is right.
#[derive(Clone, Copy)]
pub(super) struct Graded<'a> {
    pub answer: &'a Answer,
    pub kind: Kind,
    pub right: bool,
}

/// A method's answers by the question's place in its file, in the order of the samples.
pub(super) type Answers<'a> = BTreeMap<usize, Vec<Graded<'a>>>;

/// One question's outcome. Where there are several samples, everything is the mean of one, but for the counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outcome {
    pub answers: usize,
    pub right: f64,
    pub cut_off: usize,
    /// Tokens of the answer.
    pub length: f64,
    pub steps: f64,
    /// Tokens the draft generated, the reward model read and the target generated.
    pub tokens: [f64; 3],
    /// By the three accountings.
    pub flops: Option<[f64; 3]>,
    pub seconds: Option<f64>,
    pub verdicts: Verdicts,
}

/// What became of drafted steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Verdicts {
    pub steps: usize,
    pub accepted_steps: usize,
    pub tokens: usize,
    pub accepted_tokens: usize,
}

/// A method and its outcomes by the question's place.
pub(super) struct Arm {
    pub name: String,
    pub outcomes: BTreeMap<usize, Outcome>,
}

/// All answers graded, by method, and how many belong to no question.
pub(super) fn grade<'a>(questions: &[Question], answers: &'a [Answer]) -> (BTreeMap<&'a str, Answers<'a>>, usize) {
    let places: BTreeMap<&str, usize> = questions.iter().enumerate().map(|(at, q)| (q.id.as_str(), at)).collect();
    let mut methods: BTreeMap<&str, Answers> = BTreeMap::new();
    let mut strangers = 0;
    for answer in answers {
        let Some(&place) = places.get(answer.question.as_str()) else {
            strangers += 1;
            continue;
        };
        let question = &questions[place];
        // What was cut off has come to no answer, whatever numbers are in it.
        let right = answer.finished && grade::is_right(question, &answer.text);
        let graded = Graded { answer, kind: question.kind, right };
        methods.entry(&answer.method).or_default().entry(place).or_default().push(graded);
    }
    for samples in methods.values_mut().flat_map(BTreeMap::values_mut) {
        samples.sort_by_key(|graded| graded.answer.sample);
    }
    (methods, strangers)
}

impl Arm {
    /// A method of the log.
    pub fn of(name: &str, answers: &Answers) -> Self {
        let outcomes = answers.iter().map(|(&place, samples)| (place, Outcome::mean(samples))).collect();
        Self { name: name.to_owned(), outcomes }
    }

    /// The places that another one has too.
    pub fn common(&self, other: &Self) -> Vec<usize> {
        self.outcomes.keys().copied().filter(|place| other.outcomes.contains_key(place)).collect()
    }

    /// One value for each of some questions, all of which it has.
    pub fn values(&self, places: &[usize], value: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        places.iter().filter_map(|place| self.outcomes.get(place)).map(value).collect()
    }

    /// The same for what may be unknown; none if it is unknown anywhere.
    pub fn known(&self, places: &[usize], value: impl Fn(&Outcome) -> Option<f64>) -> Option<Vec<f64>> {
        places.iter().filter_map(|place| self.outcomes.get(place)).map(value).collect()
    }

    pub fn places(&self) -> Vec<usize> {
        self.outcomes.keys().copied().collect()
    }
}

impl Outcome {
    pub fn of(graded: &Graded) -> Self {
        let answer = graded.answer;
        Self {
            answers: 1,
            right: f64::from(u8::from(graded.right)),
            cut_off: usize::from(!answer.finished),
            length: answer.tokens as f64,
            steps: answer.steps.len() as f64,
            tokens: [answer.draft.generated as f64, answer.reward.prefilled as f64, answer.target.generated as f64],
            flops: answer.flops.map(|flops| [flops.generated, flops.with_prm, flops.total]),
            seconds: answer.seconds,
            verdicts: Verdicts::of(answer),
        }
    }

    /// The same had nobody asked for a verdict. `reader` is for what the target wrote alone: the FLOPs of a token of the
    /// draft, which reads such an answer only to judge it, and after it. The time of a verdict beside a writing draft
    /// cannot be told apart and stays in.
    pub fn unjudged(graded: &Graded, reader: Option<f64>) -> Self {
        let Answer { draft, reward, .. } = graded.answer;
        let mut outcome = Self::of(graded);
        outcome.tokens[1] = 0.0;
        let read = reader.unwrap_or(0.0) * draft.prefilled as f64;
        outcome.flops = outcome.flops.map(|[generated, with_prm, total]| {
            let verdict = with_prm - generated + read;
            [generated, generated, total - verdict]
        });
        if reader.is_some() {
            outcome.seconds = outcome.seconds.map(|seconds| seconds - draft.seconds - reward.seconds);
        }
        outcome
    }

    /// The mean over samples.
    pub fn mean(samples: &[Graded]) -> Self {
        let mut sum = Self::together(samples.iter().map(Self::of));
        let share = 1.0 / samples.len() as f64;
        for value in [&mut sum.right, &mut sum.length, &mut sum.steps].into_iter().chain(&mut sum.tokens) {
            *value *= share;
        }
        for value in sum.flops.iter_mut().flatten().chain(&mut sum.seconds) {
            *value *= share;
        }
        sum
    }

    /// One of the samples, at the price of all.
    pub fn chosen(place: usize, mut samples: Vec<Self>) -> Self {
        let all = Self::together(samples.iter().cloned());
        Self { tokens: all.tokens, flops: all.flops, seconds: all.seconds, ..samples.swap_remove(place) }
    }

    fn together(samples: impl Iterator<Item = Self>) -> Self {
        let known = Self { flops: Some([0.0; 3]), seconds: Some(0.0), ..Self::default() };
        samples.fold(known, |sum, one| {
            let both = |a: [f64; 3], b: [f64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
            Self {
                answers: sum.answers + one.answers,
                right: sum.right + one.right,
                cut_off: sum.cut_off + one.cut_off,
                length: sum.length + one.length,
                steps: sum.steps + one.steps,
                tokens: both(sum.tokens, one.tokens),
                flops: sum.flops.zip(one.flops).map(|(a, b)| both(a, b)),
                seconds: sum.seconds.zip(one.seconds).map(|(a, b)| a + b),
                verdicts: sum.verdicts.and(one.verdicts),
            }
        })
    }
}

impl Verdicts {
    fn of(answer: &Answer) -> Self {
        let mut found = Self::default();
        for step in &answer.steps {
            let drafted = if step.source == Source::Draft { Some(step.tokens) } else { step.rejected };
            let accepted = step.source == Source::Draft;
            found.steps += usize::from(drafted.is_some());
            found.tokens += drafted.unwrap_or(0);
            found.accepted_steps += usize::from(accepted);
            found.accepted_tokens += if accepted { step.tokens } else { 0 };
        }
        found
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            accepted_steps: self.accepted_steps + other.accepted_steps,
            tokens: self.tokens + other.tokens,
            accepted_tokens: self.accepted_tokens + other.accepted_tokens,
        }
    }
}
