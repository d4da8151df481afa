//! Whether the equations between numbers hold that a step states.

use rsd_grading::equation::equations;

use super::{CheckFindings, CheckedStep, FalseStatement, StepCheck, fences::blocks};

/// Checks the equations of a step ([`rsd_grading::equation`]); code is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArithmeticCheck;

impl StepCheck for ArithmeticCheck {
    fn name(&self) -> &'static str {
        "arithmetic"
    }

    fn check(&self, step: &CheckedStep<'_>) -> CheckFindings {
        let mut findings = CheckFindings::default();
        for equation in equations(&without_code(step)) {
            if equation.holds {
                findings.holding += 1;
            } else {
                let written = step.step[equation.place.clone()].split_whitespace().collect::<Vec<_>>().join(" ");
                let reason = format!("{written} (it is {})", equation.value);
                findings.false_statements.push(FalseStatement { place: equation.place, reason });
            }
        }
        findings
    }
}

/// The step with line breaks in place of code, so that places in it stay the same.
fn without_code(step: &CheckedStep<'_>) -> String {
    let before = step.earlier.concat();
    let blocks = blocks(&format!("{before}{}", step.step));
    let is_code = |at: usize| blocks.iter().any(|block| block.whole.contains(&(before.len() + at)));
    let mut text = String::with_capacity(step.step.len());
    for (at, c) in step.step.char_indices() {
        if is_code(at) { text.extend(std::iter::repeat_n('\n', c.len_utf8())) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(earlier: &[&str], step: &str) -> (usize, Vec<String>) {
        let earlier: Vec<String> = earlier.iter().map(|&step| step.to_owned()).collect();
        let findings = ArithmeticCheck.check(&CheckedStep { question: "How many?", earlier: &earlier, step });
        (findings.holding, findings.false_statements.into_iter().map(|found| found.reason).collect())
    }

    #[test]
    fn true_and_false_equations_are_counted() {
        assert_eq!(check(&[], "48 / 2 = 24, so 48 + 24\n = 73."), (1, vec!["48 + 24 = 73 (it is 72)".to_owned()]));
        assert_eq!(check(&[], "There are several ways."), (0, vec![]));
    }

    #[test]
    fn code_is_not_looked_at_even_if_its_block_began_in_an_earlier_step() {
        assert_eq!(check(&["```python\nx = 1\n\n"], "# 2 + 2 = 5\n```\n2 + 2 = 4"), (1, vec![]));
        assert_eq!(check(&["```python\nx = 1\n```\n\n"], "2 + 2 = 5").1.len(), 1);
    }
}
