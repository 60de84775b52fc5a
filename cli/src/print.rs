//! Text for terminals.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use comfy_table::{CellAlignment, Table, presets};
use mindir::Printable;
use serde::Serialize;

use crate::failure::Failure;

/// What is told besides results and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Volume {
    /// Nothing.
    Quiet,
    /// Warnings, and progress on terminals.
    #[default]
    Normal,
    /// What is read and done, too.
    Verbose,
}

static VOLUME: OnceLock<Volume> = OnceLock::new();

/// Says what is told from now on.
pub fn set_volume(volume: Volume) {
    let _ = VOLUME.set(volume);
}

/// What is told.
pub fn volume() -> Volume {
    VOLUME.get().copied().unwrap_or_default()
}

/// Tells what goes on, if that is asked for.
pub fn tell(text: impl FnOnce() -> String) {
    if volume() == Volume::Verbose {
        stderr(&format!("{}\n", text()));
    }
}

/// Warns of something that is no failure.
pub fn warn(text: &str) {
    if volume() != Volume::Quiet {
        stderr(&format!("warning: {text}\n"));
    }
}

/// Whether progress is shown while something takes long.
pub fn shows_progress() -> bool {
    volume() != Volume::Quiet && io::stderr().is_terminal()
}

/// `text` with everything escaped that a terminal would act on, but for line ends.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\'' | '"' | '\\' => out.push(c),
            c if c.is_ascii_graphic() || c == ' ' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// Writes to stdout, all the way. A reader that went away has read what it wanted and is no failure.
pub fn stdout(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(safe(text).as_bytes()).and_then(|()| out.flush()))
}

/// What became of an attempt to write to stdout.
pub fn written(done: io::Result<()>) -> Result<(), Failure> {
    match done {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::file("standard output".as_ref())(e)),
        _ => Ok(()),
    }
}

/// Writes to stderr.
pub fn stderr(text: &str) {
    let _ = io::stderr().lock().write_all(safe(text).as_bytes());
}

/// A name from a file.
pub fn name(text: &str) -> String {
    if text.is_empty() { "\"\"".into() } else { Printable(text).to_string() }
}

/// What somebody gave, between quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", Printable(text))
}

/// `value` as indented JSON; characters that a terminal would act on are escaped as JSON escapes them.
pub fn json(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\":\"{e}\"}}"));
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        let plain = c == '\n' || c.is_ascii_graphic() || c == ' ' || c.escape_debug().len() == 1;
        if plain {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|u| {
                let _ = write!(out, "\\u{u:04x}");
            });
        }
    }
    out.push('\n');
    out
}

/// Columns of the terminal that stdout is; `None` if it is none.
fn width() -> Option<usize> {
    let term = console::Term::stdout();
    if term.is_term() { term.size_checked().map(|(_, columns)| usize::from(columns)) } else { None }
}

/// A line that fits the terminal: its middle is left out where it is too long.
pub fn fit(line: &str) -> String {
    width().map_or_else(|| line.to_string(), |width| cut(line, width))
}

/// Text of at most `width` characters: the middle is left out of a longer one.
fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_string();
    }
    let kept = width.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// Spaces between the columns of a table.
const GAP: usize = 2;

/// No column of a table is made narrower than this.
const NARROW: usize = 12;

/// The width that wide columns of these widths may have, so that all of them fit into `width`.
fn widest(columns: &[usize], width: usize) -> usize {
    let fits = |cap: usize| columns.iter().map(|w| GAP + w.min(&cap)).sum::<usize>() <= width + GAP;
    let widest = columns.iter().copied().max().unwrap_or(0).max(NARROW);
    (NARROW..=widest).rev().find(|&cap| fits(cap)).unwrap_or(NARROW)
}

/// Cuts cells so that every row fits into `width`, if columns need not be too narrow for that.
fn narrow(header: &[&str], rows: &mut [Vec<String>], width: usize) -> bool {
    let count = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    let mut columns: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    columns.resize(count, 0);
    for row in rows.iter() {
        row.iter().zip(&mut columns).for_each(|(cell, width)| *width = (*width).max(cell.chars().count()));
    }
    let cap = widest(&columns, width);
    rows.iter_mut().flatten().for_each(|cell| *cell = cut(cell, cap));
    columns.iter().map(|w| GAP + w.min(&cap)).sum::<usize>() <= width + GAP
}

/// Whether a line of so many characters fits the terminal, if there is one.
pub fn is_wide(line: usize) -> bool {
    width().is_none_or(|width| line <= width)
}

/// A row of a table that does not fit: a line for each cell, after its title.
pub fn record(header: &[&str], row: &[String]) -> String {
    record_of(header, row, width().unwrap_or(usize::MAX))
}

