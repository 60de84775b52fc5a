//! List files: a picture and its label a line.

use std::path::Path;

use crate::content::is;
use crate::print::{name, quoted};

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, from 1 on.
    pub line: usize,
    pub path: String,
    pub label: String,
}

/// What stands between path and label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Comma,
    Tab,
    /// The last blanks of the line.
    Blank,
}

/// Endings of lists.
pub const ENDINGS: [&str; 4] = ["csv", "tsv", "txt", "lst"];

/// Words of a first line that names the columns.
const PATH: [&str; 6] = ["path", "file", "filename", "image", "picture", "x"];
const LABEL: [&str; 5] = ["label", "class", "target", "category", "y"];

impl Separator {
    /// What the ending of a list says; `None` of other files.
    pub fn of(path: &Path) -> Option<Separator> {
        let all = [(&["csv"][..], Separator::Comma), (&["tsv"], Separator::Tab), (&["txt", "lst"], Separator::Blank)];
        all.into_iter().find(|(endings, _)| is(path, endings)).map(|(_, separator)| separator)
    }

    fn expected(self) -> &'static str {
        match self {
            Separator::Comma => "PICTURE,LABEL",
            Separator::Tab => "PICTURE, a tab and LABEL",
            Separator::Blank => "PICTURE and LABEL with blanks between them",
        }
    }
}

/// The lines of a list. Empty lines are left out, and so is a first line that names the columns.
///
/// # Errors
/// The line that is no path and label, what was expected there and what was found.
pub fn parse(bytes: &[u8], separator: Separator) -> Result<Vec<Entry>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count();
        format!("line {line}: expected text in UTF-8, found other bytes")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |found: String| format!("line {}: expected {}, found {found}", i + 1, separator.expected());
        let (path, label) = pair(line, separator).map_err(wrong)?;
        entries.push(Entry { line: i + 1, path, label });
    }
    let is_word = |text: &str, words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if entries.first().is_some_and(|first| is_word(&first.path, &PATH) && is_word(&first.label, &LABEL)) {
        entries.remove(0);
    }
    Ok(entries)
}

/// Path and label of a line, or what it is instead.
fn pair(line: &str, separator: Separator) -> Result<(String, String), String> {
    let fields = match separator {
        Separator::Comma => fields(line)?,
        Separator::Tab => line.split('\t').map(|field| field.trim().to_string()).collect(),
        Separator::Blank => {
            let line = line.trim();
            line.rsplit_once([' ', '\t'])
                .map_or(vec![line], |(path, label)| vec![path.trim_end(), label])
                .into_iter()
                .map(str::to_string)
                .collect()
        }
    };
    match <[String; 2]>::try_from(fields) {
        Ok([path, label]) if !path.is_empty() && !label.is_empty() => Ok((path, label)),
        Ok([path, _]) => Err(format!("nothing for the {}", if path.is_empty() { "picture" } else { "label" })),
        Err(fields) if fields.len() == 1 => Err(format!("only {}", quoted(line.trim()))),
        Err(fields) => Err(format!("{} fields", fields.len())),
    }
}

/// Fields between commas; one in quotes may have commas, and quotes that are doubled.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.trim_start().strip_prefix('"') {
            Some(inside) => in_quotes(inside)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_string(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(format!("{} behind a quote", name(after))),
        }
    }
}

/// What stands before the quote that closes a field, and what after it.
fn in_quotes(text: &str) -> Result<(String, &str), String> {
    let (mut field, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('"') {
        field.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after.trim_start())),
        }
    }
    Err("a quote that is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mindir::random::SplitMix;

    fn pairs(text: &str, separator: Separator) -> Vec<(usize, String, String)> {
        let entries = parse(text.as_bytes(), separator).unwrap();
        entries.into_iter().map(|e| (e.line, e.path, e.label)).collect()
    }

    #[test]
    fn lines_are_pictures_and_labels() {
        let own = |line, path: &str, label: &str| (line, path.to_string(), label.to_string());
        let csv = "\u{feff}Path,Label\r\n\r\n\na.png, 3\r\n\"b, \"\"c\"\".png\" ,cat\n";
        assert_eq!(pairs(csv, Separator::Comma), [own(4, "a.png", "3"), own(5, "b, \"c\".png", "cat")]);
        assert_eq!(pairs("a b.png\t 7\n", Separator::Tab), [own(1, "a b.png", "7")]);
        assert_eq!(pairs("a b.png  7 \nc 1", Separator::Blank), [own(1, "a b.png", "7"), own(2, "c", "1")]);
        assert_eq!(pairs("", Separator::Comma), []);
        assert_eq!(pairs("x,y", Separator::Comma), []);
    }

    #[test]
    fn lines_that_mean_nothing_are_named() {
        for (text, separator, what) in [
            ("a,1\nb", Separator::Comma, "line 2: expected PICTURE,LABEL, found only \"b\""),
            ("a,1,2", Separator::Comma, "line 1: expected PICTURE,LABEL, found 3 fields"),
            (",1", Separator::Comma, "found nothing for the picture"),
            ("a,", Separator::Comma, "found nothing for the label"),
            ("\"a,1", Separator::Comma, "found a quote that is not closed"),
            ("\"a\"b,1", Separator::Comma, "found b,1 behind a quote"),
            ("a 1", Separator::Tab, "expected PICTURE, a tab and LABEL, found only \"a 1\""),
            ("\na.png", Separator::Blank, "line 2: expected PICTURE and LABEL with blanks"),
        ] {
            let error = parse(text.as_bytes(), separator).unwrap_err();
            assert!(error.contains(what), "{text:?}: {error}");
        }
        let error = parse(b"a,1\n\xff,2", Separator::Comma).unwrap_err();
        assert!(error.starts_with("line 2: expected text in UTF-8"), "{error}");
    }

    /// Whatever a file holds is pairs or an error with a line; and pairs that are written are read again.
    #[test]
    fn random_lists_are_read_or_refused() {
        let mut bits = SplitMix(1);
        const PIECES: [&[u8]; 13] = [
            b"a",
            b",",
            b"\"",
            b"\n",
            b"\t",
            b" ",
            b"#",
            b"\r\n",
            b"\xff",
            b"\xc3\xa9",
            b"path",
            b"7",
            b"\xef\xbb\xbf",
        ];
        let (mut read, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let count = bits.below(12);
            let bytes: Vec<u8> = (0..count).flat_map(|_| PIECES[bits.below(13) as usize]).copied().collect();
            let lines = 1 + bytes.iter().filter(|b| **b == b'\n').count();
            for separator in [Separator::Comma, Separator::Tab, Separator::Blank] {
                match parse(&bytes, separator) {
                    Ok(entries) => {
                        read += usize::from(!entries.is_empty());
                        assert!(entries.iter().all(|e| (1..=lines).contains(&e.line) && !e.path.is_empty()));
                        let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
                        let line = |e: &Entry| format!("{},{}\n", quote(&e.path), quote(&e.label));
                        let again = parse(entries.iter().map(line).collect::<String>().as_bytes(), Separator::Comma);
                        let pairs = |all: &[Entry]| -> Vec<[String; 2]> {
                            all.iter().map(|e| [e.path.clone(), e.label.clone()]).collect()
                        };
                        assert_eq!(pairs(&again.unwrap()), pairs(&entries), "{bytes:?}");
                    }
                    Err(what) => {
                        refused += 1;
                        assert!(what.starts_with("line ") && what.contains("expected") && what.contains("found"));
                    }
                }
            }
        }
        assert!(read > 1000 && refused > 1000, "{read} {refused}");
    }
}
