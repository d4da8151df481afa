//! Every method runs, and the report names those that were not run.

use std::fs;

use rsd_evaluation::run_log::Answer;
use serde_json::Value;

use crate::setup::{EvalFolder, ModelPair, succeed};

const QUESTIONS: usize = 6;
const METHODS: &str = "target,draft,rsd,sd,best-of-n,majority,oracle-answer,oracle-target";

fn report(folder: &EvalFolder) -> (Value, String) {
    let read = |name: &str| fs::read_to_string(folder.path("run").join(name)).unwrap();
    (serde_json::from_str(&read("report.json")).unwrap(), read("report.md"))
}

fn names(report: &Value) -> Vec<&str> {
    report["methods"].as_array().unwrap().iter().filter_map(|method| method["name"].as_str()).collect()
}

#[test]
fn every_method_answers_every_question_and_the_report_names_those_that_were_not_run() {
    let folder = EvalFolder::new(ModelPair::Kin, QUESTIONS);
    let printed = succeed(folder.eval("run", &format!("--methods {METHODS} --sweep 0.3,0.7 --samples 2")));
    assert!(printed.contains("6 questions to ask, 0 already answered"), "{printed}");
    assert!(printed.contains(&folder.path("run").join("report.md").display().to_string()), "{printed}");
    assert!(printed.contains(&folder.path("run").join("report.html").display().to_string()), "{printed}");
    let page = fs::read_to_string(folder.path("run").join("report.html")).unwrap();
    assert!(page.contains("Steps of <code>rsd@0.5</code>") && !page.contains("<script"), "{page}");
    let logged = folder.answers("run");
    // Ten per question: RSD at three thresholds, two samples of the draft, and one answer of each of the other five
    // methods.
    assert_eq!(logged.len(), QUESTIONS * 10);
    let (json, _) = report(&folder);
    assert_eq!(json["not_run"], serde_json::json!([]));
    let all = [
        "target",
        "draft",
        "rsd@0.3",
        "rsd@0.5",
        "rsd@0.7",
        "sd@4",
        "draft-sampled",
        "best-of-2 (draft)",
        "majority-of-2 (draft)",
        "oracle-answer",
        "oracle-target",
        "oracle-question",
    ];
    assert_eq!(names(&json), all);
    assert!(json["methods"].as_array().unwrap().iter().all(|method| method["questions"] == QUESTIONS));

    // The target's samples were not requested before, so a report that includes them misses them.
    succeed(folder.eval("run", "--methods majority,best-of-n --samples-from draft,target --report-only"));
    let (json, _) = report(&folder);
    assert_eq!(json["not_run"], serde_json::json!(["best-of-n (target)", "majority (target)"]));

    // A report needs no models.
    let printed =
        succeed(folder.eval("run", "--methods beam,target --report-only --set roles.draft.model_id=/nowhere"));
    assert!(!printed.contains("questions to ask"), "{printed}");
    let (json, text) = report(&folder);
    assert_eq!(json["not_run"], serde_json::json!(["beam"]));
    assert!(text.lines().any(|line| line.contains("`beam`") && line.contains("not run")), "{text}");

    // The existing answers are preserved, and those of the missing method are added.
    succeed(folder.eval("run", &format!("--methods {METHODS},beam --samples 2")));
    let more = folder.answers("run");
    assert_eq!(more.len(), QUESTIONS * 11);
    assert!(logged.iter().all(|(key, answer)| more[key] == *answer));
    let (json, text) = report(&folder);
    assert_eq!(json["not_run"], serde_json::json!([]));
    assert!(names(&json).contains(&"beam") && !text.contains("not run"), "{text}");
}

#[test]
fn an_answer_of_the_target_gets_the_reward_that_the_draft_would_get_for_it() {
    let folder = EvalFolder::new(ModelPair::Twins, QUESTIONS);
    let methods = "--methods target,best-of-n,majority --samples 2 --samples-from draft,target --temperature 0";
    succeed(folder.eval("run", methods));
    let logged = folder.answers("run");
    let mut compared = 0;
    for ((question, method, sample), answer) in &logged {
        if method != "target-sampled" {
            continue;
        }
        let drafted = &logged[&(question.clone(), "draft-sampled".to_owned(), *sample)];
        assert_eq!(answer.text, drafted.text);
        let last = |answer: &Answer| answer.steps.last().and_then(|step| step.reward);
        // Here the draft prefilled the tokens that it decoded there, which rounds differently.
        let (prefilled, decoded) = (last(answer).unwrap(), last(drafted).unwrap());
        assert!((prefilled - decoded).abs() < 1e-3, "{question}: {prefilled} {decoded}");
        // The tokens of the prompt and the answer that the draft prefilled for it are counted.
        assert_eq!((answer.draft.generated, answer.target.generated), (0, drafted.draft.generated));
        assert_eq!(answer.draft.prefilled, answer.prompt_tokens + answer.tokens);
        compared += 1;
    }
    assert_eq!(compared, 2 * QUESTIONS);
    let (json, _) = report(&folder);
    let of_target = ["best-of-2 (target)", "majority-of-2 (target)"];
    assert!(of_target.iter().all(|name| names(&json).contains(name)), "{:?}", names(&json));
}
