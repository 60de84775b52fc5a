//! A plan as one page that needs nothing else.

use std::fmt::Write as _;

use mindir::passes::Note;
use mindir::{Plan, StageReport, StepReport};

use super::measure::Measured;
use crate::print::{self, name};

const STYLE: &str = "\
body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}\
h2{margin-top:2em}table{border-collapse:collapse}td,th{padding:2px 10px 2px 0;text-align:left;vertical-align:top}\
td.n,th.n{text-align:right;white-space:nowrap}th{color:#666;font-weight:600}details{margin:4px 0 4px 14px}\
summary{cursor:pointer}.dim{color:#777}svg{max-width:none}svg text{font:12px system-ui,sans-serif}\
.group{fill:#00000008;stroke:#bbb}.edge{fill:none;stroke:#888;stroke-width:1.2}.box{stroke:#555}.small{fill:#555;font-size:11px}";

/// What the page is about.
pub struct Page<'a> {
    pub title: String,
    pub inputs: Vec<String>,
    pub plan: &'a Plan,
    pub measured: Option<Measured>,
}

/// A step with its number and what was measured of it.
struct Row<'a> {
    number: usize,
    step: &'a StepReport,
    device: &'a str,
    nanos: Option<u64>,
    /// Its part of the time, or of the work where nothing was measured.
    share: f64,
    notes: Vec<&'a Note>,
}

/// `text` with everything escaped that HTML or a terminal would act on.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in name(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The modules on a node's path, outermost first.
fn modules(path: &str) -> Vec<&str> {
    path.rsplit_once('/').map_or(Vec::new(), |(modules, _)| modules.split('/').collect())
}

