//! A connection's bytes as the daemon reads them: length, request, config; and as the client reads the reply.
#![no_main]

use common::rpc::config::Config;
use common::rpc::frame::{self, MAX_REPLY, MAX_REQUEST, PREFIX};
use common::rpc::message::{Failure, OnDemandReply, Request, StatusReply, VersionReply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((prefix, body)) = bytes.split_first_chunk::<PREFIX>() else { return };
    if let Ok(length) = frame::length(*prefix, MAX_REQUEST) {
        assert!(length > 0 && length <= MAX_REQUEST);
    }
    if let Ok(length) = frame::length(*prefix, MAX_REPLY) {
        assert!(length > 0 && length <= MAX_REPLY);
    }
    // The body is read whatever the length says, so that lengths need not be guessed.
    request(body);
    reply(body);
});

fn request(body: &[u8]) {
    let Ok(request) = Request::decode(body) else { return };
    let again = request.encode();
    assert_eq!(Request::decode(&again).as_ref(), Ok(&request));
    let framed = frame::encode(&again).expect("a request is not empty");
    assert_eq!(framed.len(), PREFIX + again.len());
    if let Request::OnDemand(demand) = &request {
        let _ = (demand.all_pids(), Config::parse(&demand.config));
    }
}

fn reply(body: &[u8]) {
    let _ = serde_json::from_slice::<StatusReply>(body);
    let _ = serde_json::from_slice::<OnDemandReply>(body);
    let _ = serde_json::from_slice::<VersionReply>(body);
    let _ = serde_json::from_slice::<Failure>(body);
}
