//! Descriptors that go from one process to another.

use crate::handed;
use atlas_edge::{Stage, sys};

/// A pair of connected sockets.
pub(crate) fn sockets() -> [i32; 2] {
    let mut ends = [-1_i32; 2];
    // SAFETY: room for the two descriptors.
    unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr());
    }
    ends
}

/// A child attaches the filter and hands the listener to its parent, which has no filter itself.
pub(crate) fn hand_over(stage: &Stage, life: impl FnOnce()) -> (i32, i32) {
    let [ours, theirs] = sockets();
    let pid = stage.start(|stage| {
        let fd = handed::listener(stage);
        send_descriptor(theirs, fd);
        let _ = sys::number(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
        life();
    });
    // Who waits for a descriptor learns that none comes once nobody has the other end.
    sys::close(theirs);
    (pid, receive_descriptor(ours))
}

#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    descriptor: i32,
    _pad: i32,
}

fn message(byte: &mut u8, vector: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    *vector = libc::iovec { iov_base: core::ptr::from_mut(byte).cast(), iov_len: 1 };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    header.msg_control = core::ptr::from_mut(control).cast();
    header.msg_controllen = size_of::<Control>();
    header
}

fn empty_control() -> Control {
    let header = libc::cmsghdr {
        cmsg_len: size_of::<libc::cmsghdr>() + 4,
        cmsg_level: libc::SOL_SOCKET,
        cmsg_type: libc::SCM_RIGHTS,
    };
    Control { header, descriptor: -1, _pad: 0 }
}

/// Sends a descriptor through a socket.
pub(crate) fn send_descriptor(socket: i32, descriptor: i32) {
    let (mut byte, mut control) = (0, empty_control());
    control.descriptor = descriptor;
    let mut vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let header = message(&mut byte, &mut vector, &mut control);
    // SAFETY: the header and all it points to live until the call returns.
    unsafe {
        libc::sendmsg(socket, &raw const header, 0);
    }
}

/// Takes a descriptor from a socket; -1 where none comes.
pub(crate) fn receive_descriptor(socket: i32) -> i32 {
    let (mut byte, mut control) = (0, empty_control());
    let mut vector = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut header = message(&mut byte, &mut vector, &mut control);
    // SAFETY: as above.
    let count = unsafe { libc::recvmsg(socket, &raw mut header, 0) };
    if count == 1 { control.descriptor } else { -1 }
}
