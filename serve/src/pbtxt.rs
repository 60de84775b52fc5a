//! Protocol buffers as text, without a description of the fields.

/// Fields in the order of the text. One that stands several times, or holds a list, is there as often.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Message(pub Vec<(String, Value)>);

#[derive(Debug, PartialEq)]
pub(crate) enum Value {
    /// In quotes.
    Text(String),
    /// A number, or a name.
    Word(String),
    Message(Message),
}

/// Most messages in each other.
const DEPTH: usize = 32;

/// The message that a text is.
pub(crate) fn parse(text: &str) -> Result<Message, String> {
    let mut reader = Reader { rest: text, line: 1 };
    let message = reader.fields(None, 0).map_err(|what| format!("line {}: {what}", reader.line))?;
    Ok(message)
}

/// What is left of a text.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next character after blanks and comments, which stays.
    fn peek(&mut self) -> Option<char> {
        loop {
            let next = self.rest.chars().next()?;
            match next {
                '#' => self.rest = self.rest.find('\n').and_then(|end| self.rest.get(end..)).unwrap_or_default(),
                _ if next.is_whitespace() => self.skip(next),
                _ => return Some(next),
            }
        }
    }

    fn skip(&mut self, next: char) {
        self.line += usize::from(next == '\n');
        self.rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
    }

    /// Whether the next character is this one, which is then read.
    fn takes(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.skip(wanted);
        }
        is_next
    }

    fn found(&mut self) -> String {
        self.peek().map_or("the end".into(), |next| format!("{next:?}"))
    }

    /// Fields up to the character that ends them, or the end of the text.
    fn fields(&mut self, end: Option<char>, depth: usize) -> Result<Message, String> {
        if depth > DEPTH {
            return Err(format!("expected at most {DEPTH} messages in each other"));
        }
        let mut fields = Vec::new();
        loop {
            match (self.peek(), end) {
                (None, None) => return Ok(Message(fields)),
                (Some(next), Some(end)) if next == end => {
                    self.skip(next);
                    return Ok(Message(fields));
                }
                _ => {}
            }
            let name = self.word("the name of a field")?.to_string();
            let has_colon = self.takes(':');
            if self.takes('[') {
                self.list(&name, &mut fields, depth)?;
            } else {
                let value = self.value(has_colon, depth)?;
                fields.push((name, value));
            }
            if !self.takes(',') {
                self.takes(';');
            }
        }
    }

    fn list(&mut self, name: &str, fields: &mut Vec<(String, Value)>, depth: usize) -> Result<(), String> {
        if self.takes(']') {
            return Ok(());
        }
        loop {
            let value = self.value(true, depth)?;
            fields.push((name.into(), value));
            if self.takes(']') {
                return Ok(());
            }
            if !self.takes(',') {
                return Err(format!("expected ',' or ']', found {}", self.found()));
            }
        }
    }

    /// A value; without a colon before it only a message.
    fn value(&mut self, has_colon: bool, depth: usize) -> Result<Value, String> {
        if self.takes('{') {
            return self.fields(Some('}'), depth + 1).map(Value::Message);
        }
        if self.takes('<') {
            return self.fields(Some('>'), depth + 1).map(Value::Message);
        }
        if !has_colon {
            return Err(format!("expected ':' or a message, found {}", self.found()));
        }
        match self.peek() {
            Some('"' | '\'') => self.text().map(Value::Text),
            _ => self.word("a value").map(|word| Value::Word(word.into())),
        }
    }

    fn word(&mut self, what: &str) -> Result<&'a str, String> {
        self.peek();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(format!("expected {what}, found {}", self.found()));
        }
        self.rest = rest;
        Ok(word)
    }

    /// Texts in quotes, which are one if they follow each other.
    fn text(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        while let Some(quote @ ('"' | '\'')) = self.peek() {
            self.skip(quote);
            loop {
                let next = self.rest.chars().next().filter(|c| *c != '\n').ok_or("a text does not end")?;
                self.skip(next);
                match next {
                    '\\' => bytes.push(self.escaped()?),
                    _ if next == quote => break,
                    _ => bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        String::from_utf8(bytes).map_err(|_| "expected text, found bytes that are none".into())
    }

    /// The byte that stands behind a backslash.
    fn escaped(&mut self) -> Result<u8, String> {
        let next = self.rest.chars().next().ok_or("a text does not end")?;
        let digits = |from: usize, most: usize, radix: u32| {
            let digits = self.rest.get(from..).unwrap_or_default();
            digits.chars().take(most).take_while(|c| c.is_digit(radix)).count()
        };
        let number =
            |digits: &str, radix| u8::from_str_radix(digits, radix).map_err(|_| format!("no byte: {digits:?}"));
        let (byte, length) = match next {
            'n' => (b'\n', 1),
            'r' => (b'\r', 1),
            't' => (b'\t', 1),
            '\\' | '\'' | '"' | '?' => (next as u8, 1),
            'x' | 'X' => {
                let end = 1 + digits(1, 2, 16);
                (number(self.rest.get(1..end).unwrap_or_default(), 16)?, end)
            }
            '0'..='7' => {
                let end = digits(0, 3, 8);
                (number(self.rest.get(..end).unwrap_or_default(), 8)?, end)
            }
            _ => return Err(format!("expected an escape, found {next:?}")),
        };
        self.rest = self.rest.get(length..).unwrap_or_default();
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(name: &str, value: &str) -> (String, Value) {
        (name.into(), Value::Word(value.into()))
    }

    #[test]
    fn all_forms_of_fields_are_read() {
        let text = r#"
            name: "net" 's\x21\041\n'  # a comment: { "
            max_batch_size: 8,
            input [ { name: "x" dims: [ -1, 3 ] }, { name: "y" } ];
            dynamic_batching { }
            policy < all: {} >
            empty: []
            scale: 1.5e+3"#;
        let x = Message(vec![("name".into(), Value::Text("x".into())), word("dims", "-1"), word("dims", "3")]);
        let y = Message(vec![("name".into(), Value::Text("y".into()))]);
        let expected = vec![
            ("name".into(), Value::Text("nets!!\n".into())),
            word("max_batch_size", "8"),
            ("input".into(), Value::Message(x)),
            ("input".into(), Value::Message(y)),
            ("dynamic_batching".into(), Value::Message(Message::default())),
            ("policy".into(), Value::Message(Message(vec![("all".into(), Value::Message(Message::default()))]))),
            word("scale", "1.5e+3"),
        ];
        assert_eq!(parse(text).unwrap(), Message(expected));
        assert_eq!(parse("").unwrap(), Message::default());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (text, why) in [
            ("name", "line 1: expected ':'"),
            ("a: 1\nname \"x\"", "line 2: expected ':'"),
            ("name: ", "expected a value, found the end"),
            ("name: \"x", "does not end"),
            ("name: \"x\ny\"", "does not end"),
            ("name: \"\\q\"", "escape"),
            ("name: \"\\x\"", "no byte"),
            ("name: \"\\777\"", "no byte"),
            ("name: \"\\xff\"", "none"),
            ("name: \"\\", "does not end"),
            ("a { b: 1", "expected the name of a field, found the end"),
            ("a { b: 1 >", "found '>'"),
            ("}", "found '}'"),
            ("a: [1 2]", "expected ',' or ']'"),
            ("ä: 1", "found 'ä'"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(parse(&"a {".repeat(100_000)).unwrap_err().contains("at most 32"));
        assert!(parse(&format!("{}{}", "a {".repeat(DEPTH), "}".repeat(DEPTH))).is_ok());
    }
}
