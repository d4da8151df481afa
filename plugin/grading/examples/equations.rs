//! Checks the equations in solutions and prints how many hold and which are false.
//!
//! ```console
//! $ cargo run -p rsd-grading --example equations -- solutions.jsonl
//! ```
//!
//! Each line of the file is an object with the solution as `text` or `answer`; where it has `correct` (true, false, 1 or
//! 0), the share of right solutions is printed too. Calculator annotations of GSM8K (`<<48/2=24>>`) are dropped first.

use std::{fs, process::ExitCode};

use rsd_grading::equation::{StatedEquation, equations};
use serde_json::Value;

/// Solutions with the same findings.
#[derive(Default)]
struct SolutionGroup {
    solutions: usize,
    right: usize,
}

impl SolutionGroup {
    fn add(&mut self, right: bool) {
        self.solutions += 1;
        self.right += usize::from(right);
    }

    fn print(&self, name: &str, graded: bool) {
        let share = 100.0 * self.right as f64 / self.solutions.max(1) as f64;
        let right = if graded { format!(", {} right ({share:.1} %)", self.right) } else { String::new() };
        println!("{name}: {} solutions{right}", self.solutions);
    }
}

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("expected the path of a JSONL file with solutions: equations FILE");
        return ExitCode::from(64);
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(66);
        }
    };
    let (mut holding, mut wrong, mut graded) = (0, 0, false);
    let [mut all_hold, mut one_false, mut without] = [(); 3].map(|()| SolutionGroup::default());
    for line in text.lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        let Some(solution) = record["text"].as_str().or(record["answer"].as_str()) else { continue };
        let solution = without_annotations(solution);
        let right = record["correct"].as_bool().unwrap_or(record["correct"].as_u64() == Some(1));
        graded |= !record["correct"].is_null();
        let found = equations(&solution);
        let (hold, are_false): (Vec<&StatedEquation>, Vec<_>) = found.iter().partition(|equation| equation.holds);
        holding += hold.len();
        wrong += are_false.len();
        let group = match (hold.is_empty(), are_false.is_empty()) {
            (_, false) => &mut one_false,
            (false, true) => &mut all_hold,
            (true, true) => &mut without,
        };
        group.add(right);
        for equation in are_false {
            let place = solution[equation.place.clone()].replace('\n', " ");
            println!("{}: {place} (it is {})", record["id"].as_str().unwrap_or("?"), equation.value);
        }
    }
    println!("equations: {holding} hold, {wrong} are false");
    one_false.print("one is false", graded);
    all_hold.print("all hold", graded);
    without.print("none found", graded);
    ExitCode::SUCCESS
}

/// A solution without `<<...>>`.
fn without_annotations(solution: &str) -> String {
    let mut text = String::new();
    let mut rest = solution;
    while let Some((before, after)) = rest.split_once("<<") {
        text.push_str(before);
        rest = after.split_once(">>").map_or("", |(_, rest)| rest);
    }
    text + rest
}
