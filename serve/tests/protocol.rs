//! The protocol as clients see it.

mod common;

use std::io::Write;

use common::{Running, adding, classifier, counting, pixels, write};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use mindir_serve::{MetricsForm, ModelConfig, RepositoryOptions, ServerOptions, Token};
use serde_json::json;

fn served() -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net/1/model.mindir"));
    write(&classifier(5.0), &folder.path().join("net/2/net.mindir"));
    std::fs::write(folder.path().join("net/model.toml"), "versions = \"all\"\nlabels = \"labels.txt\"").unwrap();
    std::fs::write(folder.path().join("net/labels.txt"), "ant\nbee\ncat\ndog\n").unwrap();
    write(&adding(), &folder.path().join("adding.mindir"));
    write(&counting(), &folder.path().join("counting.mindir"));
    let running = Running::start(folder.path(), RepositoryOptions::default(), ServerOptions::default());
    (folder, running)
}

const ONE: &str = r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}"#;

#[test]
fn the_server_and_its_models_are_described() {
    let (_folder, server) = served();
    assert_eq!(server.get("/v2/health/live").json(), json!({"live": true}));
    assert_eq!(server.get("/v2/health/ready").json(), json!({"ready": true}));
    assert_eq!(server.get("/v2").json()["name"], "mindir");
    let model = server.get("/v2/models/net").json();
    let outputs = json!([
        {"name": "scores", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 4]},
    ]);
    assert_eq!(model["versions"], json!(["1", "2"]));
    assert_eq!(model["inputs"], json!([{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]));
    assert_eq!(model["outputs"], outputs);
    assert_eq!(server.get("/v2/models/net/versions/1/ready").status, 200);
    assert_eq!(server.get("/v2/models/net/versions/3/ready").status, 404);
    assert_eq!(server.get("/v2/models/other").status, 404);
    assert_eq!(server.get("/v2/models/net/config").json()["input"][0]["data_type"], "TYPE_FP32");
    let index = server.post("/v2/repository/index", "").json();
    let names: Vec<&str> = index.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["adding", "counting", "net", "net"]);
    assert!(String::from_utf8(server.get("/").body).unwrap().contains("<!doctype html>"));
    assert_eq!(server.get("/v2/openapi.json").json()["info"]["title"], "mindir serve");
}

#[test]
fn results_are_those_of_the_model() {
    let (_folder, server) = served();
    let expected = |bias: f32| -> Vec<f32> {
        let cell = mindir::GraphCell::new(classifier(bias), mindir::Options::default()).unwrap();
        let x = mindir::Tensor::from_vec(&[1, 3], vec![1f32, 2.0, 3.0]).unwrap();
        cell.run(&[x]).unwrap()[0].view::<f32>().unwrap().to_vec()
    };
    let found = |answer: common::Response| -> Vec<f32> { answer.numbers().iter().map(|v| *v as f32).collect() };
    assert_eq!(found(server.post("/v2/models/net/versions/1/infer", ONE)), expected(0.0));
    assert_eq!(found(server.post("/v2/models/net/infer", ONE)), expected(5.0));
    // Elements as they are in memory, behind the JSON.
    let head = json!({
        "id": "seventh",
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}],
        "outputs": [{"name": "probabilities"}, {"name": "scores", "parameters": {"binary_data": true}}],
    })
    .to_string();
    let elements: Vec<u8> = [1f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let body = [head.as_bytes(), &elements].concat();
    let length = head.len().to_string();
    let headers = [("Inference-Header-Content-Length", length.as_str())];
    let answer = server.ask("POST", "/v2/models/net/infer", &headers, &body);
    let length: usize = answer.header("inference-header-content-length").unwrap().parse().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&answer.body[..length]).unwrap();
    assert_eq!(told["id"], "seventh");
    assert_eq!(told["outputs"][0]["name"], "probabilities");
    assert!(told["outputs"][0]["data"].is_array());
    assert_eq!(told["outputs"][1]["parameters"]["binary_data_size"], 16);
    let numbers: Vec<f32> =
        answer.body[length..].chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(numbers, expected(5.0));
    // Nothing but the elements.
    let headers = [("Inference-Header-Content-Length", "0")];
    let answer = server.ask("POST", "/v2/models/net/infer", &headers, &[&elements[..], &elements].concat());
    assert!(answer.status == 200 && answer.header("inference-header-content-length").is_some(), "{answer:?}");
}

#[test]
fn bodies_may_be_packed() {
    let (_folder, server) = served();
    let plain = server.post("/v2/models/net/infer", ONE);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(ONE.as_bytes()).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(ONE.as_bytes()).unwrap();
    for (name, bytes) in [("gzip", gzip.finish().unwrap()), ("deflate", zlib.finish().unwrap())] {
        let answer = server.ask("POST", "/v2/models/net/infer", &[("content-encoding", name)], &bytes);
        assert_eq!(answer.body, plain.body, "{name}");
    }
}

