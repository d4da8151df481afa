//! The easy questions of `examples/evaluation/easy.jsonl`: each answer is what its expression says.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;

use rsd_grading::equation::equations;
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/evaluation/easy.jsonl");

fn questions() -> Vec<Value> {
    std::fs::read_to_string(FILE).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_answer_is_the_value_of_its_expression() {
    let questions = questions();
    assert!(questions.len() >= 100, "{}", questions.len());
    for question in &questions {
        let text = format!("{} = {}", question["expression"].as_str().unwrap(), question["answer"]);
        let stated = equations(&text);
        assert!(stated.len() == 1 && stated[0].holds, "{}: {text}: {stated:?}", question["id"]);
        // The same with another answer is seen to be false.
        let wrong =
            format!("{} = {}", question["expression"].as_str().unwrap(), question["answer"].as_i64().unwrap() + 1);
        assert!(equations(&wrong).iter().any(|stated| !stated.holds), "{wrong}");
    }
}

#[test]
fn no_question_is_there_twice_and_each_has_all_fields() {
    let questions = questions();
    let texts: BTreeSet<&str> = questions.iter().map(|question| question["question"].as_str().unwrap()).collect();
    let ids: BTreeSet<&str> = questions.iter().map(|question| question["id"].as_str().unwrap()).collect();
    assert_eq!((texts.len(), ids.len()), (questions.len(), questions.len()));
    for question in &questions {
        let steps = question["expression"].as_str().unwrap().matches(['+', '-', '*', '/']).count();
        assert_eq!(question["level"].as_i64().unwrap(), if steps == 1 { 1 } else { 2 }, "{question}");
        assert!(question["subject"].is_string());
    }
}
