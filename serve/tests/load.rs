//! Many requests, and clients and models that come and go.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Response, Running, classifier, counting, lookup, scaled, write};
use mindir_serve::{ModelConfig, RepositoryOptions, ServerOptions};
use serde_json::json;

fn models(config: ModelConfig) -> RepositoryOptions {
    let mut models = RepositoryOptions::default();
    models.config = config;
    models
}

fn row(values: [f32; 3]) -> String {
    json!({"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": values}]}).to_string()
}

fn count(n: u64) -> String {
    json!({"inputs": [{"name": "n", "shape": [], "datatype": "INT64", "data": n}]}).to_string()
}

/// Longer than any test waits for.
const FOR_EVER: u64 = 80_000_000;

#[test]
fn requests_that_run_together_have_the_results_that_they_have_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.3), &folder.path().join("net.mindir"));
    let config = ModelConfig { max_batch: 8, batch_delay_ms: 10, ..ModelConfig::default() };
    let server = Running::start(folder.path(), models(config), ServerOptions::default());
    let body = |client: u32, i: u32| row([client as f32 * 0.37, i as f32 * -1.3, 0.7]);
    let ask = |client: u32, i: u32| server.post("/v2/models/net/infer", body(client, i));
    let alone: Vec<Vec<Vec<u8>>> = (0..8).map(|client| (0..10).map(|i| ask(client, i).body).collect()).collect();
    let counts = || {
        let stats = server.get("/v2/models/net/stats").json()["model_stats"][0].clone();
        ["inference_count", "execution_count"].map(|name| stats[name].as_u64().unwrap())
    };
    assert_eq!(counts(), [80, 80]);
    std::thread::scope(|scope| {
        for (client, alone) in (0..).zip(&alone) {
            scope.spawn(move || {
                for (i, alone) in (0..).zip(alone) {
                    let together = ask(client, i);
                    assert_eq!((together.status, &together.body), (200, alone));
                }
            });
        }
    });
    let [rows, runs] = counts();
    assert!(rows == 160 && runs < 140, "{rows} rows in {runs} runs");
}

#[test]
fn a_request_does_not_suffer_from_those_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    write(&lookup(), &folder.path().join("lookup.mindir"));
    let config = ModelConfig { max_batch: 4, batch_delay_ms: 200, ..ModelConfig::default() };
    let server = Running::start(folder.path(), models(config), ServerOptions::default());
    assert!(server.get("/v2/models/lookup/config").json().get("dynamic_batching").is_some());
    let ask = |id: i32| {
        let body = json!({"inputs": [{"name": "ids", "shape": [1, 1], "datatype": "INT32", "data": [id]}]});
        server.post("/v2/models/lookup/infer", body.to_string())
    };
    std::thread::scope(|scope| {
        let answers = [0, 77, 3, 1].map(|id| scope.spawn(move || (id, ask(id))));
        for (id, answer) in answers.map(|answer| answer.join().unwrap()) {
            match id {
                77 => assert!(answer.status == 400 && answer.error().contains("77"), "{answer:?}"),
                id => assert_eq!(answer.numbers(), [f64::from(2 * id), f64::from(2 * id + 1)]),
            }
        }
    });
}

#[test]
fn rows_that_depend_on_each_other_do_not_run_together() {
    let folder = tempfile::tempdir().unwrap();
    write(&scaled(), &folder.path().join("scaled.mindir"));
    write(&counting(), &folder.path().join("counting.mindir"));
    let config = ModelConfig { max_batch: 4, batch_delay_ms: 50, ..ModelConfig::default() };
    let server = Running::start(folder.path(), models(config), ServerOptions::default());
    for (name, why) in [("scaled", "another beside other rows"), ("counting", "control flow")] {
        let config = server.get(&format!("/v2/models/{name}/config")).json();
        let told = config["parameters"]["no_batching"]["string_value"].as_str().unwrap();
        assert!(config.get("dynamic_batching").is_none() && told.contains(why), "{config}");
    }
    let ask = |x: f32| server.post("/v2/models/scaled/infer", row([x; 3])).numbers()[0];
    let found =
        std::thread::scope(|scope| [0.5, 1000.0].map(|x| scope.spawn(move || ask(x))).map(|x| x.join().unwrap()));
    assert_eq!(found, [0.5, 1.0]);
}

