//! Tunnels and clients without a header go from worker to worker, each step by hand: what arrives is what
//! left, whatever waited, and whatever the other side says of it.

mod refusals;
mod tunnels;

use std::os::fd::{AsFd, OwnedFd};

use portolan_shared::message::handover::{Verdict, What};

use super::Rig;
use crate::handover::{Enclosed, Unpacker};
use crate::stream::StreamKey;

impl Rig {
    /// A stream of a worker as another process is told of it, its descriptors beside it.
    fn pack(&mut self, from: usize, key: StreamKey) -> (What, Vec<OwnedFd>) {
        let worker = &mut self.members[from].worker;
        let parcel = worker.pack_stream(key).unwrap();
        worker.put_aside(&parcel);
        let descriptors = parcel.enclosed.into_iter().map(|enclosed| match enclosed {
            Enclosed::File(file) => file,
            Enclosed::Connection(token) => {
                let descriptor = worker.descriptors.get(token).unwrap();
                descriptor.as_fd().try_clone_to_owned().unwrap()
            }
        });
        let bytes = postcard::to_stdvec(&parcel.what).unwrap();
        (postcard::from_bytes(&bytes).unwrap(), descriptors.collect())
    }

    /// What another worker makes of it; nothing flows yet.
    fn take(
        &mut self,
        to: usize,
        what: What,
        descriptors: Vec<OwnedFd>,
    ) -> Result<StreamKey, Verdict> {
        let worker = &mut self.members[to].worker;
        let unpacker = Unpacker::new(descriptors);
        match what {
            What::Tunnel(tunnel) => worker.take_tunnel(&tunnel, unpacker),
            What::Headerless(headerless) => worker.take_headerless(*headerless, unpacker),
            other => panic!("{other:?}"),
        }
    }

    /// A new generation has everything that could be moved.
    fn renew(&mut self) {
        self.hand_over();
        self.settle();
    }
}
