//! The fields of `HumanEval` and MBPP.

use std::collections::BTreeSet;

use serde_json::Value;

use super::CodeTask;

/// The text for the models and the task, if a line has the fields of a code question.
///
/// # Errors
/// The line has some of the fields, but not all, or one of another type; in words.
pub(crate) fn from_line(line: &Value) -> Result<Option<(String, CodeTask)>, String> {
    if line.get("entry_point").is_some() {
        human_eval(line).map(Some)
    } else if line.get("test_list").is_some() {
        mbpp(line).map(Some)
    } else {
        Ok(None)
    }
}

/// `HumanEval`: `prompt` is the beginning of a function, `test` defines `check(candidate)`.
fn human_eval(line: &Value) -> Result<(String, CodeTask), String> {
    let (prompt, tests, name) = (string(line, "prompt")?, string(line, "test")?, string(line, "entry_point")?);
    let definition = format!("def {name}(");
    let at = if prompt.starts_with(&definition) {
        Some(0)
    } else {
        prompt.find(&format!("\n{definition}")).map(|at| at + 1)
    };
    let at = at.ok_or_else(|| format!("the field `prompt` does not define `{name}`, which `entry_point` names"))?;
    let text = format!(
        "Complete this Python function. Answer with the complete function in one ```python block.\n\n```python\n{}\n```",
        prompt.trim()
    );
    let task = CodeTask {
        names: vec![name.to_owned()],
        preamble: prompt[..at].to_owned(),
        tests: format!("{tests}\ncheck({name})\n"),
    };
    Ok((text, task))
}

/// MBPP: `text` (in its sanitized form `prompt`) asks for a function, `test_list` has assertions, which belong to the
/// question: they tell the function's name and arguments ([Austin et al.](https://arxiv.org/abs/2108.07732) ask the same
/// way).
fn mbpp(line: &Value) -> Result<(String, CodeTask), String> {
    let text = string(line, "text").or_else(|missing| string(line, "prompt").map_err(|_| missing))?;
    let tests = strings(line, "test_list").filter(|tests| !tests.is_empty());
    let tests = tests.ok_or("the field `test_list` is not a list of texts")?.join("\n");
    let text = format!(
        "{}\nYour code should pass these tests:\n\n```python\n{tests}\n```\n\nAnswer with the complete function in one \
         ```python block.",
        text.trim()
    );
    let imports = strings(line, "test_imports").unwrap_or_default().join("\n");
    // It may use what the answer defines.
    let setup = line.get("test_setup_code").and_then(Value::as_str).unwrap_or_default();
    let task = CodeTask {
        names: called(&tests).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect(),
        preamble: String::new(),
        tests: [&imports, setup, &tests, ""].join("\n"),
    };
    Ok((text, task))
}

/// The names that are followed by an opening parenthesis.
fn called(code: &str) -> impl Iterator<Item = &str> {
    let in_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let before = code.rmatch_indices('(').map(|(at, _)| &code[..at]);
    before
        .map(move |before| &before[before.trim_end_matches(in_name).len()..])
        .filter(|name| name.starts_with(|first: char| first.is_alphabetic() || first == '_'))
}

fn string<'a>(line: &'a Value, name: &str) -> Result<&'a str, String> {
    line.get(name).and_then(Value::as_str).ok_or_else(|| format!("the field `{name}` is missing or not a text"))
}

fn strings<'a>(line: &'a Value, name: &str) -> Option<Vec<&'a str>> {
    line.get(name)?.as_array()?.iter().map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_of_human_eval_gives_the_function_and_what_stands_before_it() {
        let line = json!({
            "task_id": "HumanEval/900", "entry_point": "half", "canonical_solution": "    return x / 2\n",
            "prompt": "from typing import List\n\ndef helper(x):\n    return x\n\ndef half(x: float) -> float:\n    \"\"\"Half of x.\"\"\"\n",
            "test": "def check(candidate):\n    assert candidate(3) == 1.5\n",
        });
        let (text, task) = from_line(&line).unwrap().unwrap();
        insta::assert_snapshot!(text, @r#"
        Complete this Python function. Answer with the complete function in one ```python block.

        ```python
        from typing import List

        def helper(x):
            return x

        def half(x: float) -> float:
            """Half of x."""
        ```
        "#);
        insta::assert_snapshot!(task.program("```python\ndef half(x):\n    return helper(x) / 2\n```").unwrap(), @r"
        from typing import List

        def helper(x):
            return x

        def half(x):
            return helper(x) / 2

        def check(candidate):
            assert candidate(3) == 1.5

        check(half)
        ");
    }

    #[test]
    fn a_question_of_mbpp_shows_its_tests() {
        let mut line = json!({
            "task_id": 900, "text": "Write a function to find the larger of two numbers. ", "test_setup_code": "",
            "test_list": ["assert larger(1, 2) == 2", "assert set([larger(3, 2)]) == set([3])"],
        });
        let (text, task) = from_line(&line).unwrap().unwrap();
        insta::assert_snapshot!(text, @r"
        Write a function to find the larger of two numbers.
        Your code should pass these tests:

        ```python
        assert larger(1, 2) == 2
        assert set([larger(3, 2)]) == set([3])
        ```

        Answer with the complete function in one ```python block.
        ");
        assert_eq!(task.names, ["larger", "set"]);
        line["test_setup_code"] = json!("three = 3");
        line["test_imports"] = json!(["import math", "import re"]);
        line["prompt"] = line["text"].take();
        let (same_text, task) = from_line(&line).unwrap().unwrap();
        assert_eq!(same_text, text);
        insta::assert_snapshot!(task.program("```python\nlarger = max\n```").unwrap(), @r"
        larger = max

        import math
        import re
        three = 3
        assert larger(1, 2) == 2
        assert set([larger(3, 2)]) == set([3])
        ");
    }

    #[test]
    fn a_line_with_half_of_the_fields_says_what_is_missing() {
        let of = |line: Value| from_line(&line).unwrap_err();
        let missing = of(json!({ "entry_point": "f", "prompt": "def f():\n" }));
        assert_eq!(missing, "the field `test` is missing or not a text");
        let undefined = of(json!({ "entry_point": "f", "prompt": "def g():\n", "test": "" }));
        assert_eq!(undefined, "the field `prompt` does not define `f`, which `entry_point` names");
        assert_eq!(of(json!({ "text": "x", "test_list": [] })), "the field `test_list` is not a list of texts");
        assert_eq!(of(json!({ "test_list": ["assert f()"] })), "the field `text` is missing or not a text");
        assert_eq!(from_line(&json!({ "question": "q", "answer": 1 })), Ok(None));
    }
}
