//! Promise: the programs start, say what they are, refuse what they cannot do with a reason and a
//! status, and take over from former processes as HAProxy does.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use portolan_shared::message::wrapper::MISCONFIGURED;
use portolan_tests::client::{self, Stream};
use portolan_tests::{
    Listen, Origin, Poller, Portolan, Setup, Storm, address, binaries, deadline, processes, setup,
    storm,
};
use rustix::process::Signal;

fn portolan(arguments: &[&str]) -> Output {
    Command::new(binaries::path("portolan"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file with this configuration, and its path as text.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("portolan.toml");
    fs::write(&path, text).expect("a configuration");
    let path = path.display().to_string();
    (directory, path)
}

fn echo_body(origin: &Origin) -> (String, std::net::SocketAddr) {
    let front = address::free();
    (Listen::at("proxy", front).server("one", origin.address).to_string(), front)
}

#[test]
fn the_version_is_printed() {
    for flag in ["-v", "--version"] {
        let output = portolan(&[flag]);
        assert!(output.status.success());
        assert!(out(&output).contains(env!("CARGO_PKG_VERSION")), "{output:?}");
    }
}

#[test]
fn the_long_version_lists_the_pollers_with_their_tests() {
    let text = out(&portolan(&["-vv"]));
    for line in [
        "epoll : pref=300,  test result OK",
        "polling : pref=250,  test result OK",
        "poll : pref=200,  test result OK",
        "select : pref=150,  test result OK",
        "Total: 4 (4 usable), will use epoll.",
    ] {
        let wanted = line.replace("  ", " ");
        assert!(
            text.lines().any(|line| line.trim().replace("  ", " ") == wanted),
            "{line}\n{text}"
        );
    }
}

#[test]
fn a_poller_that_is_turned_off_is_not_used() {
    for poller in [Poller::Polling, Poller::Poll, Poller::Select] {
        let flags = poller.flags();
        let text = out(&portolan(&[flags[0], flags[1], flags[2], "-vv"]));
        assert!(text.contains(&format!("will use {}", poller.name())), "{text}");
        assert_eq!(text.matches("pref=0").count(), 3, "{text}");
    }
}

#[test]
fn help_goes_to_stdout_and_nonsense_is_refused() {
    let output = portolan(&["-h"]);
    assert!(output.status.success() && out(&output).contains("-f"));
    for nonsense in [&["--frobnicate"][..], &["-f"], &["nonsense"], &["-n", "many"]] {
        let output = portolan(nonsense);
        assert_eq!(output.status.code(), Some(MISCONFIGURED.into()), "{nonsense:?}: {output:?}");
        assert!(!err(&output).is_empty());
    }
}

#[test]
fn a_valid_configuration_is_called_valid_with_verbosity_only() {
    let origin = Origin::echo();
    let (_directory, path) = file(&echo_body(&origin).0);
    let output = portolan(&["-c", "-V", "-f", &path]);
    assert!(output.status.success(), "{output:?}");
    let text = out(&output) + &err(&output);
    assert!(text.contains("Configuration file is valid"), "{text}");
    let quiet = portolan(&["-c", "-f", &path]);
    assert!(quiet.status.success());
    assert!(!(out(&quiet) + &err(&quiet)).contains("Configuration file is valid"));
}

#[test]
fn a_check_binds_nothing() {
    let taken = TcpListener::bind(address::free()).expect("a taken address");
    let origin = Origin::echo();
    let front = taken.local_addr().expect("its address");
    let (_directory, path) =
        file(&Listen::at("proxy", front).server("one", origin.address).to_string());
    assert!(portolan(&["-c", "-f", &path]).status.success());
}

#[test]
fn an_invalid_configuration_is_refused_with_every_error_and_its_place() {
    let text = "[listen.a]\nmode = \"tcp\"\nbnid = \":0\"\nserver = [{ name = \"x\", adress = \"127.0.0.1:1\" }]\n";
    let (_directory, path) = file(text);
    for check in [true, false] {
        let output = if check {
            portolan(&["-c", "-f", &path])
        } else {
            Command::new(binaries::path("portolan-wrapper"))
                .args(["-f", &path])
                .stdin(Stdio::null())
                .output()
                .expect("the wrapper")
        };
        assert_eq!(output.status.code(), Some(MISCONFIGURED.into()), "{output:?}");
        let errors = err(&output);
        for part in ["bnid", "bind", "adress", "address", &path] {
            assert!(errors.contains(part), "{part} is not in {errors}");
        }
        assert!(errors.contains(":3:") && errors.contains(":4:"), "{errors}");
    }
}

#[test]
fn a_user_or_directory_that_does_not_exist_is_found_by_the_check() {
    let origin = Origin::echo();
    let (body, _) = echo_body(&origin);
    for (line, named) in [
        ("user = \"nobody-of-this-name\"", "nobody-of-this-name"),
        ("group = \"no-group-of-this-name\"", "no-group-of-this-name"),
        ("chroot = \"/no/such/directory\"", "/no/such/directory"),
    ] {
        let (_directory, path) = file(&format!("[global]\n{line}\n{body}"));
        let output = portolan(&["-c", "-f", &path]);
        assert_eq!(output.status.code(), Some(MISCONFIGURED.into()), "{line}: {output:?}");
        assert!(err(&output).contains(named), "{output:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let output = portolan(&["-c", "-f", "/no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(MISCONFIGURED.into()));
    assert!(err(&output).contains("/no/such/file.toml"), "{output:?}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind(address::free()).expect("a taken address");
    let front = taken.local_addr().expect("its address");
    let failure = Setup::new(Listen::at("proxy", front).to_string())
        .try_start()
        .expect_err("an address that is taken");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains(&front.to_string()), "{failure}");
}

#[test]
fn a_port_of_somebody_who_shares_it_is_in_use_too() {
    // SO_REUSEPORT by the same user would let us in beside the owner, and take half its connections.
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("the option");
    let front = address::free();
    socket.bind(&front.into()).expect("a free address");
    socket.listen(8).expect("a listener");
    let failure = Setup::new(Listen::at("proxy", front).to_string())
        .try_start()
        .expect_err("an address that is taken");
    assert!(failure.errors.contains(&front.to_string()), "{failure}");
}

#[test]
fn a_second_instance_on_the_same_address_is_refused_and_the_first_undisturbed() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    let first = Portolan::start(body.clone());
    let failure = Setup::new(body).try_start().expect_err("an address that is taken");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains(&front.to_string()), "{failure}");
    for _ in 0..20 {
        client::connect(front).expect_echo(b"undisturbed");
    }
    first.whole();
}

#[test]
fn the_pid_file_holds_one_line_with_the_pid_to_signal() {
    let origin = Origin::echo();
    let portolan = Portolan::start(echo_body(&origin).0);
    let expected = format!("{}\n", portolan.wrapper());
    let read = || fs::read_to_string(portolan.pidfile()).expect("the pid file");
    assert_eq!(read(), expected);
    portolan.reload();
    assert_eq!(read(), expected);
}

#[test]
fn the_processes_are_named() {
    let origin = Origin::echo();
    let portolan = Setup::new(echo_body(&origin).0).workers(3).start();
    let workers = portolan.whole();
    let slots: Vec<(u32, u32, u32)> =
        workers.iter().map(|one| (one.slot, one.slots, one.generation)).collect();
    assert_eq!(slots, [(1, 3, 1), (2, 3, 1), (3, 3, 1)]);
    assert_eq!(processes::descendants(portolan.wrapper()).len(), 4, "a master and three workers");
}

#[test]
fn the_supervisor_hears_when_the_workers_are_ready() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    // `start` returns at READY=1: from then on nobody is refused.
    let portolan = Portolan::start(body);
    client::connect(front).expect_echo(b"ready means ready");
    assert_eq!(portolan.notices().count(0, "READY=1"), 1);
}

