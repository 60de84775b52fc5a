//! The models of a folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use mindir::crypto::{Cipher, Decryption, Key};
use mindir::{Access, Source};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::config::ModelConfig;
use crate::metrics::Metrics;
use crate::model::Served;
use crate::triton::{self, Ports};
use crate::{RequestError, config, lock};

/// Why there is no repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The folder cannot be read.
    #[error("{}: {source}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no model in it.
    #[error("{}: expected NAME.mindir, NAME.onnx, NAME/VERSION/model.mindir or NAME/VERSION/model.onnx", .0.display())]
    Empty(PathBuf),
    /// The threads for runs cannot be started.
    #[error("no threads: {0}")]
    Threads(String),
}

/// How the models of a folder are kept.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RepositoryOptions {
    /// What holds for models whose `model.toml` says nothing else.
    pub config: ModelConfig,
    /// Threads that all models share; `None` takes what the process may use.
    pub threads: Option<usize>,
    /// How models are decrypted.
    pub decryption: Option<Decryption>,
    /// What the model is called, if it is the only one.
    pub name: Option<String>,
    /// Whether symbolic links may lead out of the folder.
    pub follow_links: bool,
}

/// The models of a folder, or one model.
///
/// A model is `NAME.mindir`, `NAME.onnx` or `NAME_graph.mindir` with `NAME_variables/` in the folder, which is version 1; or a
/// folder `NAME` with folders whose names are numbers, its versions, each with one model, and perhaps a `model.toml`
/// ([`ModelConfig`]) or Triton's `config.pbtxt`. Those that are encrypted and those that are not may stand beside each other. Files that lead out of the folder through symbolic links are not served.
pub struct Repository {
    root: PathBuf,
    options: RepositoryOptions,
    pool: Arc<ThreadPool>,
    pub(crate) metrics: Metrics,
    entries: RwLock<BTreeMap<String, BTreeMap<u64, Entry>>>,
    /// Held while models are loaded or unloaded.
    changing: Mutex<()>,
}

/// What stands for a version of a model.
struct Entry {
    stamp: Stamp,
    state: State,
    /// Why newer files are not served, if what they held before is.
    note: String,
}

impl Entry {
    fn new(stamp: Stamp, state: State) -> Entry {
        Entry { stamp, state, note: String::new() }
    }
}

enum State {
    Loading,
    Ready(Arc<Served>),
    Failed(String),
    Unloaded,
}

/// A version of a model in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    path: PathBuf,
    stamp: Stamp,
}

/// What changes when files do: of every file of a version the length and the time of its last change.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// A line of the index of a repository.
pub(crate) struct IndexLine {
    pub name: String,
    pub version: u64,
    pub state: &'static str,
    pub reason: String,
}

/// What there is of one model.
struct Model {
    setup: Result<Setup, String>,
    /// Of the files that say how it is served, and of those that they name.
    stamp: Stamp,
    versions: BTreeMap<u64, Found>,
}

/// How a model is served.
#[derive(Clone, Default)]
struct Setup {
    config: ModelConfig,
    /// What a file says about its inputs and results.
    ports: Ports,
    /// Fields of a file that say nothing here.
    unread: Vec<String>,
}

