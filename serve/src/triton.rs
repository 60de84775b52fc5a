//! What Triton's `config.pbtxt` says about a model.

use mindir::Port;

use crate::config::{Cache, ModelConfig, Versions};
use crate::datatype;
use crate::pbtxt::{self, Message, Value};

/// What a `config.pbtxt` says.
#[derive(Debug)]
pub(crate) struct Said {
    pub config: ModelConfig,
    /// What it says about inputs and results.
    pub ports: Ports,
    /// Fields that say nothing here.
    pub unread: Vec<String>,
}

/// Inputs and results as a file describes them; none if it does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ports {
    pub inputs: Vec<Described>,
    pub outputs: Vec<Described>,
    /// Whether dimensions lack the first one, of rows.
    pub rows: bool,
}

/// An input or result as a file describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Described {
    pub name: String,
    pub datatype: Option<String>,
    pub dims: Vec<i64>,
}

impl Ports {
    /// Says what the model, whose inputs and results these are, does not have, or has otherwise.
    pub fn check(&self, inputs: &[Port], outputs: &[Port]) -> Result<(), String> {
        for (what, said, there) in [("input", &self.inputs, inputs), ("output", &self.outputs, outputs)] {
            let checked = said.iter().try_for_each(|said| said.check(there, self.rows));
            checked.map_err(|e| format!("config.pbtxt: {what}: {e}"))?;
        }
        Ok(())
    }
}

impl Described {
    fn of(message: &Message) -> Result<Option<Described>, String> {
        let Some(name) = text_of(message, "name") else { return Ok(None) };
        let mut described = Described { name, ..Described::default() };
        for (field, value) in &message.0 {
            match (field.as_str(), value) {
                ("data_type", Value::Word(word)) => described.datatype = Some(word.clone()),
                ("dims", Value::Word(word)) => {
                    let wrong = || format!("{}: dims: expected a number, found {word:?}", described.name);
                    described.dims.push(word.parse().map_err(|_| wrong())?);
                }
                _ => {}
            }
        }
        // What is reshaped has other dimensions in the model.
        if message.0.iter().any(|(field, _)| field == "reshape") {
            described.dims.clear();
        }
        Ok(Some(described))
    }

    fn check(&self, there: &[Port], rows: bool) -> Result<(), String> {
        let name = &self.name;
        let Some(port) = there.iter().find(|port| port.name == *name) else {
            let names: Vec<&str> = there.iter().map(|port| port.name.as_str()).collect();
            return Err(format!("expected of {}, found {name:?}", names.join(", ")));
        };
        let expected = port.spec.dtype.and_then(datatype::name).map(|name| format!("TYPE_{name}"));
        if let (Some(expected), Some(found)) = (&expected, &self.datatype)
            && expected != found
        {
            return Err(format!("{name}: expected {expected}, found {found}"));
        }
        if self.dims.is_empty() || port.spec.dims.is_none() {
            return Ok(());
        }
        let expected = datatype::dims(port);
        let found: Vec<i64> = rows.then_some(-1).into_iter().chain(self.dims.iter().copied()).collect();
        let fits = |(a, b): (&i64, &i64)| a == b || *a == -1 || *b == -1;
        match expected.len() == found.len() && expected.iter().zip(&found).all(fits) {
            true => Ok(()),
            false => Err(format!("{name}: expected dimensions {expected:?}, found {found:?}")),
        }
    }
}

/// `base` with what a text says about the model called `model`.
pub(crate) fn read(text: &str, model: &str, base: &ModelConfig) -> Result<Said, String> {
    let message = pbtxt::parse(text)?;
    let mut said = Said { config: base.clone(), ports: Ports::default(), unread: Vec::new() };
    let (mut size, mut joins) = (None, false);
    for (name, value) in &message.0 {
        match (name.as_str(), value) {
            ("name", Value::Text(found)) if found == model => {}
            ("name", Value::Text(found)) => return Err(format!("name: expected {model:?}, found {found:?}")),
            ("max_batch_size", value) => size = Some(number(name, value)?),
            ("dynamic_batching", Value::Message(message)) => {
                joins = true;
                said.batching(message)?;
            }
            ("instance_group", Value::Message(message)) => said.instances(message)?,
            ("input", Value::Message(message)) => said.ports.inputs.extend(Described::of(message)?),
            ("output", Value::Message(message)) => said.output(message)?,
            ("version_policy", Value::Message(message)) => said.versions(message)?,
            ("response_cache", Value::Message(message)) => said.cache(message)?,
            ("parameters", Value::Message(message)) => said.parameter(message)?,
            _ => said.unread(name),
        }
    }
    said.ports.rows = size.is_some_and(|rows| rows > 0);
    if size.is_some() || joins {
        let size = usize::try_from(size.unwrap_or(0)).unwrap_or(usize::MAX);
        said.config.max_batch = if joins { size.max(1) } else { 1 };
    }
    said.config.check()?;
    Ok(said)
}

