//! Bodies of several parts, as forms of browsers send them (RFC 7578).

use axum::http::{HeaderMap, header};
use bytes::Bytes;

use crate::RequestError;

/// Most parts of a body.
const MOST: usize = 256;

/// The boundary between the parts of a body; `None` if it is not `multipart/form-data`.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<Option<String>, RequestError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Ok(None);
    }
    let parameter = |text: &str| {
        let (name, value) = text.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.to_string())
    };
    let boundary = parameters.split(';').find_map(parameter).filter(|text| (1..=70).contains(&text.len()));
    let wrong = || RequestError::Invalid("Content-Type: expected a boundary of 1 to 70 characters".into());
    boundary.map(Some).ok_or_else(wrong)
}

/// The contents of the parts.
pub(crate) fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Bytes>, RequestError> {
    let wrong = |what: &str| RequestError::Invalid(format!("the form: {what}"));
    let (first, next) = (format!("--{boundary}"), format!("\r\n--{boundary}"));
    // What stands before the first part is nobody's.
    let mut at = match body.starts_with(first.as_bytes()) {
        true => first.len(),
        false => find(body, next.as_bytes()).ok_or_else(|| wrong("no part begins"))? + next.len(),
    };
    let mut parts = Vec::new();
    while !rest(body, at).starts_with(b"--") {
        let line = find(rest(body, at), b"\r\n").ok_or_else(|| wrong("a part does not begin"))?;
        // A part without headers has its empty line at once.
        let head = at + line;
        let content = find(rest(body, head), b"\r\n\r\n").ok_or_else(|| wrong("the headers of a part do not end"))?;
        let begin = head + content + 4;
        let length = find(rest(body, begin), next.as_bytes()).ok_or_else(|| wrong("a part does not end"))?;
        parts.push(body.slice(begin..begin + length));
        if parts.len() > MOST {
            return Err(wrong(&format!("expected at most {MOST} parts")));
        }
        at = begin + length + next.len();
    }
    Ok(parts)
}

fn rest(body: &[u8], from: usize) -> &[u8] {
    body.get(from..).unwrap_or_default()
}

/// Where `wanted` stands first.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        let at = from + rest(bytes, from).iter().position(|byte| *byte == first)?;
        if rest(bytes, at).starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let parts = parts(&Bytes::from(text.to_string()), "b").map_err(|e| e.to_string())?;
        Ok(parts.iter().map(|part| String::from_utf8(part.to_vec()).unwrap()).collect())
    }

    #[test]
    fn parts_are_what_stands_between_boundaries() {
        let text = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\none\r\n\r\n-- two\r\n--b\r\nA: b\r\n\r\n\r\n--b--\r\n";
        assert_eq!(read(text).unwrap(), ["one\r\n\r\n-- two", ""]);
        assert_eq!(read("before\r\n--b \r\nA: b\r\n\r\nx\r\n--b--after").unwrap(), ["x"]);
        assert_eq!(read("--b\r\n\r\nbare\r\n--b--").unwrap(), ["bare"]);
        assert!(read("--b--").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for (text, why) in [
            ("", "no part begins"),
            ("--c\r\n", "no part begins"),
            ("--b", "does not begin"),
            ("--b\r\nA: b\r\n", "headers"),
            ("--b\r\nA: b\r\n\r\nx", "does not end"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(read(&"--b\r\n\r\n\r\n".repeat(MOST + 2)).unwrap_err().contains("256"));
    }

    #[test]
    fn the_boundary_is_in_the_header() {
        let of = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            boundary(&headers).map_err(|e| e.to_string())
        };
        assert_eq!(of("multipart/form-data; charset=x; Boundary=\"a b\"").unwrap().as_deref(), Some("a b"));
        assert_eq!(of("application/json").unwrap(), None);
        assert!(of("multipart/form-data").unwrap_err().contains("boundary"));
        assert!(of("multipart/form-data; boundary=").unwrap_err().contains("boundary"));
    }
}
