use std::io::{Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use super::*;

/// A service manager that keeps what it is given.
struct Manager {
    directory: tempfile::TempDir,
    socket: UnixDatagram,
    kept: BTreeMap<String, OwnedFd>,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { directory, socket, kept: BTreeMap::new() }
    }

    fn notifier(&self) -> Notifier {
        Notifier::to(self.directory.path().join("notify").as_os_str()).unwrap()
    }

    fn read(&mut self) {
        loop {
            let mut bytes = [0; 256];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let buffers = &mut [io::IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let Ok(received) = rustix::net::recvmsg(&self.socket, buffers, &mut ancillary, flags)
            else {
                return;
            };
            let text = String::from_utf8(bytes[..received.bytes].to_vec()).unwrap();
            let name = text.split("FDNAME=").nth(1).unwrap().trim_end().to_owned();
            let descriptor = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                _ => None,
            });
            match descriptor {
                Some(descriptor) => drop(self.kept.insert(name, descriptor)),
                None => drop(self.kept.remove(&name)),
            }
        }
    }

    /// What a wrapper that is started now finds.
    fn give_back(&mut self) -> Option<Contents> {
        self.read();
        let sockets = self.kept.iter();
        open(sockets.map(|(name, fd)| (number(name).unwrap(), fd.try_clone().unwrap())).collect())
    }
}

fn file(content: &str) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.into()
}