impl Said {
    fn unread(&mut self, field: impl Into<String>) {
        let field = field.into();
        if !self.unread.contains(&field) {
            self.unread.push(field);
        }
    }

    fn batching(&mut self, message: &Message) -> Result<(), String> {
        for (name, value) in &message.0 {
            match (name.as_str(), value) {
                ("max_queue_delay_microseconds", value) => {
                    let ms = number(name, value)?.div_ceil(1000);
                    self.config.batch_delay_ms = u32::try_from(ms).unwrap_or(u32::MAX);
                }
                ("default_queue_policy", Value::Message(policy)) => self.queue(policy)?,
                _ => self.unread(format!("dynamic_batching.{name}")),
            }
        }
        Ok(())
    }

    fn queue(&mut self, policy: &Message) -> Result<(), String> {
        for (name, value) in &policy.0 {
            match name.as_str() {
                // 0 is no bound there.
                "max_queue_size" => match number(name, value)? {
                    0 => {}
                    n => self.config.queue = usize::try_from(n).unwrap_or(usize::MAX),
                },
                _ => self.unread(format!("dynamic_batching.default_queue_policy.{name}")),
            }
        }
        Ok(())
    }

    fn instances(&mut self, message: &Message) -> Result<(), String> {
        for (name, value) in &message.0 {
            match (name.as_str(), value) {
                ("count", value) => self.config.instances = usize::try_from(number(name, value)?).unwrap_or(usize::MAX),
                ("kind", Value::Word(kind)) if kind == "KIND_CPU" || kind == "KIND_AUTO" => {}
                ("name", _) => {}
                _ => self.unread(format!("instance_group.{name}")),
            }
        }
        Ok(())
    }

    fn output(&mut self, message: &Message) -> Result<(), String> {
        self.ports.outputs.extend(Described::of(message)?);
        if let Some(labels) = text_of(message, "label_filename") {
            self.config.labels = Some(labels.into());
        }
        Ok(())
    }

    fn versions(&mut self, message: &Message) -> Result<(), String> {
        for (name, value) in &message.0 {
            let Value::Message(policy) = value else {
                return Err(format!("version_policy.{name}: expected a message"));
            };
            let numbers = |field: &str| {
                let of = |(name, _): &&(String, Value)| name == field;
                policy.0.iter().filter(of).map(|(name, value)| number(name, value)).collect::<Result<Vec<_>, _>>()
            };
            self.config.versions = match name.as_str() {
                "latest" => match numbers("num_versions")?.last() {
                    None | Some(1) => Versions::Latest,
                    Some(n) => Versions::Newest { latest: usize::try_from(*n).unwrap_or(usize::MAX) },
                },
                "all" => Versions::All,
                "specific" => Versions::These(numbers("versions")?),
                _ => return Err(format!("version_policy: expected latest, all or specific, found {name:?}")),
            };
        }
        Ok(())
    }

    fn cache(&mut self, message: &Message) -> Result<(), String> {
        for (name, value) in &message.0 {
            match (name.as_str(), value) {
                ("enable", Value::Word(word)) if word == "true" => {
                    self.config.cache.get_or_insert_default();
                }
                ("enable", Value::Word(word)) if word == "false" => self.config.cache = None,
                _ => return Err(format!("response_cache.{name}: expected enable, which is true or false")),
            }
        }
        Ok(())
    }

    /// A parameter that has the name of a field of `model.toml` is that field.
    fn parameter(&mut self, message: &Message) -> Result<(), String> {
        let key = text_of(message, "key").ok_or("parameters: expected a key")?;
        let value = message.0.iter().find_map(|(name, value)| match value {
            Value::Message(value) if name == "value" => text_of(value, "string_value"),
            _ => None,
        });
        let value = value.ok_or_else(|| format!("parameters: {key}: expected a string_value"))?;
        match self.config.with_field(&key, &value) {
            Some(config) => self.config = config.map_err(|e| format!("parameters: {key}: {e}"))?,
            None => self.unread(format!("parameters.{key}")),
        }
        Ok(())
    }
}

fn number(name: &str, value: &Value) -> Result<u64, String> {
    let wrong = || format!("{name}: expected a number that is not negative");
    let Value::Word(word) = value else { return Err(wrong()) };
    word.parse().map_err(|_| format!("{}, found {word:?}", wrong()))
}

/// The last text of a field.
fn text_of(message: &Message, field: &str) -> Option<String> {
    message.0.iter().rev().find_map(|(name, value)| match value {
        Value::Text(text) if name == field => Some(text.clone()),
        _ => None,
    })
}

impl Default for Cache {
    fn default() -> Cache {
        Cache { bytes: 64 << 20 }
    }
}

#[cfg(test)]
mod tests {
    use mindir::{DType, Dim, Spec};

    use super::*;

