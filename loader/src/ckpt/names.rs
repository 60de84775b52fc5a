//! Other names for the entries of a checkpoint.

use thiserror::Error;

use super::{Checkpoint, Value};
use crate::Printable;

/// Rules that say how entries are called somewhere else, one a line:
///
/// ```text
/// # a comment
/// state_dict.*          = *
/// *.embeddings.weight   = *.embedding_table
/// *.num_batches_tracked =
/// ```
///
/// A `*` stands for any text, the same on both sides. Each rule is applied to the result of those before it. Nothing to the
/// right of `=` leaves the entry out.
///
/// ```
/// use mindir_loader::ckpt::{Checkpoint, Names};
///
/// let names: Names = "net.* = *\n*.running_mean = *.moving_mean\nepoch =".parse()?;
/// let checkpoint: Checkpoint = [("net.bn.running_mean", 1.0f32), ("epoch", 3.0)].into_iter().collect();
/// let renamed = names.rename(checkpoint)?;
/// assert_eq!(renamed.names().collect::<Vec<_>>(), ["bn.moving_mean"]);
/// # Ok::<(), mindir_loader::ckpt::NamesError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    from: Pattern,
    to: Option<Pattern>,
}

/// Text with at most one `*` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    start: String,
    /// What follows the `*`, if there is one.
    end: Option<String>,
}

/// Why names cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NamesError {
    /// A line is no rule.
    #[error("line {line}: {why}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two entries would have the same name.
    #[error("two entries would be called {}", Printable(.0))]
    SameName(String),
}

impl Pattern {
    fn of(text: &str) -> Result<Self, &'static str> {
        match text.split_once('*') {
            Some((_, end)) if end.contains('*') => Err("a side has more than one *"),
            Some((start, end)) => Ok(Self { start: start.to_string(), end: Some(end.to_string()) }),
            None => Ok(Self { start: text.to_string(), end: None }),
        }
    }

    /// What the `*` stands for in `name`, if the pattern fits; an empty text if there is no `*`.
    fn fit<'a>(&self, name: &'a str) -> Option<&'a str> {
        let rest = name.strip_prefix(self.start.as_str())?;
        match &self.end {
            Some(end) => rest.strip_suffix(end.as_str()),
            None => rest.is_empty().then_some(rest),
        }
    }

    fn filled(&self, star: &str) -> String {
        self.end.as_ref().map_or_else(|| self.start.clone(), |end| format!("{}{star}{end}", self.start))
    }
}

impl std::str::FromStr for Names {
    type Err = NamesError;

    fn from_str(text: &str) -> Result<Self, NamesError> {
        let rules = text.lines().enumerate().filter_map(|(at, line)| {
            let line = line.trim();
            let rule = (!line.is_empty() && !line.starts_with('#')).then(|| Rule::of(line))?;
            Some(rule.map_err(|why| NamesError::Line { line: at + 1, why }))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }
}

impl Rule {
    fn of(line: &str) -> Result<Self, &'static str> {
        let (from, to) = line.split_once('=').ok_or("a rule is `old = new`")?;
        let (from, to) = (from.trim(), to.trim());
        if from.is_empty() {
            return Err("there is no name before =");
        }
        let from = Pattern::of(from)?;
        let to = (!to.is_empty()).then(|| Pattern::of(to)).transpose()?;
        if from.end.is_none() && to.as_ref().is_some_and(|to| to.end.is_some()) {
            return Err("only the new name has a *");
        }
        Ok(Self { from, to })
    }
}

impl Names {
    /// How an entry is called; `None` if it is left out.
    pub fn of(&self, name: &str) -> Option<String> {
        self.rules.iter().try_fold(name.to_string(), |name, rule| match rule.from.fit(&name) {
            Some(star) => rule.to.as_ref().map(|to| to.filled(star)),
            None => Some(name),
        })
    }

