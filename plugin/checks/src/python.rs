//! Whether the Python code that a step completes can be parsed.

use tree_sitter::{Node, Parser};

use super::{
    CheckFindings, CheckedStep, FalseStatement, StepCheck,
    fences::{FencedBlock, blocks},
};

/// Longer blocks are not parsed.
const MOST_BYTES: usize = 64 << 10;

/// Checks the syntax of fenced Python blocks that end in a step. A block that is still open has no opinion.
#[derive(Debug, Clone, Copy, Default)]
pub struct PythonCheck;

impl StepCheck for PythonCheck {
    fn name(&self) -> &'static str {
        "python"
    }

    fn check(&self, step: &CheckedStep<'_>) -> CheckFindings {
        let before = step.earlier.concat();
        let whole = format!("{before}{}", step.step);
        let mut findings = CheckFindings::default();
        let ends_here = |block: &FencedBlock| block.closed && block.content.end >= before.len();
        for block in blocks(&whole).into_iter().filter(|block| is_python(&block.language) && ends_here(block)) {
            match first_error(&whole[block.content.clone()]) {
                Some(Ok(())) => findings.holding += 1,
                Some(Err(line)) => {
                    let place = block.content.start.saturating_sub(before.len())..block.content.end - before.len();
                    let reason = format!("the Python code cannot be parsed: line {line} of the block");
                    findings.false_statements.push(FalseStatement { place, reason });
                }
                None => {}
            }
        }
        findings
    }
}

fn is_python(language: &str) -> bool {
    matches!(language.split_whitespace().next(), Some("python" | "python3" | "py"))
}

/// The line of the first error in Python code, from 1. `None` for what is no plain code, such as a session at a prompt.
fn first_error(code: &str) -> Option<Result<(), usize>> {
    if code.len() > MOST_BYTES || code.lines().any(|line| line.trim_start().starts_with(">>>")) {
        return None;
    }
    let code = dedented(code);
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_python::LANGUAGE.into()).ok()?;
    let tree = parser.parse(&code, None)?;
    if !tree.root_node().has_error() {
        return Some(Ok(()));
    }
    Some(Err(error_line(tree.root_node())))
}

/// The line on which a tree with an error has its first one.
fn error_line(root: Node<'_>) -> usize {
    let mut node = root;
    while !node.is_error() && !node.is_missing() {
        let mut cursor = node.walk();
        let next = node.children(&mut cursor).find(|child| child.has_error() || child.is_missing());
        let Some(next) = next else { break };
        node = next;
    }
    node.start_position().row + 1
}

/// Code without the indentation of its first line, which a list item gives to a whole block.
fn dedented(code: &str) -> String {
    let first = code.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let margin = &first[..first.len() - first.trim_start().len()];
    let lines = code.split_inclusive('\n').map(|line| line.strip_prefix(margin).unwrap_or(line));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(earlier: &[&str], step: &str) -> (usize, Vec<String>) {
        let earlier: Vec<String> = earlier.iter().map(|&step| step.to_owned()).collect();
        let findings = PythonCheck.check(&CheckedStep { question: "Write code.", earlier: &earlier, step });
        for found in &findings.false_statements {
            assert!(step.get(found.place.clone()).is_some());
        }
        (findings.holding, findings.false_statements.into_iter().map(|found| found.reason).collect())
    }

    #[test]
    fn a_block_is_parsed_where_it_ends() {
        let good = "```python\ndef f(x):\n    return [y for y in x if y > 0]\n```\n";
        assert_eq!(check(&[], good), (1, vec![]));
        let bad = "```python\ndef f(x):\n    return x +\n```\n";
        assert_eq!(check(&[], bad), (0, vec!["the Python code cannot be parsed: line 2 of the block".to_owned()]));
        assert_eq!(check(&["```python\ndef f(x):\n\n"], "    return (x\n```\nDone.").1.len(), 1);
        assert_eq!(check(&["```python\ndef f(x):\n\n"], "    return x\n```\nDone."), (1, vec![]));
    }

    #[test]
    fn what_is_open_or_no_python_code_has_no_opinion() {
        for (earlier, step) in [
            (&[][..], "```python\ndef f(x):\n    return (\n"),
            (&["```python\nx = (\n```\n\n"], "That was the code."),
            (&[], "```\nx = (\n```\n"),
            (&[], "```bash\nif (\n```\n"),
            (&[], "```python\n>>> f(1)\n2\n```\n"),
            (&[], "No code."),
        ] {
            assert_eq!(check(earlier, step), (0, vec![]), "{step}");
        }
    }

    #[test]
    fn the_block_of_a_list_item_is_indented_as_a_whole() {
        assert_eq!(check(&[], "1. Code:\n   ```python\n   x = 1\n   if x:\n       y = 2\n   ```\n"), (1, vec![]));
    }

    proptest! {
        #[test]
        fn any_block_is_checked_without_a_panic(code in "[a-z0-9 \\n():=+'\"#é]{0,120}") {
            let _ = check(&[], &format!("```python\n{code}\n```\n"));
        }
    }
}
