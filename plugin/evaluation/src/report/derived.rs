//! Methods that need no run of their own: they choose among answers that are there.

use super::outcome::{Answers, Arm, Graded, Outcome};
use crate::grade;

/// Best-of-n and majority over a method's samples. Only questions with all samples count, and for best-of-n with all
/// verdicts. `reader`: as [`Outcome::unjudged`] has it.
pub(super) fn of_samples(who: &str, answers: &Answers, reader: Option<f64>) -> Vec<Arm> {
    let most = answers.values().map(Vec::len).max().unwrap_or(0);
    if most < 2 {
        return Vec::new();
    }
    let whole = || answers.iter().filter(|(_, samples)| samples.len() == most);
    let judged = whole().filter(|(_, samples)| samples.iter().all(|graded| last_reward(graded).is_some()));
    let chosen = |place, samples: &[Graded], outcome: &dyn Fn(&Graded) -> Outcome| {
        Outcome::chosen(place, samples.iter().map(outcome).collect())
    };
    let unjudged = |graded: &Graded| Outcome::unjudged(graded, reader);
    let best = judged.map(|(&place, samples)| (place, chosen(best(samples), samples, &Outcome::of))).collect();
    let voted = whole().map(|(&place, samples)| (place, chosen(majority(samples), samples, &unjudged))).collect();
    let arm = |family: &str, outcomes| Arm { name: format!("{family}-of-{most} ({who})"), outcomes };
    vec![arm("best", best), arm("majority", voted)]
}

/// A router that knows whether the draft's answer will be right, and asks the target only where it will not.
pub(super) fn oracle_question(draft: &Answers, target: &Answers) -> Arm {
    let route = |(place, drafted): (&usize, &Vec<Graded>)| {
        let drafted = drafted.first()?;
        let targeted = target.get(place)?.first()?;
        Some((*place, Outcome::of(if drafted.right { drafted } else { targeted })))
    };
    Arm { name: "oracle-question".to_owned(), outcomes: draft.iter().filter_map(route).collect() }
}

fn last_reward(graded: &Graded) -> Option<f64> {
    graded.answer.steps.last()?.reward
}

/// The samples that came to an end, with their places; all where none did.
fn candidates<'a, 'b>(samples: &'a [Graded<'b>]) -> impl Iterator<Item = (usize, &'a Graded<'b>)> {
    let any = samples.iter().any(|graded| graded.answer.finished);
    samples.iter().enumerate().filter(move |(_, graded)| graded.answer.finished || !any)
}

