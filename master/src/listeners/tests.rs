//! What the table of listeners promises, over real sockets on free ports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use portolan_shared::model::{BindAddress, Config};
use rustix::net::sockopt;

use super::{How, Passed, Prepared, Table, Why};
use crate::sample;

/// A free port on an address that no other test uses.
fn free() -> String {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("its address").to_string()
}

fn prepare(table: &mut Table, config: &Config, slots: u16) -> Prepared {
    let passed = Passed::default();
    let how = How { slots, sockets_max: 1000, successor: false, passed: &passed };
    table.prepare(config, &how).expect("everything is free")
}

fn refused(table: &mut Table, config: &Config) -> Vec<Why> {
    let passed = Passed::default();
    let how = How { slots: 2, sockets_max: 1000, successor: false, passed: &passed };
    let errors = table.prepare(config, &how).expect_err("it is taken");
    errors.into_iter().map(|error| error.why).collect()
}

fn slots(prepared: &Prepared) -> Vec<Option<u16>> {
    prepared.sockets.iter().map(|(entry, _)| entry.slot).collect()
}

fn serve(table: &mut Table, config: &Config, slots: u16) -> Prepared {
    let prepared = prepare(table, config, slots);
    assert!(table.promote(&prepared, config).errors.is_empty());
    prepared
}

#[test]
fn a_tcp_address_has_one_socket_per_slot_that_all_listen() {
    let config = sample::config(&[&free()]);
    let mut table = Table::default();
    let prepared = prepare(&mut table, &config, 3);
    assert_eq!(slots(&prepared), [Some(0), Some(1), Some(2)]);
    for (_, socket) in &prepared.sockets {
        assert_eq!(sockopt::socket_acceptconn(socket), Ok(true));
        assert_eq!(sockopt::socket_reuseport(socket), Ok(true));
        assert_eq!(sockopt::tcp_nodelay(socket), Ok(true));
    }
}

#[test]
fn a_second_instance_of_the_same_user_is_refused_by_name() {
    let address = free();
    let config = sample::config(&[&address]);
    let mut first = Table::default();
    let _sockets = prepare(&mut first, &config, 2);
    let why = refused(&mut Table::default(), &config);
    assert!(matches!(&why[..], [Why::InUse { what, .. }] if *what == address), "{why:?}");
}

#[test]
fn a_successor_that_says_so_joins() {
    let config = sample::config(&[&free()]);
    let mut first = Table::default();
    let _sockets = prepare(&mut first, &config, 2);
    let passed = Passed::default();
    let how = How { slots: 2, sockets_max: 1000, successor: true, passed: &passed };
    Table::default().prepare(&config, &how).expect("the former one lets it join");
}

#[test]
fn all_refusals_come_at_once_and_nothing_stays_bound() {
    let taken: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").expect("free")).collect();
    let address = |listener: &TcpListener| listener.local_addr().expect("bound").to_string();
    let free = free();
    let config = sample::config(&[&free, &address(&taken[0]), &address(&taken[1])]);
    let mut table = Table::default();
    assert_eq!(refused(&mut table, &config).len(), 2);
    assert_eq!(table.len(), 0);
    TcpListener::bind(&free).expect("what was bound is free again");
}

#[test]
fn the_same_address_twice_names_both() {
    let address = free();
    let why = refused(&mut Table::default(), &sample::config(&[&address, &address]));
    assert!(matches!(&why[..], [Why::Twice { written, .. }] if *written == address), "{why:?}");
}

#[test]
fn sockets_are_kept_across_generations_and_more_slots_get_more() {
    let config = sample::config(&[&free()]);
    let mut table = Table::default();
    let first = serve(&mut table, &config, 2);
    let second = prepare(&mut table, &config, 4);
    assert_eq!(slots(&second), [Some(0), Some(1), Some(2), Some(3)]);
    for (old, new) in first.sockets.iter().zip(&second.sockets) {
        assert!(std::rc::Rc::ptr_eq(&old.1, &new.1), "the same socket");
    }
}

/// How many of them listen.
fn listening(prepared: &Prepared) -> usize {
    let listens = |socket: &OwnedFd| sockopt::socket_acceptconn(socket) == Ok(true);
    prepared.sockets.iter().filter(|(_, socket)| listens(socket)).count()
}

#[test]
fn a_socket_beside_one_that_serves_listens_from_its_promotion_on() {
    let address = free();
    let config = sample::config(&[&address]);
    let mut table = Table::default();
    let first = serve(&mut table, &config, 2);
    let failed = prepare(&mut table, &config, 4);
    assert_eq!(listening(&failed), 2, "the others would take clients from workers that serve");
    table.discard(&failed, Some(&first.used));
    assert_eq!(table.close_retired().len(), 2);
    let second = prepare(&mut table, &config, 4);
    assert!(table.promote(&second, &config).opened);
    assert_eq!(listening(&second), 4);
    let third = prepare(&mut table, &config, 4);
    assert!(!table.promote(&third, &config).opened);
}