#[test]
fn the_watchdog_is_fed() {
    let origin = Origin::echo();
    let setup = Setup::new(echo_body(&origin).0).variable("WATCHDOG_USEC", "400000");
    let portolan = setup.start();
    deadline::until("three feedings", || portolan.notices().count(0, "WATCHDOG=1") >= 3);
}

#[test]
fn as_a_daemon_it_leaves_the_terminal_and_serves() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    let setup = Setup::new(body);
    let (config, pidfile) = (setup.write(), setup.file("daemon.pid"));
    let output = Command::new(binaries::path("portolan"))
        .arg("-D")
        .arg("-f")
        .arg(&config)
        .arg("-p")
        .arg(&pidfile)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the program");
    assert!(output.success(), "{output:?}");
    // The parent left only once the daemon serves.
    let text = fs::read_to_string(&pidfile).expect("a pid file");
    let pid: i32 = text.trim().parse().expect("one pid");
    let served = std::panic::catch_unwind(|| client::connect(front).expect_echo(b"from afar"));
    let own = processes::process(std::process::id() as i32).expect("this process");
    let group = processes::process(pid).map(|daemon| daemon.group);
    processes::signal(pid, Signal::TERM);
    deadline::until("the daemon's end", || !processes::alive(pid));
    assert!(served.is_ok() && group.is_some_and(|group| group != own.group));
}

#[test]
fn a_daemon_that_cannot_start_says_so_before_it_leaves() {
    let (_directory, path) = file("[listen.x]\nbnid = \":1\"\n");
    let output = portolan(&["-D", "-f", &path]);
    assert_eq!(output.status.code(), Some(MISCONFIGURED.into()), "{output:?}");
    assert!(err(&output).contains("bnid"), "{output:?}");
}

