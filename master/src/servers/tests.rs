use std::time::Duration;

use portolan_shared::check_result::CheckResult;
use portolan_shared::memory::{AdminState, Operational, Verdict};
use portolan_shared::model::{
    Agent, Backend, Balance, Config, Mode, Probe, Process, Server, ServerAddress, Tune,
};

use super::{Servers, Tally};
use crate::control::Order;
use crate::control::Weight;
use crate::shared_memory::SharedMemory;
use crate::show_servers::{connections, states};

const NOW: u64 = 1_000_000;

/// A configuration with its places in memory.
struct World {
    config: Config,
    memory: SharedMemory,
}

fn server(name: &str, port: u16) -> Server {
    let address = ServerAddress::Tcp(([127, 0, 0, 1], port).into());
    Server { id: u32::from(port), weight: 5, ..Server::new(name, address) }
}

fn checked(name: &str, port: u16) -> Server {
    let mut server = server(name, port);
    server.health.check = Some(Probe::default());
    server
}

impl World {
    /// `app` with a checked server, two of one name and one in maintenance, and `other`, of which one
    /// tracks the first and another has an agent.
    fn new() -> Self {
        let mut app = Backend::new("app", Mode::Tcp);
        app.balance = Balance::RoundRobin;
        let disabled = Server { disabled: true, ..checked("d", 4) };
        app.servers = vec![checked("a", 1), server("b", 2), server("b", 3), disabled];
        let mut other = Backend::new("other", Mode::Tcp);
        other.balance = Balance::StaticRoundRobin;
        let mut tracker = server("t", 1);
        tracker.health.track = Some((0, 0));
        let mut asked = server("g", 2);
        asked.health.agent =
            Some(Agent { address: None, port: 9, inter: Duration::from_secs(2), send: Vec::new() });
        other.servers = vec![tracker, asked];
        let mut config = Config {
            process: Process::default(),
            tune: Tune::default(),
            logs: Vec::new(),
            frontends: Vec::new(),
            backends: vec![app, other],
            userlists: Vec::new(),
            error_pages: Vec::new(),
        };
        let mut memory = SharedMemory::create().expect("memory");
        memory.assign(&mut config, 1).expect("places");
        Self { config, memory }
    }

    fn servers(&self) -> Servers<'_> {
        Servers { config: &self.config, memory: self.memory.memory(), now_ms: NOW }
    }

    fn store(&self, target: &str, order: Order) -> Result<(), &'static str> {
        let servers = self.servers();
        servers.store(servers.find(target).expect("a server"), order)
    }

    fn weight(&self, target: &str) -> u16 {
        let servers = self.servers();
        servers.standing(servers.find(target).expect("a server")).user_weight
    }

    fn judge(&self, target: &str, operational: Operational) {
        let servers = self.servers();
        let server = servers.at(servers.find(target).expect("a server")).1;
        let verdict =
            Verdict { operational, health: 0, result: CheckResult::L4Con, code: 0, duration_ms: 1 };
        servers.memory.store_verdict(server.object, verdict, NOW - 7000, server.fingerprint);
    }

    /// The row of a server as columns.
    fn row(&self, target: &str) -> Vec<String> {
        let (backend, name) = target.split_once('/').expect("a target");
        let text = states(&self.servers(), Some(backend), 77).expect("a backend");
        let rows = text.lines().skip(2).map(|line| line.split(' ').map(str::to_owned).collect());
        let mut rows = rows.filter(|row: &Vec<String>| row[3] == name);
        rows.next().expect("a row")
    }
}

#[test]
fn a_server_is_found_by_names_numbers_and_the_count_of_its_name() {
    let world = World::new();
    let servers = world.servers();
    let port = |target: &str| servers.find(target).map(|at| servers.at(at).1.id);
    assert_eq!((port("app/a"), port("app/b"), port("app/b#2")), (Ok(1), Ok(2), Ok(3)));
    assert_eq!((port("#1/#4"), port("#2/g"), port("other/#1")), (Ok(4), Ok(2), Ok(1)));
    assert_eq!(port("app"), Err("Require 'backend/server'."));
    assert_eq!((port("x/a"), port("#3/a")), (Err("No such backend."), Err("No such backend.")));
    assert_eq!((port("app/x"), port("app/b#3")), (Err("No such server."), Err("No such server.")));
    for target in ["app/a", "app/b", "app/b#2"] {
        assert_eq!(servers.full_name(servers.find(target).expect("a server")), target);
    }
}