#[test]
fn so_does_one_of_an_address_that_covers_another_but_not_one_that_is_new_to_all() {
    let specific: SocketAddr = free().parse().expect("an address");
    let wildcard = format!("0.0.0.0:{}", specific.port());
    let mut table = Table::default();
    let _first = serve(&mut table, &sample::config(&[&wildcard]), 2);
    let config = sample::config(&[&wildcard, &specific.to_string(), &free()]);
    let second = prepare(&mut table, &config, 2);
    assert_eq!(listening(&second), 4, "two of the wildcard, two of the new address");
    assert!(table.promote(&second, &config).opened);
    assert_eq!(listening(&second), 6);
}

#[test]
fn sockets_of_slots_that_are_gone_are_still_handed_out() {
    let config = sample::config(&[&free()]);
    let mut table = Table::default();
    let _first = serve(&mut table, &config, 4);
    let second = serve(&mut table, &config, 2);
    assert_eq!(slots(&second), [Some(0), Some(1), Some(2), Some(3)]);
    assert!(!table.has_retired());
}

#[test]
fn what_a_new_generation_does_not_bind_is_closed_when_told_and_not_before() {
    let (kept, removed) = (free(), free());
    let mut table = Table::default();
    let first = serve(&mut table, &sample::config(&[&kept, &removed]), 2);
    let _second = serve(&mut table, &sample::config(&[&kept]), 2);
    TcpStream::connect(&removed).expect("it still listens");
    assert_eq!(table.close_retired().len(), 2);
    TcpStream::connect(&removed).expect_err("closed although duplicates are open");
    TcpStream::connect(&kept).expect("this one was kept");
    drop(first);
}

#[test]
fn a_generation_that_fails_takes_only_its_own_sockets_along() {
    let (kept, added) = (free(), free());
    let mut table = Table::default();
    let first = serve(&mut table, &sample::config(&[&kept]), 2);
    let failed = prepare(&mut table, &sample::config(&[&kept, &added]), 3);
    table.discard(&failed, Some(&first.used));
    assert_eq!(table.close_retired().len(), 4, "two slots' of one address more, one of the other");
    TcpStream::connect(&added).expect_err("it was only for the new one");
    assert_eq!(table.len(), 2);
}

#[test]
fn an_address_that_covers_our_own_can_follow_it_but_not_a_foreign_one() {
    let specific: SocketAddr = free().parse().expect("an address");
    let wildcard = format!("0.0.0.0:{}", specific.port());
    let mut table = Table::default();
    let _first = serve(&mut table, &sample::config(&[&specific.to_string()]), 2);
    let _second = serve(&mut table, &sample::config(&[&wildcard]), 2);
    let other: SocketAddr = SocketAddr::from(([127, 0, 0, 2], specific.port()));
    let why = refused(&mut Table::default(), &sample::config(&[&other.to_string()]));
    assert!(matches!(&why[..], [Why::InUse { .. }]), "{why:?}");
}

#[test]
fn above_the_bound_one_socket_serves_all_slots() {
    let config = sample::config(&[&free(), &free()]);
    let passed = Passed::default();
    let how = How { slots: 4, sockets_max: 7, successor: false, passed: &passed };
    let prepared = Table::default().prepare(&config, &how).expect("free");
    assert_eq!(slots(&prepared), [None, None]);
}

#[test]
fn a_unix_socket_is_one_for_all_and_its_file_goes_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.sock");
    let config = sample::config(&[&path.to_string_lossy()]);
    let mut table = Table::default();
    let prepared = serve(&mut table, &config, 4);
    assert_eq!(slots(&prepared), [None]);
    UnixStream::connect(&path).expect("it accepts");
    table.retire_all();
    table.close_retired();
    assert!(!path.exists());
}

#[test]
fn a_master_that_follows_takes_the_sockets_over_as_they_were_kept() {
    let config = sample::config(&[&free()]);
    let mut first = Table::default();
    let prepared = serve(&mut first, &config, 2);
    let mut second = Table::default();
    for keep in first.fresh(&prepared) {
        let socket = keep.socket.try_clone().expect("a duplicate");
        second.adopt(&keep.name, &keep.value, socket);
    }
    second.adopt(
        "listener-99",
        b"of another version",
        OwnedFd::from(UnixStream::pair().unwrap().0),
    );
    let again = prepare(&mut second, &config, 3);
    assert_eq!(again.sockets.len(), 3);
    let names: Vec<_> = second.fresh(&again).map(|keep| keep.name).collect();
    assert_eq!(names, ["listener-2"], "names are not used twice");
}

