//! Two tiny models, a head that judges the draft, questions, and the programs that ask them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use mistralrs_rsd::deploy::observed_draft;
use rsd_evaluation::{
    question::{self, Fields, Question},
    record::{self, Answer},
};
use rsd_tests::{head, tiny::Tiny};
use serde_json::json;
use tempfile::TempDir;

use crate::programs;

/// Most tokens of an answer. Answers of these models have 15 on average.
pub const MAX_TOKENS: &str = "40";

/// Where the threshold stands in [`Rig::deployment`].
pub const DELTA: &str = "delta: 0.5  # between kept and written anew";

/// What the two models have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// Nothing.
    Strangers,
    /// All but a liking: they often write the same.
    Kin,
    /// Everything.
    Twins,
}

/// A folder with all that a command needs.
pub struct Rig {
    pub home: TempDir,
    /// Draft and target.
    pub models: [Tiny; 2],
}

impl Rig {
    pub fn new(pair: Pair, questions: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (draft, target) = match pair {
            Pair::Strangers => (talker(1, 1.5), talker(2, 1.5)),
            Pair::Kin => (talker(1, 1.5), talker(1, 1.7)),
            Pair::Twins => (talker(1, 1.5), talker(1, 1.5)),
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let observed = runtime.block_on(observed_draft(&draft.role())).unwrap();
        head::write(&home.path().join("head.safetensors"), &observed.sha256).unwrap();
        fs::write(home.path().join("deployment.yaml"), deployment(&draft, &target)).unwrap();
        let line = |n: usize| json!({"id": format!("q{n}"), "question": format!("What is {n} + 1?"), "answer": n % 10});
        let lines: Vec<String> = (0..questions).map(|n| line(n).to_string()).collect();
        fs::write(home.path().join("questions.jsonl"), lines.join("\n")).unwrap();
        Self { home, models: [draft, target] }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A command on the questions, with its words behind; `--rsd` is among them only where it is named.
    pub fn command(&self, name: &str, out: &str, more: &str) -> Command {
        let text = |file: &str| self.path(file).to_string_lossy().into_owned();
        let own = [text("questions.jsonl"), text(out)];
        let mut words = vec!["mistralrs-rsd", name, "--data", &own[0], "--out", &own[1], "--max-tokens", MAX_TOKENS];
        words.extend(more.split_whitespace());
        self.started(&words)
    }

    fn started(&self, words: &[&str]) -> Command {
        let mut command = programs::command(words);
        command.env("HOME", self.home.path()).env("XDG_CACHE_HOME", self.path("cache")).stdin(Stdio::null());
        command.env_remove("RSD_CONFIG");
        command
    }

    /// `eval` with the models in its process.
    pub fn eval(&self, out: &str, more: &str) -> Command {
        self.command("eval", out, &format!("--rsd {} {more}", self.path("deployment.yaml").display()))
    }

    pub fn calibrate(&self, out: &str, more: &str) -> Command {
        self.command("calibrate", out, &format!("--rsd {} {more}", self.path("deployment.yaml").display()))
    }

    pub fn bench(&self, more: &str) -> Command {
        let (data, rsd) = (self.path("questions.jsonl"), self.path("deployment.yaml"));
        let own = format!("mistralrs-rsd bench --data {} --rsd {} {more}", data.display(), rsd.display());
        self.started(&own.split_whitespace().collect::<Vec<_>>())
    }

    pub fn questions(&self) -> Vec<Question> {
        question::read(&self.path("questions.jsonl"), &Fields::default()).unwrap()
    }

    /// The log of a run, by question, method and sample.
    pub fn answers(&self, out: &str) -> BTreeMap<(String, String, usize), Answer> {
        let (_, answers) = record::read(&self.path(out)).unwrap();
        let count = answers.len();
        let key = |answer: &Answer| (answer.question.clone(), answer.method.clone(), answer.sample);
        let by: BTreeMap<_, _> = answers.into_iter().map(|answer| (key(&answer), answer)).collect();
        assert_eq!(by.len(), count, "an answer was logged twice");
        by
    }
}

/// A model whose answers end after a while and say numbers.
fn talker(seed: u64, liking: f32) -> Tiny {
    let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let likings: Vec<(&str, f32)> =
        digits.map(|digit| (digit, liking)).into_iter().chain([("<|im_end|>", 2.2)]).collect();
    Tiny::gguf_fond_of(seed, &likings).unwrap()
}

fn deployment(draft: &Tiny, target: &Tiny) -> String {
    let role = |tiny: &Tiny| {
        format!(
            "{{model_id: {}, format: gguf, quantized_file: tiny.gguf, dtype: f32, token_source: none, cpu: true}}",
            tiny.path().display()
        )
    };
    format!(
        "# A pair for tests.\nversion: 1\nroles:\n  draft: {}\n  target: {}\nreward:\n  kind: resident\n  \
         head: head.safetensors\npolicy:\n  {DELTA}\nsteps:\n  unit: tokens\n  tokens: 4\n# The end.\n",
        role(draft),
        role(target)
    )
}

/// What a command that has to succeed printed.
pub fn succeed(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}: {text}");
    text
}

/// What a command that has to fail by itself printed.
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
