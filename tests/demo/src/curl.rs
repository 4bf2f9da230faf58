//! Does what a curl command says, without curl: the few options that `sageapi-server sign` uses.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::Failure;

/// A curl command, read.
#[derive(Debug, PartialEq, Eq)]
pub struct Curl {
    method: Method,
    headers: Vec<(String, String)>,
    body: Option<String>,
    url: String,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null if it is not JSON.
    pub body: Value,
}

impl Answer {
    /// A member of the envelope's data.
    pub fn data(&self, name: &str) -> &Value {
        &self.body["data"][name]
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Curl {
    /// Reads a command.
    pub fn parse(command: &str) -> Result<Self, Failure> {
        let mut words = shell_words(command).into_iter();
        if words.next().as_deref() != Some("curl") {
            return Err("the command does not begin with curl".into());
        }
        let (mut method, mut headers, mut body, mut url) = (None, Vec::new(), None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} has no value"));
            match word.as_str() {
                "-sS" => {}
                "-X" => method = Some(value()?.parse()?),
                "-H" => {
                    let header = value()?;
                    let (name, value) = header.split_once(": ").ok_or("a header has no colon")?;
                    headers.push((name.to_owned(), value.to_owned()));
                }
                "-d" | "--data-binary" => body = Some(value()?),
                option if option.starts_with('-') => {
                    return Err(format!("the option {option} is not known").into());
                }
                _ => url = Some(word),
            }
        }
        let method = method.unwrap_or(if body.is_some() { Method::POST } else { Method::GET });
        Ok(Self { method, headers, body, url: url.ok_or("the command names no address")? })
    }

    /// Sends the request.
    pub async fn run(&self, client: &reqwest::Client) -> Result<Answer, Failure> {
        let mut request = client.request(self.method.clone(), &self.url);
        for (name, value) in &self.headers {
            request = request.header(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let answer = request.send().await.map_err(|e| format!("{}: {e}", self.url))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        Ok(Answer { status, headers, body })
    }
}

/// The words of a POSIX shell's command line: single quotes, backslashes, nothing else.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => word.get_or_insert_default().extend(chars.by_ref().take_while(|c| *c != '\'')),
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_is_read_as_a_shell_reads_it() {
        let text = "curl -sS -X POST \\\n  -H 'signature: sig1=:a b:' \\\n  -H 'content-type: application/json' \\\n  \
                    --data-binary '{\"note\":\"it'\\''s\"}' \\\n  'http://127.0.0.1/x?a=1'\n";
        let expected = Curl {
            method: Method::POST,
            headers: vec![
                ("signature".into(), "sig1=:a b:".into()),
                ("content-type".into(), "application/json".into()),
            ],
            body: Some(r#"{"note":"it's"}"#.into()),
            url: "http://127.0.0.1/x?a=1".into(),
        };
        assert_eq!(Curl::parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for command in ["wget x", "curl --insecure x", "curl -H", "curl -X GET"] {
            assert!(Curl::parse(command).is_err(), "{command}");
        }
    }
}
