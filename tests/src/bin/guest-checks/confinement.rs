//! The layers of each process's sandbox, as the kernel attests them.

use portolan_tests::processes;

use super::Check;
use super::journal::Mark;
use super::system;
use super::world::World;

pub const CHECKS: &[Check] = &[
    ("every process is confined as its role is", layers),
    ("show sandbox tells of every process", show_sandbox),
];

fn status(pid: i32, name: &str) -> String {
    processes::status(pid, name).unwrap_or_else(|| panic!("{name} of {pid}"))
}

fn layers(world: &mut World) {
    world.under_load();
    let own = system::workers_user().to_string();
    let none = "0000000000000000";
    for one in system::service_processes() {
        let of = |name: &str| status(one.pid, name);
        let title = &one.title;
        println!(
            "{title}: Uid {} CapEff {} CapBnd {} NoNewPrivs {} Seccomp {} ({})",
            of("Uid"),
            of("CapEff"),
            of("CapBnd"),
            of("NoNewPrivs"),
            of("Seccomp"),
            of("Seccomp_filters"),
        );
        assert_eq!(of("NoNewPrivs"), "1", "{title}");
        assert_eq!(of("Seccomp"), "2", "{title}");
        let unprivileged =
            ["worker", "checker"].iter().any(|role| title.contains(&format!("portolan: {role}")));
        if unprivileged {
            assert!(of("Uid").split_whitespace().all(|uid| uid == own), "{title}: {}", of("Uid"));
            assert!(of("Gid").split_whitespace().all(|gid| gid != "0"), "{title}: {}", of("Gid"));
            assert_eq!(of("Groups"), "", "{title}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(of(set), none, "{title}: {set}");
            }
        } else {
            assert_ne!(of("CapBnd"), "000001ffffffffff", "{title}");
        }
    }
    // One filter of the unit's lines, and one of its own at least.
    for worker in system::workers() {
        let filters: u32 = status(worker, "Seccomp_filters").parse().expect("a number");
        assert!(filters >= 2, "{filters}");
    }
}

fn show_sandbox(world: &mut World) {
    world.serving();
    let text = system::ask("show sandbox").expect("an answer");
    println!("{text}");
    for role in ["wrapper", "master", "worker", "checker"] {
        assert!(text.contains(role), "{role}");
    }
    let pids: Vec<String> = system::workers().into_iter().map(|pid| pid.to_string()).collect();
    assert!(pids.iter().all(|pid| text.contains(pid)), "{pids:?}");
    let refused = Mark::beginning().count("has refused");
    assert_eq!(refused, 0, "the sandbox has refused something");
}
