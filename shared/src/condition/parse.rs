//! Text to [`Condition`]: a recursive descent over tokens, bounded in depth.

use super::{Attribute, Comparison, Condition, TextTest, Value};

/// Longest text accepted, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Deepest nesting accepted.
const DEPTH_MAX: u32 = 32;

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Something else was expected.
    #[error("`{found}` stands where {expected} is expected")]
    Unexpected {
        /// As written; empty at the end.
        found: String,
        /// In words.
        expected: &'static str,
    },
    /// No such attribute here.
    #[error("`{name}` is no attribute that can be asked for")]
    UnknownAttribute {
        /// As written.
        name: String,
    },
    /// A text without its end.
    #[error("a quoted text does not end")]
    OpenText,
    /// Too long or too deep.
    #[error("longer than {TEXT_BYTES_MAX} bytes or nested deeper than {DEPTH_MAX}")]
    TooLarge,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Number(i64),
    Text(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 15] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", "."];

/// Reads a condition.
///
/// # Errors
/// [`ConditionError`].
pub fn parse(text: &str) -> Result<Condition, ConditionError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.any()?;
    parser.end()?;
    Ok(condition)
}

/// Reads a value: a literal or an attribute.
///
/// # Errors
/// [`ConditionError`].
pub fn parse_value(text: &str) -> Result<Value, ConditionError> {
    let mut parser = Parser::new(text)?;
    let value = parser.value()?;
    parser.end()?;
    Ok(value)
}

fn tokens(text: &str) -> Result<Vec<Token>, ConditionError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, used) = match first {
            '\'' | '"' => quoted(rest, first)?,
            '0'..='9' | '-' => number(rest)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let is_end = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
                let end = rest.find(is_end).unwrap_or(rest.len());
                (Token::Name(rest[..end].to_owned()), end)
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                let sign = sign.ok_or_else(|| unexpected(&first.to_string(), "an expression"))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest[used..].trim_start();
    }
    Ok(tokens)
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), ConditionError> {
    let (mut text, mut letters) = (String::new(), rest.char_indices().skip(1));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => text.push(letters.next().ok_or(ConditionError::OpenText)?.1),
            end if end == quote => return Ok((Token::Text(text), at + 1)),
            other => text.push(other),
        }
    }
    Err(ConditionError::OpenText)
}

fn number(rest: &str) -> Result<(Token, usize), ConditionError> {
    let digits = rest[1..].find(|letter: char| !letter.is_ascii_digit());
    let end = digits.map_or(rest.len(), |at| at + 1);
    let number = rest[..end].parse().map_err(|_| unexpected(&rest[..end], "a number"))?;
    Ok((Token::Number(number), end))
}

fn unexpected(found: &str, expected: &'static str) -> ConditionError {
    ConditionError::Unexpected { found: found.to_owned(), expected }
}

struct Parser {
    /// Reversed: the next one is last.
    tokens: Vec<Token>,
    depth: u32,
}