impl Repository {
    /// The models of the folder, or the one model, at `root`. [`Repository::refresh`] loads them. A model that does not load is kept
    /// with the reason.
    ///
    /// # Errors
    /// [`RepositoryError`]: the folder cannot be read, or has no model.
    pub fn open(root: impl AsRef<Path>, options: RepositoryOptions) -> Result<Repository, RepositoryError> {
        let root = root.as_ref();
        let folder = |source| RepositoryError::Folder { path: root.into(), source };
        let threads =
            options.threads.map_or_else(std::thread::available_parallelism, |n| n.try_into().map_err(io::Error::other));
        let threads = threads.map_err(folder)?.get();
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("compute {i}")).build();
        let pool = Arc::new(pool.map_err(|e| RepositoryError::Threads(e.to_string()))?);
        let root = root.canonicalize().map_err(folder)?;
        let repository = Repository {
            root,
            options,
            pool,
            metrics: Metrics::default(),
            entries: RwLock::default(),
            changing: Mutex::default(),
        };
        let found = repository.models();
        let found = found.map_err(|source| RepositoryError::Folder { path: repository.root.clone(), source })?;
        if found.is_empty() {
            return Err(RepositoryError::Empty(repository.root));
        }
        let loading = |model: &Model| {
            let version = model.versions.keys().next_back().copied();
            version.into_iter().map(|v| (v, Entry::new(Stamp::new(), State::Loading))).collect()
        };
        *repository.write() = found.iter().map(|(name, model)| (name.clone(), loading(model))).collect();
        Ok(repository)
    }

    /// Takes in what has changed in the folder: loads new models and versions, and replaces changed ones, before those that went
    /// away are let go. No request is dropped.
    ///
    /// # Errors
    /// The folder cannot be read; what is served stays.
    pub fn refresh(&self) -> io::Result<()> {
        let found = self.models()?;
        self.follow(found);
        Ok(())
    }

    /// Names of all models, and for each how many versions are ready.
    pub fn ready(&self) -> Vec<(String, usize)> {
        let is_ready = |entry: &&Entry| matches!(entry.state, State::Ready(_));
        self.read().iter().map(|(name, versions)| (name.clone(), versions.values().filter(is_ready).count())).collect()
    }

    /// Why versions of models are not ready, as `NAME VERSION` and the reason.
    pub fn failures(&self) -> Vec<(String, String)> {
        let failed = self.index().into_iter().filter(|line| line.state == "UNAVAILABLE" && line.reason != UNLOADED);
        failed.map(|line| (format!("{} {}", line.name, line.version), line.reason)).collect()
    }

    /// Whether nothing is being loaded for the first time, and something is served.
    pub(crate) fn is_ready(&self) -> bool {
        let entries = self.read();
        let mut states = entries.values().flat_map(BTreeMap::values).map(|entry| &entry.state);
        let is_loading = states.clone().any(|state| matches!(state, State::Loading));
        !is_loading && states.any(|state| matches!(state, State::Ready(_)))
    }

    /// A version of a model; without a number the newest that is ready.
    pub(crate) fn get(&self, name: &str, version: Option<u64>) -> Result<Arc<Served>, RequestError> {
        let entries = self.read();
        let Some(versions) = entries.get(name) else {
            return Err(RequestError::NotFound(format!("there is no model {name:?}")));
        };
        let entry = match version {
            None => {
                let newest = versions.values().rev().find_map(|entry| match &entry.state {
                    State::Ready(served) => Some(served.clone()),
                    _ => None,
                });
                return newest.ok_or_else(|| RequestError::NotReady(format!("{name}: no version is ready")));
            }
            Some(v) => versions.get(&v).ok_or_else(|| {
                let there: Vec<String> = versions.keys().map(u64::to_string).collect();
                RequestError::NotFound(format!("{name}: there is no version {v}; there are {}", there.join(", ")))
            })?,
        };
        match &entry.state {
            State::Ready(served) => Ok(served.clone()),
            State::Loading => Err(RequestError::NotReady(format!("{name}: it is being loaded"))),
            State::Failed(why) => Err(RequestError::NotReady(format!("{name}: it did not load: {why}"))),
            State::Unloaded => Err(RequestError::NotReady(format!("{name}: it was unloaded"))),
        }
    }

    /// Every version that is ready.
    pub(crate) fn served(&self) -> Vec<Arc<Served>> {
        let served = |entry: &Entry| if let State::Ready(served) = &entry.state { Some(served.clone()) } else { None };
        self.read().values().flat_map(BTreeMap::values).filter_map(served).collect()
    }

    /// Numbers of the versions of a model that are ready.
    pub(crate) fn versions(&self, name: &str) -> Vec<u64> {
        let entries = self.read();
        let ready = |(v, entry): (&u64, &Entry)| matches!(entry.state, State::Ready(_)).then_some(*v);
        entries.get(name).into_iter().flatten().filter_map(ready).collect()
    }

    /// All versions.
    pub(crate) fn index(&self) -> Vec<IndexLine> {
        let line = |name: &String, version: u64, entry: &Entry| {
            let (state, reason) = match &entry.state {
                State::Loading => ("LOADING", String::new()),
                State::Ready(_) => ("READY", entry.note.clone()),
                State::Failed(why) => ("UNAVAILABLE", why.clone()),
                State::Unloaded => ("UNAVAILABLE", UNLOADED.into()),
            };
            IndexLine { name: name.clone(), version, state, reason }
        };
        let entries = self.read();
        entries.iter().flat_map(|(name, vs)| vs.iter().map(move |(v, entry)| line(name, *v, entry))).collect()
    }

    /// Loads a model that is in the folder, again if it is served.
    pub(crate) fn load(&self, name: &str) -> Result<(), RequestError> {
        let mut found = self.models().map_err(|e| RequestError::Internal(format!("the repository: {e}")))?;
        let Some(model) = found.remove(name) else {
            return Err(RequestError::NotFound(format!("there is no model {name:?} in the repository")));
        };
        let _changing = lock(&self.changing);
        self.change(name, &model, true)
    }

    /// Lets a model go; requests that wait are still answered.
    pub(crate) fn unload(&self, name: &str) -> Result<(), RequestError> {
        let _changing = lock(&self.changing);
        match self.write().get_mut(name) {
            None => Err(RequestError::NotFound(format!("there is no model {name:?}"))),
            Some(versions) => {
                versions.values_mut().for_each(|entry| entry.state = State::Unloaded);
                Ok(())
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, BTreeMap<u64, Entry>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, BTreeMap<u64, Entry>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what is served what was found.
    fn follow(&self, found: BTreeMap<String, Model>) {
        let _changing = lock(&self.changing);
        let (models, next) = (found.iter().collect::<Vec<_>>(), AtomicUsize::new(0));
        let work = || {
            while let Some((name, model)) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                // What does not load is told, and kept with the reason.
                drop(self.change(name, model, false));
            }
        };
        // Loading waits for files as much as for the processor.
        std::thread::scope(|scope| {
            for _ in 1..self.pool.current_num_threads().min(models.len()) {
                let thread = std::thread::Builder::new().spawn_scoped(scope, work);
                if let Err(e) = thread {
                    tracing::debug!("one thread less loads models: {e}");
                }
            }
            work();
        });
        self.write().retain(|name, _| found.contains_key(name));
    }

    /// Loads the versions of a model that are new or changed, then lets those go that are no longer wanted. `again` loads those
    /// that have not changed too. The error is that of the last that did not load.
    fn change(&self, name: &str, model: &Model, again: bool) -> Result<(), RequestError> {
        let there: Vec<u64> = model.versions.keys().copied().collect();
        let setup = match &model.setup {
            Ok(setup) => setup,
            Err(why) => return Err(self.refuse(name, &there, &model.stamp, why)),
        };
        let mut failed = Ok(());
        let wanted = setup.config.versions.of(&there);
        if wanted.is_empty() {
            let there_are: Vec<String> = there.iter().map(u64::to_string).collect();
            let why = format!("versions: none that is wanted is there; there are {}", there_are.join(", "));
            return Err(self.refuse(name, &there, &model.stamp, &why));
        }
        let mut told = setup.unread.is_empty();
        for (version, found) in model.versions.iter().filter(|(v, _)| wanted.contains(v)) {
            let stamp: Stamp = model.stamp.iter().chain(&found.stamp).cloned().collect();
            let is_known = |entry: &Entry| entry.stamp == stamp && !again;
            if self.read().get(name).and_then(|versions| versions.get(version)).is_some_and(is_known) {
                continue;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!("{name}: config.pbtxt: not read: {}", setup.unread.join(", "));
            }
            // What was served before is served until the new one is ready.
            self.write()
                .entry(name.into())
                .or_default()
                .entry(*version)
                .or_insert(Entry::new(Stamp::new(), State::Loading));
            match self.start(name, *version, &found.path, setup) {
                Ok(served) => self.set(name, *version, Entry::new(stamp, State::Ready(Arc::new(served)))),
                Err(why) => {
                    tracing::error!("{name} {version}: {why}");
                    failed = Err(RequestError::Invalid(format!("{name} {version}: {why}")));
                    self.fail(name, *version, stamp, why);
                }
            }
        }
        if let Some(versions) = self.write().get_mut(name) {
            let is_ready = |entry: &Entry| matches!(entry.state, State::Ready(_));
            // Older ones are served as long as none that is wanted can be.
            let replaced = versions.iter().any(|(version, entry)| wanted.contains(version) && is_ready(entry));
            versions.retain(|version, entry| wanted.contains(version) || (!replaced && is_ready(entry)));
        }
        failed
    }

    /// Notes for the newest version why the model cannot be served as its files say, and tells it once.
    fn refuse(&self, name: &str, there: &[u64], stamp: &Stamp, why: &str) -> RequestError {
        if let Some(newest) = there.last() {
            let is_known = |entry: &Entry| {
                let said = if let State::Failed(said) = &entry.state { said } else { &entry.note };
                entry.stamp == *stamp && said.contains(why)
            };
            if !self.read().get(name).and_then(|versions| versions.get(newest)).is_some_and(is_known) {
                tracing::error!("{name}: {why}");
            }
            self.fail(name, *newest, stamp.clone(), why.into());
        }
        RequestError::Invalid(format!("{name}: {why}"))
    }

    fn set(&self, name: &str, version: u64, entry: Entry) {
        self.write().entry(name.into()).or_default().insert(version, entry);
    }

    /// Notes why files did not load. What they held before is still served.
    fn fail(&self, name: &str, version: u64, stamp: Stamp, why: String) {
        let mut entries = self.write();
        let entry = entries.entry(name.into()).or_default().entry(version);
        let entry = entry.or_insert(Entry::new(Stamp::new(), State::Loading));
        entry.stamp = stamp;
        match entry.state {
            State::Ready(_) => entry.note = format!("newer files did not load: {why}"),
            _ => entry.state = State::Failed(why),
        }
    }

    fn start(&self, name: &str, version: u64, path: &Path, setup: &Setup) -> Result<Served, String> {
        let config = setup.config.clone();
        // Read, not mapped: who replaces a file that is served may write over it.
        let source = Source::open(path, Access::Read).map_err(|e| self.unplaced(&e.to_string()))?;
        let source = match is_encrypted(path).map_err(|e| self.unplaced(&e.to_string()))? {
            true => source.with_decryption(self.decryption(&config)?),
            false => source,
        };
        let loaded = mindir::load_source(source).map_err(|e| self.unplaced(&e.to_string()))?;
        let labels = config.labels.as_deref().map(|file| self.labels(file)).transpose()?.unwrap_or_default();
        let metrics = self.metrics.of(name, version);
        let served = Served::start((name, version), loaded.model, config, labels, self.pool.clone(), metrics);
        let served = served.map_err(|e| self.unplaced(&e.to_string()))?;
        setup.ports.check(&served.inputs, &served.outputs)?;
        Ok(served)
    }

    /// How an encrypted model is read: with the key that it names, or that of the server.
    fn decryption(&self, config: &ModelConfig) -> Result<Option<Decryption>, String> {
        let Some(file) = &config.key_file else { return Ok(self.options.decryption.clone()) };
        // Who asks for the model is not told where the key is.
        let wrong = |e| {
            tracing::warn!("key_file: {e}");
            "key_file: it holds no key; the server's log says why"
        };
        let key = Key::from_file(file).map_err(wrong)?;
        Ok(Some(Decryption::new(key)))
    }

    /// The lines of a file of the repository.
    fn labels(&self, file: &Path) -> Result<Vec<String>, String> {
        // Who asks for the model is not told where else files are looked for.
        let name = file.file_name().unwrap_or_default().display();
        let wrong = |what: &str| format!("labels: {name}: {what}");
        if !file.is_file() || !self.is_inside(file) {
            return Err(wrong("it is no file of the repository"));
        }
        let text = fs::read_to_string(file).map_err(|e| wrong(&e.to_string()))?;
        Ok(text.lines().map(|line| line.trim_end().to_string()).collect())
    }

    /// A message without the place of the repository.
    fn unplaced(&self, message: &str) -> String {
        let folder = if self.root.is_file() { self.root.parent().unwrap_or(&self.root) } else { &self.root };
        let place = format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR);
        message.replace(&place, "").trim().replace('\n', "; ")
    }

    /// What there is in the folder, by the names that it is served under.
    fn models(&self) -> io::Result<BTreeMap<String, Model>> {
        let mut models = self.found()?;
        if let (Some(name), 1) = (&self.options.name, models.len()) {
            models = models.into_values().map(|model| (name.clone(), model)).collect();
        }
        Ok(models)
    }

    fn found(&self) -> io::Result<BTreeMap<String, Model>> {
        let mut models = BTreeMap::new();
        if self.root.is_file() {
            models.extend(self.single(&self.root)?);
            return Ok(models);
        }
        for entry in sorted(&self.root)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || !self.is_inside(&entry) {
                continue;
            }
            if entry.is_dir() {
                let versions = self.numbered(&entry)?;
                if !versions.is_empty() {
                    let model = self.model(&name, &entry, versions)?;
                    models.insert(name, model);
                }
            } else {
                models.extend(self.single(&entry)?);
            }
        }
        Ok(models)
    }

    /// A model that is a file.
    fn single(&self, path: &Path) -> io::Result<Option<(String, Model)>> {
        let Some(name) = name_of(path) else { return Ok(None) };
        let beside = |file: &Path| name_of(file).is_none() && file.file_stem().is_some_and(|stem| is_named(stem, name));
        let found = Found { path: path.into(), stamp: stamp_with(path, beside)? };
        let versions = BTreeMap::from([(1, found)]);
        Ok(Some((name.into(), Model { setup: Ok(self.plain()), stamp: Stamp::new(), versions })))
    }

    /// How a model is served of which no file says anything.
    fn plain(&self) -> Setup {
        Setup { config: self.options.config.clone(), ..Setup::default() }
    }

    fn model(&self, name: &str, folder: &Path, versions: BTreeMap<u64, Found>) -> io::Result<Model> {
        let mut stamps = Stamp::new();
        for file in CONFIGS.map(|name| folder.join(name)) {
            if file.exists() {
                stamps.extend(stamp(&file)?);
            }
        }
        let setup = self.setup(name, folder).map_err(|e| self.unplaced(&e));
        if let Ok(Setup { config, .. }) = &setup {
            // One that is not there yet may come.
            let named = [&config.labels, &config.key_file].into_iter().flatten();
            stamps.extend(named.flat_map(|file| stamp(file).unwrap_or_default()));
        }
        Ok(Model { setup, stamp: stamps, versions })
    }

    /// What the files in the folder of a model say; `model.toml` has the last word.
    fn setup(&self, name: &str, folder: &Path) -> Result<Setup, String> {
        for name in CONFIGS {
            let file = folder.join(name);
            if file.exists() && !(file.is_file() && self.is_inside(&file)) {
                return Err(format!("{name}: it is no file of the repository"));
            }
        }
        let mut setup = self.plain();
        let wrong = |e: String| format!("config.pbtxt: {e}");
        if let Some(text) = config::text_of(&folder.join("config.pbtxt")).map_err(wrong)? {
            let said = triton::read(&text, name, &setup.config).map_err(wrong)?;
            setup = Setup { config: said.config.placed(folder), ports: said.ports, unread: said.unread };
        }
        setup.config = setup.config.with_file(folder).map_err(|e| e.to_string())?;
        Ok(setup)
    }

    /// The versions of a model that is a folder.
    fn numbered(&self, folder: &Path) -> io::Result<BTreeMap<u64, Found>> {
        let mut versions = BTreeMap::new();
        for entry in sorted(folder)? {
            let number = entry.file_name().and_then(|name| name.to_str()).and_then(number);
            let Some(version) = number.filter(|_| entry.is_dir() && self.is_inside(&entry)) else { continue };
            let is_model = |file: &PathBuf| file.is_file() && name_of(file).is_some() && self.is_inside(file);
            let models: Vec<PathBuf> = sorted(&entry)?.into_iter().filter(is_model).collect();
            let usual = models.iter().find(|file| name_of(file) == Some("model"));
            let only = models.first().filter(|_| models.len() == 1);
            match usual.or(only) {
                Some(path) => {
                    drop(versions.insert(version, Found { path: path.clone(), stamp: stamp_with(path, |_| true)? }));
                }
                None => tracing::debug!("{}: it has no model, or several and none called model", entry.display()),
            }
        }
        Ok(versions)
    }

    /// Whether a path stays in the folder, through all its links.
    fn is_inside(&self, path: &Path) -> bool {
        self.options.follow_links || path.canonicalize().is_ok_and(|real| real.starts_with(&self.root))
    }
}

