//! What `model.toml` says about a model.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How a model is served. `model.toml` in the folder of a model says what differs from what the server was started with:
///
/// ```toml
/// versions = "all"          # "latest" (the newest alone), { latest = 2 }, "all", or a list as [1, 3]
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
/// key_file = "/run/key"     # key of an encrypted model, if it is not the server's
/// packed_weights = "packed" # folder that keeps large weights as kernels read them, so that the next start maps them
///
/// [cache]
/// bytes = 67108864          # of answers, with their requests, that are given again without a run
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
    /// Runs at the same time, at most [`MOST_INSTANCES`].
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
    /// File with the key of the model, if it is encrypted, instead of
    /// [`RepositoryOptions::decryption`](crate::RepositoryOptions::decryption). A path that is not absolute begins at `model.toml`.
    pub key_file: Option<PathBuf>,
    /// Folder that keeps large weights as kernels read them, see [`mindir::Options::packed_weights`]. A path that is not absolute
    /// begins at `model.toml`.
    pub packed_weights: Option<PathBuf>,
    /// Whether a request that was answered before has the same answer, without a run. Models that write their parameters always
    /// run.
    pub cache: Option<Cache>,
}

/// How answers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// Most bytes of requests and their answers.
    pub bytes: u64,
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
            key_file: None,
            packed_weights: None,
            cache: None,
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
    /// The newest ones.
    Newest {
        /// How many.
        latest: usize,
    },
    /// Every one.
    All,
    /// These.
    These(Vec<u64>),
}

/// What a file says about versions.
#[derive(Deserialize, Serialize)]
#[serde(untagged, expecting = "expected \"latest\", { latest = N }, \"all\" or a list of numbers")]
enum Said {
    Word(String),
    Newest { latest: usize },
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
            Said::Newest { latest } => Ok(Versions::Newest { latest }),
            Said::List(list) => Ok(Versions::These(list)),
        }
    }
}

impl From<Versions> for Said {
    fn from(versions: Versions) -> Said {
        match versions {
            Versions::Latest => Said::Word("latest".into()),
            Versions::Newest { latest } => Said::Newest { latest },
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
            Versions::Newest { latest } => there.iter().rev().take(*latest).rev().copied().collect(),
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

/// Most runs of a model at the same time, each of which has a thread.
pub const MOST_INSTANCES: usize = 256;

/// The most bytes of a file that configures a model.
const MOST: u64 = 1 << 16;

/// The text of a file that configures a model; `None` if there is no such file.
pub(crate) fn text_of(file: &Path) -> Result<Option<String>, String> {
    match std::fs::metadata(file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
        Ok(found) if found.len() > MOST => return Err(format!("more than {MOST} bytes")),
        Ok(_) => {}
    }
    std::fs::read_to_string(file).map(Some).map_err(|e| e.to_string())
}

impl ModelConfig {
    /// This configuration with what the file `model.toml` in `folder` says, if there is one.
    ///
    /// # Errors
    /// [`ConfigError`]: it cannot be read, has fields that are not known, or numbers that are no sizes.
    pub fn with_file(&self, folder: &Path) -> Result<ModelConfig, ConfigError> {
        let file = folder.join("model.toml");
        let wrong = |what: String| ConfigError { file: file.clone(), what };
        let Some(text) = text_of(&file).map_err(wrong)? else { return Ok(self.clone()) };
        let config = self.with_text(&text).map_err(wrong)?;
        Ok(config.placed(folder))
    }

    /// This configuration with files that begin at `folder`.
    pub(crate) fn placed(self, folder: &Path) -> ModelConfig {
        let place = |file: Option<PathBuf>| file.map(|file| folder.join(file));
        let (labels, key_file) = (place(self.labels), place(self.key_file));
        ModelConfig { labels, key_file, packed_weights: place(self.packed_weights), ..self }
    }

    /// This configuration with one field, whose value is a text; `None` if there is no such field.
    pub(crate) fn with_field(&self, name: &str, value: &str) -> Option<Result<ModelConfig, String>> {
        const TEXTS: [&str; 5] = ["versions", "device", "labels", "key_file", "packed_weights"];
        const OTHERS: [&str; 11] = [
            "max_batch",
            "batch_delay_ms",
            "queue",
            "instances",
            "timeout_ms",
            "threads",
            "max_memory",
            "sequences",
            "sequence_idle_ms",
            "warm_up",
            "cache",
        ];
        let value = match name {
            _ if TEXTS.contains(&name) => Ok(Some(toml::Value::String(value.into()))),
            _ if OTHERS.contains(&name) => {
                format!("value = {value}").parse().map(|mut t: toml::Table| t.remove("value"))
            }
            _ => return None,
        };
        let said = value.map(|value| value.into_iter().map(|value| (name.into(), value)).collect());
        Some(said.map_err(|e| e.to_string()).and_then(|said| self.with_table(said)))
    }

    /// This configuration with what a text says.
    pub(crate) fn with_text(&self, text: &str) -> Result<ModelConfig, String> {
        self.with_table(text.parse().map_err(|e: toml::de::Error| e.to_string())?)
    }

    fn with_table(&self, said: toml::Table) -> Result<ModelConfig, String> {
        let mut table = toml::Table::try_from(self).map_err(|e| e.to_string())?;
        table.extend(said);
        let config: ModelConfig = table.try_into().map_err(|e: toml::de::Error| e.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// Says which number is no size.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sizes = [
            ("max_batch", self.max_batch, 1 << 16),
            ("queue", self.queue, 1 << 16),
            ("instances", self.instances, MOST_INSTANCES),
        ];
        match sizes.iter().find(|(_, n, most)| !(1..=*most).contains(n)) {
            Some((name, n, most)) => Err(format!("{name}: expected 1 to {most}, found {n}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_if_a_file_says_so() {
        let cache = |text: &str| ModelConfig::default().with_text(text).map(|config| config.cache);
        assert_eq!(cache("[cache]\nbytes = 4096").unwrap(), Some(Cache { bytes: 4096 }));
        assert_eq!(cache("versions = { latest = 2 }").unwrap(), None);
        assert!(cache("[cache]\nentries = 3").unwrap_err().contains("entries"));
    }

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
    fn every_field_can_be_given_as_a_text() {
        let whole = ModelConfig {
            timeout_ms: Some(1),
            device: Some("cpu".into()),
            threads: Some(1),
            max_memory: Some(1),
            labels: Some("x".into()),
            key_file: Some("x".into()),
            packed_weights: Some("x".into()),
            cache: Some(Cache { bytes: 1 }),
            ..ModelConfig::default()
        };
        for (name, value) in toml::Table::try_from(&whole).unwrap() {
            let text = match &value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(n) => n.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => "{ bytes = 1 }".into(),
            };
            let said = ModelConfig::default().with_field(&name, &text).unwrap().unwrap();
            assert_eq!(toml::Table::try_from(said).unwrap()[&name], value);
        }
        assert!(ModelConfig::default().with_field("other", "1").is_none());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, why) in [
            ("max_batches = 4", "max_batches"),
            ("max_batch = 0", "max_batch"),
            ("queue = -1", "-1"),
            ("instances = 300", "1 to 256"),
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
        assert_eq!(Versions::Newest { latest: 2 }.of(&there), [2, 7]);
        assert_eq!(Versions::Newest { latest: 9 }.of(&there), there);
        assert_eq!(Versions::All.of(&there), there);
        assert_eq!(Versions::These(vec![2, 3]).of(&there), [2]);
    }
}