#[test]
fn options_are_set_again_when_a_generation_is_promoted() {
    let address = free();
    let mut config = sample::config(&[&address]);
    config.frontends[0].keepalive.on = true;
    config.frontends[0].keepalive.idle_s = Some(77);
    let mut table = Table::default();
    let prepared = serve(&mut table, &config, 1);
    let socket = prepared.sockets[0].1.as_fd();
    assert_eq!(sockopt::socket_keepalive(socket), Ok(true));
    assert_eq!(sockopt::tcp_keepidle(socket).map(|idle| idle.as_secs()), Ok(77));

    let plain = sample::config(&[&address]);
    let prepared = prepare(&mut table, &plain, 1);
    assert_eq!(sockopt::socket_keepalive(socket), Ok(true), "not promoted yet");
    table.promote(&prepared, &plain);
    assert_eq!(sockopt::socket_keepalive(socket), Ok(false));
    assert_ne!(sockopt::tcp_keepidle(socket).map(|idle| idle.as_secs()), Ok(77));
}

#[test]
fn an_accepted_connection_has_its_listeners_options() {
    let address = free();
    let mut config = sample::config(&[&address]);
    config.frontends[0].keepalive.on = true;
    config.tune.client_rcvbuf = Some(20_000);
    let mut table = Table::default();
    let prepared = serve(&mut table, &config, 1);
    let mut client = TcpStream::connect(&address).expect("it listens");
    client.write_all(b"x").expect("sent");
    let stream = rustix::net::accept(&prepared.sockets[0].1).expect("somebody came");
    assert_eq!(sockopt::tcp_nodelay(&stream), Ok(true));
    assert_eq!(sockopt::socket_keepalive(&stream), Ok(true));
    assert_eq!(sockopt::socket_recv_buffer_size(&stream), Ok(40_000), "the kernel doubles it");
    let mut byte = [0];
    TcpStream::from(stream).read_exact(&mut byte).expect("received");
}

#[test]
fn an_inherited_socket_must_be_there_and_be_able_to_listen() {
    let mut config = sample::config(&["127.0.0.1:1"]);
    config.frontends[0].binds[0].address = BindAddress::Fd(7);
    let why = refused(&mut Table::default(), &config);
    assert!(matches!(why[..], [Why::NotGiven]), "{why:?}");

    let mut passed = Passed::default();
    let pair = UnixStream::pair().expect("a pair");
    assert!(passed.keep("born-7", b"", pair.0.into()).is_none());
    let how = How { slots: 2, sockets_max: 1000, successor: false, passed: &passed };
    let errors = Table::default().prepare(&config, &how).expect_err("it is connected");
    assert!(matches!(errors[0].why, Why::NotListening), "{errors:?}");

    let mut passed = Passed::default();
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    assert!(passed.keep("born-7", b"", listener.into()).is_none());
    let how = How { slots: 2, sockets_max: 1000, successor: false, passed: &passed };
    let prepared = Table::default().prepare(&config, &how).expect("it listens");
    assert_eq!(slots(&prepared), [None]);
}

#[test]
fn sockets_from_systemd_are_taken_by_name_all_of_them() {
    let mut config = sample::config(&["127.0.0.1:1"]);
    config.frontends[0].binds[0].address = BindAddress::Systemd("web".to_owned());
    let mut passed = Passed::default();
    for (number, name) in [(3, "web"), (4, "other"), (5, "web")] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("free");
        let given = passed.keep(&format!("born-{number}"), name.as_bytes(), listener.into());
        assert!(given.is_none());
    }
    let how = How { slots: 2, sockets_max: 1000, successor: false, passed: &passed };
    let prepared = Table::default().prepare(&config, &how).expect("they are there");
    assert_eq!(slots(&prepared), [None, None]);
}

#[test]
fn an_address_that_comes_back_before_it_was_closed_stays_open() {
    let (kept, back) = (free(), free());
    let mut table = Table::default();
    let _first = serve(&mut table, &sample::config(&[&kept, &back]), 2);
    let second = serve(&mut table, &sample::config(&[&kept]), 2);
    let third = prepare(&mut table, &sample::config(&[&kept, &back]), 2);
    assert!(table.close_retired().is_empty());
    TcpStream::connect(&back).expect("it is wanted again");
    // Unless the generation that wanted it fails.
    table.discard(&third, Some(&second.used));
    assert_eq!(table.close_retired().len(), 2);
    TcpStream::connect(&back).expect_err("nobody wants it");
}

#[test]
fn a_failed_first_start_leaves_what_a_former_master_had_bound() {
    let (kept, added) = (free(), free());
    let mut first = Table::default();
    let prepared = serve(&mut first, &sample::config(&[&kept]), 2);
    let mut second = Table::default();
    for keep in first.fresh(&prepared) {
        let socket = keep.socket.try_clone().expect("a duplicate");
        second.adopt(&keep.name, &keep.value, socket);
    }
    let failed = prepare(&mut second, &sample::config(&[&kept, &added]), 2);
    second.discard(&failed, None);
    assert_eq!(second.close_retired().len(), 2);
    TcpStream::connect(&kept).expect("the next master needs it");
    TcpStream::connect(&added).expect_err("it was only for the one that failed");
}