fn facts(list: &[mindir::Fact]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Page<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let rows = self.rows();
        let title = text(&self.title);
        let body = [
            format!("<h1>{title}</h1>\n{}", self.summary()),
            format!("<h2>Graph</h2>\n{}{}", self.legend(), graph(&rows, self)),
            format!("<h2>Modules</h2>\n{}", self.tree(&rows.iter().collect::<Vec<_>>(), 0)),
            format!("<h2>Memory</h2>\n{}", self.memory()),
            format!("<h2>What the passes did</h2>\n{}", self.passes()),
        ];
        let policy = "default-src 'none'; style-src 'unsafe-inline'";
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <title>{title}</title><style>{STYLE}</style></head>\n<body>\n{}\n</body></html>\n",
            body.join("\n")
        )
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let steps = self.plan.stages().iter().flat_map(|s| s.steps.iter().map(|step| (step, s.device.as_str())));
        let nanos = |i: usize| self.measured.as_ref().and_then(|m| m.steps.get(i).copied().flatten());
        let work = |i: usize, step: &StepReport| match &self.measured {
            Some(_) => nanos(i).unwrap_or(0) as f64,
            None => step.flops as f64,
        };
        let total: f64 = steps.clone().enumerate().map(|(i, (step, _))| work(i, step)).sum();
        let row = |(number, (step, device)): (usize, (_, _))| Row {
            number,
            step,
            device,
            nanos: nanos(number),
            share: work(number, step) / total.max(1.0),
            notes: self.plan.notes().iter().filter(|note| note.applied && note.path == step.path).collect(),
        };
        steps.enumerate().map(row).collect()
    }

    fn summary(&self) -> String {
        let steps: usize = self.plan.stages().iter().map(|s| s.steps.len()).sum();
        let mut lines = vec![
            format!("inputs {}", text(&self.inputs.join(", "))),
            format!("results {}", text(&facts(&self.plan.results().cloned().collect::<Vec<_>>()))),
            format!(
                "{}, {}, scratch {}",
                print::plural(steps, "step"),
                print::flops(self.plan.flops() as f64),
                print::bytes(self.plan.scratch_bytes() as u64)
            ),
        ];
        if let Some(m) = &self.measured {
            lines.push(format!("{} a run; this machine reaches {}", print::time(m.whole as f64), m.machine()));
        }
        if let Some((at, why)) = self.plan.stops() {
            lines.push(format!("the plan ends after {} of the model, which {why}", print::plural(at, "node")));
        }
        lines.into_iter().map(|line| format!("<p>{line}</p>\n")).collect()
    }

    fn legend(&self) -> String {
        let what = if self.measured.is_some() { "time" } else { "floating-point operations" };
        format!("<p class=\"dim\">The darker a step, the more of the {what} it takes. Point at one for more.</p>\n")
    }

    /// Modules in modules from `depth` on, with their steps.
    fn tree(&self, rows: &[&Row<'_>], depth: usize) -> String {
        let mut out = String::new();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let module = modules(&first.step.path).get(depth).copied();
            let same = |r: &&&Row<'_>| modules(&r.step.path).get(depth).copied() == module;
            let (mine, others) = rest.split_at(rest.iter().take_while(same).count().max(1));
            rest = others;
            match module {
                Some(module) => {
                    let (sum, inner) = (self.sum(mine), self.tree(mine, depth + 1));
                    let _ = write!(
                        out,
                        "<details open><summary>{} <span class=\"dim\">{sum}</span></summary>\n{inner}</details>\n",
                        text(module)
                    );
                }
                None => out.push_str(&self.table(mine)),
            }
        }
        out
    }

    fn sum(&self, rows: &[&Row<'_>]) -> String {
        let flops: u64 = rows.iter().map(|r| r.step.flops).fold(0, u64::saturating_add);
        let bytes: usize = rows.iter().map(|r| r.step.bytes).sum();
        let nanos: u64 = rows.iter().filter_map(|r| r.nanos).sum();
        let time = if self.measured.is_some() { format!(", {}", print::time(nanos as f64)) } else { String::new() };
        let steps = print::plural(rows.len(), "step");
        format!("{steps}, {}, {}{time}", print::flops(flops as f64), print::bytes(bytes as u64))
    }

    fn table(&self, rows: &[&Row<'_>]) -> String {
        let measured = if self.measured.is_some() { "<th class=\"n\">time<th class=\"n\">of peak" } else { "" };
        let head = format!(
            "<table><tr><th class=\"n\">#<th>ops<th>kernel<th>result<th>place<th class=\"n\">work<th class=\"n\">bytes{measured}</tr>\n"
        );
        rows.iter().fold(head, |table, row| table + &self.cells(row)) + "</table>\n"
    }

    fn cells(&self, row: &Row<'_>) -> String {
        let step = row.step;
        let measured = match (&self.measured, row.nanos) {
            (Some(m), Some(nanos)) => {
                let (percent, what) = m.of_peak(step, nanos);
                format!("<td class=\"n\">{}<td class=\"n\">{percent:.0} % of {what}", print::time(nanos as f64))
            }
            (Some(_), None) => "<td class=\"n\">-<td class=\"n\">-".into(),
            (None, _) => String::new(),
        };
        format!(
            "<tr><td class=\"n\">{}<td>{}<td>{}<td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}{measured}</tr>\n",
            row.number,
            text(&step.ops),
            text(&step.kernel),
            text(&facts(&step.outs)),
            text(&step.place),
            print::flops(step.flops as f64),
            print::bytes(step.bytes as u64),
        )
    }

    /// The memory of every stage over its steps.
    fn memory(&self) -> String {
        let mut first = 0;
        let stages = self.plan.stages().iter().map(|stage| {
            let picture = arena(stage, first);
            first += stage.steps.len();
            picture
        });
        stages.collect()
    }

    fn passes(&self) -> String {
        let notes = self.plan.notes();
        let mut names: Vec<&str> = notes.iter().map(|n| n.pass).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|pass| passed(pass, notes)).collect()
    }
}