    const WHOLE: &str = r#"
        name: "net"
        platform: "onnxruntime_onnx"
        max_batch_size: 16
        input [{ name: "x" data_type: TYPE_FP32 dims: [3] }]
        output [{ name: "scores" data_type: TYPE_FP32 dims: [4] label_filename: "labels.txt" }]
        instance_group [{ count: 2 kind: KIND_GPU gpus: [0] }]
        dynamic_batching {
            preferred_batch_size: [4, 8]
            max_queue_delay_microseconds: 1500
            default_queue_policy { max_queue_size: 7 timeout_action: DELAY }
        }
        version_policy: { specific: { versions: [1, 3] } }
        response_cache { enable: true }
        parameters { key: "threads" value { string_value: "2" } }
        parameters { key: "device" value: { string_value: "cpu" } }
        parameters { key: "verbose" value: { string_value: "1" } }
        model_warmup []
        optimization { graph { level: 1 } }"#;

    #[test]
    fn what_applies_is_read_and_the_rest_is_named() {
        let said = read(WHOLE, "net", &ModelConfig::default()).unwrap();
        let expected = ModelConfig {
            max_batch: 16,
            batch_delay_ms: 2,
            queue: 7,
            instances: 2,
            versions: Versions::These(vec![1, 3]),
            threads: Some(2),
            device: Some("cpu".into()),
            labels: Some("labels.txt".into()),
            cache: Some(Cache::default()),
            ..ModelConfig::default()
        };
        assert_eq!(said.config, expected);
        let described = |name: &str, dims| Described { name: name.into(), datatype: Some("TYPE_FP32".into()), dims };
        let (inputs, outputs) = (vec![described("x", vec![3])], vec![described("scores", vec![4])]);
        assert_eq!(said.ports, Ports { inputs, outputs, rows: true });
        let unread = [
            "platform",
            "instance_group.kind",
            "instance_group.gpus",
            "dynamic_batching.preferred_batch_size",
            "dynamic_batching.default_queue_policy.timeout_action",
            "parameters.verbose",
            "optimization",
        ];
        assert_eq!(said.unread, unread);
    }

    #[test]
    fn a_model_has_to_be_as_described() {
        let port = |name: &str, dims: &[Dim]| {
            let spec = Spec { dtype: Some(DType::F32), dims: Some(dims.iter().cloned().collect()) };
            Port { name: name.into(), spec }
        };
        let (x, y) = (port("x", &[Dim::Unknown, Dim::Known(3)]), port("y", &[Dim::Known(1), Dim::Known(4)]));
        let check = |text: &str| {
            let said = read(text, "net", &ModelConfig::default()).unwrap();
            said.ports.check(std::slice::from_ref(&x), std::slice::from_ref(&y))
        };
        for text in [
            "",
            "input { name: \"x\" } output { name: \"y\" data_type: TYPE_FP32 }",
            "input { name: \"x\" data_type: TYPE_FP32 dims: [-1, 3] }",
            "max_batch_size: 4 input { name: \"x\" dims: 3 } output { name: \"y\" dims: [4] }",
            "max_batch_size: 4 input { name: \"x\" dims: [3, 1] reshape { shape: [3] } }",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for (text, why) in [
            ("input { name: \"z\" }", "input: expected of x, found \"z\""),
            ("output { name: \"y\" data_type: TYPE_INT64 }", "output: y: expected TYPE_FP32, found TYPE_INT64"),
            ("input { name: \"x\" dims: [2, 4] }", "input: x: expected dimensions [-1, 3], found [2, 4]"),
            ("max_batch_size: 4 input { name: \"x\" dims: [2, 3] }", "expected dimensions [-1, 3], found [-1, 2, 3]"),
        ] {
            assert!(check(text).unwrap_err().contains(why), "{text}: {:?}", check(text));
        }
    }

    #[test]
    fn requests_are_joined_as_there() {
        let base = ModelConfig { max_batch: 4, ..ModelConfig::default() };
        let rows = |text: &str| read(text, "net", &base).unwrap().config.max_batch;
        assert_eq!(["", "max_batch_size: 8", "max_batch_size: 8 dynamic_batching {}"].map(rows), [4, 1, 8]);
        let versions = |text: &str| read(text, "net", &base).unwrap().config.versions;
        assert_eq!(versions("version_policy { latest { num_versions: 2 } }"), Versions::Newest { latest: 2 });
        assert_eq!(versions("version_policy { latest {} }"), Versions::Latest);
        assert_eq!(versions("version_policy { all {} }"), Versions::All);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, why) in [
            ("name: \"other\"", "expected \"net\", found \"other\""),
            ("max_batch_size: -1", "found \"-1\""),
            ("max_batch_size: 70000 dynamic_batching {}", "max_batch"),
            ("instance_group { count: \"2\" }", "count"),
            ("version_policy { oldest {} }", "oldest"),
            ("parameters { key: \"threads\" value { string_value: \"two\" } }", "threads"),
            ("parameters { value { string_value: \"two\" } }", "key"),
            ("response_cache { enable: maybe }", "enable"),
        ] {
            let error = read(text, "net", &ModelConfig::default()).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