impl Parser {
    fn new(text: &str) -> Result<Self, ConditionError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ConditionError::TooLarge);
        }
        let mut tokens = tokens(text)?;
        tokens.reverse();
        Ok(Self { tokens, depth: 0 })
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_next = matches!(self.tokens.last(), Some(Token::Sign(next)) if *next == sign);
        if is_next {
            self.tokens.pop();
        }
        is_next
    }

    fn want(&mut self, sign: &str, expected: &'static str) -> Result<(), ConditionError> {
        if self.take(sign) { Ok(()) } else { Err(self.misfit(expected)) }
    }

    fn misfit(&self, expected: &'static str) -> ConditionError {
        let found = match self.tokens.last() {
            None => "the end".to_owned(),
            Some(Token::Name(text) | Token::Text(text)) => text.clone(),
            Some(Token::Number(number)) => number.to_string(),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
        };
        ConditionError::Unexpected { found, expected }
    }

    fn end(&self) -> Result<(), ConditionError> {
        if self.tokens.is_empty() { Ok(()) } else { Err(self.misfit("the end")) }
    }

    fn any(&mut self) -> Result<Condition, ConditionError> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
    }

    fn all(&mut self) -> Result<Condition, ConditionError> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.take("&&") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
    }

    fn one(&mut self) -> Result<Condition, ConditionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ConditionError::TooLarge);
        }
        let condition = if self.take("!") {
            Condition::Not(Box::new(self.one()?))
        } else if self.take("(") {
            let inner = self.any()?;
            self.want(")", "`)`")?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn test(&mut self) -> Result<Condition, ConditionError> {
        match self.tokens.last() {
            Some(Token::Name(name)) if name == "true" || name == "false" => {
                let is_true = name == "true";
                self.tokens.pop();
                return Ok(Condition::Constant(is_true));
            }
            Some(Token::Name(name)) if name == "has" => {
                self.tokens.pop();
                self.want("(", "`(`")?;
                let value = self.value()?;
                self.want(")", "`)`")?;
                return Ok(Condition::Has(value));
            }
            _ => {}
        }
        let left = self.value()?;
        if self.take(".") {
            return self.method(left);
        }
        if matches!(self.tokens.last(), Some(Token::Name(name)) if name == "in") {
            self.tokens.pop();
            return Ok(Condition::In(left, self.list()?));
        }
        let comparison = self.comparison()?;
        Ok(Condition::Compare(left, comparison, self.value()?))
    }

    fn comparison(&mut self) -> Result<Comparison, ConditionError> {
        for (sign, comparison) in [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if self.take(sign) {
                return Ok(comparison);
            }
        }
        Err(self.misfit("a comparison"))
    }

    fn method(&mut self, subject: Value) -> Result<Condition, ConditionError> {
        let test = match self.tokens.last() {
            Some(Token::Name(name)) => match name.as_str() {
                "startsWith" => TextTest::Prefix,
                "endsWith" => TextTest::Suffix,
                "contains" => TextTest::Contains,
                "matches" => TextTest::Matches,
                _ => return Err(self.misfit("startsWith, endsWith, contains or matches")),
            },
            _ => return Err(self.misfit("a test on a text")),
        };
        self.tokens.pop();
        self.want("(", "`(`")?;
        let Some(Token::Text(argument)) = self.tokens.pop_if(|t| matches!(t, Token::Text(_)))
        else {
            return Err(self.misfit("a quoted text"));
        };
        self.want(")", "`)`")?;
        Ok(Condition::Text(subject, test, argument))
    }

    fn list(&mut self) -> Result<Vec<Value>, ConditionError> {
        self.want("[", "`[`")?;
        let mut values = Vec::new();
        while !self.take("]") {
            values.push(self.value()?);
            if !self.take(",") {
                self.want("]", "`]`")?;
                break;
            }
        }
        Ok(values)
    }

    fn value(&mut self) -> Result<Value, ConditionError> {
        match self.tokens.pop() {
            Some(Token::Number(number)) => Ok(Value::Number(number)),
            Some(Token::Text(text)) => Ok(Value::Text(text)),
            Some(Token::Name(first)) => self.attribute(first).map(Value::Attribute),
            Some(other) => {
                self.tokens.push(other);
                Err(self.misfit("a value"))
            }
            None => Err(self.misfit("a value")),
        }
    }

    /// Names joined by dots; a test's name ends them.
    fn attribute(&mut self, first: String) -> Result<Attribute, ConditionError> {
        let mut name = first;
        while let [.., Token::Name(next), Token::Sign(".")] = self.tokens.as_slice() {
            if ["startsWith", "endsWith", "contains", "matches"].contains(&next.as_str()) {
                break;
            }
            name = format!("{name}.{next}");
            self.tokens.truncate(self.tokens.len() - 2);
        }
        let is_headers = ["request.headers", "response.headers"].contains(&name.as_str());
        if !is_headers {
            return Attribute::named(&name).ok_or(ConditionError::UnknownAttribute { name });
        }
        self.want("[", "`[`")?;
        let Some(Token::Text(header)) = self.tokens.pop_if(|t| matches!(t, Token::Text(_))) else {
            return Err(self.misfit("a quoted header name"));
        };
        self.want("]", "`]`")?;
        let header = header.to_ascii_lowercase();
        Ok(match name.as_str() {
            "request.headers" => Attribute::RequestHeader(header),
            _ => Attribute::ResponseHeader(header),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(comparison: Comparison, number: i64) -> Condition {
        let left = Value::Attribute(Attribute::ResponseCode);
        Condition::Compare(left, comparison, Value::Number(number))
    }

    #[test]
    fn conditions_are_read_with_the_usual_precedence() {
        let header = Value::Attribute(Attribute::RequestHeader("x-a".into()));
        for (text, expected) in [
            ("response.code >= 400", code(Comparison::GreaterOrEqual, 400)),
            (
                "response.code == 1 || response.code == 2 && response.code == 3",
                Condition::Any(vec![
                    code(Comparison::Equal, 1),
                    Condition::All(vec![code(Comparison::Equal, 2), code(Comparison::Equal, 3)]),
                ]),
            ),
            ("!(response.code<5)", Condition::Not(Box::new(code(Comparison::Less, 5)))),
            ("has(request.headers['X-A'])", Condition::Has(header.clone())),
            (
                r#"request.headers["x-a"].startsWith('b\'c')"#,
                Condition::Text(header, TextTest::Prefix, "b'c".into()),
            ),
            (
                "response.code in [200, 404]",
                Condition::In(
                    Value::Attribute(Attribute::ResponseCode),
                    vec![Value::Number(200), Value::Number(404)],
                ),
            ),
            ("true", Condition::Constant(true)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        assert_eq!(parse_value("'x'"), Ok(Value::Text("x".into())));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("", "the end"),
            ("response.code", "comparison"),
            ("response.code == ", "a value"),
            ("response.cod == 1", "response.cod"),
            ("request.auth.claims == 'a'", "request.auth.claims"),
            ("response.code == 1 &", "&"),
            ("request.path.size() > 1", "request.path.size"),
            ("'a", "does not end"),
            ("(response.code == 1", "`)`"),
            ("-", "a number"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert_eq!(parse(&"(".repeat(100)), Err(ConditionError::TooLarge));
        assert_eq!(parse(&" ".repeat(5000)), Err(ConditionError::TooLarge));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z0-9.\\[\\]()'\"!&|=<> é-]{0,60}") {
            let _ = parse(&text);
            let _ = parse_value(&text);
        }
    }
}