#[test]
fn classes_have_labels() {
    let (_folder, server) = served();
    let body = json!({
        "inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0, 0, 0]}],
        "outputs": [{"name": "scores", "parameters": {"classification": 2}}],
    });
    let answer = server.post("/v2/models/net/infer", body.to_string()).json();
    assert_eq!(answer["outputs"][0]["datatype"], "BYTES");
    assert_eq!(answer["outputs"][0]["data"], json!(["5.000000:0:ant", "0.000000:1:bee"]));
}

#[test]
fn the_form_of_mindspore_serving_is_answered() {
    let (_folder, server) = served();
    let body = json!({"instances": [{"x": [0, 0, 0]}, {"x": [[1, 0, 0], [0, 1, 0]]}]});
    let answer = server.post("/model/net/version/2:predict", body.to_string());
    let answer = answer.json();
    assert_eq!(answer["instances"][0]["scores"], json!([5.0, 0.0, 0.0, 0.0]));
    assert_eq!(answer["instances"][1]["scores"].as_array().unwrap().len(), 2);
    assert_eq!(server.post("/model/net:classify", body.to_string()).status, 404);
}

#[test]
fn results_without_rows_keep_their_form() {
    let folder = tempfile::tempdir().unwrap();
    write(&common::turned(), &folder.path().join("turned.mindir"));
    let server = Running::start(folder.path(), RepositoryOptions::default(), ServerOptions::default());
    let body = json!({"instances": [{"x": [1, 2, 3]}]});
    let answer = server.post("/model/turned:predict", body.to_string()).json();
    assert_eq!(answer["instances"][0].as_object().unwrap().values().next().unwrap(), &json!([[1.0], [2.0], [3.0]]));
}

#[test]
fn conversations_have_a_state_each() {
    let (_folder, server) = served();
    let ask = |id: &str, x: f64, start: bool, end: bool| {
        let body = json!({
            "parameters": {"sequence_id": id, "sequence_start": start, "sequence_end": end},
            "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [x]}],
        });
        server.post("/v2/models/adding/infer", body.to_string())
    };
    // What others left does not matter.
    let alone = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [5]}]}).to_string();
    assert_eq!(server.post("/v2/models/adding/infer", &alone).numbers(), [5.0]);
    assert_eq!(server.post("/v2/models/adding/infer", &alone).numbers(), [10.0]);
    assert_eq!(ask("a", 1.0, true, false).numbers(), [1.0]);
    assert_eq!(ask("b", 10.0, true, false).numbers(), [10.0]);
    assert_eq!(ask("a", 2.0, false, false).numbers(), [3.0]);
    assert_eq!(ask("b", 20.0, false, true).numbers(), [30.0]);
    assert_eq!(ask("a", 3.0, true, false).numbers(), [3.0]);
    let over = ask("b", 1.0, false, false);
    assert!(over.status == 400 && over.error().contains("sequence_start"), "{over:?}");
}

