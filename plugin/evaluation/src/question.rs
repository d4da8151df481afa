//! Question files: one JSON object per line, with the fields of the well-known data sets or fields that the user names.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use rsd_grading::AnswerKind;
use serde_json::Value;

use crate::code::{self, CodeTask};

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Unique within the file.
    pub id: String,
    /// The text for the models, choices included.
    pub text: String,
    /// The right answers: usually one, several where a question has several, none where it is not known.
    pub answers: Vec<String>,
    pub kind: AnswerKind,
    /// What an answer must define and its tests, if it is code.
    pub code: Option<CodeTask>,
    /// The difficulty or the subject, where the file gives one. Results are broken down by it.
    pub level: Option<String>,
}

/// The fields to read. A field that is `None` is recognized from the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuestionFields {
    /// The field with the question.
    pub question: Option<String>,
    /// The field with the answer.
    pub answer: Option<String>,
    /// The field by which results are broken down.
    pub level: Option<String>,
    /// The kind of all answers.
    pub kind: Option<AnswerKind>,
    /// Whether lines without an answer are accepted.
    pub unanswered: bool,
}

/// A question file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// A line is not a question.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The file has no lines.
    #[error("{} holds no questions", path.display())]
    Empty { path: PathBuf },
}

/// Reads a question file.
///
/// # Errors
/// The file cannot be read, is empty, or has a line that is not a question; the error names the first such line.
pub fn read(path: &Path, fields: &QuestionFields) -> Result<Vec<Question>, QuestionError> {
    let unreadable = |source| QuestionError::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut questions = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let wrong = |reason: String| QuestionError::Line { path: path.to_owned(), line: number, reason };
        let line: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let question = parse(&line, number, fields).map_err(wrong)?;
        if let Some(first) = seen.insert(question.id.clone(), number) {
            return Err(wrong(format!("the id {} is already used on line {first}", question.id)));
        }
        questions.push(question);
    }
    if questions.is_empty() {
        return Err(QuestionError::Empty { path: path.to_owned() });
    }
    Ok(questions)
}

fn parse(line: &Value, number: usize, fields: &QuestionFields) -> Result<Question, String> {
    let object = line.as_object().ok_or("expected a JSON object")?;
    let id = ["id", "unique_id", "task_id", "Record ID"].iter().find_map(|name| text(object.get(*name)?));
    let id = id.unwrap_or_else(|| number.to_string());
    let level = match &fields.level {
        Some(name) => {
            Some(text(line.get(name).unwrap_or(&Value::Null)).ok_or(format!("the field `{name}` is missing"))?)
        }
        None => ["level", "type", "subfield", "subject", "Subdomain"].iter().find_map(|name| text(object.get(*name)?)),
    };
    let named = fields.question.is_some() || fields.answer.is_some() || fields.kind.is_some();
    if let Some((text, task)) = if named { None } else { code::from_line(line)? } {
        return Ok(Question { id, text, answers: Vec::new(), kind: AnswerKind::Code, code: Some(task), level });
    }
    let question = match &fields.question {
        Some(name) => string(line, name)?,
        None => ["question", "problem", "Question"].iter().find_map(|name| string(line, name).ok()).ok_or(
            "there is neither a field `question` nor `problem`; name the question's field with --question-field"
                .to_owned(),
        )?,
    };
    let choices = choices(line, &id);
    let (text, answers, kind) = match choices {
        Some((choices, right))
            if fields.answer.is_none() && fields.kind.is_none_or(|kind| kind == AnswerKind::Choice) =>
        {
            (with_choices(&question, &choices), vec![letter(right)], AnswerKind::Choice)
        }
        _ => {
            let answers = match answers(line, fields) {
                Err(_) if fields.unanswered && fields.answer.is_none() => Vec::new(),
                answers => answers?,
            };
            let kind = fields.kind.unwrap_or_else(|| kind_of(line, &answers));
            (question, answers, kind)
        }
    };
    Ok(Question { id, text, answers, kind, code: None, level })
}

fn answers(line: &Value, fields: &QuestionFields) -> Result<Vec<String>, String> {
    let name = match &fields.answer {
        Some(name) => name.as_str(),
        None if line.get("final_answer").is_some() => "final_answer",
        None => "answer",
    };
    let missing = || format!("the field `{name}` holds no answer; name the answer's field with --answer-field");
    let value = line.get(name).ok_or_else(missing)?;
    let answers: Vec<String> = match value {
        Value::Array(several) => several.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    };
    // GSM8K explains the answer first and gives it after the marks.
    let answers: Vec<String> =
        answers.iter().map(|text| text.rsplit("####").next().unwrap_or(text).trim().to_owned()).collect();
    if answers.is_empty() || answers.iter().any(String::is_empty) { Err(missing()) } else { Ok(answers) }
}

