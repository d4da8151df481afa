//! Prompts against the token ids of the authors' code (`tests/fixtures/prm`, made by the script beside them).

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::{Family, Format, Specials, Spelling, softmax};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/prm").join(name)
}

fn json(name: &str, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name).join(file)).unwrap()).unwrap()
}

fn spelling(name: &str) -> Spelling {
    let tokenizer = Tokenizer::from_file(fixture(name).join("tokenizer.json")).unwrap();
    let config = json(name, "tokenizer_config.json");
    let token = |field: &str| config[field].as_str().map(str::to_owned);
    Spelling::new(Arc::new(tokenizer), Specials { bos: token("bos_token"), pad: token("pad_token") })
}

fn prompt(format: &dyn Format, question: &str, steps: &[&str]) -> Vec<u32> {
    format.prompt(question, steps).unwrap()
}

/// The prompts of all solutions of a fixture, one per step, with the ids of the authors' whole input.
fn prompts(name: &str, family: Family) -> Vec<(Vec<Vec<u32>>, Vec<u32>)> {
    let format = family.format(spelling(name), None).unwrap();
    let cases = json(name, "scores.json");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |case: &Value| {
        let question = text(&case["question"]);
        let steps: Vec<String> = case["steps"].as_array().unwrap().iter().map(text).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let whole = case["ids"].as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap());
        let prompts = (1..=steps.len()).map(|count| prompt(&*format, &question, &steps[..count])).collect();
        (prompts, whole.collect())
    };
    cases.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn every_prompt_begins_the_authors_input_and_the_next_prompt() {
    let families = [
        ("skywork", Family::Skywork, 0),
        ("qwen-prm", Family::QwenPrm, 2),
        // They end with "+" and the end of the turn.
        ("rlhflow", Family::Rlhflow, 2),
        ("math-shepherd", Family::MathShepherd, 0),
        ("reason-eval-7b", Family::ReasonEval, 1),
        ("reason-eval-34b", Family::ReasonEval, 0),
    ];
    for (name, family, after) in families {
        for (prompts, whole) in prompts(name, family) {
            for (shorter, longer) in prompts.iter().zip(prompts.iter().skip(1).chain([&whole])) {
                assert!(shorter.len() < longer.len() || after == 0, "{name}");
                assert!(longer.starts_with(shorter), "{name}: {shorter:?} does not begin {longer:?}");
            }
            assert_eq!(prompts.last().unwrap().len() + after, whole.len(), "{name}");
        }
    }
}

#[test]
fn a_step_that_holds_the_separator_is_several_of_skyworks() {
    let lines = Family::Skywork.format(spelling("skywork"), Some("\n")).unwrap();
    let blanks = Family::Skywork.format(spelling("skywork"), None).unwrap();
    let apart = prompt(&*lines, "Why?", &["One.", "Two."]);
    assert_eq!(prompt(&*lines, "Why?", &["One.\nTwo."]), apart);
    assert_eq!(prompt(&*lines, "Why?", &["One.\n\nTwo."]), apart);
    assert_ne!(prompt(&*blanks, "Why?", &["One.\nTwo."]), apart);
    let empty = prompt(&*blanks, "Why?", &[""]);
    assert!(prompt(&*blanks, "Why?", &["", "x"]).starts_with(&empty));
}

#[test]
fn a_tokenizer_of_another_family_is_refused_by_the_token_it_lacks() {
    let refusal = |family: Family, name: &str| family.format(spelling(name), None).err().unwrap().to_string();
    assert!(refusal(Family::QwenPrm, "skywork").contains("<extra_0>"));
    assert!(refusal(Family::Rlhflow, "qwen-prm").contains("<|begin_of_text|>"));
    assert!(refusal(Family::MathShepherd, "qwen-prm").contains("instead of one"));
}

#[test]
fn rewards_are_read_as_the_authors_do() {
    let reward =
        |name: &str, family: Family, values: &[f32]| family.format(spelling(name), None).unwrap().reward(values);
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    near(reward("skywork", Family::Skywork, &[0.0]), 0.5);
    near(reward("skywork", Family::Skywork, &[2.0]), 0.880_797_1);
    near(reward("qwen-prm", Family::QwenPrm, &[0.0, 1.0]), 0.731_058_6);
    near(reward("rlhflow", Family::Rlhflow, &[0.0, 1.0]), 0.268_941_4);
    near(reward("math-shepherd", Family::MathShepherd, &[3.0, 3.0]), 0.5);
    near(reward("reason-eval-7b", Family::ReasonEval, &[0.0, 0.0, 0.0]), 2.0 / 3.0);
    assert!(reward("qwen-prm", Family::QwenPrm, &[f32::NAN, 0.0]).is_nan());
    assert!(reward("skywork", Family::Skywork, &[]).is_nan());
    near(softmax(&[1e4, 0.0])[0], 1.0);
}
