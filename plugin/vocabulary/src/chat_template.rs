//! The chat template that is published beside a tokenizer, for engines that render none.
//!
//! It is rendered as Hugging Face's transformers renders it: Jinja with `trim_blocks` and `lstrip_blocks`, the special
//! tokens by their names, `raise_exception` and `strftime_now`.

use std::{collections::BTreeMap, fmt::Write as _, fs, io, path::Path};

use minijinja::{Environment, Error, ErrorKind, context};
use serde_json::Value;

/// The name of the template in its environment.
const NAME: &str = "chat_template";

/// Makes the text of a prompt from messages.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// `bos_token`, `eos_token` and the like.
    special_tokens: BTreeMap<String, String>,
}

impl ChatTemplate {
    /// The template in the folder of a `tokenizer.json`: the file `chat_template.jinja`, or the entry `chat_template` of
    /// `tokenizer_config.json`. `None` if there is neither.
    ///
    /// # Errors
    /// A file cannot be read, is no JSON, or the template has an error.
    pub fn beside(tokenizer: &Path) -> Result<Option<Self>, String> {
        let folder = tokenizer.parent().unwrap_or(Path::new(""));
        let path = folder.join("tokenizer_config.json");
        let of = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let config = match read(&path).map_err(|error| of(&path, &error))? {
            Some(text) => serde_json::from_str(&text).map_err(|error| of(&path, &error))?,
            None => Value::Null,
        };
        let file = folder.join("chat_template.jinja");
        let (path, source) = match read(&file).map_err(|error| of(&file, &error))? {
            Some(source) => (file, source),
            None => match template_in(&config) {
                Some(source) => (path, source.to_owned()),
                None => return Ok(None),
            },
        };
        Self::new(source, &config).map(Some).map_err(|error| of(&path, &error))
    }

    /// A template with the special tokens of a `tokenizer_config.json`.
    ///
    /// # Errors
    /// The template has an error.
    pub fn new(source: String, config: &Value) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        // Templates call methods of Python's strings and dictionaries.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_template_owned(NAME, source).map_err(|error| error.to_string())?;
        let tokens = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
        let special_tokens =
            tokens.filter_map(|(name, value)| Some((name.clone(), token_text(value)?.to_owned()))).collect();
        Ok(Self { environment, special_tokens })
    }

    /// The prompt for an answer to messages, which are pairs of role and content. The special tokens are in the text.
    ///
    /// # Errors
    /// The template rejects the messages, for example because it knows no such role.
    pub fn render(&self, messages: &[(&str, &str)]) -> Result<String, String> {
        let messages: Vec<_> =
            messages.iter().map(|(role, content)| context! { role => *role, content => *content }).collect();
        let values = context! {
            messages,
            tools => (),
            documents => (),
            add_generation_prompt => true,
            ..minijinja::Value::from_serialize(&self.special_tokens)
        };
        let template = self.environment.get_template(NAME).map_err(|error| error.to_string())?;
        template.render(values).map_err(|error| error.to_string())
    }
}

/// The text of a file; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The template of a `tokenizer_config.json`: a text, or a list of named ones.
fn template_in(config: &Value) -> Option<&str> {
    let entry = &config["chat_template"];
    let named = || entry.as_array()?.iter().find(|named| named["name"] == "default")?["template"].as_str();
    entry.as_str().or_else(named)
}

/// A special token is a string, or an object with its content.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The local time in a format of `strftime`.
fn strftime_now(format: &str) -> Result<String, Error> {
    let mut text = String::new();
    write!(text, "{}", chrono::Local::now().format(format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, format!("{format:?} is no format of a time")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Blocks on lines of their own, a slice, methods of Python, and special tokens.
    const TEMPLATE: &str = "{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set rules = messages[0]['content'] | trim %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set rules = '' %}
    {%- set turns = messages %}
{%- endif %}
{% if rules %}
<rules>{{ rules }}
{% endif %}
{% for turn in turns %}
    {% if turn.role not in ['user', 'assistant'] %}
        {{ raise_exception('no role ' + turn.role) }}
    {% endif %}
<{{ turn.role.upper() }}>{{ turn.content.strip() }}{% if turn.role == 'assistant' %}{{ eos_token }}{% endif %}

{% endfor %}
{% if add_generation_prompt and not tools %}
<ASSISTANT>
{%- endif %}";

    fn config() -> Value {
        json!({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null, "chat_template": TEMPLATE})
    }

    #[test]
    fn messages_are_rendered_as_transformers_does() {
        let template = ChatTemplate::new(TEMPLATE.to_owned(), &config()).unwrap();
        let messages = [("system", " Be brief. "), ("user", "Hi\n"), ("assistant", "Yes?"), ("user", "2+2?")];
        let expected = "<s><rules>Be brief.\n<USER>Hi\n<ASSISTANT>Yes?</s>\n<USER>2+2?\n<ASSISTANT>";
        assert_eq!(template.render(&messages).unwrap(), expected);
        assert_eq!(template.render(&messages[1..2]).unwrap(), "<s><USER>Hi\n<ASSISTANT>");
    }

    #[test]
    fn a_template_can_reject_messages() {
        let template = ChatTemplate::new(TEMPLATE.to_owned(), &config()).unwrap();
        assert!(template.render(&[("tool", "4")]).unwrap_err().contains("no role tool"));
        let dated = |format: &str| {
            let source = format!("{{{{ strftime_now('{format}') }}}}");
            ChatTemplate::new(source, &Value::Null).unwrap().render(&[])
        };
        assert_eq!(dated("%Y").unwrap().len(), 4);
        assert!(dated("%!").unwrap_err().contains("no format of a time"));
    }

    #[test]
    fn the_template_is_found_beside_the_tokenizer() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = folder.path().join("tokenizer.json");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let rendered = || ChatTemplate::beside(&tokenizer).map(|found| found.map(|found| found.render(&[]).unwrap()));
        assert_eq!(rendered(), Ok(None));
        write("tokenizer_config.json", r#"{"bos_token": "<s>"}"#);
        assert_eq!(rendered(), Ok(None));
        let named = json!({"bos_token": "<s>", "chat_template": [
            {"name": "tool_use", "template": "other"}, {"name": "default", "template": "{{ bos_token }}named"},
        ]});
        write("tokenizer_config.json", &named.to_string());
        assert_eq!(rendered(), Ok(Some("<s>named".to_owned())));
        write("chat_template.jinja", "{{ bos_token }}file");
        assert_eq!(rendered(), Ok(Some("<s>file".to_owned())));
        write("chat_template.jinja", "{% if %}");
        assert!(rendered().unwrap_err().contains("chat_template.jinja: syntax error"));
        write("tokenizer_config.json", "{");
        assert!(rendered().unwrap_err().contains("tokenizer_config.json"));
    }
}