/// Data sets with a field `problem` or `answer_type` have expressions as answers.
fn kind_of(line: &Value, answers: &[String]) -> AnswerKind {
    let expressions = line.get("problem").is_some() || line.get("answer_type").is_some();
    let number = |text: &String| text.replace([',', '$', '%'], "").trim().parse::<f64>().is_ok();
    if !expressions && !answers.is_empty() && answers.iter().all(number) {
        AnswerKind::Number
    } else {
        AnswerKind::Expression
    }
}

/// The choices and the place of the right one: from MMLU's list with an index or a letter, or from GPQA's right and
/// wrong answers.
fn choices(line: &Value, id: &str) -> Option<(Vec<String>, usize)> {
    if let Some(list) = line.get("choices").and_then(Value::as_array) {
        let choices: Vec<String> = list.iter().filter_map(text).collect();
        let right = match line.get("answer")? {
            Value::Number(index) => usize::try_from(index.as_u64()?).ok()?,
            Value::String(text) => match text.trim().as_bytes() {
                [digit @ b'0'..=b'9'] => usize::from(digit - b'0'),
                [letter] => usize::from(letter.to_ascii_uppercase()).checked_sub(usize::from(b'A'))?,
                _ => choices.iter().position(|choice| choice == text)?,
            },
            _ => return None,
        };
        return (right < choices.len()).then_some((choices, right));
    }
    let right = text(line.get("Correct Answer")?)?;
    let mut choices: Vec<String> = (1..).map_while(|n| text(line.get(format!("Incorrect Answer {n}"))?)).collect();
    // A place that is the same on every machine and in every run, but differs from question to question.
    let place = id.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    let place = place % (choices.len() + 1);
    choices.insert(place, right);
    Some((choices, place))
}

fn with_choices(question: &str, choices: &[String]) -> String {
    let mut text = question.trim_end().to_owned();
    for (index, choice) in choices.iter().enumerate() {
        let _ = write!(text, "\n({}) {}", letter(index), choice.trim());
    }
    text.push_str("\nGive the letter of the right choice.");
    text
}

fn letter(index: usize) -> String {
    char::from(b'A' + u8::try_from(index % 26).unwrap_or(0)).to_string()
}

fn string(line: &Value, name: &str) -> Result<String, String> {
    match line.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("the field `{name}` is not a text")),
        None => Err(format!("the field `{name}` is missing")),
    }
}