/// The sample with the highest last reward, the earlier one of two.
fn best(samples: &[Graded]) -> usize {
    let best = candidates(samples)
        .map(|(place, graded)| (place, last_reward(graded)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(place, _)| place)
}

/// The first sample of those that give the most frequent final answer, the earlier one of two. Samples without an
/// answer have no vote.
fn majority(samples: &[Graded]) -> usize {
    let mut parties: Vec<(usize, String, usize)> = Vec::new();
    for (place, graded) in candidates(samples) {
        let Some(given) = grade::final_answer(graded.kind, &graded.answer.text) else { continue };
        match parties.iter_mut().find(|(_, answer, _)| grade::same(graded.kind, answer, &given)) {
            Some((_, _, votes)) => *votes += 1,
            None => parties.push((place, given, 1)),
        }
    }
    let largest = parties.iter().map(|(_, _, votes)| *votes).max();
    parties.iter().find(|(_, _, votes)| Some(*votes) == largest).map_or(0, |(place, _, _)| *place)
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};
    use crate::record::{Answer, Flops, Source, Work};

    fn samples(answers: &[(&str, Option<f64>)]) -> Vec<Answer> {
        let sample = |(sample, &(text, reward)): (usize, &(&str, Option<f64>))| {
            let mut answer = testing::answer("q", "draft-sampled");
            (answer.sample, answer.text) = (sample, text.to_owned());
            answer.steps.iter_mut().for_each(|step| step.reward = reward);
            answer
        };
        answers.iter().enumerate().map(sample).collect()
    }

    fn chosen(choose: fn(&[Graded]) -> usize, answers: &[(&str, Option<f64>)]) -> usize {
        let answers = samples(answers);
        let kind = crate::question::Kind::Number;
        choose(&answers.iter().map(|answer| Graded { answer, kind, right: false }).collect::<Vec<_>>())
    }

    #[test]
    fn the_majority_is_of_values_and_a_tie_goes_to_the_earlier_sample() {
        let of = |texts: &[&str]| chosen(majority, &texts.iter().map(|text| (*text, None)).collect::<Vec<_>>());
        assert_eq!(of(&["it is 5", "it is 7", "\\boxed{7.0}"]), 1);
        assert_eq!(of(&["it is 5", "it is 7", "7", "5"]), 0);
        assert_eq!(of(&["no idea", "none", "8"]), 2);
        assert_eq!(of(&["no idea", "none"]), 0);
    }

    #[test]
    fn the_best_has_the_highest_last_reward_and_a_tie_goes_to_the_earlier_sample() {
        assert_eq!(chosen(best, &[("1", Some(0.2)), ("2", Some(0.9)), ("3", Some(0.9))]), 1);
        assert_eq!(chosen(best, &[("1", Some(0.0)), ("2", Some(0.0))]), 0);
    }

    #[test]
    fn what_was_cut_off_is_chosen_only_where_nothing_else_is_there() {
        let mut answers = samples(&[("18", Some(0.9)), ("18", Some(0.1)), ("7", Some(0.2))]);
        answers[0].finished = false;
        let kind = crate::question::Kind::Number;
        let choose = |choose: fn(&[Graded]) -> usize, answers: &[Answer]| {
            choose(&answers.iter().map(|answer| Graded { answer, kind, right: false }).collect::<Vec<_>>())
        };
        assert_eq!((choose(best, &answers), choose(majority, &answers)), (2, 1));
        answers.iter_mut().for_each(|answer| answer.finished = false);
        assert_eq!((choose(best, &answers), choose(majority, &answers)), (0, 0));
    }

    #[test]
    fn the_work_of_all_samples_is_paid_for_and_the_chosen_one_counts() {
        let questions = [testing::question("q", "7", None)];
        let answers = samples(&[("5", Some(0.9)), ("7", Some(0.1)), ("7", Some(0.2))]);
        let (methods, _) = super::super::outcome::grade(&questions, &answers);
        let arms = of_samples("draft", &methods["draft-sampled"], None);
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(names, ["best-of-3 (draft)", "majority-of-3 (draft)"]);
        let [best, majority] = [&arms[0].outcomes[&0], &arms[1].outcomes[&0]];
        assert_eq!((best.right, majority.right), (0.0, 1.0));
        let one = Outcome::of(&methods["draft-sampled"][&0][0]);
        for outcome in [best, majority] {
            assert_eq!((outcome.seconds, outcome.length), (one.seconds.map(|s| 3.0 * s), one.length));
        }
        assert_eq!(Some(best.tokens), Some(one.tokens.map(|tokens| 3.0 * tokens)));
        assert_eq!(best.flops, one.flops.map(|flops| flops.map(|flops| 3.0 * flops)));
        // Votes need no verdicts.
        assert_eq!(Some(majority.tokens), Some([3.0 * one.tokens[0], 0.0, 3.0 * one.tokens[2]]));
        let [generated, with_prm, total] = best.flops.unwrap();
        assert!(with_prm > generated);
        assert_eq!(majority.flops, Some([generated, generated, total - (with_prm - generated)]));
    }

    #[test]
    fn votes_of_the_target_pay_neither_for_its_verdicts_nor_for_the_draft_that_read_it() {
        let target = Work { generated: 100, prefilled: 10, seconds: 1.0 };
        let silent = Work { generated: 0, ..target };
        let read = |prefilled| Work { generated: 0, prefilled, seconds: 0.5 };
        // A token is 10e9 of the target's and 1e9 of the others'. By a head in the draft's states, by a model of its own,
        // and of an answer that ended at once.
        let cases = [
            (target, read(110), Work::default(), [1000e9, 1000e9, 1210e9], [1000e9, 1000e9, 1100e9]),
            (target, Work::default(), read(110), [1000e9, 1110e9, 1210e9], [1000e9, 1000e9, 1100e9]),
            (silent, read(10), Work::default(), [0.0, 0.0, 110e9], [0.0, 0.0, 100e9]),
        ];
        for (target, draft, reward, [generated, with_prm, total], voted) in cases {
            let mut answers = samples(&[("5", Some(0.9)), ("7", Some(0.1)), ("7", Some(0.2))]);
            for answer in &mut answers {
                answer.method = "target-sampled".to_owned();
                answer.steps.iter_mut().for_each(|step| step.source = Source::Target);
                (answer.target, answer.draft, answer.reward) = (target, draft, reward);
                answer.flops = Some(Flops { generated, with_prm, total });
                answer.seconds = Some(1.5);
            }
            let (methods, _) = super::super::outcome::grade(&[testing::question("q", "7", None)], &answers);
            let arms = of_samples("target", &methods["target-sampled"], Some(1e9));
            let [best, majority] = [&arms[0].outcomes[&0], &arms[1].outcomes[&0]];
            let three = |of: [f64; 3]| Some(of.map(|flops| 3.0 * flops));
            assert_eq!((best.flops, best.seconds), (three([generated, with_prm, total]), Some(4.5)));
            assert_eq!((majority.flops, majority.seconds), (three(voted), Some(3.0)));
        }
    }

    #[test]
    fn where_a_verdict_is_missing_there_is_a_majority_but_no_best() {
        let questions = [testing::question("q", "7", None), testing::question("p", "7", None)];
        let mut answers = samples(&[("5", Some(0.9)), ("7", None)]);
        answers.extend(samples(&[("5", Some(0.1)), ("7", Some(0.2))]).into_iter().map(|mut answer| {
            answer.question = "p".to_owned();
            answer
        }));
        let (methods, _) = super::super::outcome::grade(&questions, &answers);
        let arms = of_samples("target", &methods["draft-sampled"], None);
        let found: Vec<_> = arms.iter().map(|arm| (arm.name.as_str(), arm.places())).collect();
        assert_eq!(found, [("best-of-2 (target)", vec![1]), ("majority-of-2 (target)", vec![0, 1])]);
    }

    #[test]
    fn the_router_takes_the_drafts_right_answers_and_the_targets_otherwise() {
        let questions = [testing::question("a", "1", None), testing::question("b", "2", None)];
        let answer = |question: &str, method: &str, text: &str, tokens| {
            let mut answer = testing::answer(question, method);
            (answer.text, answer.tokens) = (text.to_owned(), tokens);
            answer
        };
        let answers = [
            answer("a", "draft", "1", 10),
            answer("a", "target", "1", 20),
            answer("b", "draft", "1", 30),
            answer("b", "target", "2", 40),
        ];
        let (methods, _) = super::super::outcome::grade(&questions, &answers);
        let arm = oracle_question(&methods["draft"], &methods["target"]);
        let found: Vec<(f64, f64)> = arm.outcomes.values().map(|outcome| (outcome.right, outcome.length)).collect();
        assert_eq!(found, [(1.0, 10.0), (1.0, 40.0)]);
    }
}
