//! Folders as people have them.

mod common;

use common::{Running, classifier, write};
use mindir::crypto::{Cipher, Decryption, Encryption, Key};
use mindir::{ExportOptions, graph::Model};
use mindir_serve::{RepositoryOptions, ServerOptions};
use serde_json::json;

const ONE: &str = r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}"#;

fn start(folder: &std::path::Path, models: RepositoryOptions) -> Running {
    Running::start(folder, models, ServerOptions::default())
}

#[test]
fn a_folder_of_triton_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for version in 1..=3u8 {
        write(&classifier(f32::from(version)), &at(&format!("net/{version}/model.mindir")));
    }
    write(&classifier(0.0), &at("other/1/model.mindir"));
    let net = r#"
        name: "net"
        platform: "onnxruntime_onnx"
        max_batch_size: 8
        input [{ name: "x" data_type: TYPE_FP32 dims: [3] }]
        output [{ name: "scores" data_type: TYPE_FP32 dims: [4] label_filename: "labels.txt" }]
        version_policy: { latest: { num_versions: 2 } }
        dynamic_batching { max_queue_delay_microseconds: 1000 }
        instance_group [{ count: 2 kind: KIND_CPU }]"#;
    std::fs::write(at("net/config.pbtxt"), net).unwrap();
    std::fs::write(at("net/labels.txt"), "ant\nbee\ncat\ndog\n").unwrap();
    // What stands in both files is as `model.toml` has it.
    std::fs::write(at("net/model.toml"), "instances = 3").unwrap();
    std::fs::write(at("other/config.pbtxt"), "input [{ name: \"image\" }]").unwrap();
    let server = start(folder.path(), RepositoryOptions::default());
    assert_eq!(server.get("/v2/models/net").json()["versions"], json!(["2", "3"]));
    let config = server.get("/v2/models/net/config").json();
    assert_eq!(config["dynamic_batching"]["preferred_batch_size"], json!([8]));
    assert_eq!(config["dynamic_batching"]["max_queue_delay_microseconds"], 1000);
    assert_eq!(config["instance_group"][0]["count"], 3);
    let body = json!({
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0]}],
        "outputs": [{"name": "scores", "parameters": {"classification": 1}}],
    });
    let answer = server.post("/v2/models/net/infer", body.to_string()).json();
    assert_eq!(answer["outputs"][0]["data"], json!(["3.000000:0:ant"]));
    let failures = server.repository.failures();
    assert!(failures.len() == 1 && failures[0].0 == "other 1", "{failures:?}");
    assert!(failures[0].1.contains("config.pbtxt: input: expected of x, found \"image\""), "{failures:?}");
}

fn encrypted(model: &Model, key: &[u8], to: &std::path::Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let encryption = Encryption::new(Cipher::AesGcm, Key::new(key).unwrap()).unwrap();
    let options = ExportOptions { encryption: Some(encryption), ..ExportOptions::default() };
    mindir::export(model, to, &options).unwrap();
}

#[test]
fn encrypted_models_stand_beside_others_each_with_its_key() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |path: &str| folder.path().join(path);
    write(&classifier(1.0), &at("plain.mindir"));
    encrypted(&classifier(2.0), b"0123456789abcdef", &at("common.mindir"));
    for (name, key) in [("own", &b"fedcba9876543210"[..]), ("wrong", b"ffffffffffffffff"), ("short", b"ff")] {
        encrypted(&classifier(3.0), b"fedcba9876543210", &at(&format!("{name}/1/model.mindir")));
        let file = keys.path().join(name);
        std::fs::write(&file, key).unwrap();
        std::fs::write(at(&format!("{name}/model.toml")), format!("key_file = {:?}", file.display().to_string()))
            .unwrap();
    }
    let mut models = RepositoryOptions::default();
    models.decryption = Some(Decryption::new(Key::new(&b"0123456789abcdef"[..]).unwrap()));
    let server = start(folder.path(), models);
    for (name, bias) in [("plain", 1.0), ("common", 2.0), ("own", 3.0)] {
        let zero = ONE.replace("[1,2,3]", "[0,0,0]");
        assert_eq!(server.post(&format!("/v2/models/{name}/infer"), zero).numbers()[0], bias);
    }
    let failures = server.repository.failures();
    let names: Vec<&str> = failures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["short 1", "wrong 1"]);
    assert!(failures[0].1.contains("key_file") && failures[1].1.contains("key"), "{failures:?}");
    let place = keys.path().to_str().unwrap();
    assert!(!failures.iter().any(|(_, why)| why.contains(place)), "{failures:?}");
}