#[test]
fn in_the_foreground_without_a_wrapper_the_masters_death_ends_its_workers() {
    let origin = Origin::echo();
    for option in ["-db", "-d"] {
        let (body, front) = echo_body(&origin);
        let portolan = Setup::new(body).launcher("portolan").argument(option).start();
        client::connect(front).expect_echo(b"no wrapper");
        let master = portolan.wrapper();
        let workers: Vec<i32> = processes::descendants(master).iter().map(|one| one.pid).collect();
        assert_eq!(workers.len(), 2, "{option}");
        assert!(processes::signal(master, Signal::KILL));
        deadline::until("its workers leave", || !workers.iter().any(|pid| processes::alive(*pid)));
    }
}

#[test]
fn sf_lets_former_processes_finish_once_the_new_ones_serve() {
    former("-sf", |stream| stream.expect_echo(b"finished in peace"));
}

#[test]
fn st_ends_former_processes_once_the_new_ones_serve() {
    former("-st", Stream::expect_closed);
}

/// A UNIX socket can change hands; the former instance holds a connection.
fn former(option: &str, then: impl Fn(&mut Stream)) {
    let origin = Origin::echo();
    let (old_front, new_front) = (address::free(), address::free());
    let old =
        Portolan::start(Listen::at("old", old_front).server("one", origin.address).to_string());
    let mut stream = client::connect(old_front);
    stream.expect_echo(b"before");
    let listen = Listen::at("new", new_front).server("one", origin.address);
    let new =
        Setup::new(listen.to_string()).argument(option).argument(old.wrapper().to_string()).start();
    client::connect(new_front).expect_echo(b"the new one");
    deadline::until("the former address is closed", || client::try_connect(old_front).is_err());
    then(&mut stream);
    drop(stream);
    old.wait_exit();
    client::connect(new_front).expect_echo(b"the new one stays");
    assert!(new.running());
}

#[test]
fn former_processes_go_on_when_the_new_ones_cannot_start() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    let old = Portolan::start(body);
    for option in ["-sf", "-st"] {
        let failure = Setup::new("[listen.x]\nbnid = \":1\"\n")
            .argument(option)
            .argument(old.wrapper().to_string())
            .try_start();
        assert!(failure.is_err());
    }
    client::connect(front).expect_echo(b"undisturbed");
    assert!(old.running());
}

#[test]
fn w_and_ws_become_the_wrapper_under_the_same_pid() {
    let origin = Origin::echo();
    for option in ["-W", "-Ws"] {
        let (body, front) = echo_body(&origin);
        let portolan = Setup::new(body).launcher("portolan").argument(option).start();
        client::connect(front).expect_echo(b"wrapped");
        let title = processes::process(portolan.wrapper()).expect("the process").title;
        assert!(title.contains("wrapper"), "{option}: {title}");
        portolan.signal(Signal::USR1);
        assert_eq!(portolan.wait_exit().code(), Some(0), "{option}");
    }
}

#[test]
fn ds_stays_in_the_foreground_for_a_supervisor() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    let portolan = Setup::new(body).launcher("portolan").argument("-Ds").start();
    client::connect(front).expect_echo(b"supervised");
    portolan.signal(Signal::USR2);
    deadline::until("the next generation", || {
        processes::descendants(portolan.wrapper())
            .iter()
            .filter_map(processes::worker)
            .any(|worker| worker.generation == 2)
    });
    client::connect(front).expect_echo(b"reloaded");
    portolan.signal(Signal::USR1);
    assert_eq!(portolan.wait_exit().code(), Some(0));
}

#[test]
fn the_configuration_the_project_began_with_runs() {
    // Word for word but for its address, which may be taken here.
    let origin = Origin::named("mysql");
    let port = address::free_anywhere();
    let body = format!(
        "[listen.mysql_1]\nmode = \"tcp\"\nbind = \":{port}\"\n\
         server = [{{ name = \"srv1\", address = \"{}\" }}]\n\
         timeout = {{ connect = \"1000\", client = \"5000\", server = \"5000\" }}\n",
        origin.address
    );
    let _portolan = Setup::new(body).global("maxconn", 500).start();
    assert_eq!(client::greeting(([127, 0, 0, 1], port).into()), "mysql");
}

