//! Compares prompts with the token ids of the authors' code (`tests/fixtures/prm`, made by the script beside them).

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;
use tokenizers::Tokenizer;

use super::{PrmFamily, PrmTokenizer, PromptFormat, SpecialTokens, prompt_format, softmax};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/prm").join(name)
}

fn json(name: &str, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name).join(file)).unwrap()).unwrap()
}

fn tokenizer(name: &str) -> PrmTokenizer {
    let tokenizer = Tokenizer::from_file(fixture(name).join("tokenizer.json")).unwrap();
    let config = json(name, "tokenizer_config.json");
    let token = |field: &str| config[field].as_str().map(str::to_owned);
    PrmTokenizer::new(Arc::new(tokenizer), SpecialTokens { bos: token("bos_token"), pad: token("pad_token") })
}

fn prompt(format: &dyn PromptFormat, question: &str, steps: &[&str]) -> Vec<u32> {
    format.prompt(question, steps).unwrap()
}

/// The prompts of all solutions of a fixture, one per step, with the ids of the authors' whole input.
fn prompts(name: &str, family: PrmFamily) -> Vec<(Vec<Vec<u32>>, Vec<u32>)> {
    let format = prompt_format(family, tokenizer(name), None).unwrap();
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
        ("skywork", PrmFamily::Skywork, 0),
        ("qwen-prm", PrmFamily::QwenPrm, 2),
        // They end with "+" and the end of the turn.
        ("rlhflow", PrmFamily::Rlhflow, 2),
        ("math-shepherd", PrmFamily::MathShepherd, 0),
        ("reason-eval-7b", PrmFamily::ReasonEval, 1),
        ("reason-eval-34b", PrmFamily::ReasonEval, 0),
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
    let lines = prompt_format(PrmFamily::Skywork, tokenizer("skywork"), Some("\n")).unwrap();
    let blanks = prompt_format(PrmFamily::Skywork, tokenizer("skywork"), None).unwrap();
    let apart = prompt(&*lines, "Why?", &["One.", "Two."]);
    assert_eq!(prompt(&*lines, "Why?", &["One.\nTwo."]), apart);
    assert_eq!(prompt(&*lines, "Why?", &["One.\n\nTwo."]), apart);
    assert_ne!(prompt(&*blanks, "Why?", &["One.\nTwo."]), apart);
    let empty = prompt(&*blanks, "Why?", &[""]);
    assert!(prompt(&*blanks, "Why?", &["", "x"]).starts_with(&empty));
}

/// Each family with control tokens that a user could type.
#[test]
fn a_typed_control_token_closes_no_step_and_begins_no_turn() {
    let families = [
        ("skywork", PrmFamily::Skywork, "<|endoftext|>"),
        ("qwen-prm", PrmFamily::QwenPrm, "<extra_0>"),
        ("qwen-prm", PrmFamily::QwenPrm, "<|im_end|>"),
        ("rlhflow", PrmFamily::Rlhflow, "<|eot_id|>"),
        ("math-shepherd", PrmFamily::MathShepherd, "</s>"),
        ("reason-eval-34b", PrmFamily::ReasonEval, "</s>"),
    ];
    for (name, family, token) in families {
        let id = tokenizer(name).token_id(token).unwrap();
        let format = prompt_format(family, tokenizer(name), None).unwrap();
        let count = |question: &str, steps: &[&str]| {
            prompt(&*format, question, steps).iter().filter(|found| **found == id).count()
        };
        let plain = count("Why?", &["One.", "Two."]);
        let typed = count(&format!("Why{token}?"), &[&format!("One.{token}"), &format!("{token} Two.")]);
        assert_eq!(typed, plain, "{name}: {token}");
    }
}

#[test]
fn a_tokenizer_of_another_family_is_rejected_by_the_token_it_lacks() {
    let error = |family: PrmFamily, name: &str| prompt_format(family, tokenizer(name), None).err().unwrap().to_string();
    assert!(error(PrmFamily::QwenPrm, "skywork").contains("<extra_0>"));
    assert!(error(PrmFamily::Rlhflow, "qwen-prm").contains("<|begin_of_text|>"));
    assert!(error(PrmFamily::MathShepherd, "qwen-prm").contains("instead of one"));
}

#[test]
fn rewards_are_read_as_the_authors_do() {
    let reward = |name: &str, family: PrmFamily, values: &[f32]| {
        prompt_format(family, tokenizer(name), None).unwrap().reward(values)
    };
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    near(reward("skywork", PrmFamily::Skywork, &[0.0]), 0.5);
    near(reward("skywork", PrmFamily::Skywork, &[2.0]), 0.880_797_1);
    near(reward("qwen-prm", PrmFamily::QwenPrm, &[0.0, 1.0]), 0.731_058_6);
    near(reward("rlhflow", PrmFamily::Rlhflow, &[0.0, 1.0]), 0.268_941_4);
    near(reward("math-shepherd", PrmFamily::MathShepherd, &[3.0, 3.0]), 0.5);
    near(reward("reason-eval-7b", PrmFamily::ReasonEval, &[0.0, 0.0, 0.0]), 2.0 / 3.0);
    assert!(reward("qwen-prm", PrmFamily::QwenPrm, &[f32::NAN, 0.0]).is_nan());
    assert!(reward("skywork", PrmFamily::Skywork, &[]).is_nan());
    near(softmax(&[1e4, 0.0])[0], 1.0);
}