#[test]
fn answers_are_given_again_without_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    write(&classifier(1.0), &at("net/1/model.mindir"));
    write(&common::adding(), &at("adding/1/model.mindir"));
    for name in ["net", "adding"] {
        std::fs::write(at(&format!("{name}/model.toml")), "[cache]\nbytes = 65536").unwrap();
    }
    let server = start(folder.path(), RepositoryOptions::default());
    let first = server.post("/v2/models/net/infer", ONE);
    assert_eq!(first.status, 200);
    for _ in 0..4 {
        assert_eq!(server.post("/v2/models/net/infer", ONE).body, first.body);
    }
    let other = ONE.replace("[1,2,3]", "[1,2,4]");
    assert_ne!(server.post("/v2/models/net/infer", &other).body, first.body);
    // Of all results one that is wanted later is kept too.
    let one = format!(r#"{},"outputs":[{{"name":"probabilities"}}]}}"#, &ONE[..ONE.len() - 1]);
    assert_eq!(server.post("/v2/models/net/infer", one).json()["outputs"][0]["name"], "probabilities");
    let stats = server.get("/v2/models/net/stats").json()["model_stats"][0].clone();
    assert_eq!((&stats["inference_stats"]["cache_hit"]["count"], &stats["execution_count"]), (&json!(5), &json!(2)));
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in [
        r#"mindir_cache_hits_total{model="net",version="1"} 5"#,
        r#"mindir_cache_misses_total{model="net",version="1"} 2"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // One that keeps a number always runs.
    let add = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [5]}]}).to_string();
    assert_eq!([5.0, 10.0, 15.0].map(|_| server.post("/v2/models/adding/infer", &add).numbers()[0]), [5.0, 10.0, 15.0]);
}

#[test]
fn files_that_a_configuration_names_are_followed_and_not_told() {
    let (folder, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, key) = (|path: &str| folder.path().join(path), keys.path().join("key"));
    encrypted(&classifier(1.0), &[7; 16], &at("secret/1/model.mindir"));
    std::fs::write(at("secret/model.toml"), format!("key_file = {:?}", key.display().to_string())).unwrap();
    write(&classifier(0.0), &at("named/1/model.mindir"));
    std::fs::write(at("named/model.toml"), "labels = \"labels.txt\"").unwrap();
    write(&classifier(0.0), &at("elsewhere/1/model.mindir"));
    let outside = keys.path().join("names");
    std::fs::write(&outside, "a").unwrap();
    std::fs::write(at("elsewhere/model.toml"), format!("labels = {:?}", outside.display().to_string())).unwrap();
    write(&classifier(0.0), &at("future/2/model.mindir"));
    std::fs::write(at("future/model.toml"), "versions = [7]").unwrap();
    let server = start(folder.path(), RepositoryOptions::default());
    let failures = server.repository.failures();
    let names: Vec<&str> = failures.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["elsewhere 1", "future 2", "named 1", "secret 1"]);
    assert_eq!(failures[0].1, "labels: names: it is no file of the repository");
    assert_eq!(failures[1].1, "versions: none that is wanted is there; there are 2");
    std::fs::write(&key, [7; 16]).unwrap();
    std::fs::write(at("named/labels.txt"), "ant\nbee").unwrap();
    server.repository.refresh().unwrap();
    for name in ["secret", "named"] {
        assert_eq!(server.post(&format!("/v2/models/{name}/infer"), ONE).status, 200, "{name}");
    }
    let best = || {
        let wanted = r#""outputs":[{"name":"scores","parameters":{"classification":1}}]"#;
        let asked = format!("{},{wanted}}}", &ONE[..ONE.len() - 1]);
        server.post("/v2/models/named/infer", asked).json()["outputs"][0]["data"][0].as_str().unwrap().to_string()
    };
    let before = best();
    std::fs::write(at("named/labels.txt"), "cat\ndog\nelk\nfox").unwrap();
    server.repository.refresh().unwrap();
    assert_ne!(best(), before);
}

#[test]
fn packed_weights_are_kept_where_a_model_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    write(&common::large(), &at("large/1/model.mindir"));
    std::fs::write(at("large/model.toml"), "packed_weights = \"packed\"").unwrap();
    let body = json!({"inputs": [{"name": "x", "shape": [1, 1024], "datatype": "FP32", "data": vec![1.0; 1024]}]});
    let ask = || {
        let server = start(folder.path(), RepositoryOptions::default());
        server.post("/v2/models/large/infer", body.to_string()).numbers()
    };
    let first = ask();
    let kept = || std::fs::read_dir(at("large/packed")).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let files = kept();
    assert!(!files.is_empty());
    assert_eq!(ask(), first);
    assert_eq!(kept(), files);
}

#[test]
fn weights_beside_an_onnx_file_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("deep/1")).unwrap();
    let options = mindir::onnx::Options { split_above: 0, ..mindir::onnx::Options::default() };
    for path in ["flat.onnx", "deep/1/model.onnx"] {
        mindir::onnx::export(&common::large(), at(path), &options).unwrap();
    }
    let server = start(folder.path(), RepositoryOptions::default());
    let body = json!({"inputs": [{"name": "x", "shape": [1, 1024], "datatype": "FP32", "data": vec![1.0; 1024]}]});
    let ask = |name: &str| server.post(&format!("/v2/models/{name}/infer"), body.to_string()).numbers()[0];
    assert!(ask("flat") > 0.0 && ask("deep") > 0.0);
    for path in ["flat.onnx.data_0", "deep/1/model.onnx.data_0"] {
        let len = at(path).metadata().unwrap().len();
        std::fs::write(at(path), vec![0; len as usize]).unwrap();
    }
    server.repository.refresh().unwrap();
    assert_eq!([ask("flat"), ask("deep")], [0.0; 2]);
}
