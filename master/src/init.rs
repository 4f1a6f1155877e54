//! `portolan init`: a configuration to begin with, written from what the command line says.
//!
//! Shell at its edge ([`run`] writes one file), core inside.
//!
//! - It asks nothing, and never writes over a file.
//! - What it writes was read by the configuration's reader before.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use portolan_shared::model::Mode;

use crate::config::{self, Input, Sources, Text, is_address};

/// Where the package puts the schema, for editors.
const SCHEMA: &str = "/usr/share/portolan/portolan.schema.json";
/// The file's name where only its directory is given.
const NAME: &str = "portolan.toml";
/// Where clients come to, unless it is said.
const LISTEN: &str = ":8080";
/// Where they are sent, unless it is said.
const SERVER: &str = "127.0.0.1:3000";
/// Users that have no files, the first that exists is taken.
const USERS: [&str; 2] = ["portolan", "nobody"];

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// A file, or the directory for it; `None`: the working directory.
    pub target: Option<PathBuf>,
    /// `--listen`.
    pub listen: Vec<String>,
    /// `--server`.
    pub servers: Vec<String>,
    /// `--mode`.
    pub mode: Option<Mode>,
    /// `--part`.
    pub part: bool,
    /// `--print`.
    pub print: bool,
}

/// Writes or prints it; what to do next, for standard output.
pub fn run(init: &Init) -> Result<String, String> {
    for (option, addresses) in [("--listen", &init.listen), ("--server", &init.servers)] {
        for address in addresses {
            is_address(address, option == "--server")
                .map_err(|error| format!("{option} {address}: {error}"))?;
        }
    }
    let file = file(init);
    let part = init.part || is_beside(&file);
    let user = Uid::effective().is_root().then(user).flatten();
    let text = text(init, &file, part, user.as_deref());
    // Without its frame a part is read in one that has nothing to say.
    let input = Input::Text(Text { path: file.clone(), text: text.clone() });
    config::read(&Sources { inputs: vec![input], ..Sources::default() })
        .map_err(|found| config::render(&found, false).trim_end().to_owned())?;
    if init.print {
        return Ok(text);
    }
    write(&file, &text)?;
    Ok(next(init, &file, part))
}

fn file(init: &Init) -> PathBuf {
    match &init.target {
        None => NAME.into(),
        Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            path.join(NAME)
        }
        Some(path) => path.clone(),
    }
}

/// Whether the file is one of several, beside the one that has the common sections.
fn is_beside(file: &Path) -> bool {
    let directory = file.parent().and_then(Path::file_name);
    directory.is_some_and(|name| name == "conf.d")
}

fn user() -> Option<String> {
    let exists = |name: &&str| matches!(User::from_name(name), Ok(Some(_)));
    USERS.into_iter().find(exists).map(str::to_owned)
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    let shown = file.display();
    let mut created = File::create_new(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            format!("{shown} is there already and is left alone: name another file, or --print")
        }
        ErrorKind::NotFound => {
            let directory = file.parent().unwrap_or(Path::new("/")).display();
            format!("cannot write {shown}: there is no directory {directory}")
        }
        _ => format!("cannot write {shown}: {error}"),
    })?;
    created.write_all(text.as_bytes()).map_err(|error| format!("cannot write {shown}: {error}"))
}

/// The configuration.
fn text(init: &Init, file: &Path, part: bool, user: Option<&str>) -> String {
    let mode = init.mode.unwrap_or(Mode::Http);
    let mut text = format!("#:schema {SCHEMA}\n\n");
    if part {
        text.push_str(
            "# A frontend and a backend; [global] and [defaults] are in the configuration beside this directory.\n",
        );
    } else {
        let _ = write!(text, "{}", head(file, user));
        text.push_str(match mode {
            Mode::Http => DEFAULTS_HTTP,
            Mode::Tcp => DEFAULTS_TCP,
        });
    }
    let name = match mode {
        Mode::Http => "web",
        Mode::Tcp => "tcp",
    };
    let listen = strings(&init.listen, LISTEN);
    let _ = write!(text, "\n[frontend.{name}]\n");
    if part {
        let _ = writeln!(text, "{}", if mode == Mode::Http { PART_HTTP } else { PART_TCP });
    }
    let _ = writeln!(text, "bind = {listen:<41} # \":80\" is port 80 of every IPv4 address");
    if mode == Mode::Http {
        text.push_str(FRONT_HTTP);
    }
    let _ = write!(text, "default_backend = \"app\"\n\n[backend.app]\n");
    if part {
        let _ = writeln!(text, "mode = \"{}\"", if mode == Mode::Http { "http" } else { "tcp" });
    }
    text.push_str(BACKEND);
    if mode == Mode::Http {
        text.push_str(CHECK_HTTP);
    }
    text.push_str("server_defaults = { check = true }\nserver = [\n");
    let by_itself = [SERVER.to_owned()];
    let servers = if init.servers.is_empty() { &by_itself } else { &init.servers[..] };
    for (number, address) in (1..).zip(servers) {
        let _ = writeln!(text, "  {{ name = \"app{number}\", address = {address:?} }},");
    }
    text.push_str("]\n");
    text
}

