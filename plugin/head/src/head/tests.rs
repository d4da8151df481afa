use std::collections::HashMap;

use candle_core::{Device, Tensor};
use safetensors::tensor::serialize_to_file;

use super::*;

const FORMAT: &str = "rsd-head-1";

fn metadata() -> HashMap<String, String> {
    [
        ("format", FORMAT),
        ("draft", "abc"),
        ("hidden_size", "2"),
        ("features", r#"["last","mean"]"#),
        ("statistics", r#"["mean_logprob","min_logprob","mean_entropy","max_entropy","last_entropy","tokens"]"#),
        ("temperature", "2.0"),
        ("delta", "0.4"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn tensors() -> Vec<(&'static str, Vec<f32>, Vec<usize>)> {
    vec![
        ("layers.0.weight", vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0], vec![2, 4]),
        ("layers.0.bias", vec![0.0, 0.5], vec![2]),
        ("layers.1.weight", vec![1.0, 1.0], vec![1, 2]),
        ("layers.1.bias", vec![-1.0], vec![1]),
    ]
}

fn write(tensors: &[(&str, Vec<f32>, Vec<usize>)], metadata: HashMap<String, String>) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let tensors = tensors
        .iter()
        .map(|(name, values, shape)| {
            ((*name).to_owned(), Tensor::from_slice(values, shape.as_slice(), &Device::Cpu).unwrap())
        })
        .collect::<Vec<_>>();
    serialize_to_file(tensors, Some(metadata), file.path()).unwrap();
    file
}

fn error(tensors: &[(&str, Vec<f32>, Vec<usize>)], metadata: HashMap<String, String>) -> String {
    RewardHead::load(write(tensors, metadata).path()).unwrap_err().to_string()
}

#[test]
fn a_head_gives_the_reward_of_its_formula() {
    let file = write(&tensors(), metadata());
    let head = RewardHead::load(file.path()).unwrap();
    assert_eq!((head.draft(), head.hidden_size(), head.parameters()), ("abc", 2, 13));
    // Hidden: relu(3), relu(-1 * 2 + 0.5); output 3 + 0 - 1 = 2; sigmoid(2 / 2).
    let step = StepFeatures { last: vec![3.0, 9.0], mean: vec![9.0, 2.0], ..StepFeatures::default() };
    assert!((head.reward(&[], &step, CheckCounts::default()) - 1.0 / (1.0 + (-1f64).exp())).abs() < 1e-7);
    let broken = StepFeatures { last: vec![f32::NAN, 0.0], ..step };
    assert!(head.reward(&[], &broken, CheckCounts::default()).is_nan());
}

#[test]
fn a_head_may_read_the_steps_before() {
    let mut all = metadata();
    all.insert("features".to_owned(), r#"["last","mean_so_far"]"#.to_owned());
    let file = write(&tensors(), all);
    let head = RewardHead::load(file.path()).unwrap();
    let step = |tokens: f32, last: f32, mean: f32| StepFeatures {
        last: vec![last, 0.0],
        mean: vec![0.0, mean],
        statistics: [0.0, 0.0, 0.0, 0.0, 0.0, tokens],
    };
    // The mean of 2 over one token and of -4 over two is -2: relu(3) + relu(2 + 0.5) - 1 = 4.5.
    let found = head.reward(&[step(1.0, 7.0, 2.0)], &step(2.0, 3.0, -4.0), CheckCounts::default());
    assert!((found - 1.0 / (1.0 + (-4.5f64 / 2.0).exp())).abs() < 1e-6, "{found}");
}

#[test]
fn a_head_for_a_remote_draft_reads_the_last_state_only() {
    let of = |features: &str, inputs: usize| {
        let mut all = metadata();
        all.insert("features".to_owned(), features.to_owned());
        let layer = [("layers.0.weight", vec![0.5; inputs], vec![1, inputs]), ("layers.0.bias", vec![0.0], vec![1])];
        let file = write(&layer, all);
        RewardHead::load(file.path()).unwrap().check_last_state_suffices(Path::new("h.safetensors"))
    };
    assert!(of(r#"["last"]"#, 2).is_ok() && of(r#"["last","checks_so_far"]"#, 4).is_ok());
    let error = of(r#"["last","mean"]"#, 4).unwrap_err().to_string();
    assert!(error.contains("h.safetensors") && error.contains("it reads last,mean, but a remote engine"), "{error}");
}

#[test]
fn a_head_may_count_equations() {
    let mut all = metadata();
    all.insert("features".to_owned(), r#"["mean","checks_so_far"]"#.to_owned());
    let file = write(&tensors(), all);
    let head = RewardHead::load(file.path()).unwrap();
    assert!(head.counts_equations());
    let step = StepFeatures { mean: vec![3.0, 0.0], ..StepFeatures::default() };
    // relu(3) + relu(0.5 - ln 2) - 1 with one false equation, and without one relu(3) + 0.5 - 1.
    for (text, logit) in [("2 + 2 = 5", 2.0), ("2 + 2 = 4", 2.5)] {
        let found = head.reward(&[], &step, CheckCounts::of(&[], text));
        assert!((found - 1.0 / (1.0 + (-logit / 2f64).exp())).abs() < 1e-6, "{text}: {found}");
    }
}

#[test]
fn what_is_not_a_head_is_rejected_with_the_reason() {
    let with = |key: &str, value: &str| {
        let mut metadata = metadata();
        metadata.insert(key.to_owned(), value.to_owned());
        error(&tensors(), metadata)
    };
    assert!(with("format", "else").contains("rsd-head-1"));
    assert!(with("hidden_size", "3").contains("layer 0 takes 4 numbers"));
    assert!(with("temperature", "0").contains("temperature 0"));
    assert!(with("features", r#"["first"]"#).contains("`last`"));
    let mut old = metadata();
    old.insert("features".to_owned(), r#"["last","statistics"]"#.to_owned());
    old.insert("statistics".to_owned(), r#"["words","lines"]"#.to_owned());
    assert!(error(&tensors(), old).contains("train it again"));

    let changed = |at: usize, values: Vec<f32>, shape: Vec<usize>| {
        let mut tensors = tensors();
        (tensors[at].1, tensors[at].2) = (values, shape);
        error(&tensors, metadata())
    };
    assert!(changed(0, vec![f32::NAN; 8], vec![2, 4]).contains("layers.0.weight has NaN"));
    assert!(changed(1, vec![0.0; 3], vec![3]).contains("layers.0.bias"));
    assert!(changed(2, vec![1.0; 4], vec![2, 2]).contains("layers.1.bias"));
    assert!(error(&tensors()[..2], metadata()).contains("layer 0 has 2 outputs, expected 1"));
    error(&tensors()[1..], metadata());
}

#[test]
fn an_incomplete_or_missing_file_is_rejected() {
    let file = write(&tensors(), metadata());
    let bytes = std::fs::read(file.path()).unwrap();
    for length in [0, 5, 40, bytes.len() - 1] {
        std::fs::write(file.path(), &bytes[..length]).unwrap();
        RewardHead::load(file.path()).unwrap_err();
    }
    assert!(RewardHead::load(Path::new("/no/such/head")).unwrap_err().to_string().contains("/no/such/head"));
}

#[cfg(unix)]
#[test]
fn a_device_in_place_of_a_head_is_refused_at_once() {
    let error = RewardHead::load(std::path::Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(error.contains("/dev/zero") && error.contains("not a regular file"), "{error}");
}