#[test]
fn a_weight_holds_until_the_configuration_says_another() {
    let mut world = World::new();
    world.store("app/a", Order::Weight(Weight::Percent(50))).expect("a weight");
    assert_eq!((world.weight("app/a"), world.weight("app/b")), (2, 5));
    world.config.backends[0].servers[0].weight = 8;
    assert_eq!(world.weight("app/a"), 8);
}

#[test]
fn a_static_balance_takes_no_weight_but_none_and_all() {
    let world = World::new();
    let set = |weight| world.store("other/g", Order::Weight(weight));
    assert!(set(Weight::Absolute(3)).is_err_and(|text| text.contains("static LB algorithm")));
    assert!(set(Weight::Percent(50)).is_err());
    assert_eq!((set(Weight::Absolute(0)), world.weight("other/g")), (Ok(()), 0));
    assert_eq!((set(Weight::Percent(100)), world.weight("other/g")), (Ok(()), 5));
}

#[test]
fn maintenance_and_drain_reach_who_tracks_and_leave_their_line() {
    let world = World::new();
    let servers = world.servers();
    let (a, t) = (servers.find("app/a").expect("a"), servers.find("other/t").expect("t"));
    assert_eq!(servers.trackers(a), [t]);
    let change = |state| {
        let before = [servers.standing(a), servers.standing(t)];
        servers.store(a, Order::State(state)).expect("a state");
        let lines = servers.lines(a, &before[0]).into_iter().chain(servers.lines(t, &before[1]));
        lines.map(|(_, line)| line).collect::<Vec<_>>()
    };
    let left = "backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.";
    let online = "backup servers online. 0 sessions requeued, 0 total in queue.";
    assert_eq!(
        change(AdminState::Drain),
        [
            format!("Server app/a enters drain state. 2 active and 0 {online}"),
            format!("Server other/t enters drain state via app/a. 1 active and 0 {online}"),
        ]
    );
    assert_eq!(
        change(AdminState::Maint),
        [
            format!("Server app/a is going DOWN for maintenance. 2 active and 0 {left}"),
            format!(
                "Server other/t is going DOWN for maintenance via app/a. 1 active and 0 {left}"
            ),
        ]
    );
    assert_eq!(change(AdminState::Maint), Vec::<String>::new());
    assert_eq!(
        change(AdminState::Ready),
        [
            "Server app/a is UP/READY (leaving forced maintenance).",
            "Server other/t is UP/READY (leaving forced maintenance)."
        ]
    );
}

/// The words, and after which of them it comes, are those of HAProxy 2.6 to the same commands.
#[test]
fn the_last_server_that_goes_is_an_emergency_by_maintenance_or_drain() {
    for state in [AdminState::Maint, AdminState::Drain] {
        let world = World::new();
        let servers = world.servers();
        let change = |target, state| {
            let at = servers.find(target).expect("a server");
            let before = servers.standing(at);
            servers.store(at, Order::State(state)).expect("a state");
            servers.lines(at, &before)
        };
        let lines: Vec<_> =
            ["app/a", "app/b", "app/b#2"].map(|target| change(target, state)).concat();
        let (level, line) = lines.last().expect("lines");
        assert_eq!(line, "backend app has no server available!");
        assert_eq!(*level, portolan_shared::model::LogLevel::Emerg);
        assert_eq!(lines.len(), 4);
        assert!(change("app/b", AdminState::Maint).len() < 2, "there was none left before");
    }
}

