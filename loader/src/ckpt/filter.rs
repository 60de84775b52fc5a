//! Which entries of a checkpoint are wanted.

use std::fmt::{self, Debug, Formatter};

use thiserror::Error;

use super::Checkpoint;

/// Says of a name whether it is wanted.
pub type Choice = Box<dyn Fn(&str) -> bool>;

/// Which entries of a checkpoint are wanted, like the arguments of MindSpore's `load_checkpoint`.
#[derive(Default)]
pub struct Filter {
    /// If given, only names that begin with one of these.
    pub specify_prefix: Option<Vec<String>>,
    /// If given, no names that begin with one of these.
    pub filter_prefix: Option<Vec<String>>,
    /// Only names for which this is true. As in MindSpore, not asked where prefixes are given.
    pub choice_func: Option<Choice>,
}

impl Filter {
    /// Whether the entry called `name` is wanted.
    pub fn wants(&self, name: &str) -> bool {
        let begins = |prefixes: &Option<Vec<String>>| {
            prefixes.as_ref().map(|prefixes| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())))
        };
        match (begins(&self.specify_prefix), begins(&self.filter_prefix)) {
            (None, None) => self.choice_func.as_ref().is_none_or(|choice| choice(name)),
            (wanted, unwanted) => wanted != Some(false) && unwanted != Some(true),
        }
    }
}

impl Debug for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("specify_prefix", &self.specify_prefix)
            .field("filter_prefix", &self.filter_prefix)
            .finish_non_exhaustive()
    }
}

/// No entry of a checkpoint is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no entry of the checkpoint is left after filtering")]
pub struct NothingLeft;

impl Checkpoint {
    /// Keeps the entries that are wanted.
    ///
    /// # Errors
    /// [`NothingLeft`] if there are none, as in MindSpore.
    pub fn select(&mut self, filter: &Filter) -> Result<(), NothingLeft> {
        self.retain(|name, _| filter.wants(name));
        if self.is_empty() { Err(NothingLeft) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_choice_follow_mindspore() {
        let names = ["net.a", "net.b", "moments.net.a", "lr"];
        let list = |prefixes: &[&str]| Some(prefixes.iter().map(|prefix| prefix.to_string()).collect());
        let filter = |specify_prefix, filter_prefix, choice: Option<fn(&str) -> bool>| Filter {
            specify_prefix,
            filter_prefix,
            choice_func: choice.map(|choice| Box::new(choice) as Choice),
        };
        let short: fn(&str) -> bool = |name| name.len() < 5;
        let cases: [(Filter, &[&str]); 6] = [
            (filter(None, None, None), &names),
            (filter(list(&["net."]), None, None), &["net.a", "net.b"]),
            (filter(None, list(&["net.", "lr"]), None), &["moments.net.a"]),
            (filter(list(&["net."]), list(&["net.a"]), None), &["net.b"]),
            (filter(None, None, Some(short)), &["lr"]),
            (filter(None, list(&["lr"]), Some(short)), &["net.a", "net.b", "moments.net.a"]),
        ];
        for (filter, expected) in cases {
            let mut checkpoint: Checkpoint = names.iter().map(|name| (*name, 1i32)).collect();
            checkpoint.select(&filter).unwrap();
            assert_eq!(checkpoint.names().collect::<Vec<_>>(), expected, "{filter:?}");
        }
        let mut checkpoint: Checkpoint = [("a", 1i32)].into_iter().collect();
        assert_eq!(checkpoint.select(&filter(list(&["b"]), None, None)), Err(NothingLeft));
    }
}
