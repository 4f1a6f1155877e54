//! Promise: a newcomer gets to a working proxy in three commands, and whatever is wrong is told with its file,
//! line and column, and what to do.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use portolan_tests::{
    HttpOrigin, Listen, Origin, Setup, address, binaries, client, deadline, setup,
};

/// A user without privilege.
const NOBODY: u32 = 65_534;

fn portolan(directory: &Path) -> Command {
    let mut command = Command::new(binaries::path("portolan"));
    command.current_dir(directory).stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    portolan(directory).args(arguments).output().expect("the program")
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a start with this configuration says, which must fail.
fn refusal(text: &str, nobody: bool) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let programs = directory.path().join("programs");
    fs::write(directory.path().join("c.toml"), text).expect("a configuration");
    setup::open_to_all(directory.path());
    setup::open_to_all(&directory.path().join("c.toml"));
    let mut command = if nobody {
        binaries::install(&programs);
        setup::open_to_all(&programs);
        let mut command = Command::new(programs.join("portolan"));
        command.uid(NOBODY).gid(NOBODY).current_dir(directory.path()).stdin(Stdio::null());
        command
    } else {
        portolan(directory.path())
    };
    let output = command.args(["-db", "-f", "c.toml"]).output().expect("the program");
    let said = err(&output);
    assert!(!output.status.success(), "{text}\n{said}");
    said
}

/// A configuration that is valid but for what is put into it.
fn with(global: &str, bind: &str) -> String {
    format!(
        "[global]\n{global}\n[listen.l]\nbind = {bind}\ntimeout = {{ connect = 1, client = 1, server = 1 }}\n\
         server = [{{ name = \"s\", address = \"127.0.0.1:9\" }}]\n"
    )
}