#[test]
fn who_leaves_maintenance_is_judged_anew() {
    let world = World::new();
    world.judge("app/a", Operational::Down);
    assert_eq!(world.row("app/a")[5], "0");
    world.store("app/a", Order::State(AdminState::Ready)).expect("a state");
    assert_eq!(world.row("app/a")[5], "0", "it was not in maintenance");
    world.store("app/a", Order::State(AdminState::Maint)).expect("a state");
    world.store("app/a", Order::State(AdminState::Ready)).expect("a state");
    assert_eq!(world.row("app/a")[5], "2");
    assert_eq!(world.row("app/d")[5..7], ["0", "5"]);
    world.store("app/d", Order::State(AdminState::Ready)).expect("a state");
    assert_eq!(world.row("app/d")[5..7], ["2", "4"], "the configuration says so still");
}

#[test]
fn checks_and_agents_are_switched_where_there_are_any() {
    let world = World::new();
    world.judge("app/a", Operational::Down);
    world.store("app/a", Order::Checks(false)).expect("checks");
    assert_eq!(world.row("app/a")[5], "2");
    world.judge("app/a", Operational::Down);
    assert_eq!(world.row("app/a")[5], "0", "the operator says so");
    world.store("app/a", Order::Checks(true)).expect("checks");
    assert_eq!(world.row("app/a")[5], "0");
    assert!(world.store("app/b", Order::Checks(true)).is_err());
    assert_eq!(world.store("app/b", Order::Checks(false)), Ok(()));
    assert!(world.store("app/b", Order::Agent(true)).is_err());
    assert_eq!(world.store("other/g", Order::Agent(false)), Ok(()));
    assert_eq!(world.row("other/g")[14], "18");
}

#[test]
fn servers_are_shown_in_the_columns_of_haproxy() {
    let world = World::new();
    world.judge("app/a", Operational::Down);
    let text = states(&world.servers(), None, 77).expect("all");
    insta::assert_snapshot!(text, @r"
    1
    # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port
    1 app 1 a 127.0.0.1 0 0 5 5 7 8 2 0 6 0 0 0 - 1 - 0 0 - - 0
    1 app 2 b 127.0.0.1 2 0 5 5 77 1 0 0 0 0 0 0 - 2 - 0 0 - - 0
    1 app 3 b#2 127.0.0.1 2 0 5 5 77 1 0 0 0 0 0 0 - 3 - 0 0 - - 0
    1 app 4 d 127.0.0.1 0 5 5 5 77 1 0 2 14 0 0 0 - 4 - 0 0 - - 0
    2 other 1 t 127.0.0.1 0 0 5 5 77 1 0 0 0 0 0 0 - 1 - 0 0 - - 0
    2 other 2 g 127.0.0.1 2 0 5 5 77 1 0 0 0 22 0 0 - 2 - 0 0 - - 9
    ");
    let text = connections(&world.servers(), Some("app")).expect("a backend");
    insta::assert_snapshot!(text, @r"
    # bkname/svname bkid/svid addr port - purge_delay served used_cur used_max need_est idle_sess unsafe_nb safe_nb idle_lim idle_cur
    app/a 1/1 127.0.0.1 1 - 5000 0 0 - - - - - -1 -
    app/b 1/2 127.0.0.1 2 - 5000 0 0 - - - - - -1 -
    app/b#2 1/3 127.0.0.1 3 - 5000 0 0 - - - - - -1 -
    app/d 1/4 127.0.0.1 4 - 5000 0 0 - - - - - -1 -
    ");
    assert_eq!(states(&world.servers(), Some("x"), 0), Err("Can't find backend."));
}

#[test]
fn who_is_down_and_who_in_maintenance_is_counted_anew_where_a_version_moved() {
    let world = World::new();
    let servers = world.servers();
    let mut tally = Tally::default();
    tally.count(&servers);
    assert_eq!((tally.down(), tally.maint()), (0, 1));
    world.judge("app/a", Operational::Down);
    tally.count(&servers);
    assert_eq!(tally.down(), 0, "nobody has said so");
    let a = servers.find("app/a").expect("a server");
    let mut changed = servers.trackers(a);
    changed.push(a);
    servers.bump(&changed);
    tally.count(&servers);
    assert_eq!((tally.down(), tally.maint()), (2, 1));
}