#[test]
fn a_file_that_is_written_over_is_served_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.mindir");
    write(&classifier(0.0), &file);
    let server = Running::start(folder.path(), models(ModelConfig::default()), ServerOptions::default());
    let before = server.post("/v2/models/net/infer", row([1.0; 3]));
    std::fs::OpenOptions::new().write(true).truncate(true).open(&file).unwrap();
    assert_eq!(server.post("/v2/models/net/infer", row([1.0; 3])).body, before.body);
}

#[test]
fn bodies_that_do_not_come_keep_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let mut options = ServerOptions::default();
    options.max_bodies = 1 << 20;
    options.head_time = Duration::from_secs(1);
    let server = Running::start(folder.path(), models(ModelConfig::default()), options);
    let head = b"POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let silent = [&head[..], b"PRI * HT", b""].map(|begun| {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        std::io::Write::write_all(&mut stream, begun).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    });
    let start = Instant::now();
    assert_eq!(server.post("/v2/models/net/infer", row([1.0; 3])).status, 200);
    assert!(start.elapsed() < Duration::from_secs(10));
    // Those that do not even begin are closed.
    for mut stream in silent.into_iter().skip(1) {
        assert_eq!(std::io::Read::read(&mut stream, &mut [0; 64]).unwrap_or(0), 0);
    }
}

#[cfg(unix)]
#[test]
fn nothing_outside_of_the_folder_is_read() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = elsewhere.path().join("secret.txt");
    std::fs::write(&secret, "hidden = words\n").unwrap();
    for name in ["labels", "linked"] {
        write(&classifier(0.0), &folder.path().join(name).join("1/model.mindir"));
    }
    let text = format!("labels = {:?}", secret.display().to_string());
    std::fs::write(folder.path().join("labels/model.toml"), text).unwrap();
    std::os::unix::fs::symlink(&secret, folder.path().join("linked/model.toml")).unwrap();
    let server = Running::start(folder.path(), models(ModelConfig::default()), ServerOptions::default());
    let failures = server.repository.failures();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures.iter().all(|(_, why)| why.contains("no file of the repository")), "{failures:?}");
    assert_eq!(server.get("/v2/health/ready").status, 503);
}

#[test]
fn a_full_queue_refuses_and_a_late_answer_is_none() {
    let folder = tempfile::tempdir().unwrap();
    write(&counting(), &folder.path().join("counting.mindir"));
    let config = ModelConfig { queue: 1, timeout_ms: Some(700), ..ModelConfig::default() };
    let server = Running::start(folder.path(), models(config), ServerOptions::default());
    let path = "/v2/models/counting/infer";
    let mut first = server.send("POST", path, &[], count(FOR_EVER).as_bytes());
    std::thread::sleep(Duration::from_millis(200));
    let mut second = server.send("POST", path, &[], count(FOR_EVER).as_bytes());
    std::thread::sleep(Duration::from_millis(100));
    let third = server.post(path, count(1));
    assert!(third.status == 503 && third.header("retry-after").is_some(), "{third:?}");
    assert!(third.error().contains("1 requests wait"), "{third:?}");
    for stream in [&mut first, &mut second] {
        let late = Response::read(stream);
        assert!(late.status == 504 && late.error().contains("700ms"), "{late:?}");
    }
    // Runs that nobody waits for have ended.
    assert_eq!(server.post(path, count(3)).numbers(), [3.0]);
}

