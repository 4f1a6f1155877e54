// scratch: one frontend, servers from argv; N workers
use portolan_shared::channel::Channel;
use portolan_shared::memory::{Memory, Registry};
use portolan_shared::message::*;
use portolan_shared::model::*;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let exe = std::fs::File::open(&a[1]).unwrap();
    let n: u16 = a[2].parse().unwrap();
    let listen: SocketAddr = a[3].parse().unwrap();
    let servers: Vec<SocketAddr> = a[4].split(',').map(|s| s.parse().unwrap()).collect();
    let maxconn: Option<u32> = a.get(5).and_then(|s| s.parse().ok());
    let splice = a.get(6).is_some_and(|s| s == "splice");
    let frontends: usize = a.get(7).map_or(1, |s| s.parse().unwrap());
    let t = Some(Duration::from_secs(30));
    let timeouts = Timeouts { connect: t, client: t, server: t, ..Default::default() };
    let sp = SpliceOptions { auto: splice, ..Default::default() };
    let mut config = Config {
        process: Process {
            workers: n,
            user: None,
            group: None,
            groups: vec![],
            chroot: None,
            maxconn: Some(std::env::var("MAXCONN").map_or(7000, |m| m.parse().unwrap())),
            descriptor_limit: None,
            core_dumps: false,
            hard_stop_after: None,
            grace: Duration::ZERO,
            heartbeat_timeout: Duration::from_secs(2),
            start_timeout: Duration::from_secs(30),
            control_socket: None,
            pidfile: None,
            node: None,
            description: None,
            log_hostname: None,
            log_tag: "portolan".into(),
            listener_sockets_max: 1000,
        },
        tune: Tune {
            disabled_pollers: std::env::var("OFF")
                .map(|s| s.split(',').map(String::from).collect())
                .unwrap_or_default(),
            ..Tune::default()
        },
        logs: vec![],
        frontends: (0..frontends)
            .map(|i| Frontend {
                name: format!("f{i}"),
                object: 0,
                mode: Mode::Tcp,
                binds: vec![Bind {
                    name: String::new(),
                    id: i as u32,
                    written: listen.to_string(),
                    address: BindAddress::Tcp(SocketAddr::new(
                        listen.ip(),
                        listen.port() + i as u16,
                    )),
                    options: BindOptions::default(),
                    maxconn: None,
                    object: 0,
                    accept_proxy: None,
                    nice: 0,
                }],
                maxconn: None,
                default_backend: Some(i as u32),
                timeouts,
                keepalive: Keepalive::default(),
                nolinger: false,
                splice: sp,
                log_options: LogOptions { tcplog: true, ..Default::default() },
                logs: vec![LogTarget {
                    endpoint: LogEndpoint::Udp("127.0.0.1:9514".parse().unwrap()),
                    format: LogFormat::Rfc3164,
                    facility: Facility::Local0,
                    level_max: LogLevel::Debug,
                    level_min: LogLevel::Emerg,
                    length_max: 1024,
                }],
                log_tag: None,
            })
            .collect(),
        backends: (0..frontends)
            .map(|i| Backend {
                name: format!("b{i}"),
                object: 0,
                mode: Mode::Tcp,
                balance: Balance::RoundRobin,
                timeouts,
                retries: 3,
                redispatch: Redispatch::Off,
                keepalive: Keepalive::default(),
                nolinger: false,
                splice: sp,
                source: None,
                servers: servers
                    .iter()
                    .enumerate()
                    .map(|(i, s)| Server {
                        name: format!("s{i}"),
                        object: 0,
                        address: ServerAddress::Tcp(*s),
                        weight: 1,
                        maxconn,
                        maxqueue: None,
                        send_proxy: None,
                        source: None,
                        user_timeout: None,
                        mss: None,
                        fastopen: false,
                    })
                    .collect(),
            })
            .collect(),
    };
    let mut memory = Memory::create().unwrap();
    let mut registry = Registry::default();
    let assigned = registry.assign(&mut config, 1, None);
    memory.prepare(&assigned).unwrap();
    let bells: Vec<OwnedFd> = (0..n)
        .map(|_| {
            rustix::event::eventfd(
                0,
                rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC,
            )
            .unwrap()
        })
        .collect();
    let mut socks: Vec<(ListenerEntry, TcpListener)> = vec![];
    for f in &config.frontends {
        let BindAddress::Tcp(at) = f.binds[0].address else { panic!() };
        for slot in 0..n {
            let s =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            s.set_reuse_address(true).unwrap();
            s.set_reuse_port(true).unwrap();
            s.set_tcp_nodelay(true).unwrap();
            s.set_nonblocking(true).unwrap();
            s.bind(&at.into()).unwrap();
            s.listen(4096).unwrap();
            socks.push((ListenerEntry { bind: f.binds[0].id, slot: Some(slot) }, s.into()));
        }
    }
    let mut all = vec![];
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect("127.0.0.1:9514").unwrap();
    udp.set_nonblocking(true).unwrap();
    for slot in 0..n {
        let lane = memory.claim_lane(std::process::id() as i32).unwrap();
        let (mut ours, theirs) = Channel::pair().unwrap();
        let theirs: OwnedFd = theirs.into();
        let argv = [
            c"portolan: worker 1/1 gen 1                                         ".to_owned(),
            c"--role".to_owned(),
            c"worker".to_owned(),
        ];
        let argv: Vec<std::ffi::CString> = if let Ok(vg) = std::env::var("VG") {
            [
                "valgrind",
                "--tool=callgrind",
                &format!("--callgrind-out-file={vg}"),
                "--dump-instr=no",
                &a[1],
                "--role",
                "worker",
            ]
            .iter()
            .map(|s| std::ffi::CString::new(*s).unwrap())
            .collect()
        } else {
            argv.to_vec()
        };
        let exe = if std::env::var("VG").is_ok() {
            std::fs::File::open("/usr/bin/valgrind.bin").unwrap()
        } else {
            exe.try_clone().unwrap()
        };
        let child = portolan_shared::sys::spawn::spawn(&portolan_shared::sys::spawn::Spawn {
            exe: exe.as_fd(),
            argv: &argv,
            env: &[c"PATH=/usr/bin:/bin".to_owned()],
            map: &[(theirs.as_fd(), 3)],
            null_stdin: true,
        })
        .unwrap();
        memory.set_owner(lane, child.pid.as_raw());
        eprintln!("worker {}", child.pid);
        let mut send = |m: ToWorker, f: &[std::os::fd::BorrowedFd<'_>]| {
            ours.send(&m, f).unwrap();
            while ours.wants_write() {
                ours.flush().unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        send(
            ToWorker::Hello(Hello {
                role: Role::Worker,
                slot,
                slots: n,
                generation: 1,
                lane,
                master_pid: 1,
                debug: false,
            }),
            &[],
        );
        for (k, f) in memory.descriptors() {
            send(ToWorker::Memory(k), &[f]);
        }
        for (i, b) in bells.iter().enumerate() {
            send(ToWorker::Doorbell { lane: i as u16 }, &[b.as_fd()]);
        }
        send(ToWorker::LogSocket { endpoint: 0 }, &[udp.as_fd()]);
        for c in socks.chunks(60) {
            send(
                ToWorker::Listeners(c.iter().map(|x| x.0).collect()),
                &c.iter().map(|x| x.1.as_fd()).collect::<Vec<_>>(),
            );
        }
        let bytes = postcard::to_stdvec(&config).unwrap();
        for c in bytes.chunks(PIECE_MAX) {
            send(ToWorker::Piece(c.to_vec()), &[]);
        }
        send(ToWorker::Done { length: bytes.len() as u32 }, &[]);
        loop {
            match ours.receive_within::<ToMaster>(Duration::from_secs(60)).unwrap().message {
                ToMaster::Ready => break,
                m => eprintln!("{m:?}"),
            }
        }
        all.push((ours, child));
    }
    eprintln!("ready");
    loop {
        std::thread::sleep(Duration::from_millis(100));
        for (c, _) in &mut all {
            while let Ok(Some(m)) = c.receive::<ToMaster>() {
                eprintln!("{:?}", m.message);
            }
        }
    }
}
