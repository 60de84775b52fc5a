//! Text from a file, made safe to print.

use std::fmt::{self, Display, Formatter, Write};

/// Longest text printed in full, in characters.
const LONGEST: usize = 200;

/// Prints text from a file with control, bidirectional and other invisible characters escaped, cut after 200 characters.
///
/// ```
/// use mindir_graph::Printable;
/// assert_eq!(Printable("net:\u{202e}w\n").to_string(), r"net:\u{202e}w\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, c) in self.0.chars().enumerate() {
            if position == LONGEST {
                return f.write_str("…");
            }
            match c {
                '\'' | '"' | '\\' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Printable;

    #[test]
    fn invisible_characters_are_escaped() {
        let shown = Printable("a\0\u{1b}[31m\u{202e}\u{2066}\u{200b}é✓'\"").to_string();
        assert_eq!(shown, "a\\0\\u{1b}[31m\\u{202e}\\u{2066}\\u{200b}é✓'\"");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(Printable(&"x".repeat(1000)).to_string().chars().count(), 201);
    }
}