#[test]
fn a_client_that_goes_away_ends_its_run() {
    let folder = tempfile::tempdir().unwrap();
    write(&counting(), &folder.path().join("counting.mindir"));
    let server = Running::start(folder.path(), models(ModelConfig::default()), ServerOptions::default());
    let path = "/v2/models/counting/infer";
    for _ in 0..5 {
        let stream = server.send("POST", path, &[], count(FOR_EVER).as_bytes());
        std::thread::sleep(Duration::from_millis(50));
        drop(stream);
    }
    let start = Instant::now();
    assert_eq!(server.post(path, count(2)).numbers(), [2.0]);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn versions_change_without_a_request_being_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let version = |n: u32| folder.path().join(format!("net/{n}/model.mindir"));
    write(&classifier(1.0), &version(1));
    let mut options = ServerOptions::default();
    options.watch = Some(Duration::from_millis(20));
    let server = Running::start(folder.path(), models(ModelConfig::default()), options);
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let newest = || server.post("/v2/models/net/infer", row([0.0; 3])).json()["model_version"].clone();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = server.post("/v2/models/net/infer", row([0.0; 3]));
                    let version: f64 = answer.json()["model_version"].as_str().unwrap().parse().unwrap();
                    assert_eq!(answer.numbers()[0], version);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 2..6 {
            // One that is not whole is passed over, and what is there is served.
            std::fs::create_dir_all(version(n).parent().unwrap()).unwrap();
            std::fs::write(version(n), b"half of a model").unwrap();
            std::thread::sleep(Duration::from_millis(60));
            std::fs::remove_file(version(n)).unwrap();
            write(&classifier(n as f32), &version(n));
            let start = Instant::now();
            while newest().as_str() != Some(n.to_string().as_str()) {
                assert!(start.elapsed() < Duration::from_secs(30));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(asked.load(Ordering::Relaxed) > 10);
    std::fs::remove_dir_all(folder.path().join("net")).unwrap();
    let start = Instant::now();
    while server.get("/v2/models/net").status != 404 {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_server_that_ends_answers_what_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    write(&counting(), &folder.path().join("counting.mindir"));
    let mut options = ServerOptions::default();
    options.notice = Duration::from_millis(500);
    let mut server = Running::start(folder.path(), models(ModelConfig::default()), options);
    let mut stream = server.send("POST", "/v2/models/counting/infer", &[], count(20_000).as_bytes());
    std::thread::sleep(Duration::from_millis(20));
    server.stop();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.get("/v2/health/ready").status, 503);
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_eq!(Response::read(&mut stream).numbers(), [20_000.0]);
    server.join();
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn slow_and_large_requests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    let mut options = ServerOptions::default();
    options.max_body = 1 << 16;
    options.head_time = Duration::from_millis(200);
    options.body_time = Duration::from_millis(200);
    let server = Running::start(folder.path(), models(ModelConfig::default()), options);
    let path = "/v2/models/net/infer";
    assert_eq!(server.post(path, vec![b' '; (1 << 16) + 1]).status, 413);
    // A head that does not end, and a body that does not come.
    let mut silent = server.send("POST", path, &[("content-length", "10")], b"");
    assert!(matches!(Response::read(&mut silent).status, 400 | 408));
    let mut half = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(
        &mut half,
        b"POST /v2/models/net/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{",
    )
    .unwrap();
    assert_eq!(Response::read(&mut half).status, 408);
    let mut quiet = std::net::TcpStream::connect(server.address).unwrap();
    std::io::Write::write_all(&mut quiet, b"POST /v2/mod").unwrap();
    quiet.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(std::io::Read::read(&mut quiet, &mut [0; 512]).is_ok());
    assert_eq!(server.post(path, row([1.0; 3])).status, 200);
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_are_not_followed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(&classifier(0.0), &elsewhere.path().join("secret.mindir"));
    write(&classifier(0.0), &elsewhere.path().join("secret/1/model.mindir"));
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    std::os::unix::fs::symlink(elsewhere.path().join("secret.mindir"), folder.path().join("link.mindir")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("secret"), folder.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("net.mindir"), folder.path().join("inside.mindir")).unwrap();
    let server = Running::start(folder.path(), models(ModelConfig::default()), ServerOptions::default());
    let names: Vec<String> = server.repository.ready().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["inside", "net"]);
}

#[test]
fn a_model_that_does_not_load_says_why_and_others_are_served() {
    let folder = tempfile::tempdir().unwrap();
    write(&classifier(0.0), &folder.path().join("net.mindir"));
    write(&classifier(0.0), &folder.path().join("odd/1/model.mindir"));
    std::fs::write(folder.path().join("odd/model.toml"), "max_batches = 3").unwrap();
    std::fs::write(folder.path().join("damaged.mindir"), b"\x08\x01 no model").unwrap();
    let server = Running::start(folder.path(), models(ModelConfig::default()), ServerOptions::default());
    let failures = server.repository.failures();
    let why = |name: &str| &failures.iter().find(|(model, _)| model == name).unwrap().1;
    assert!(why("odd 1").contains("max_batches") && why("damaged 1").contains("damaged.mindir"), "{failures:?}");
    let place = folder.path().to_str().unwrap();
    assert!(!failures.iter().any(|(_, why)| why.contains(place)), "{failures:?}");
    let ready = server.get("/v2/models/damaged/ready");
    assert!(ready.status == 503 && !String::from_utf8_lossy(&ready.body).contains(place), "{ready:?}");
    assert_eq!(server.post("/v2/models/net/infer", row([1.0; 3])).status, 200);
}
