//! Bodies of several parts, as forms of browsers send them (RFC 7578).

use std::convert::Infallible;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use multer::{Error, Multipart};

use crate::RequestError;

/// Most parts of a body.
const MOST: usize = 256;

fn wrong(what: impl std::fmt::Display) -> RequestError {
    RequestError::Invalid(format!("the form: {what}"))
}

/// The boundary between the parts of a body; `None` if it is not `multipart/form-data`.
pub(crate) fn boundary(headers: &HeaderMap) -> Result<Option<String>, RequestError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match multer::parse_boundary(kind) {
        Ok(boundary) => Ok(Some(boundary)),
        Err(Error::NoMultipart | Error::DecodeContentType(_)) => Ok(None),
        Err(e) => Err(wrong(e)),
    }
}

/// A part of a form.
pub(crate) struct Part {
    /// Name of the field.
    pub field: String,
    /// Whether it is a file. One that nobody chose is none: it has neither name nor contents.
    pub is_file: bool,
    pub contents: Bytes,
}

/// The parts.
pub(crate) fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, RequestError> {
    // All of the body is there, so that nothing is waited for.
    read(body.clone(), boundary).now_or_never().unwrap_or_else(|| Err(wrong("it does not end")))
}

async fn read(body: Bytes, boundary: &str) -> Result<Vec<Part>, RequestError> {
    let mut form = Multipart::new(stream::iter([Ok::<_, Infallible>(body)]), boundary);
    let mut parts = Vec::new();
    while let Some(part) = form.next_field().await.map_err(wrong)? {
        let (field, file) = (part.name().unwrap_or_default().to_string(), part.file_name().map(str::to_string));
        let contents = part.bytes().await.map_err(wrong)?;
        let is_file = file.is_some_and(|name| !name.is_empty() || !contents.is_empty());
        parts.push(Part { field, is_file, contents });
        if parts.len() > MOST {
            return Err(wrong(format!("expected at most {MOST} parts")));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(text: &str) -> Result<Vec<String>, String> {
        let parts = parts(&Bytes::from(text.to_string()), "b").map_err(|e| e.to_string())?;
        Ok(parts.iter().map(|part| String::from_utf8(part.contents.to_vec()).unwrap()).collect())
    }

    #[test]
    fn parts_are_what_stands_between_boundaries() {
        let text = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\none\r\n\r\n-- two\r\n--b\r\nA: b\r\n\r\n\r\n--b--\r\n";
        assert_eq!(contents(text).unwrap(), ["one\r\n\r\n-- two", ""]);
        assert!(contents("--b--").unwrap().is_empty());
    }

    #[test]
    fn files_have_a_name_or_contents() {
        let file = |name: &str, contents: &str| {
            let head = format!("Content-Disposition: form-data; name=\"x\"{name}");
            let parts = parts(&Bytes::from(format!("--b\r\n{head}\r\n\r\n{contents}\r\n--b--\r\n")), "b").unwrap();
            assert_eq!(parts[0].field, "x");
            parts[0].is_file
        };
        let name = "; filename=\"a.png\"";
        assert!(file(name, "") && file(name, "picture") && file("; filename=\"\"", "picture"));
        assert!(!file("", "text") && !file("; filename=\"\"", ""));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for text in ["", "--c\r\n", "--b", "--b\r\nA: b\r\n", "--b\r\nA: b\r\n\r\nx"] {
            assert!(contents(text).unwrap_err().contains("the form: "), "{text:?}");
        }
        assert!(contents(&"--b\r\nA: b\r\n\r\n\r\n".repeat(MOST + 2)).unwrap_err().contains("256"));
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
    }
}