fn head(file: &Path, user: Option<&str>) -> String {
    let user = match user {
        Some(user) => {
            format!("user = {user:<41} # workers become this user\n", user = format!("{user:?}"))
        }
        None => String::new(),
    };
    format!(
        "# Written by `portolan init`. Every key is in portolan.toml(5).
#
#   portolan -c -V -f {file}          check it
#   portolan -f {file}                start it, -D in the background
#   portolan reload -f {file}         take a change, at once and without losing anybody
#   portolan show proc -f {file}      look at it

[global]
{user}control_socket = \"portolan.sock\"                 # beside this file, for the last two of these
log = \"stdout\"                                   # \"/dev/log local0 info\" for a service
# maxconn = 20000                                # over all workers together
# workers = 4                                    # else one per core
",
        file = file.display(),
    )
}

const DEFAULTS_HTTP: &str = "
[defaults]
mode = \"http\"
log = \"global\"
httplog = true                                   # one line for each request
timeout = { connect = \"5s\", client = \"50s\", server = \"50s\", http_request = \"10s\", http_keep_alive = \"10s\", queue = \"30s\" }
";
const DEFAULTS_TCP: &str = "
[defaults]
mode = \"tcp\"
log = \"global\"
tcplog = true                                    # one line for each connection
timeout = { connect = \"5s\", client = \"1h\", server = \"1h\", queue = \"30s\" } # how long either side may be silent
";
const PART_HTTP: &str = "mode = \"http\"";
const PART_TCP: &str = "mode = \"tcp\"\ntcplog = true";
const FRONT_HTTP: &str = "\
forwardfor = true                                # servers are told the client's address, X-Forwarded-For
# routes = [{ path = \"/static\", backend = \"files\" }, { host = \"old.example.com\", redirect = { prefix = \"http://www.example.com\" } }]
";
const BACKEND: &str = "\
balance = \"leastconn\"                            # the fewest at work, over all workers together
redispatch = true                                # the last retry goes to another server
";
const CHECK_HTTP: &str = "\
# check = { type = \"http\", send = \"GET /health\" } # alive is who answers 200 to 399; else whoever accepts a connection
";

/// One string, or a list of them.
fn strings(some: &[String], by_itself: &str) -> String {
    match some {
        [] => format!("{by_itself:?}"),
        [one] => format!("{one:?}"),
        all => format!("{all:?}"),
    }
}

/// What to do with it.
fn next(init: &Init, file: &Path, part: bool) -> String {
    let shown = file.display();
    let mut text = format!("{shown} is written. Next:\n\n");
    let mut line = |command: String, what: &str| {
        let _ = writeln!(text, "  {command:<50} # {what}");
    };
    if part {
        let directory = file.parent().unwrap_or(Path::new(".")).display();
        let whole = file.parent().and_then(Path::parent).unwrap_or(Path::new(".."));
        let whole = whole.join(NAME);
        let whole = whole.display();
        line(format!("portolan -c -V -f {whole} -f {directory}"), "check it");
        line("systemctl reload portolan".to_owned(), "take it");
    } else {
        line(format!("portolan -c -V -f {shown}"), "check it");
        line(format!("portolan -f {shown}"), "start it; Ctrl-C ends it");
    }
    if init.mode != Some(Mode::Tcp)
        && let Some(url) = url(init.listen.first().map_or(LISTEN, String::as_str))
    {
        line(format!("curl {url}"), "try it");
    }
    text
}

/// What a browser on this machine asks for.
fn url(listen: &str) -> Option<String> {
    let (host, port) = listen.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let host = match host {
        "" | "*" | "0.0.0.0" => "127.0.0.1",
        "::" | "[::]" => "[::1]",
        host => host,
    };
    Some(format!("http://{host}:{port}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(listen: &[&str], servers: &[&str]) -> Init {
        let owned = |some: &[&str]| some.iter().map(|one| (*one).to_owned()).collect();
        Init { listen: owned(listen), servers: owned(servers), print: true, ..Init::default() }
    }

    /// What is said beside a part.
    const FRAME: &str = "[global]\nlog = 'stdout'\n[defaults]\nmode = 'http'\nlog = 'global'\n\
        httplog = true\ntimeout = { connect = 1, client = 1, server = 1, http_request = 1 }\n";

    fn loaded(texts: &[&str]) -> config::Loaded {
        let text = |(at, text): (usize, &&str)| {
            Input::Text(Text { path: format!("{at}.toml").into(), text: (*text).to_owned() })
        };
        let inputs = texts.iter().enumerate().map(text).collect();
        config::read(&Sources { inputs, ..Sources::default() }).unwrap()
    }

    #[test]
    fn what_is_written_is_valid_without_a_warning_in_either_mode() {
        for mode in [None, Some(Mode::Http), Some(Mode::Tcp)] {
            for part in [false, true] {
                for listen in [&[][..], &["127.0.0.1:80"], &[":80", ":::80", "/run/x.sock"]] {
                    let servers = &["10.0.0.1:80", "[::1]:81", "/run/app \"x\".sock"];
                    for servers in [&[][..], servers] {
                        let init = Init { mode, part, ..init(listen, servers) };
                        let text = text(&init, Path::new("a/x.toml"), part, None);
                        let texts = [if part { FRAME } else { "" }, &text];
                        let loaded = loaded(&texts);
                        let warnings: Vec<_> =
                            loaded.warnings.iter().map(ToString::to_string).collect();
                        assert!(warnings.is_empty(), "{warnings:?}\n{text}");
                        assert_eq!(loaded.config.frontends[0].binds.len(), listen.len().max(1));
                        assert_eq!(loaded.config.backends[0].servers.len(), servers.len().max(1));
                    }
                }
            }
        }
    }

    #[test]
    fn a_user_is_named_only_to_who_can_become_it() {
        let named = text(&init(&[], &[]), Path::new("x.toml"), false, Some("nobody"));
        assert!(named.contains("\nuser = \"nobody\" "), "{named}");
        let text = text(&init(&[], &[]), Path::new("x.toml"), false, None);
        assert!(!text.contains("\nuser"), "{text}");
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_its_option() {
        let cases = [
            (init(&["80"], &[]), "--listen 80: a port is written \":80\""),
            (init(&[":x"], &[]), "--listen :x: `x` is no port: 1 to 65535"),
            (init(&[], &["app"]), "--server app: `app` needs a port, as in \"10.0.0.1:8080\""),
            (init(&[], &["a b:1"]), "--server a b:1: `a b` is neither an address nor a host name"),
            (init(&[], &[":80"]), "--server :80: a server needs an address: the wildcard is none"),
            (init(&[], &["fd@3"]), "--server fd@3: a server is reached by an address"),
        ];
        for (init, refusal) in cases {
            assert_eq!(run(&init).unwrap_err(), refusal);
        }
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let target = Some(directory.path().to_path_buf());
        let init = Init { target, print: false, ..init(&[], &[]) };
        assert!(run(&init).unwrap().contains("portolan.toml is written"));
        let file = directory.path().join(NAME);
        let before = std::fs::read_to_string(&file).unwrap();
        assert!(run(&init).unwrap_err().contains("is there already and is left alone"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    }

    #[test]
    fn beside_a_configuration_only_a_part_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let parts = directory.path().join("conf.d");
        std::fs::create_dir(&parts).unwrap();
        let target = parts.join("site.toml");
        let said = run(&Init { target: Some(target.clone()), ..Init::default() }).unwrap();
        assert!(said.contains("systemctl reload portolan"), "{said}");
        let written = std::fs::read_to_string(target).unwrap();
        let has = |section| written.lines().any(|line| line == section);
        assert!(has("[frontend.web]") && !has("[global]") && !has("[defaults]"), "{written}");
    }

    #[test]
    fn a_browser_on_this_machine_is_told_where_to_go() {
        let cases = [
            (":8080", Some("http://127.0.0.1:8080/")),
            (":::80", Some("http://[::1]:80/")),
            ("192.0.2.1:80", Some("http://192.0.2.1:80/")),
            ("/run/x.sock", None),
            (":8000-8010", None),
        ];
        for (listen, expected) in cases {
            assert_eq!(url(listen).as_deref(), expected, "{listen}");
        }
    }
}
