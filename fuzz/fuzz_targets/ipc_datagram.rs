//! Datagrams of the IPC fabric, in both directions.
#![no_main]

use common::ipc::message::{HEADER, MAX_ANCESTRY, MAX_PAYLOAD, Message, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    if let Ok(message) = Message::decode(datagram) {
        assert!(datagram.len() <= HEADER + MAX_PAYLOAD);
        if let Message::Poll(poll) = &message {
            assert!(poll.leaf() > 0 && poll.pids.len() <= MAX_ANCESTRY);
        }
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
    if let Ok(reply) = Reply::decode(datagram) {
        assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
    }
});