/// Each configuration is refused with its place and with advice.
fn are_refused(cases: &[(String, &[&str])], nobody: bool) {
    for (text, expected) in cases {
        let said = refusal(text, nobody);
        for part in *expected {
            assert!(said.contains(part), "{part:?} is not in\n{said}\nof\n{text}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_what_to_write_instead() {
    let cases: &[(String, &[&str])] = &[
        (
            "[frontend.f]\nbind = :80\n".into(),
            &["c.toml:2:8: not TOML", "strings stand in quotes: bind = \":80\""],
        ),
        (
            "global\n    maxconn 100\nfrontend web\n".into(),
            &["c.toml:1:7: not TOML", "HAProxy's format; here it is [global]", "[frontend.web]"],
        ),
        (
            "maxconn = 5\n".into(),
            &["c.toml:1:1: `maxconn` stands outside of any section", "[global] or [frontend.NAME]"],
        ),
        (
            with("maxcon = 5", "':80'"),
            &["c.toml:2:1: unknown key `maxcon`", "did you mean `maxconn`?"],
        ),
        (with("", "'80'"), &["c.toml:4:9: `80` is no address: a port is written \":80\""]),
        (with("", "':99999'"), &["c.toml:4:9: `99999` is no port: 1 to 65535"]),
        (
            with("user = 'nobody-at-all'", "':80'"),
            &["c.toml:2:8: there is no user `nobody-at-all`", "useradd --system"],
        ),
        (
            with("group = 'nobody-at-all'", "':80'"),
            &["c.toml:2:9: there is no group `nobody-at-all`", "groupadd --system nobody-at-all"],
        ),
        (
            with("chroot = '/no/such'", "':80'"),
            &["c.toml:2:10: no directory /no/such", "`mkdir -p /no/such`"],
        ),
        (
            "[listen.l]\nbind = ':80'\nserver = [{ name = 's', address = 'a.invalid:1' }]\n".into(),
            &["c.toml:3:35: cannot resolve `a.invalid`", "init_addr = \"libc,none\""],
        ),
        (
            "[frontend.f]\nbind = ':80'\ndefault_backend = 'ap'\n[backend.app]\n".into(),
            &["c.toml:3:19: there is no backend `ap`", "did you mean `app`?"],
        ),
        (
            "[frontend.f]\nmode = 'http'\nbind = ':80'\nerrorfile = { 503 = 'no.http' }\n".into(),
            &["c.toml:4:21: cannot open no.http"],
        ),
        (
            "[frontend.f]\nmode = 'http'\nbind = ':80'\nacl = 'x'\n".into(),
            &["c.toml:4:1: `acl` in this section is not supported by this version"],
        ),
    ];
    are_refused(cases, false);
}

#[test]
fn what_cannot_be_bound_is_told_with_its_place_who_has_it_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_at = taken.local_addr().expect("its address");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("live.sock");
    let _live = UnixListener::bind(&path).expect("a socket");
    let path = path.display().to_string();
    let pid = std::process::id();
    let own = fs::read_to_string("/proc/self/comm").expect("our name");
    let (in_use, by) =
        (format!("{taken_at} is already in use"), format!("{} (pid {pid})", own.trim()));
    let used = format!("{path} is already in use by");
    let free = address::free();
    let cases: &[(String, &[&str])] = &[
        (
            with("", &format!("'{taken_at}'")),
            &["c.toml:4:9: frontend l: cannot bind", &in_use, "bind another address"],
        ),
        (with("", &format!("'{path}'")), &["c.toml:4:9: ", &used, &by]),
        (
            with("", "'192.0.2.77:8080'"),
            &["c.toml:4:9: ", "no device of this machine has that address", "transparent = true"],
        ),
        (with("", "'/no/such/x.sock'"), &["c.toml:4:9: ", "mkdir -p /no/such"]),
        (
            with("", "'sd@web'"),
            &["c.toml:4:9: ", "no such descriptor was inherited", "FileDescriptorName=web"],
        ),
        (
            with("", &format!("{{ address = '{free}', interface = 'eth77' }}")),
            &["c.toml:4:21: ", "interface eth77", "`ip link` lists the devices"],
        ),
        (
            with("control_socket = '/no/such/s'", &format!("'{free}'")),
            &["c.toml:2:18: cannot bind control socket /no/such/s", "its directory must exist"],
        ),
        (
            with(&format!("control_socket = '{path}'"), &format!("'{free}'")),
            &["c.toml:2:18: ", &used, "reload that one"],
        ),
        (
            with("control_socket = '/etc/passwd'", &format!("'{free}'")),
            &["c.toml:2:18: ", "not a stream socket", "where nothing is yet"],
        ),
        (
            with("log = 'fd@77'", &format!("'{free}'")),
            &["c.toml:2:7: cannot open the log fd@77", "a log is ADDRESS[:PORT]"],
        ),
        (
            with("maxconn = 90000000", &format!("'{free}'")),
            &[
                "c.toml:2:11: maxconn 90000000 needs",
                "lower maxconn, or raise the limit",
                "LimitNOFILE=",
            ],
        ),
        (
            with("maxconn = 5000\nulimit_n = 100", &format!("'{free}'")),
            &["c.toml:3:12: ulimit_n is 100", "take it out"],
        ),
    ];
    are_refused(cases, false);
}

#[test]
fn who_is_not_root_is_told_what_only_root_may() {
    if !setup::root() {
        setup::left_out("without root nobody can be anybody else");
        return;
    }
    let free = format!("'{}'", address::free());
    let low = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let cases: &[(String, &[&str])] = &[
        (
            with("user = 'root'", &free),
            &["c.toml:2:8: ", "only root may do that: start Portolan as root, or take the key out"],
        ),
        (with("chroot = '/'", &free), &["c.toml:2:10: ", "cannot chroot", "only root may do that"]),
        (
            with("", "'/etc/x.sock'"),
            &["c.toml:4:9: ", "who starts Portolan must be able to write in /etc"],
        ),
    ];
    are_refused(cases, true);
    if low.is_ok_and(|low| low.trim() == "1024") {
        let low: &[&str] =
            &["c.toml:4:9: ", "ports below 1024 are root's", "sd@NAME", "AmbientCapabilities="];
        are_refused(&[(with("", "'127.0.0.1:7'"), low)], true);
    }
}

#[test]
fn a_missing_configuration_program_or_instance_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    let said = err(&run(at, &["-db", "-f", "none.toml"]));
    assert!(said.contains("`portolan init none.toml` writes one"), "{said}");
    let said = err(&run(at, &["-db"]));
    assert!(said.contains("no configuration is given: -f FILE; `portolan init`"), "{said}");
    fs::create_dir(at.join("empty")).expect("a directory");
    let said = err(&run(at, &["-c", "-f", "empty"]));
    assert!(said.contains("directory without a *.toml file; `portolan init`"), "{said}");
    let said = err(&run(at, &["reload", "-S", "none.sock"]));
    assert!(said.contains("no Portolan with this control socket runs"), "{said}");
    let said = err(&run(at, &["strat"]));
    assert!(said.contains("unexpected 'strat' (commands are reload, init"), "{said}");

    let programs = at.join("programs");
    binaries::install(&programs);
    fs::write(at.join("c.toml"), with("", &format!("'{}'", address::free()))).expect("a file");
    let lone = |removed: &str, arguments: &[&str]| {
        fs::remove_file(programs.join(removed)).expect("it goes");
        let output = Command::new(programs.join("portolan")).args(arguments).output();
        err(&output.expect("the program"))
    };
    let file = at.join("c.toml").display().to_string();
    let said = lone("portolan-worker", &["-db", "-f", &file]);
    assert!(said.contains("portolan-worker: No such file"), "{said}");
    assert!(said.contains("lie in one directory"), "{said}");
    let said = lone("portolan-wrapper", &["-f", &file]);
    assert!(said.contains("portolan-wrapper: No such file"), "{said}");
    assert!(said.contains("lie in one directory"), "{said}");
}

#[test]
fn a_reload_that_fails_tells_the_place_to_who_asked_to_the_log_and_to_the_service_manager() {
    let taken = TcpListener::bind(address::free()).expect("a port");
    let origin = Origin::echo();
    let front = address::free();
    let body = Listen::at("proxy", front).server("one", origin.address).to_string();
    let running = Setup::new(body.clone()).start();
    let taken_at = taken.local_addr().expect("its address");
    running.configure(&format!(
        "{body}\n[frontend.second]\nbind = \"{taken_at}\"\ntimeout = {{ client = \"1s\" }}\n"
    ));
    let text = fs::read_to_string(running.setup().file("portolan.toml")).expect("the file");
    let line = text.lines().position(|line| line.contains(&taken_at.to_string()));
    let place = format!("portolan.toml:{}:9", line.expect("the line") + 1);
    let said = running.reload_fails();
    assert!(said.contains(&place) && said.contains("is already in use"), "{said}");
    let logged = running.wait_error("Reload failed");
    let logged = logged.lines().find(|line| line.contains("Reload failed")).expect("the line");
    assert!(logged.contains(&format!("{place}: frontend second: cannot bind")), "{logged}");
    deadline::until("the status has the place", || {
        let status = running.notices().last("STATUS").unwrap_or_default();
        status.contains("reload failed: ") && status.contains(&place)
    });
}

/// The whole response, once somebody answers.
fn get(at: SocketAddr, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = client::ask(at, request.as_bytes()).ok().filter(|answer| !answer.is_empty())?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn three_commands_lead_to_a_working_proxy() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = HttpOrigin::named("one");
    let front = address::free();
    let (listen, server) = (front.to_string(), origin.address.to_string());
    let written = run(directory.path(), &["init", "--listen", &listen, "--server", &server]);
    assert!(written.status.success(), "{}", err(&written));
    let next = String::from_utf8(written.stdout).expect("text");
    // What it says to do next is done as it says it.
    let commands: Vec<Vec<&str>> = next
        .lines()
        .filter_map(|line| line.trim().strip_prefix("portolan "))
        .map(|line| line.split(" #").next().unwrap_or(line).split_whitespace().collect())
        .collect();
    assert_eq!(commands.len(), 2, "{next}");
    let checked = run(directory.path(), &commands[0]);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", err(&checked));
    let output = fs::File::create(directory.path().join("log")).expect("a file");
    let child = portolan(directory.path()).args(&commands[1]).stdout(output).spawn();
    let _running = Running(child.expect("the proxy"));
    let curl = next.lines().find_map(|line| line.trim().strip_prefix("curl http://"));
    let asked = curl.and_then(|url| url.split('/').next()).expect("an address to try");
    assert_eq!(asked, listen);
    let answer = deadline::eventually("an answer", || get(front, "/"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let reloaded = run(directory.path(), &["reload", "-f", "portolan.toml"]);
    assert!(reloaded.status.success(), "{}", err(&reloaded));
    let again = run(directory.path(), &["init"]);
    assert!(!again.status.success() && err(&again).contains("is left alone"), "{}", err(&again));
}

#[test]
fn what_is_installed_serves_its_page_and_reloads() {
    let directory = tempfile::tempdir().expect("a directory");
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/etc");
    let text = fs::read_to_string(etc.join("portolan.toml")).expect("the configuration");
    let front = address::free();
    let socket = directory.path().join("control.sock").display().to_string();
    let text = text
        .replace("user = \"portolan\"", "")
        .replace("group = \"portolan\"", "")
        .replace("chroot = \"/var/lib/portolan\"", "")
        .replace("/run/portolan/control.sock", &socket)
        .replace("127.0.0.1:8407", &front.to_string());
    fs::write(directory.path().join("portolan.toml"), text).expect("a file");
    std::os::unix::fs::symlink(etc.join("errors"), directory.path().join("errors"))
        .expect("a link");
    fs::create_dir(directory.path().join("conf.d")).expect("a directory");
    let files = ["-f", "portolan.toml", "-f", "conf.d"];
    let _running = Running(portolan(directory.path()).args(files).spawn().expect("the proxy"));
    let page = deadline::eventually("an answer", || get(front, "/"));
    assert!(
        page.contains("Portolan works.") && page.contains("systemctl reload portolan"),
        "{page}"
    );
    let alive = get(front, "/alive").expect("an answer");
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    // The page's first command, for a server that is there.
    let origin = HttpOrigin::named("one");
    let second = address::free();
    let (listen, server) = (second.to_string(), origin.address.to_string());
    let init = ["init", "conf.d/site.toml", "--listen", &listen, "--server", &server];
    let written = run(directory.path(), &init);
    assert!(written.status.success(), "{}", err(&written));
    let checked = run(directory.path(), &["-c", files[0], files[1], files[2], files[3]]);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{}", err(&checked));
    let reloaded = run(directory.path(), &["reload", "-S", &socket]);
    assert!(reloaded.status.success(), "{}", err(&reloaded));
    let answer = deadline::eventually("an answer", || get(second, "/"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
