//! What `model.toml` says about a model.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How a model is served. `model.toml` in the folder of a model says what differs from what the server was started with:
///
/// ```toml
/// versions = "all"          # "latest" (the newest alone), "all", or a list as [1, 3]
/// max_batch = 16            # rows of one run; 1 runs every request alone
/// batch_delay_ms = 2        # how long the first request of a batch waits for others
/// queue = 256               # requests that may wait
/// instances = 1             # runs at the same time
/// timeout_ms = 500          # how long a request may take, waiting included
/// device = "cpu"            # or "wgpu", "cuda"
/// threads = 2               # threads of one run, of those that all models share
/// max_memory = 536870912    # bytes of weights, plans and values
/// sequences = 64            # conversations with a state of their own
/// sequence_idle_ms = 60000  # after which a conversation may be forgotten
/// labels = "labels.txt"     # names of the classes, one a line
/// warm_up = true            # whether the model runs once before it is ready
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Which versions are served.
    pub versions: Versions,
    /// Most rows of one run.
    pub max_batch: usize,
    /// Milliseconds that the first request of a batch waits for others.
    pub batch_delay_ms: u32,
    /// Requests that may wait.
    pub queue: usize,
    /// Runs at the same time.
    pub instances: usize,
    /// Milliseconds that a request may take, waiting included; `None` is no bound.
    pub timeout_ms: Option<u32>,
    /// Device; `None` is the CPU.
    pub device: Option<String>,
    /// Threads of one run, of those that all models share; `None` takes all.
    pub threads: Option<usize>,
    /// Bytes that the model may take, see [`mindir::Options::max_memory`].
    pub max_memory: Option<u64>,
    /// Conversations with a state of their own at one time.
    pub sequences: usize,
    /// Milliseconds without a request after which a conversation may be forgotten.
    pub sequence_idle_ms: u32,
    /// File with the names of the classes, one a line, beside `model.toml`.
    pub labels: Option<PathBuf>,
    /// Whether the model runs once before it is ready.
    pub warm_up: bool,
}

impl Default for ModelConfig {
    fn default() -> ModelConfig {
        ModelConfig {
            versions: Versions::Latest,
            max_batch: 1,
            batch_delay_ms: 0,
            queue: 1024,
            instances: 1,
            timeout_ms: None,
            device: None,
            threads: None,
            max_memory: None,
            sequences: 64,
            sequence_idle_ms: 60_000,
            labels: None,
            warm_up: true,
        }
    }
}

/// Which versions of a model are served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Said", into = "Said")]
pub enum Versions {
    /// The newest alone.
    #[default]
    Latest,
    /// Every one.
    All,
    /// These.
    These(Vec<u64>),
}

/// What a file says about versions.
#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "expected \"latest\", \"all\" or a list of numbers")]
enum Said {
    Word(String),
    List(Vec<u64>),
}

impl TryFrom<Said> for Versions {
    type Error = String;

    fn try_from(said: Said) -> Result<Versions, String> {
        match said {
            Said::Word(word) if word == "latest" => Ok(Versions::Latest),
            Said::Word(word) if word == "all" => Ok(Versions::All),
            Said::Word(word) => {
                Err(format!("versions: expected \"latest\", \"all\" or a list of numbers, found {word:?}"))
            }
            Said::List(list) => Ok(Versions::These(list)),
        }
    }
}

impl From<Versions> for Said {
    fn from(versions: Versions) -> Said {
        match versions {
            Versions::Latest => Said::Word("latest".into()),
            Versions::All => Said::Word("all".into()),
            Versions::These(list) => Said::List(list),
        }
    }
}

impl Versions {
    /// Those that are served of all that there are, which are in order.
    pub(crate) fn of(&self, there: &[u64]) -> Vec<u64> {
        match self {
            Versions::Latest => there.last().copied().into_iter().collect(),
            Versions::All => there.to_vec(),
            Versions::These(wanted) => there.iter().copied().filter(|v| wanted.contains(v)).collect(),
        }
    }
}

/// Why a `model.toml` says nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {what}", .file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl ModelConfig {
    /// The most bytes of a `model.toml`.
    const MOST: u64 = 1 << 16;

    /// This configuration with what the file `model.toml` in `folder` says, if there is one.
    ///
    /// # Errors
    /// [`ConfigError`]: it cannot be read, has fields that are not known, or numbers that are no sizes.
    pub fn with_file(&self, folder: &Path) -> Result<ModelConfig, ConfigError> {
        let file = folder.join("model.toml");
        let wrong = |what: String| ConfigError { file: file.clone(), what };
        match std::fs::metadata(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(self.clone()),
            Err(e) => return Err(wrong(e.to_string())),
            Ok(found) if found.len() > Self::MOST => return Err(wrong(format!("more than {} bytes", Self::MOST))),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&file).map_err(|e| wrong(e.to_string()))?;
        let config = self.with_text(&text).map_err(wrong)?;
        Ok(ModelConfig { labels: config.labels.map(|labels| folder.join(labels)), ..config })
    }

    /// This configuration with what a text says.
    fn with_text(&self, text: &str) -> Result<ModelConfig, String> {
        let said: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
        let mut table = toml::Table::try_from(self).map_err(|e| e.to_string())?;
        table.extend(said);
        let config: ModelConfig = table.try_into().map_err(|e: toml::de::Error| e.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// Says which number is no size.
    fn check(&self) -> Result<(), String> {
        let sizes = [("max_batch", self.max_batch), ("queue", self.queue), ("instances", self.instances)];
        match sizes.iter().find(|(_, n)| !(1..=1 << 16).contains(n)) {
            Some((name, n)) => Err(format!("{name}: expected 1 to 65536, found {n}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_differs() {
        let base = ModelConfig { max_batch: 4, device: Some("cpu".into()), ..ModelConfig::default() };
        let said = base.with_text("versions = [1, 3]\nbatch_delay_ms = 5\ntimeout_ms = 40").unwrap();
        let expected = ModelConfig {
            versions: Versions::These(vec![1, 3]),
            batch_delay_ms: 5,
            timeout_ms: Some(40),
            ..base.clone()
        };
        assert_eq!(said, expected);
        assert_eq!(base.with_text("versions = \"all\"").unwrap().versions, Versions::All);
        assert_eq!(base.with_text("versions = \"latest\"").unwrap().versions, Versions::Latest);
        assert_eq!(base.with_text("").unwrap(), base);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, why) in [
            ("max_batches = 4", "max_batches"),
            ("max_batch = 0", "max_batch"),
            ("queue = -1", "-1"),
            ("versions = \"newest\"", "newest"),
            ("max_batch =", "line 1"),
        ] {
            let error = ModelConfig::default().with_text(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn versions_are_chosen() {
        let there = [1, 2, 7];
        assert_eq!(Versions::Latest.of(&there), [7]);
        assert_eq!(Versions::All.of(&there), there);
        assert_eq!(Versions::These(vec![2, 3]).of(&there), [2]);
    }
}