/// What one pass did and left alone.
fn passed(pass: &str, notes: &[Note]) -> String {
    let mine: Vec<&Note> = notes.iter().filter(|n| n.pass == pass).collect();
    let applied = mine.iter().filter(|n| n.applied).count();
    let row = |n: &&Note| {
        let done = if n.applied { "applied" } else { "<span class=\"dim\">refused</span>" };
        format!("<tr><td>{done}<td>{}<td>{}</tr>\n", text(&n.path), text(&n.why))
    };
    let rows: String = mine.iter().map(row).collect();
    let refused = mine.len() - applied;
    format!(
        "<details><summary>{} <span class=\"dim\">applied {applied}, refused {refused}</span></summary>\n\
         <table><tr><th><th>node<th>why</tr>\n{rows}</table></details>\n",
        text(pass)
    )
}

/// Pixels of the picture of a graph.
const WIDTH: usize = 820;
const BOX: usize = 40;
const GAP: usize = 10;
const INDENT: usize = 10;
/// What a module's name takes above its steps.
const LABEL: usize = 18;

/// A module that is being drawn.
struct Open<'a> {
    module: &'a str,
    top: usize,
}

/// The steps from top to bottom, surrounded by their modules, with lines from each to those that read its results.
fn graph(rows: &[Row<'_>], page: &Page<'_>) -> String {
    let (mut groups, mut boxes, mut tops) = (String::new(), String::new(), Vec::new());
    let (mut open, mut y): (Vec<Open<'_>>, usize) = (Vec::new(), GAP);
    for row in rows {
        let path = modules(&row.step.path);
        let same = open.iter().zip(&path).take_while(|(open, module)| open.module == **module).count();
        close(&mut open, same, &mut groups, &mut y);
        for module in path.into_iter().skip(same) {
            open.push(Open { module, top: y });
            y += LABEL;
        }
        tops.push(y);
        boxes.push_str(&boxed(row, page, y, open.len()));
        y += BOX + GAP;
    }
    close(&mut open, 0, &mut groups, &mut y);
    let edges: String = rows.iter().map(|row| edges(row, &tops)).collect();
    let (width, height) = (WIDTH + 160, y + GAP);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\">\n{groups}{edges}{boxes}</svg>\n"
    )
}

/// Draws the modules beyond the first `keep`, which end here.
fn close(open: &mut Vec<Open<'_>>, keep: usize, groups: &mut String, y: &mut usize) {
    while open.len() > keep {
        let Some(Open { module, top }) = open.pop() else { return };
        let (x, width) = inset(open.len());
        let height = *y - top - GAP / 2;
        // Outer modules are drawn last and belong below.
        let drawn = format!(
            "<rect class=\"group\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>\
             <text class=\"small\" x=\"{}\" y=\"{}\">{}</text>\n",
            x + 6,
            top + 13,
            text(module)
        );
        groups.insert_str(0, &drawn);
        *y += GAP / 2;
    }
}

/// Left edge and width of what lies in so many modules.
fn inset(depth: usize) -> (usize, usize) {
    let x = INDENT * depth.min(20);
    (x, WIDTH - 2 * x)
}

fn boxed(row: &Row<'_>, page: &Page<'_>, y: usize, depth: usize) -> String {
    let (x, width) = inset(depth);
    let step = row.step;
    let light = 96.0 - 45.0 * row.share.clamp(0.0, 1.0).sqrt();
    let mut second = vec![step.kernel.clone(), print::flops(step.flops as f64), print::bytes(step.bytes as u64)];
    if let (Some(m), Some(nanos)) = (&page.measured, row.nanos) {
        let (percent, what) = m.of_peak(step, nanos);
        second.push(print::time(nanos as f64));
        second.push(format!("{percent:.0} % of peak {what}"));
    }
    format!(
        "<g><title>{}</title><rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{BOX}\" rx=\"4\" \
         fill=\"hsl(28 90% {light:.0}%)\"/><text x=\"{}\" y=\"{}\">{} · {} · {}</text>\
         <text class=\"small\" x=\"{}\" y=\"{}\">{}</text></g>\n",
        tip(row),
        x + 8,
        y + 16,
        row.number,
        text(&step.ops),
        text(&facts(&step.outs)),
        x + 8,
        y + 32,
        text(&second.join(" · ")),
    )
}

/// What is shown when somebody points at a step.
fn tip(row: &Row<'_>) -> String {
    let step = row.step;
    let mut lines = vec![
        step.path.to_string(),
        format!("{} on {}", step.kernel, row.device),
        format!("{} to {}", facts(&step.ins), facts(&step.outs)),
        format!("at {}", step.place),
    ];
    lines.extend(row.notes.iter().map(|n| format!("{}: {}", n.pass, n.why)));
    lines.extend(step.declined.iter().map(|d| format!("{} declined: {}", d.device, d.reason)));
    lines.iter().map(|line| text(line)).collect::<Vec<_>>().join("\n")
}

/// Lines to a step from those whose results it reads: straight from the one before, around the others at the right.
fn edges(row: &Row<'_>, tops: &[usize]) -> String {
    let at = |step: usize| tops.get(step).copied().unwrap_or(0);
    let to = at(row.number);
    let edge = |&from: &usize| {
        let (middle, right) = (WIDTH / 2, WIDTH - INDENT * modules(&row.step.path).len().min(20));
        let begin = at(from) + BOX;
        if from + 1 == row.number {
            return format!("<path class=\"edge\" d=\"M{middle} {begin}V{to}\"/>\n");
        }
        let (bulge, start, end) = (WIDTH + (20 + (row.number - from) * 4).min(150), begin - BOX / 2, to + BOX / 2);
        format!("<path class=\"edge\" d=\"M{right} {start}C{bulge} {start} {bulge} {end} {right} {end}\"/>\n")
    };
    row.step.reads.iter().filter(|from| **from < row.number).map(edge).collect()
}

/// Pixels of the picture of a memory.
const MEMORY: [usize; 2] = [900, 300];

/// The values of a stage: from left to right while they are needed, from bottom to top where they lie.
fn arena(stage: &StageReport, first: usize) -> String {
    let size = print::bytes(stage.memory as u64);
    let last = (first + stage.steps.len()).saturating_sub(1);
    let head = format!("<p>steps {first} to {last} on {}: {size}</p>\n", text(&stage.device));
    let end = stage.lives.iter().map(|life| life.offset + life.bytes).max().unwrap_or(0);
    if end == 0 || !stage.on_host {
        return head;
    }
    let [width, height] = MEMORY;
    let x = |step: usize| step as f64 * width as f64 / stage.steps.len().max(1) as f64;
    let y = |byte: usize| byte as f64 * height as f64 / end as f64;
    let block = |life: &mindir::Life| {
        let made = stage.steps.get(life.first).map_or(String::new(), |s| format!("{} {}", s.ops, s.path));
        let (offset, bytes) = (life.offset, print::bytes(life.bytes as u64));
        let said = format!("{bytes} at {offset}, steps {} to {}: {made}", first + life.first, first + life.last);
        format!(
            "<g><title>{}</title><rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"hsl({} 60% 80%)\"/></g>\n",
            text(&said),
            x(life.first),
            height as f64 - y(offset + life.bytes),
            x(life.last + 1) - x(life.first),
            y(life.bytes).max(0.5),
            (life.first * 47) % 360,
        )
    };
    let blocks: String = stage.lives.iter().map(block).collect();
    format!(
        "{head}<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\">\n\
         <rect class=\"group\" x=\"0\" y=\"0\" width=\"{width}\" height=\"{height}\"/>\n{blocks}</svg>\n",
        width + 2,
        height + 2
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(text("<b>\"a\" & 'c'\u{1b}"), "&lt;b&gt;&quot;a&quot; &amp; &#39;c&#39;\\u{1b}");
    }

    #[test]
    fn modules_are_all_but_the_last_part_of_a_path() {
        assert_eq!(modules("Default/net-Net/Conv2D-op0"), ["Default", "net-Net"]);
        assert!(modules("x").is_empty());
    }
}
