//! How the process takes memory from the system, so that not much more is resident than what is held.
//!
//! Both settings are the process's, as the budget is. Where the system does not know one, more may be resident, and that
//! is all.

use std::sync::Once;

/// Heaps that the C library, by which RocksDB allocates, deals its threads out to. Each keeps what was freed in it for
/// itself; by default a thread has one of its own, and half of what they kept was vacant.
const C_HEAPS_MAX: libc::c_int = 2;

/// Blocks of so many bytes, such as buffers for reading ahead, have pages of their own and give them back, and so does the
/// end of a heap. By default the C library makes this larger each time that such a block is freed, up to 32 MiB.
const GIVEN_BACK_BYTES: libc::c_int = 128 << 10;

/// Bounds what the C library keeps. To be called before RocksDB is used: a heap that is there stays.
pub(super) fn bound_c_heaps() {
    static BOUNDED: Once = Once::new();
    BOUNDED.call_once(|| {
        #[cfg(target_env = "gnu")]
        for (name, value) in [
            (libc::M_ARENA_MAX, C_HEAPS_MAX),
            (libc::M_MMAP_THRESHOLD, GIVEN_BACK_BYTES),
            (libc::M_TRIM_THRESHOLD, GIVEN_BACK_BYTES),
        ] {
            #[allow(unsafe_code, reason = "the standard library cannot set up the C library's allocator")]
            // SAFETY: it takes plain values, and locks what it changes.
            unsafe {
                libc::mallopt(name, value);
            }
        }
    });
}

/// Lets the process have no more huge pages, of 2 MiB, where it has none yet.
///
/// While everything fits into the caches they make look-ups of rows half again as fast. Once rows come and go, what is freed
/// lies anywhere, and a huge page is resident as a whole for as long as a single byte of it is held: twice of what was
/// held has been measured. And the time goes to RocksDB then.
pub(super) fn refuse_huge_pages() {
    static REFUSED: Once = Once::new();
    REFUSED.call_once(|| {
        let (refused, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
        #[allow(unsafe_code, reason = "the standard library cannot set how memory is paged")]
        // SAFETY: it takes plain values.
        unsafe {
            libc::prctl(libc::PR_SET_THP_DISABLE, refused, unused, unused, unused);
        }
    });
}