/// A text, or a number as text. Whole numbers have no decimal point.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => Some(format!("{float:.0}")),
            _ => Some(number.to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Question {
        parse(&serde_json::from_str(line).unwrap(), 3, &QuestionFields::default()).unwrap()
    }

    #[test]
    fn the_well_known_sets_are_recognized_by_their_fields() {
        let gsm8k = of(r#"{"question":"q","answer":"2*3=6\n#### 1,080","id":"g-1"}"#);
        assert_eq!(
            (gsm8k.answers, gsm8k.kind, gsm8k.id.as_str()),
            (vec!["1,080".to_owned()], AnswerKind::Number, "g-1")
        );
        let svamp = of(r#"{"id":"s","question":"q","answer":198.0,"type":"Sum"}"#);
        assert_eq!((svamp.answers, svamp.level), (vec!["198".to_owned()], Some("Sum".to_owned())));
        let math = of(r#"{"problem":"q","solution":"s","answer":"7","level":2,"unique_id":"test/1.json"}"#);
        assert_eq!(
            (math.kind, math.level, math.id.as_str()),
            (AnswerKind::Expression, Some("2".to_owned()), "test/1.json")
        );
        let olympiad = of(r#"{"id":1641,"question":"q","final_answer":["$1$","$2$"],"answer_type":"Numerical"}"#);
        assert_eq!((olympiad.answers.len(), olympiad.kind, olympiad.id.as_str()), (2, AnswerKind::Expression, "1641"));
        let mmlu = of(r#"{"question":"q","choices":["x","y"],"answer":1}"#);
        assert_eq!((mmlu.answers, mmlu.kind, mmlu.id.as_str()), (vec!["B".to_owned()], AnswerKind::Choice, "3"));
        assert_eq!(mmlu.text, "q\n(A) x\n(B) y\nGive the letter of the right choice.");
        let mbpp = of(r#"{"task_id":"mbpp/11","text":"t","code":"c","test_list":["assert f(1)"]}"#);
        assert_eq!(
            (mbpp.kind, mbpp.id.as_str(), mbpp.code.unwrap().names),
            (AnswerKind::Code, "mbpp/11", vec!["f".to_owned()])
        );
        assert_eq!(of(r#"{"question":"q","choices":["x","y"],"answer":"A"}"#).answers, ["A"]);
        assert_eq!(of(r#"{"question":"q","choices":["Berlin","Paris"],"answer":"Berlin"}"#).answers, ["A"]);
    }

    #[test]
    fn the_right_choice_of_gpqa_has_a_fixed_place() {
        let line = r#"{"Record ID":"r7","Question":"q","Correct Answer":"yes","Incorrect Answer 1":"a",
            "Incorrect Answer 2":"b","Incorrect Answer 3":"c"}"#;
        let question = of(line);
        assert_eq!(question, of(line));
        assert!(question.text.contains(&format!("({}) yes", question.answers[0])), "{}", question.text);
    }

    #[test]
    fn fields_may_be_named() {
        let fields = QuestionFields {
            question: Some("ask".into()),
            answer: Some("gold".into()),
            level: Some("hard".into()),
            kind: Some(AnswerKind::Expression),
            unanswered: false,
        };
        let line = serde_json::json!({ "ask": "q", "gold": "x+1", "hard": 3 });
        let question = parse(&line, 1, &fields).unwrap();
        assert_eq!((question.answers, question.level), (vec!["x+1".to_owned()], Some("3".to_owned())));
        assert_eq!(parse(&serde_json::json!({ "ask": "q" }), 1, &fields).unwrap_err(), "the field `hard` is missing");
    }

    #[test]
    fn in_our_own_questions_each_answer_says_how_it_is_graded() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/questions.jsonl");
        let questions = read(&path, &QuestionFields::default()).unwrap();
        assert!(questions.len() >= 72, "{}", questions.len());
        let mut levels: Vec<&str> = questions.iter().filter_map(|question| question.level.as_deref()).collect();
        assert_eq!(levels.len(), questions.len());
        levels.sort_unstable();
        levels.dedup();
        assert_eq!(levels, ["1", "2", "3", "4", "5"]);
        let (numbers, others): (Vec<&Question>, Vec<&Question>) =
            questions.iter().partition(|question| question.answers[0].parse::<f64>().is_ok());
        assert!(numbers.iter().all(|question| question.kind == AnswerKind::Number));
        assert!(others.len() >= 10 && others.iter().all(|question| question.kind == AnswerKind::Expression));
    }

    #[test]
    fn questions_without_answers_are_accepted_where_that_is_allowed() {
        let line = serde_json::json!({ "question": "q" });
        assert!(parse(&line, 1, &QuestionFields::default()).is_err());
        let question = parse(&line, 1, &QuestionFields { unanswered: true, ..QuestionFields::default() }).unwrap();
        assert_eq!((question.answers.len(), question.kind), (0, AnswerKind::Expression));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_question() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "\u{feff}{\"question\":\"q\",\"answer\":1}\r\n").unwrap();
        assert_eq!(read(file.path(), &QuestionFields::default()).unwrap().len(), 1);
    }

    #[test]
    fn a_line_that_is_no_question_is_named() {
        let of = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), text).unwrap();
            let error = read(file.path(), &QuestionFields::default()).unwrap_err().to_string();
            error.replace(&file.path().display().to_string(), "FILE")
        };
        insta::assert_snapshot!(of("{\"question\":\"q\",\"answer\":1}\n{"), @"FILE, line 2: EOF while parsing an object at line 1 column 1");
        insta::assert_snapshot!(of("{\"q\":1}"), @"FILE, line 1: there is neither a field `question` nor `problem`; name the question's field with --question-field");
        insta::assert_snapshot!(of("{\"question\":\"q\"}"), @"FILE, line 1: the field `answer` holds no answer; name the answer's field with --answer-field");
        insta::assert_snapshot!(of("{\"id\":1,\"question\":\"q\",\"answer\":1}\n\n{\"id\":1,\"question\":\"q\",\"answer\":1}"), @"FILE, line 3: the id 1 is already used on line 1");
        insta::assert_snapshot!(of("\n"), @"FILE holds no questions");
    }
}
