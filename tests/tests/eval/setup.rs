//! A folder with two tiny models, a reward head for the draft, questions and a deployment file, and commands that run
//! on it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use mistralrs_rsd::deploy::observable_draft;
use rsd_evaluation::{
    question::{self, Question, QuestionFields},
    run_log::{self, Answer},
};
use rsd_tests::{tiny_head, tiny_model::TinyModel};
use serde_json::json;
use tempfile::TempDir;

use rsd_tests::programs;

/// The limit of an answer's tokens. Answers of these models have 15 tokens on average.
pub const MAX_TOKENS: &str = "40";

/// The line of the threshold in the deployment file.
pub const DELTA: &str = "delta: 0.5  # between accepted and rejected";

/// How similar the two models are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelPair {
    /// Unrelated weights.
    Strangers,
    /// The same weights, but the target prefers digits more: they often decode the same tokens.
    Kin,
    /// The same model twice.
    Twins,
}

/// A temporary folder with everything that a command needs.
pub struct EvalFolder {
    pub home: TempDir,
    /// Draft and target.
    pub models: [TinyModel; 2],
}

impl EvalFolder {
    pub fn new(pair: ModelPair, questions: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (draft, target) = match pair {
            ModelPair::Strangers => (digit_model(1, 1.5), digit_model(2, 1.5)),
            ModelPair::Kin => (digit_model(1, 1.5), digit_model(1, 1.7)),
            ModelPair::Twins => (digit_model(1, 1.5), digit_model(1, 1.5)),
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let observed = runtime.block_on(observable_draft(&draft.role())).unwrap();
        tiny_head::write(&home.path().join("head.safetensors"), &observed.sha256).unwrap();
        fs::write(home.path().join("deployment.yaml"), deployment(&draft, &target)).unwrap();
        let line = |n: usize| json!({"id": format!("q{n}"), "question": format!("What is {n} + 1?"), "answer": n % 10});
        let lines: Vec<String> = (0..questions).map(|n| line(n).to_string()).collect();
        fs::write(home.path().join("questions.jsonl"), lines.join("\n")).unwrap();
        Self { home, models: [draft, target] }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The subcommand `name` on the questions, with `more` arguments. It has no `--rsd` unless `more` has.
    pub fn command(&self, name: &str, out: &str, more: &str) -> Command {
        let text = |file: &str| self.path(file).to_string_lossy().into_owned();
        let own = [text("questions.jsonl"), text(out)];
        let mut words = vec!["mistralrs-rsd", name, "--data", &own[0], "--out", &own[1], "--max-tokens", MAX_TOKENS];
        words.extend(more.split_whitespace());
        self.program(&words)
    }

    fn program(&self, words: &[&str]) -> Command {
        let mut command = programs::command(words);
        command.env("HOME", self.home.path()).env("XDG_CACHE_HOME", self.path("cache")).stdin(Stdio::null());
        command.env_remove("RSD_CONFIG");
        command
    }

    /// `eval` with the models in its own process.
    pub fn eval(&self, out: &str, more: &str) -> Command {
        self.command("eval", out, &format!("--rsd {} {more}", self.path("deployment.yaml").display()))
    }

    pub fn calibrate(&self, out: &str, more: &str) -> Command {
        self.command("calibrate", out, &format!("--rsd {} {more}", self.path("deployment.yaml").display()))
    }

    pub fn bench(&self, more: &str) -> Command {
        let (data, rsd) = (self.path("questions.jsonl"), self.path("deployment.yaml"));
        let own = format!("mistralrs-rsd bench --data {} --rsd {} {more}", data.display(), rsd.display());
        self.program(&own.split_whitespace().collect::<Vec<_>>())
    }

    pub fn questions(&self) -> Vec<Question> {
        question::read(&self.path("questions.jsonl"), &QuestionFields::default()).unwrap()
    }

    /// The log of a run, by question, method and sample.
    pub fn answers(&self, out: &str) -> BTreeMap<(String, String, usize), Answer> {
        let (_, answers) = run_log::read(&self.path(out)).unwrap();
        let count = answers.len();
        let key = |answer: &Answer| (answer.question.clone(), answer.method.clone(), answer.sample);
        let by: BTreeMap<_, _> = answers.into_iter().map(|answer| (key(&answer), answer)).collect();
        assert_eq!(by.len(), count, "an answer was logged twice");
        by
    }
}

/// A model whose answers consist of digits and end after some tokens.
fn digit_model(seed: u64, preference: f32) -> TinyModel {
    let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let preferences: Vec<(&str, f32)> =
        digits.map(|digit| (digit, preference)).into_iter().chain([("<|im_end|>", 2.2)]).collect();
    TinyModel::gguf_preferring(seed, &preferences).unwrap()
}

fn deployment(draft: &TinyModel, target: &TinyModel) -> String {
    let role = |tiny: &TinyModel| {
        format!(
            "{{model_id: {}, format: gguf, quantized_file: tiny.gguf, dtype: f32, token_source: none, cpu: true}}",
            tiny.path().display()
        )
    };
    format!(
        "# A pair for tests.\nversion: 1\nroles:\n  draft: {}\n  target: {}\nreward:\n  kind: resident\n  \
         head: head.safetensors\npolicy:\n  {DELTA}\n  after_rejection: draft\nsteps:\n  unit: tokens\n  tokens: 4\n# The end.\n",
        role(draft),
        role(target)
    )
}

/// Runs a command that must succeed. Returns what it printed.
pub fn succeed(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}: {text}");
    text
}

/// Runs a command that must fail with an error of its own (exit code 1). Returns what it printed.
pub fn fail(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("error: "), "{text}");
    text
}

pub fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |text| String::from_utf8_lossy(&text).matches('\n').count())
}