fn content(descriptor: impl AsFd) -> String {
    let mut file = std::fs::File::from(descriptor.as_fd().try_clone_to_owned().unwrap());
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

fn all(store: &Store) -> Vec<String> {
    let one = |(name, kept): (&str, &Kept)| {
        let value = String::from_utf8_lossy(&kept.value).into_owned();
        format!("{name} {value} {}", content(&*kept.descriptor))
    };
    store.iter().map(one).collect()
}

fn store(names: &[&str]) -> Store {
    let mut store = Store::default();
    for name in names {
        store.keep((*name).to_owned(), b"value".to_vec(), vec![file(name)]).unwrap();
    }
    store
}

fn view<'a>(store: &'a Store, facts: &'a Facts) -> View<'a> {
    View { store, upgrade: None, program: None, master: None, facts }
}

#[test]
fn everything_comes_back_from_the_manager() {
    let mut manager = Manager::new();
    let (kept, program, pidfd, channel) =
        (store(&["a", "b"]), file("program"), file("pidfd"), file("channel"));
    let facts = Facts {
        starts: 3,
        deaths: 2,
        served: true,
        at_work: true,
        signals: BTreeMap::from([(12, 1 << 40)]),
        draining: Some(4),
    };
    let view = View {
        program: Some(program.as_fd()),
        master: Some((77, pidfd.as_fd(), Some(channel.as_fd()))),
        ..view(&kept, &facts)
    };
    let mut parcel = Parcel::new(Vec::new());
    parcel.pack(&manager.notifier(), &view).unwrap();
    assert!(parcel.is_there() && !parcel.is_outdated());
    drop(parcel);
    for _ in 0..2 {
        let found = manager.give_back().unwrap();
        assert_eq!(all(&found.store), ["a value a", "b value b"]);
        assert_eq!(content(found.program.unwrap()), "program");
        let master = found.master.unwrap();
        assert_eq!((master.pid, content(master.pidfd)), (77, "pidfd".to_owned()));
        assert_eq!(content(master.channel.unwrap()), "channel");
        assert_eq!(found.facts, facts);
        assert!(found.upgrade.is_none());
    }
}

#[test]
fn what_was_said_one_by_one_is_what_is_packed() {
    let mut manager = Manager::new();
    let facts = Facts::default();
    let mut parcel = Parcel::new(Vec::new());
    let mut kept = store(&["a", "b"]);
    parcel.pack(&manager.notifier(), &view(&kept, &facts)).unwrap();
    kept.extend(store(&["c"]));
    parcel.keep("c", kept.get("c").unwrap());
    kept.forget("a");
    parcel.forget("a");
    assert!(parcel.is_outdated());
    let (program, pidfd) = (file("program"), file("pidfd"));
    parcel.program(program.as_fd());
    parcel.master(Some((5, pidfd.as_fd(), None)));
    let later = Facts { deaths: 9, ..Facts::default() };
    parcel.facts(&later);
    let found = manager.give_back().unwrap();
    assert_eq!(all(&found.store), ["b value b", "c value c"]);
    assert_eq!(found.facts, later);
    let master = found.master.unwrap();
    assert!(master.channel.is_none());
    parcel.master(None);
    assert!(manager.give_back().unwrap().master.is_none());

    let again = View { program: Some(program.as_fd()), ..view(&kept, &later) };
    parcel.pack(&manager.notifier(), &again).unwrap();
    let found = manager.give_back().unwrap();
    assert_eq!(manager.kept.keys().collect::<Vec<_>>(), ["portolan-kept-2"]);
    assert_eq!(all(&found.store), ["b value b", "c value c"]);
}

#[test]
fn an_upgrade_that_is_under_way_has_both_states() {
    let mut manager = Manager::new();
    let facts = Facts::default();
    let before = store(&["a", "b", "c"]);
    let mut parcel = Parcel::new(Vec::new());
    parcel.pack(&manager.notifier(), &view(&before, &facts)).unwrap();
    parcel.upgrade(1234);
    let mut now = before.clone();
    now.forget("a");
    parcel.forget("a");
    now.extend(store(&["b", "d"]));
    parcel.keep("b", now.get("b").unwrap());
    parcel.keep("d", now.get("d").unwrap());
    for packed in [false, true] {
        if packed {
            let view = View { upgrade: Some((&before, 1234)), ..view(&now, &facts) };
            parcel.pack(&manager.notifier(), &view).unwrap();
        }
        let found = manager.give_back().unwrap();
        let (former, until_ms) = found.upgrade.unwrap();
        assert_eq!(until_ms, 1234);
        assert_eq!(all(&former), ["a value a", "b value b", "c value c"]);
        assert_eq!(all(&found.store), ["b value b", "c value c", "d value d"]);
    }
    parcel.upgrade_over(true);
    let found = manager.give_back().unwrap();
    assert!(found.upgrade.is_none());
    assert_eq!(all(&found.store), ["a value a", "b value b", "c value c"]);
}

#[test]
fn one_that_is_not_whole_does_not_count() {
    let mut manager = Manager::new();
    let facts = Facts::default();
    let kept = store(&["a"]);
    let mut parcel = Parcel::new(vec![7]);
    parcel.pack(&manager.notifier(), &view(&kept, &facts)).unwrap();
    manager.read();
    let (ours, theirs) = Channel::pair().unwrap();
    let all_but_the_last = |record: &Record, descriptors: &[BorrowedFd<'_>]| {
        let last = *record == Record::Whole;
        assert!(last || ours.try_send(record, descriptors).unwrap());
        Ok(())
    };
    put_all(&view(&store(&["b"]), &facts), all_but_the_last).unwrap();
    manager.kept.insert("portolan-kept-9".into(), OwnedFd::from(theirs));
    assert_eq!(all(&manager.give_back().unwrap().store), ["a value a"]);
    assert!(ours.try_send(&Record::Whole, &[]).unwrap());
    assert_eq!(all(&manager.give_back().unwrap().store), ["b value b"]);
}

#[test]
fn what_the_first_form_says_is_read_too() {
    let mut manager = Manager::new();
    let (ours, theirs) = Channel::pair().unwrap();
    let (a, b) = (file("a"), file("b"));
    let entries = ["a", "b"].map(|name| (name.to_owned(), b"value".to_vec()));
    let kept = Record::Kept(entries.into());
    assert!(ours.try_send(&Record::Format(1), &[]).unwrap());
    assert!(ours.try_send(&kept, &[a.as_fd(), b.as_fd()]).unwrap());
    assert!(ours.try_send(&Record::Whole, &[]).unwrap());
    manager.kept.insert("portolan-kept-1".into(), OwnedFd::from(theirs));
    assert_eq!(all(&manager.give_back().unwrap().store), ["a value a", "b value b"]);
}

#[test]
fn the_room_that_every_system_gives_holds_what_is_kept_by_default() {
    // Twice as many listening sockets as there are by default.
    let most = portolan_shared::model::LISTENER_SOCKETS_DEFAULT as usize;
    let (ours, _theirs) = Channel::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&ours, 212_992).unwrap();
    let mut kept = Store::default();
    let one = file("x");
    for number in 0..2000 {
        let name = format!("listener-127.100.{number}.1-23456-{number}");
        kept.keep(name, vec![0; 200], vec![one.try_clone().unwrap()]).unwrap();
    }
    let (mut records, mut there) = (0, 0);
    let facts = Facts::default();
    // Descriptors that are under way are others' too: it is the records that take room.
    put_all(&view(&kept, &facts), |record, _| {
        records += 1;
        there += usize::from(ours.try_send(record, &[]).unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(there, records);
    while ours.try_send(&Record::Next, &[]).unwrap() {
        there += 1;
    }
    assert!((there - 8) * DESCRIPTORS_MAX > 2 * most, "{there}");
}

#[test]
fn records_of_another_form_and_strangers_are_nobodys() {
    let mut manager = Manager::new();
    let (ours, theirs) = Channel::pair().unwrap();
    for record in [Record::Format(FORMAT + 1), Record::Whole] {
        assert!(ours.try_send(&record, &[]).unwrap());
    }
    manager.kept.insert("portolan-kept-1".into(), OwnedFd::from(theirs));
    manager.kept.insert("portolan-kept-2".into(), file("a stranger"));
    assert!(manager.give_back().is_none());
    assert!(number("portolan.socket").is_none() && number("portolan-kept-").is_none());
}

#[test]
fn thousands_fit_and_a_manager_that_is_gone_is_an_error_once_and_no_more() {
    let mut manager = Manager::new();
    let facts = Facts::default();
    let mut kept = Store::default();
    let one = file("x");
    for number in 0..6000 {
        let name = format!("listener-{number}");
        kept.keep(name, vec![0; 60], vec![one.try_clone().unwrap()]).unwrap();
    }
    let mut parcel = Parcel::new(Vec::new());
    let packed = parcel.pack(&manager.notifier(), &view(&kept, &facts));
    if rustix::process::geteuid().is_root() {
        packed.unwrap();
        assert_eq!(manager.give_back().unwrap().store.iter().count(), 6000);
    }
    let notifier = manager.notifier();
    drop(manager);
    assert!(parcel.pack(&notifier, &view(&Store::default(), &facts)).is_err());
    assert!(parcel.is_outdated());
    let mut alone = Parcel::new(Vec::new());
    alone.pack(&Notifier::silent(), &view(&kept, &facts)).unwrap();
    assert!(!alone.is_there() && !alone.is_outdated());
}
