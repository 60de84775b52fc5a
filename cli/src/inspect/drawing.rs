//! Graphs in the languages of Graphviz and Mermaid.

use std::collections::HashMap;

use mindir::graph::{Def, Graph, GraphId, Model, Node, NodeKind, ValueId};

use crate::print::name;

/// What a drawing is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Graphviz: `dot -Tsvg`.
    Dot,
    /// Mermaid, as Markdown knows it.
    Mermaid,
}

/// All graphs of a model: inputs, nodes, results, the values between them, and which graphs nodes call.
pub fn drawing(model: &Model, language: Language) -> String {
    let graphs: String = model.graphs.iter().enumerate().map(|(g, graph)| language.graph(g, graph)).collect();
    let calls: String = model.graphs.iter().enumerate().map(|(g, graph)| calls(model, g, graph, language)).collect();
    match language {
        Language::Dot => format!("digraph model {{\n  node [shape=box];\n{graphs}{calls}}}\n"),
        Language::Mermaid => format!("flowchart TD\n{graphs}{calls}"),
    }
}

/// What a value comes from, as the drawing calls it: an input, or a node. Constants and parameters are not drawn.
fn origins(g: usize, graph: &Graph) -> HashMap<ValueId, String> {
    let inputs = graph.inputs.iter().enumerate().map(|(i, v)| (*v, format!("g{g}i{i}")));
    let nodes = graph.nodes.iter().enumerate().flat_map(|(n, node)| node.outputs.iter().map(move |v| (*v, id(g, n))));
    inputs.chain(nodes).collect()
}

fn id(g: usize, n: usize) -> String {
    format!("g{g}n{n}")
}

/// Where calls of a graph point to: its first input or node, or its first result.
fn entry(model: &Model, g: GraphId) -> Option<String> {
    let at = g.0 as usize;
    let graph = model.graphs.get(at)?;
    match (graph.inputs.first(), graph.nodes.first(), graph.outputs.first()) {
        (Some(_), ..) => Some(format!("g{at}i0")),
        (_, Some(_), _) => Some(id(at, 0)),
        (.., Some(_)) => Some(format!("g{at}o0")),
        _ => None,
    }
}

/// Lines from nodes to the graphs that they call.
fn calls(model: &Model, g: usize, graph: &Graph, language: Language) -> String {
    let of = |node: &Node| match &node.kind {
        NodeKind::Call(callee) => vec![("", *callee)],
        NodeKind::If { then, otherwise } => vec![("then", then.graph), ("else", otherwise.graph)],
        NodeKind::Select(branches) => branches.iter().map(|b| ("", b.graph)).collect(),
        _ => Vec::new(),
    };
    let line = |n: usize, (how, callee)| Some(language.call(&id(g, n), &entry(model, callee)?, how));
    graph.nodes.iter().enumerate().flat_map(|(n, node)| of(node).into_iter().filter_map(move |c| line(n, c))).collect()
}

impl Language {
    fn graph(self, g: usize, graph: &Graph) -> String {
        let (origins, mut lines) = (origins(g, graph), Vec::new());
        for (i, v) in graph.inputs.iter().enumerate() {
            let value = graph.value(*v);
            lines.push(self.end(&format!("g{g}i{i}"), &format!("{} {}", name(&value.name), value.spec)));
        }
        for (n, node) in graph.nodes.iter().enumerate() {
            lines.push(self.node(&id(g, n), &[name(node.op_name()), name(&node.path)]));
            let mut read = Vec::new();
            node.each_input(&mut |v| read.push(v));
            lines.extend(read.iter().filter_map(|v| Some(self.edge(graph, *v, origins.get(v)?, &id(g, n)))));
        }
        for (o, v) in graph.outputs.iter().enumerate() {
            let (id, value) = (format!("g{g}o{o}"), graph.value(*v));
            let fixed = if matches!(value.def, Def::Node | Def::Input(_)) { "" } else { " (constant or parameter)" };
            lines.push(self.end(&id, &format!("result {o}{fixed}")));
            lines.extend(origins.get(v).map(|from| self.edge(graph, *v, from, &id)));
        }
        self.group(g, &name(&graph.name), &lines)
    }

    /// The lines of one graph.
    fn group(self, g: usize, title: &str, lines: &[String]) -> String {
        let title = self.quoted(title);
        let (open, close) = match self {
            Language::Dot => (format!("  subgraph cluster_{g} {{\n    label={title};\n"), "  }\n"),
            Language::Mermaid => (format!("  subgraph g{g}[{title}]\n"), "  end\n"),
        };
        let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        open + &lines + close
    }

    /// An input or a result.
    fn end(self, id: &str, label: &str) -> String {
        let label = self.quoted(label);
        match self {
            Language::Dot => format!("{id} [label={label}, shape=ellipse];"),
            Language::Mermaid => format!("{id}([{label}])"),
        }
    }

    fn node(self, id: &str, lines: &[String]) -> String {
        match self {
            Language::Dot => format!("{id} [label={}];", self.quoted(&lines.join("\n"))),
            Language::Mermaid => format!("{id}[{}]", self.quoted(&lines.join("\n"))),
        }
    }

    /// A value on its way to a node or result.
    fn edge(self, graph: &Graph, v: ValueId, from: &str, to: &str) -> String {
        let label = self.quoted(&graph.value(v).spec.to_string());
        match self {
            Language::Dot => format!("{from} -> {to} [label={label}];"),
            Language::Mermaid => format!("{from} -->|{label}| {to}"),
        }
    }

    fn call(self, from: &str, to: &str, how: &str) -> String {
        match (self, how) {
            (Language::Dot, how) => format!("  {from} -> {to} [style=dashed, label={}];\n", self.quoted(how)),
            (Language::Mermaid, "") => format!("  {from} -.-> {to}\n"),
            (Language::Mermaid, how) => format!("  {from} -.->|{}| {to}\n", self.quoted(how)),
        }
    }

    /// A text in quotes, with everything escaped that would end it or mean something.
    fn quoted(self, text: &str) -> String {
        let escape = |c: char| match (self, c) {
            (Language::Dot, '"' | '\\') => format!("\\{c}"),
            (Language::Dot, '\n') => "\\n".into(),
            (Language::Mermaid, '\n') => "<br/>".into(),
            (Language::Mermaid, '"' | '#' | '<' | '>' | '&' | '`') => format!("#{};", u32::from(c)),
            (_, c) => c.to_string(),
        };
        format!("\"{}\"", text.chars().map(escape).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_in_their_quotes() {
        assert_eq!(Language::Dot.quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
        assert_eq!(Language::Mermaid.quoted("a\"<b>\n#c`"), "\"a#34;#60;b#62;<br/>#35;c#96;\"");
    }
}