    /// The checkpoint with other names.
    ///
    /// # Errors
    /// [`NamesError::SameName`].
    pub fn rename(&self, checkpoint: Checkpoint) -> Result<Checkpoint, NamesError> {
        let renamed = checkpoint.into_iter().filter_map(|(name, value)| Some((self.of(&name)?, value)));
        collect(renamed)
    }
}

/// The checkpoint with PyTorch's names of normalisations replaced by MindSpore's.
///
/// A layer is a batch normalisation if it has `running_mean`: then `weight`, `bias`, `running_mean` and `running_var` become `gamma`,
/// `beta`, `moving_mean` and `moving_variance`, and `num_batches_tracked` is left out. It is a normalisation of layers or groups if
/// its `weight` and `bias` are vectors of one length: they become `gamma` and `beta`.
///
/// # Errors
/// [`NamesError::SameName`].
pub fn rename_norms(checkpoint: Checkpoint) -> Result<Checkpoint, NamesError> {
    const PARTS: [(&str, Option<&str>); 5] = [
        ("weight", Some("gamma")),
        ("bias", Some("beta")),
        ("running_mean", Some("moving_mean")),
        ("running_var", Some("moving_variance")),
        ("num_batches_tracked", None),
    ];
    let vector = |layer: &str, part: &str| match checkpoint.get(&format!("{layer}{part}"))?.array()?.dims() {
        [len] => Some(*len),
        _ => None,
    };
    let is_scaled = |layer: &str| vector(layer, "weight").is_some_and(|len| vector(layer, "bias") == Some(len));
    let layers = checkpoint.names().filter_map(|name| match name.strip_suffix("running_mean") {
        Some(layer) => Some(layer.to_string()),
        None => name.strip_suffix("weight").filter(|layer| is_scaled(layer)).map(str::to_string),
    });
    let layers: std::collections::HashSet<String> = layers.collect();
    collect(checkpoint.into_iter().filter_map(|(name, value)| {
        let (layer, part) = name.split_at(name.rfind('.').map_or(0, |dot| dot + 1));
        match PARTS.iter().find(|(known, _)| *known == part && layers.contains(layer)) {
            Some((_, to)) => Some((format!("{layer}{}", (*to)?), value)),
            None => Some((name, value)),
        }
    }))
}

fn collect(entries: impl Iterator<Item = (String, Value)>) -> Result<Checkpoint, NamesError> {
    let mut renamed = Checkpoint::new();
    for (name, value) in entries {
        renamed.add(name, value).map_err(NamesError::SameName)?;
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests {
    use mindir_graph::{DType, Tensor};

    use super::*;

    fn names(checkpoint: &Checkpoint) -> Vec<&str> {
        checkpoint.names().collect()
    }

    fn checkpoint(names: &[&str]) -> Checkpoint {
        names.iter().map(|name| (*name, 1i32)).collect()
    }

    #[test]
    fn rules_apply_in_order() {
        let rules: Names = "a.* = *\n\n # no rule\n*.w=*.weight\nb.x = y\nc*d =\n".parse().unwrap();
        for (old, new) in [
            ("a.fc.w", Some("fc.weight")),
            ("fc.w", Some("fc.weight")),
            ("b.x", Some("y")),
            ("b.xx", Some("b.xx")),
            ("a.b.x", Some("y")),
            ("cd", None),
            ("c.anything.d", None),
            ("c", Some("c")),
        ] {
            assert_eq!(rules.of(old).as_deref(), new, "{old}");
        }
        // What stands before and after the * does not overlap.
        assert_eq!("aba*ba = x".parse::<Names>().unwrap().of("aba"), Some("aba".to_string()));
    }

    #[test]
    fn wrong_rules_are_refused() {
        for (text, line) in [("a", 1), ("a = b\n= c", 2), ("*a* = b", 1), ("a = *", 1), ("a = **", 1)] {
            assert!(
                matches!(text.parse::<Names>(), Err(NamesError::Line { line: found, .. }) if found == line),
                "{text}"
            );
        }
        let rules: Names = "a* = b".parse().unwrap();
        assert_eq!(rules.rename(checkpoint(&["a1", "a2"])), Err(NamesError::SameName("b".to_string())));
    }

    #[test]
    fn vectors_that_scale_and_move_get_their_names() {
        let mut torch = Checkpoint::new();
        for (name, dims) in [
            ("norm.weight", &[3][..]),
            ("norm.bias", &[3]),
            ("fc.weight", &[3, 2]),
            ("fc.bias", &[3]),
            ("prelu.weight", &[1]),
        ] {
            torch.insert(name, Tensor::zeros(DType::F32, dims).unwrap());
        }
        let renamed = rename_norms(torch).unwrap();
        assert_eq!(names(&renamed), ["norm.gamma", "norm.beta", "fc.weight", "fc.bias", "prelu.weight"]);
    }

    #[test]
    fn batch_norms_get_their_names() {
        let torch =
            ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "fc.weight"];
        let renamed = rename_norms(checkpoint(&torch)).unwrap();
        assert_eq!(names(&renamed), ["bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance", "fc.weight"]);
        assert_eq!(names(&rename_norms(checkpoint(&["running_mean", "weight"])).unwrap()), ["moving_mean", "gamma"]);
    }
}