#[test]
fn a_directory_is_read_in_order_as_one_configuration() {
    let origin = Origin::named("from a directory");
    let front = address::free();
    let setup = Setup::new("");
    let directory = setup.file("conf.d");
    fs::create_dir(&directory).expect("a directory");
    fs::write(directory.join("10-global.toml"), setup.configuration()).expect("a file");
    let listen = Listen::at("proxy", front).server("one", origin.address).to_string();
    fs::write(directory.join("20-proxy.toml"), listen).expect("a file");
    for skipped in [".hidden.toml", "30-old.toml~", "40.toml.dpkg-old", "notes.txt"] {
        fs::write(directory.join(skipped), "not = [valid").expect("a file");
    }
    let path = directory.display().to_string();
    assert!(portolan(&["-c", "-f", &path]).status.success());
    // Given twice, a section is an error that names both places.
    let listen = Listen::at("proxy", front).to_string();
    fs::write(directory.join("50-again.toml"), listen).expect("a file");
    let output = portolan(&["-c", "-f", &path]);
    assert_eq!(output.status.code(), Some(MISCONFIGURED.into()));
    assert!(err(&output).contains("20-proxy.toml") && err(&output).contains("50-again.toml"));
}

#[test]
fn variables_stand_in_strings() {
    let origin = Origin::named("by variable");
    let front = address::free();
    let listen = Listen::at("proxy", "${FRONT_IP}:${FRONT_PORT}").server("one", origin.address);
    let _portolan = Setup::new(listen.to_string())
        .variable("FRONT_IP", front.ip().to_string())
        .variable("FRONT_PORT", front.port().to_string())
        .start();
    assert_eq!(client::greeting(front), "by variable");
}

#[test]
fn a_start_under_load_refuses_nobody_once_it_listens() {
    let _turn = storm::turn();
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    // Clients that try until the address answers, then expect to be served.
    let storm = Storm::of(8, move |_, _| match client::ask(front, b"early") {
        Ok(answer) if answer == b"early" => Ok(()),
        Ok(answer) => Err(std::io::Error::other(format!("{answer:?}"))),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            deadline::pause(std::time::Duration::from_millis(1));
            Ok(())
        }
        Err(error) => Err(error),
    });
    let _portolan = Portolan::start(body);
    storm.wait_more(200);
    storm.end_without_errors();
}

#[test]
fn an_ordinary_user_can_run_it() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    let setup = Setup::new(body);
    let setup = if setup::root() { setup.user(setup::NOBODY) } else { setup };
    let portolan = setup.start();
    client::connect(front).expect_echo(b"no root needed");
    portolan.reload();
    client::connect(front).expect_echo(b"nor for a reload");
}

#[test]
fn options_of_the_command_line_override_the_configuration() {
    let (origin, gate) = Origin::gated();
    let front = address::free();
    let listen = Listen::at("proxy", front).line("backlog = 100").server("one", origin.address);
    let portolan =
        Setup::new(listen.to_string()).global("maxconn", 1000).argument("-n").argument("3").start();
    let streams: Vec<Stream> = (0..10).map(|_| client::connect(front)).collect();
    origin.wait_open(3);
    deadline::pause(std::time::Duration::from_millis(200));
    assert_eq!(origin.peak(), 3);
    gate.open(u64::MAX);
    // All at once: who is let in next depends on where the kernel put whom, and leaves only then.
    let read = |mut stream: Stream| std::thread::spawn(move || stream.rest());
    let readers: Vec<_> = streams.into_iter().map(read).collect();
    for reader in readers {
        assert_eq!(reader.join().expect("a reader").expect("its turn"), b"done");
    }
    assert!(portolan.running());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_a_failed_start() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    let setup = Setup::new(body).argument("-p").argument("/no/such/directory/portolan.pid");
    let failure = setup.try_start().expect_err("no place for a pid file");
    assert_eq!(failure.status.and_then(|status| status.code()), Some(1), "{failure}");
    assert!(failure.errors.contains("/no/such/directory"), "{failure}");
    assert!(client::try_connect(front).is_err());
}

#[test]
fn former_processes_that_are_gone_already_do_not_matter() {
    let origin = Origin::echo();
    let (body, front) = echo_body(&origin);
    // Above the kernel's largest pid.
    let _portolan = Setup::new(body).argument("-sf").argument("4999999").start();
    client::connect(front).expect_echo(b"nobody to take over from");
}

#[test]
fn warnings_are_always_printed_and_errors_where_that_is_asked() {
    // A proxy without timeouts works, and waits for peers that have vanished.
    let text = "[listen.x]\nmode = \"tcp\"\nbind = \"127.0.0.1:65000\"\n\
                server = [{ name = \"a\", address = \"127.0.0.1:1\" }]\n";
    let (_directory, path) = file(text);
    for flags in [&["-c"][..], &["-c", "-V"]] {
        let output = portolan(&[flags, &["-f", &path]].concat());
        assert!(output.status.success(), "{output:?}");
        let text = err(&output);
        assert!(
            text.contains("warning") && text.contains("timeout") && text.contains(&path),
            "{text}"
        );
    }
    let output = portolan(&["-c", "-dW", "-f", &path]);
    assert_eq!(output.status.code(), Some(MISCONFIGURED.into()), "{output:?}");
}
