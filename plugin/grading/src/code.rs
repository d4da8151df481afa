//! Python code in an answer: the fenced blocks, and whether one of them defines a name.

/// The complete fenced Python blocks of a text, in order, without the indentation of their fences.
///
/// A fence is a line that begins, after blanks, with three or more backticks; only the first one of a block may have a
/// language. A block without a language counts as Python, one with another language does not. A block that is not
/// closed, by at least as many backticks, is not complete.
#[must_use]
pub fn python_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((ticks, language)) = fence(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut block = String::new();
        for line in lines.by_ref() {
            if fence(line).is_some_and(|(closing, rest)| closing >= ticks && rest.is_empty()) {
                if ["", "python", "python3", "py"].contains(&language.to_lowercase().as_str()) {
                    blocks.push(block);
                }
                break;
            }
            block.push_str(without_indent(line, indent));
            block.push('\n');
        }
    }
    blocks
}

/// Whether code defines a name at the top level: as a function, a class or a variable.
#[must_use]
pub fn defines(code: &str, name: &str) -> bool {
    code.lines().any(|line| {
        let keyword = ["async def ", "def ", "class "].iter().find_map(|keyword| line.strip_prefix(keyword));
        let after = keyword.map_or(line, str::trim_start).strip_prefix(name).map(str::trim_start);
        after.is_some_and(|after| match keyword {
            Some(_) => after.starts_with(['(', ':', '[']),
            None => after.starts_with('=') && !after.starts_with("=="),
        })
    })
}

/// The number of backticks of a fence and the first word after them.
fn fence(line: &str) -> Option<(usize, &str)> {
    let line = line.trim();
    let rest = line.trim_start_matches('`');
    let ticks = line.len() - rest.len();
    // Backticks after the language: code within a line.
    (ticks >= 3 && !rest.contains('`')).then(|| (ticks, rest.split_whitespace().next().unwrap_or_default()))
}

/// A line without up to `indent` blanks at its beginning.
fn without_indent(line: &str, indent: usize) -> &str {
    let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
    &line[blanks.min(indent)..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_found_with_their_language_and_indentation() {
        let text = "First:\n```python\ndef f():\n    pass\n```\n```bash\nls\n```\n1. Then:\n   ```\n   x = 1\n     y\n   ```\n\
            ````Py title=z\n```\nz = []\n````\n``` x ``` is no block.\n";
        assert_eq!(python_blocks(text), ["def f():\n    pass\n", "x = 1\n  y\n", "```\nz = []\n"]);
        assert_eq!(python_blocks("no code"), [""; 0]);
        assert_eq!(python_blocks("```python\r\nx = 1\r\n```"), ["x = 1\n"]);
    }

    #[test]
    fn a_block_that_is_not_closed_is_not_complete() {
        assert_eq!(python_blocks("```python\nx = 1\n```\n```python\ny = 2\n"), ["x = 1\n"]);
        assert_eq!(python_blocks("````python\nx = 1\n```\n"), [""; 0]);
    }

    #[test]
    fn a_name_is_defined_by_a_function_a_class_or_a_variable_at_the_top_level() {
        for code in
            ["def f(x):", "async def f():", "class f:", "class f(Base):", "f = lambda x: x", "import m\ndef f (x):"]
        {
            assert!(defines(code, "f"), "{code}");
        }
        for code in ["def ff(x):", "    def f(x):", "f(x)", "f == 1", "ff = 1", "# def f(x):", "return f", ""] {
            assert!(!defines(code, "f"), "{code}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_text_holds_a_block_of_it_is_found_again(
            before in "[a-z .\n]{0,20}", code in "[a-z() =:\n]{0,40}", after in "[a-z .\n]{0,20}"
        ) {
            let blocks = python_blocks(&format!("{before}\n```python\n{code}\n```\n{after}"));
            prop_assert_eq!(blocks, [format!("{code}\n")]);
        }
    }
}
