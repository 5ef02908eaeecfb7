//! Unpacks what a server packed although nobody asked it to.
//!
//! Some servers, and proxies before them, answer in gzip (RFC 1952) whatever was asked for. Such an answer
//! may hold the only tokens that are still good. It must never take more room than any other answer, and
//! never lose what it cannot unpack.

use std::io::Read as _;

use flate2::read::GzDecoder;
use lamplighter_core::http::MAX_ANSWER;
use zeroize::Zeroizing;

/// How every gzip member begins; the third byte is the only method there is.
const BEGINNING: [u8; 3] = [0x1f, 0x8b, 8];

/// Room for nearly every answer, so that it is not moved about in memory.
const ROOM: usize = 64 * 1024;

/// The body unpacked; as it came where it is not gzip, is damaged, or would be larger than any answer
/// may be.
pub(crate) fn unpacked(body: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if !is_packed(&body) {
        return body;
    }
    let most = u64::try_from(MAX_ANSWER).unwrap_or(u64::MAX);
    let mut whole = Zeroizing::new(Vec::with_capacity(ROOM));
    let unpacked = GzDecoder::new(body.as_slice()).take(most + 1).read_to_end(&mut whole);
    if unpacked.is_ok() && whole.len() <= MAX_ANSWER { whole } else { body }
}

/// Whether the body is gzip, by its beginning.
pub(crate) fn is_packed(body: &[u8]) -> bool {
    body.starts_with(&BEGINNING)
}

/// Packs, for tests.
#[cfg(test)]
pub(crate) fn packed(text: &[u8]) -> Vec<u8> {
    use std::io::Write as _;

    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(body: Vec<u8>) -> Vec<u8> {
        unpacked(Zeroizing::new(body)).to_vec()
    }

    #[test]
    fn what_is_packed_is_unpacked_and_all_else_is_as_it_came() {
        assert_eq!(through(packed(b"{\"a\":1}")), b"{\"a\":1}");
        for other in [b"{}".to_vec(), b"\x1f\x8b".to_vec(), Vec::new()] {
            assert_eq!(through(other.clone()), other);
        }
    }

    #[test]
    fn what_is_damaged_is_kept_as_it_came() {
        let mut cut = packed(b"{\"access_token\":\"at-1\"}");
        cut.truncate(cut.len() - 9);
        assert_eq!(through(cut.clone()), cut);
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let bomb = packed(&vec![b' '; 64 * MAX_ANSWER]);
        assert!(bomb.len() < MAX_ANSWER);
        assert_eq!(through(bomb.clone()), bomb);
        assert_eq!(through(packed(&vec![b' '; MAX_ANSWER])).len(), MAX_ANSWER);
    }
}