/// The files that say how a model is served, in its folder.
const CONFIGS: [&str; 2] = ["config.pbtxt", "model.toml"];

/// The reason of a version that was unloaded, as clients of the protocol know it.
const UNLOADED: &str = "unloaded";

/// The name of the model that a file holds.
fn name_of(path: &Path) -> Option<&str> {
    let file = path.file_name()?.to_str()?;
    let name = file.strip_suffix(".onnx").or_else(|| file.strip_suffix(".mindir"))?;
    let name = name.strip_suffix("_graph").unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

/// The number that a folder's name is, without zeros before it.
pub(crate) fn number(name: &str) -> Option<u64> {
    let number = name.parse().ok()?;
    (u64::to_string(&number) == name).then_some(number)
}

/// Whether a file begins as encrypted ones do.
fn is_encrypted(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    fs::File::open(path)?.take(4).read_to_end(&mut head)?;
    Ok(Cipher::of(&head).is_some())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Whether a file's name without its last ending is that of a model, perhaps with the model's ending.
fn is_named(stem: &OsStr, model: &str) -> bool {
    stem == model || stem.to_str().and_then(|stem| stem.strip_suffix(".onnx")) == Some(model)
}

/// What changes when the files of a model do. Those of the folder may hold an ONNX file's weights of which `beside` says so.
fn stamp_with(path: &Path, beside: impl Fn(&Path) -> bool) -> io::Result<Stamp> {
    let mut stamps = stamp(path)?;
    if let (Some("onnx"), Some(folder)) = (path.extension().and_then(OsStr::to_str), path.parent()) {
        let files = sorted(folder)?.into_iter().filter(|file| file != path && file.is_file() && beside(file));
        stamps.extend(files.flat_map(|file| stamp(&file).unwrap_or_default()));
    }
    Ok(stamps)
}

/// What changes when a file does, or those that are parts of it.
fn stamp(path: &Path) -> io::Result<Stamp> {
    let one = |path: &Path| -> io::Result<_> {
        let found = fs::metadata(path)?;
        Ok((path.to_path_buf(), found.len(), found.modified().ok()))
    };
    let mut stamp = vec![one(path)?];
    let data =
        name_of(path).map(|name| path.with_file_name(format!("{name}_variables"))).filter(|folder| folder.is_dir());
    for file in data.map(|folder| sorted(&folder)).transpose()?.into_iter().flatten() {
        stamp.push(one(&file)?);
    }
    Ok(stamp)
}