fn record_of(header: &[&str], row: &[String], width: usize) -> String {
    let titles = header.iter().map(|title| title.chars().count()).max().unwrap_or(0);
    let titled = row.iter().enumerate().filter(|(_, cell)| !cell.is_empty());
    let line = |(i, cell): (usize, &String)| {
        let title = header.get(i).copied().unwrap_or_default();
        format!("{title:titles$}{:GAP$}{}\n", "", cut(cell, width.saturating_sub(titles + GAP)))
    };
    titled.map(line).collect()
}

/// Rows in columns, the columns in `right` aligned to the right. No borders. On a terminal the middle of long cells is left
/// out, so that rows fit; where columns would be too narrow, each cell has a line.
pub fn table(header: &[&str], right: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut rows: Vec<Vec<String>> = rows.into_iter().collect();
    if let Some(width) = width() {
        let whole = if header.is_empty() { Vec::new() } else { rows.clone() };
        if !narrow(header, &mut rows, width) && !header.is_empty() {
            return whole.iter().map(|row| record_of(header, row, width)).collect::<Vec<_>>().join("\n");
        }
    }
    let mut t = Table::new();
    t.load_style(presets::NOTHING);
    if !header.is_empty() {
        t.set_header(header.iter().copied());
    }
    t.add_rows(rows);
    for (i, column) in t.column_iter_mut().enumerate() {
        column.set_padding((0, GAP as u16));
        if right.contains(&i) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    t.lines().fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

fn scaled(x: f64, base: f64, units: &[&str]) -> String {
    let (mut x, mut unit) = (x, 0);
    while x.abs() >= base && unit + 1 < units.len() {
        x /= base;
        unit += 1;
    }
    let digits = if unit == 0 && x.fract() == 0.0 || x.abs() >= 100.0 {
        0
    } else if x.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{x:.digits$} {}", units[unit])
}

/// `1 stage`, `2 stages`.
pub fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `1 entry`, `2 entries`.
pub fn entries(n: usize) -> String {
    if n == 1 { "1 entry".to_string() } else { format!("{n} entries") }
}

/// A number of bytes: `246 KiB`.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

/// A number of floating-point operations: `0.83 MFLOP`.
pub fn flops(n: f64) -> String {
    scaled(n, 1000.0, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"])
}

/// A time: `27.1 ms`.
pub fn time(nanos: f64) -> String {
    scaled(nanos, 1000.0, &["ns", "µs", "ms", "s"])
}

/// A number with about six significant digits.
pub fn number(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    if !(1e-4..1e7).contains(&x.abs()) {
        return format!("{x:.4e}");
    }
    let digits = (5 - x.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{x:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(1.0), "1");
        assert_eq!(number(-11.234567), "-11.2346");
        assert_eq!(number(1e-7), "1.0000e-7");
        assert_eq!(bytes(246 * 1024), "246 KiB");
        assert_eq!(flops(830_000.0), "830 kFLOP");
        assert_eq!(time(27_100_000.0), "27.1 ms");
    }

    #[test]
    fn long_cells_lose_their_middle_where_a_row_does_not_fit() {
        assert_eq!(cut("abcdefghij", 10), "abcdefghij");
        assert_eq!(cut("abcdefghij", 6), "abc…ij");
        let path = "Default/network-Net/conv1-Conv2d/Conv2D-op0";
        let mut rows = vec![vec!["0".to_string(), path.into(), "1.2 ms".into()]];
        assert!(narrow(&["#", "node", "time"], &mut rows, 40));
        assert_eq!(rows[0], ["0", "Default/network…onv2d/Conv2D-op0", "1.2 ms"].map(|c| cut(c, 29)));
        assert_eq!(rows[0].iter().map(|c| c.chars().count()).sum::<usize>() + 2 * GAP, 40);
        let mut rows = vec![vec![path.to_string(), path.into()]];
        assert!(!narrow(&[], &mut rows, 5));
        assert!(rows[0].iter().all(|c| c.chars().count() == NARROW));
        let mut rows = vec![vec!["a".to_string(), path.into()]];
        assert!(narrow(&["x", "y"], &mut rows, 80));
        assert_eq!(rows[0][1], path);
    }

    #[test]
    fn rows_that_do_not_fit_are_lines() {
        let row = ["0", "", "Default/network-Net/conv1-Conv2d/Conv2D-op0"].map(String::from);
        let text = record_of(&["#", "kernel", "node"], &row, 20);
        assert_eq!(text, "#       0\nnode    Defaul…D-op0\n");
        assert!(text.lines().all(|line| line.chars().count() <= 20), "{text}");
    }

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(safe("a\u{1b}[31m\u{9b}\n\u{202e}é"), "a\\u{1b}[31m\\u{9b}\n\\u{202e}é");
        let text = json(&"a\u{1b}\u{9b}\u{202e}\u{10ffff}é\"");
        assert!(text.is_ascii() || text.contains('é'));
        assert!(!text.contains('\u{9b}') && !text.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "a\u{1b}\u{9b}\u{202e}\u{10ffff}é\"");
    }
}
