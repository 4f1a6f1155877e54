//! Promise: real servers and their real clients notice nothing of ten reloads: no client error, no
//! byte changed; and their connections keep no old worker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portolan_tests::pattern::{self, Pattern};
use portolan_tests::{Listen, Portolan, Setup, address, deadline, real, setup};

const SEED: u64 = 2026;
const LARGE: u64 = 48 * 1024 * 1024;
const RELOADS: u32 = 10;

/// Where the clients go.
#[derive(Clone, Copy)]
struct Fronts {
    redis: SocketAddr,
    mysql: SocketAddr,
    postgres: SocketAddr,
    web: SocketAddr,
}

#[test]
fn real_clients_notice_nothing_of_ten_reloads() {
    let missing = real::missing();
    if !missing.is_empty() {
        let why =
            format!("real peers: {} not installed (tests/install-peers.sh)", missing.join(", "));
        setup::left_out(&why);
        return;
    }
    let (redis, mariadb) = (real::redis(), real::mariadb());
    let (postgres, nginx) = (real::postgres(), real::nginx(SEED, LARGE));
    // The example's own port, unless somebody has it.
    let mysql = SocketAddr::from((address::own_ip(), 3307));
    let mysql = if std::net::TcpListener::bind(mysql).is_ok() { mysql } else { address::free() };
    let fronts =
        Fronts { redis: address::free(), mysql, postgres: address::free(), web: address::free() };
    let body = [
        Listen::at("redis", fronts.redis).server("redis", redis.address),
        Listen::at("mysql_1", fronts.mysql).server("srv1", mariadb.address),
        Listen::at("postgres", fronts.postgres).server("postgres", postgres.address),
        Listen::at("web", fronts.web).server("nginx", nginx.address).option("splice-auto"),
    ];
    let body: Vec<String> = body.iter().map(ToString::to_string).collect();
    let portolan = Setup::new(body.join("\n")).workers(2).start();
    let files = nginx.file("files");

    pgbench(fronts, &["-i", "-q", "-s", "1"]);
    let reloaded = AtomicBool::new(false);
    let rounds: [AtomicU64; 5] = Default::default();
    std::thread::scope(|scope| {
        let work = |n: usize, life: Box<dyn Fn(u64) + Send>| {
            let (reloaded, rounds) = (&reloaded, &rounds);
            scope.spawn(move || {
                // At least twice, and until the last reload is over.
                for round in 0.. {
                    life(round);
                    rounds[n].fetch_add(1, Ordering::Relaxed);
                    if round > 0 && reloaded.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        };
        let clients = [
            work(0, Box::new(move |round| redis_benchmark(fronts, round))),
            work(1, Box::new(move |round| mysql_clients(fronts, round))),
            work(
                2,
                Box::new(move |round| {
                    let reconnect: &[&str] = if round.is_multiple_of(2) { &[] } else { &["-C"] };
                    pgbench(fronts, &[&["-n", "-c", "4", "-t", "100"], reconnect].concat());
                }),
            ),
            work(3, Box::new(move |_| download(fronts))),
            work(
                4,
                Box::new({
                    let files = files.clone();
                    move |round| upload(fronts, &files, round)
                }),
            ),
        ];
        reload_ten_times(&portolan, || {
            clients.iter().any(std::thread::ScopedJoinHandle::is_finished)
        });
        reloaded.store(true, Ordering::Relaxed);
    });
    let rounds = rounds.map(|rounds| rounds.load(Ordering::Relaxed));
    assert!(rounds.iter().all(|count| *count >= 2), "{rounds:?}");
    assert_eq!(portolan.generation(), RELOADS + 1);
    portolan.only_newest();
}

/// Spread over a few seconds, so that each kind of client lives through several.
fn reload_ten_times(portolan: &Portolan, failed: impl Fn() -> bool) {
    for _ in 0..RELOADS {
        deadline::pause(Duration::from_millis(400));
        assert!(!failed(), "a client failed");
        portolan.reload();
        // While all of them go on.
        portolan.only_newest();
    }
}

fn redis_benchmark(fronts: Fronts, round: u64) {
    let (ip, port) = (fronts.redis.ip().to_string(), fronts.redis.port().to_string());
    // Long connections, then a new one for each request.
    let (keep, count) = if round.is_multiple_of(2) { ("1", "30000") } else { ("0", "3000") };
    let arguments = ["-h", &ip, "-p", &port, "-t", "set,get", "-d", "1000", "-c", "20", "-q"];
    real::client("redis-benchmark", &[&arguments[..], &["-k", keep, "-n", count]].concat());
}

fn mysql_clients(fronts: Fronts, round: u64) {
    let (ip, port) = (fronts.mysql.ip().to_string(), fronts.mysql.port().to_string());
    let login = ["--no-defaults", "-h", &ip, "-P", &port, "-utest", "-ptest"];
    let load = ["--auto-generate-sql", "--concurrency=4", "--number-of-queries=200"];
    let schema = "--create-schema=slap";
    real::client("mariadb-slap", &[&login[..], &load, &[schema]].concat());
    // A value of a megabyte goes in and comes out the same.
    let hex =
        |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"));
    let value = hex(&Pattern::new(round).bytes(512 * 1024));
    let directory = tempfile::tempdir().expect("a directory");
    let statements = directory.path().join("statements.sql");
    std::fs::write(
        &statements,
        format!(
            "CREATE TABLE IF NOT EXISTS blobs (n INT PRIMARY KEY, b LONGBLOB);\n\
             REPLACE INTO blobs VALUES ({round}, x'{value}');\n\
             SELECT HEX(b) FROM blobs WHERE n = {round};\n"
        ),
    )
    .expect("statements");
    let source = format!("source {}", statements.display());
    let output = real::client(
        "mariadb",
        &[&login[..], &["-N", "-B", "--max-allowed-packet=64M", "test", "-e", &source]].concat(),
    );
    assert!(String::from_utf8_lossy(&output.stdout).trim() == value, "a blob has changed");
}

fn pgbench(fronts: Fronts, arguments: &[&str]) {
    let (ip, port) = (fronts.postgres.ip().to_string(), fronts.postgres.port().to_string());
    let login = ["-h", &ip, "-p", &port, "-U", "test"];
    let output = real::client("pgbench", &[&login[..], arguments, &["postgres"]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("aborted"), "{text}");
}

fn download(fronts: Fronts) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("large");
    let name = file.display().to_string();
    let url = format!("http://{}/large", fronts.web);
    real::client("curl", &["-sS", "--fail", "--noproxy", "*", "-o", &name, &url]);
    let file = std::fs::File::open(file).expect("the downloaded file");
    pattern::check(file, SEED, LARGE).expect("the downloaded bytes");
}

fn upload(fronts: Fronts, files: &Path, round: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("up");
    let made = std::fs::File::create(&file).expect("a file");
    pattern::send(made, round, LARGE / 2, |_| {}).expect("room on the disk");
    let url = format!("http://{}/up-{round}", fronts.web);
    let name = file.display().to_string();
    real::client("curl", &["-sS", "--fail", "--noproxy", "*", "-H", "Expect:", "-T", &name, &url]);
    let stored = files.join(format!("up-{round}"));
    let stored_file = std::fs::File::open(&stored).expect("the uploaded file");
    pattern::check(stored_file, round, LARGE / 2).expect("the uploaded bytes");
    std::fs::remove_file(stored).expect("room for the next");
}