#[test]
fn what_is_wrong_is_said() {
    let (_folder, server) = served();
    let input = |fields: &str| format!(r#"{{"inputs":[{{"name":"x",{fields}}}]}}"#);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        (String::new(), "EOF"),
        ("{".into(), "EOF"),
        ("[]".into(), "inputs"),
        ("{}".into(), "inputs"),
        (r#"{"inputs":[]}"#.into(), "x is missing"),
        (r#"{"inputs":[],"inputs":[]}"#.into(), "duplicate"),
        (input(&format!(r#""shape":[1,3],"datatype":"FP32","data":{deep}"#)), "recursion"),
        (input(r#""shape":[1,3],"datatype":"FP32""#), "data"),
        (input(r#""shape":[1,3],"datatype":"FP32","data":[1,2]"#), "one of 2"),
        (input(r#""shape":[1,3],"datatype":"FP32","data":[1,2,3,4]"#), "more"),
        (input(r#""shape":[1,3],"datatype":"FP32","data":[1,2,NaN]"#), "expected value"),
        (input(r#""shape":[1,3],"datatype":"FP32","data":[1,2,1e39]"#), "a number of type f32"),
        (input(r#""shape":[1,3],"datatype":"FP64","data":[1,2,3]"#), "expected FP32, found FP64"),
        (input(r#""shape":[1,3],"datatype":"BYTES","data":["a"]"#), "BYTES"),
        (input(r#""shape":[1,3],"datatype":"FLOAT","data":[1,2,3]"#), "FLOAT"),
        (input(r#""shape":[1,-3],"datatype":"FP32","data":[1,2,3]"#), "-3"),
        (input(r#""shape":[3],"datatype":"FP32","data":[1,2,3]"#), "expected"),
        (input(r#""shape":[1,4],"datatype":"FP32","data":[1,2,3,4]"#), "exported for"),
        (input(r#""shape":[4294967296,4294967296,3],"datatype":"FP32","data":[1,2,3]"#), "too many"),
        (input(r#""shape":[1,3],"datatype":"FP32","parameters":{"binary_data_size":12}"#), "beyond"),
        (input(r#""shape":[1,3],"datatype":"FP32","parameters":{"shared_memory_region":"r"}"#), "shared"),
        (format!(r#"{},"outputs":[{{"name":"z"}}]}}"#, &ONE[..ONE.len() - 1]), "\"z\""),
        (format!(r#"{},"outputs":[{{"name":"scores"}},{{"name":"scores"}}]}}"#, &ONE[..ONE.len() - 1]), "twice"),
        (ONE.replace("]}]}", r#"]},{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}"#), "twice"),
        (ONE.replace("\"x\"", "\"y\""), "x is missing"),
    ];
    for (body, why) in bodies {
        let answer = server.post("/v2/models/net/infer", &body);
        assert!((400..=501).contains(&answer.status), "{body}: {answer:?}");
        assert!(answer.error().contains(why), "{:.80}: {}", body, answer.error());
    }
    for length in ["-1", "9999", "1e3", "99999999999999999999", ""] {
        let headers = [("inference-header-content-length", length)];
        let answer = server.ask("POST", "/v2/models/net/infer", &headers, ONE.as_bytes());
        assert!(answer.status == 400 && answer.error().contains("number of bytes"), "{length}: {answer:?}");
    }
    for (path, status) in [("/v2/models/..%2f..%2fetc/infer", 404), ("/v2/models/net/versions/one/infer", 400)] {
        assert_eq!(server.post(path, ONE).status, status, "{path}");
    }
    for path in ["/v2/models/net/infer?top=1&top=2", "/v2/models/%ff/infer"] {
        let answer = server.post(path, ONE);
        assert!(answer.status == 400 && answer.error().contains("the address"), "{path}: {answer:?}");
    }
    assert_eq!(server.ask("DELETE", "/v2/models/net", &[], b"").status, 405);
    let answer = server.ask("POST", "/v2/models/net/infer", &[("content-encoding", "br")], b"abc");
    assert!(answer.status == 400 && answer.error().contains("gzip"), "{answer:?}");
}

#[test]
fn a_token_guards_all_but_health() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let mut options = ServerOptions::default();
    options.token = Token::new(b"let-me-in");
    options.admin = true;
    let server = Running::start(folder.path(), RepositoryOptions::default(), options);
    assert_eq!(server.get("/v2/health/ready").status, 200);
    for (method, path) in [("GET", "/v2"), ("GET", "/metrics"), ("POST", "/v2/models/net/infer")] {
        assert_eq!(server.ask(method, path, &[], ONE.as_bytes()).status, 401, "{path}");
        let wrong = [("authorization", "Bearer let-me-out")];
        assert_eq!(server.ask(method, path, &wrong, ONE.as_bytes()).status, 401, "{path}");
        let right = [("authorization", "Bearer let-me-in")];
        assert_eq!(server.ask(method, path, &right, ONE.as_bytes()).status, 200, "{path}");
    }
    let right = [("authorization", "Bearer let-me-in")];
    let admin = |verb: &str| server.ask("POST", &format!("/v2/repository/models/net/{verb}"), &right, b"").status;
    assert_eq!(admin("unload"), 200);
    assert_eq!(server.ask("POST", "/v2/models/net/infer", &right, ONE.as_bytes()).status, 503);
    assert_eq!(admin("load"), 200);
    assert_eq!(server.ask("POST", "/v2/models/net/infer", &right, ONE.as_bytes()).status, 200);
}

#[test]
fn figures_are_counted() {
    let (_folder, server) = served();
    for _ in 0..3 {
        assert_eq!(server.post("/v2/models/net/infer", ONE).status, 200);
    }
    server.post("/v2/models/net/infer", r#"{"inputs":[]}"#);
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in [
        r#"mindir_requests_total{model="net",version="2"} 3"#,
        r#"mindir_failures_total{model="net",version="2",reason="request"} 1"#,
        r#"mindir_runs_total{model="net",version="2"} 3"#,
        r#"mindir_queue_seconds_count{model="net",version="2"} 3"#,
        r#"mindir_waiting{model="net",version="2"} 0"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let stats = server.get("/v2/models/net/stats").json()["model_stats"][0].clone();
    assert_eq!((stats["inference_count"].clone(), stats["execution_count"].clone()), (json!(3), json!(3)));
    assert_eq!(stats["inference_stats"]["fail"]["count"], 1);
}

#[test]
fn figures_have_the_names_of_triton_on_wish() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let mut options = ServerOptions::default();
    options.metrics = MetricsForm::Triton;
    let server = Running::start(folder.path(), RepositoryOptions::default(), options);
    (0..3).for_each(|_| assert_eq!(server.post("/v2/models/net/infer", ONE).status, 200));
    server.post("/v2/models/net/infer", r#"{"inputs":[]}"#);
    let text = String::from_utf8(server.get("/metrics").body).unwrap();
    for line in [
        "# TYPE nv_inference_request_success counter",
        "# TYPE nv_inference_pending_request_count gauge",
        r#"nv_inference_request_success{model="net",version="1"} 3"#,
        r#"nv_inference_request_failure{model="net",version="1",reason="OTHER"} 1"#,
        r#"nv_inference_request_failure{model="net",version="1",reason="REJECTED"} 0"#,
        r#"nv_inference_exec_count{model="net",version="1"} 3"#,
        r#"nv_inference_pending_request_count{model="net",version="1"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

/// A square picture of one grey value.
fn picture(value: u8) -> Vec<u8> {
    // An uncompressed bitmap of 2 × 2 pixels of 24 bits, whose rows are filled up to 8 bytes.
    let mut bytes = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0".to_vec();
    bytes.extend([0; 24]);
    (0..2).for_each(|_| bytes.extend([value, value, value, value, value, value, 0, 0]));
    bytes
}

/// The head of a picture of 2 × 2000 pixels, which is all that is looked at before it is refused.
fn wide() -> Vec<u8> {
    let mut bytes = picture(0);
    bytes[18..20].copy_from_slice(&2000u16.to_le_bytes());
    bytes
}

#[test]
fn forms_with_pictures_are_answered_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    write(&pixels(), &folder.path().join("pixels.mindir"));
    let mut options = ServerOptions::default();
    options.max_bodies = 4096;
    let server = Running::start(folder.path(), RepositoryOptions::default(), options);
    let alone = |value| server.post("/v2/models/pixels/infer", picture(value)).numbers();
    let mut form = b"--of parts\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nno picture\r\n".to_vec();
    for value in [10, 200] {
        form.extend(b"--of parts\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\n");
        form.extend(picture(value));
        form.extend(b"\r\n");
    }
    form.extend(b"--of parts--\r\n");
    let kind = [("content-type", "multipart/form-data; boundary=\"of parts\"")];
    let answer = server.ask("POST", "/v2/models/pixels/infer?top=1", &kind, &form);
    assert_eq!(answer.json()["outputs"][0]["shape"][0], 2);
    assert_eq!(answer.numbers(), [alone(10), alone(200)].concat());
    assert_eq!(answer.json()["classes"].as_array().unwrap().len(), 2);
    let none = server.ask("POST", "/v2/models/pixels/infer", &kind, b"--of parts--");
    assert!(none.status == 400 && none.error().contains("expected a picture"), "{none:?}");
    // A file that is no picture would be a row without an answer.
    for (name, contents) in [("x.png", ""), ("x.png", "text"), ("", "text")] {
        let mut mixed = form[..form.len() - b"--of parts--\r\n".len()].to_vec();
        let head = format!("Content-Disposition: form-data; name=\"other\"; filename=\"{name}\"");
        mixed.extend(format!("--of parts\r\n{head}\r\n\r\n{contents}\r\n--of parts--").bytes());
        let refused = server.ask("POST", "/v2/models/pixels/infer", &kind, &mixed);
        assert!(refused.status == 400 && refused.error().contains("other: expected a picture"), "{refused:?}");
    }
    // Small as their files are, both together have too many pixels.
    let mut many = Vec::new();
    for _ in 0..2 {
        many.extend(b"--of parts\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n");
        many.extend(wide());
        many.extend(b"\r\n");
    }
    many.extend(b"--of parts--");
    let refused = server.ask("POST", "/v2/models/pixels/infer", &kind, &many);
    assert!(refused.status == 413 && refused.error().contains("the pixels of all pictures"), "{refused:?}");
}

#[test]
fn one_model_can_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.mindir");
    write(&classifier(0.0), &file);
    let mut models = RepositoryOptions::default();
    models.config = ModelConfig { max_batch: 4, ..ModelConfig::default() };
    let server = Running::start(&file, models.clone(), ServerOptions::default());
    assert_eq!(server.post("/v2/models/net/infer", ONE).status, 200);
    assert_eq!(server.get("/v2/models/net/config").json()["dynamic_batching"]["preferred_batch_size"], json!([4]));
    models.name = Some("other".into());
    let server = Running::start(folder.path(), models, ServerOptions::default());
    assert_eq!(server.post("/v2/models/other/infer", ONE).status, 200);
    assert_eq!(server.post("/v2/models/net/infer", ONE).status, 404);
}
