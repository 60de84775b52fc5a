//! What Triton's `config.pbtxt` says about a model.

use crate::config::{Cache, ModelConfig, Versions};
use crate::pbtxt::{self, Message, Value};

/// What a `config.pbtxt` says.
#[derive(Debug)]
pub(crate) struct Said {
    pub config: ModelConfig,
    /// Names that it gives inputs and results.
    pub names: Names,
    /// Fields that say nothing here.
    pub unread: Vec<String>,
}

/// Names that a file gives inputs and results; none if it does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

impl Names {
    /// Says which name the model, whose inputs and results these are, does not have.
    pub fn check<'a>(
        &self,
        inputs: impl Iterator<Item = &'a str>,
        outputs: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let (inputs, outputs): (Vec<&str>, Vec<&str>) = (inputs.collect(), outputs.collect());
        let sides = [("input", &self.inputs, inputs), ("output", &self.outputs, outputs)];
        for (what, said, there) in sides {
            if let Some(name) = said.iter().find(|name| !there.contains(&name.as_str())) {
                return Err(format!("config.pbtxt: {what}: expected of {}, found {name:?}", there.join(", ")));
            }
        }
        Ok(())
    }
}

/// `base` with what a text says about the model called `model`.
pub(crate) fn read(text: &str, model: &str, base: &ModelConfig) -> Result<Said, String> {
    let message = pbtxt::parse(text)?;
    let mut said = Said { config: base.clone(), names: Names::default(), unread: Vec::new() };
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
            ("input", Value::Message(message)) => said.names.inputs.extend(text_of(message, "name")),
            ("output", Value::Message(message)) => said.output(message),
            ("version_policy", Value::Message(message)) => said.versions(message)?,
            ("response_cache", Value::Message(message)) => said.cache(message)?,
            ("parameters", Value::Message(message)) => said.parameter(message)?,
            _ => said.unread(name),
        }
    }
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

    fn output(&mut self, message: &Message) {
        self.names.outputs.extend(text_of(message, "name"));
        if let Some(labels) = text_of(message, "label_filename") {
            self.config.labels = Some(labels.into());
        }
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
        assert_eq!(said.names, Names { inputs: vec!["x".into()], outputs: vec!["scores".into()] });
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
        assert!(said.names.check(["x"].into_iter(), ["scores", "more"].into_iter()).is_ok());
        let error = said.names.check(["y"].into_iter(), ["scores"].into_iter()).unwrap_err();
        assert!(error.contains("input: expected of y, found \"x\""), "{error}");
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
