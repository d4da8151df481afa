//! What an answer must define, and the tests of it.

use rsd_grading::code;

/// What is asked for and tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeTask {
    /// Names that the tests call.
    pub names: Vec<String>,
    /// Stands before the code of an answer: imports and helpers of the question.
    pub preamble: String,
    /// Stands after it, and raises an exception if the code is wrong.
    pub tests: String,
}

impl CodeTask {
    /// The program that tests an answer: it ends without an exception if the answer is right.
    ///
    /// The code of the answer is the last complete Python block that defines one of the names, or else the last complete
    /// Python block: what follows the function is often an example of its use. `None` where there is no complete block.
    #[must_use]
    pub fn program(&self, answer: &str) -> Option<String> {
        let mut blocks = code::python_blocks(answer);
        let defining = blocks.iter().rposition(|block| self.names.iter().any(|name| code::defines(block, name)));
        let code = blocks.swap_remove(defining.or(blocks.len().checked_sub(1))?);
        Some(format!("{}{code}\n{}", self.preamble, self.tests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> CodeTask {
        CodeTask {
            names: vec!["double".to_owned()],
            preamble: "import math\n".to_owned(),
            tests: "assert double(2) == 4\n".to_owned(),
        }
    }

    fn program(code: &str) -> String {
        format!("import math\n{code}\n\nassert double(2) == 4\n")
    }

    #[test]
    fn the_last_block_that_defines_the_function_stands_between_preamble_and_tests() {
        let answer = "First:\n```python\ndef double(x): return x\n```\nNo:\n```python\ndef double(x): return x + x\n```\n\
            Use it:\n```python\nprint(double(1))\n```";
        assert_eq!(task().program(answer), Some(program("def double(x): return x + x")));
    }

    #[test]
    fn where_no_block_defines_it_the_last_one_is_taken() {
        assert_eq!(task().program("```\nx = 1\n```\n```python\nx = 2\n```"), Some(program("x = 2")));
    }

    #[test]
    fn without_a_complete_block_there_is_no_program() {
        for answer in ["", "def double(x): return x + x", "```python\ndef double(x): return x + x"] {
            assert_eq!(task().program(answer), None);
        }
        let cut = "```python\ndef double(x): return x + x\n```\n```python\ndef double(x): return";
        assert_eq!(task().program(cut), Some(program("def double(x): return x + x")));
    }
}
