//! Pages of files that are let go: they count as memory of the process no more, and come back from the file when
//! somebody looks at them.

use super::page::page_size;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bits of an entry of `/proc/PID/pagemap`: the page is in memory, and it is a file's.
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
/// Bytes of an entry.
const ENTRY: usize = 8;

/// Whether the page at `address` is a file's and nobody has written to it; false where the system does not tell.
fn is_as_in_file(pagemap: &File, address: usize) -> bool {
    let mut entry = [0; ENTRY];
    let at = (address / page_size() * ENTRY) as u64;
    let known = pagemap.read_exact_at(&mut entry, at).is_ok();
    known && u64::from_ne_bytes(entry) & (PRESENT | OF_FILE) == PRESENT | OF_FILE
}

/// Lets go of whole pages of a file that is mapped for reading alone. Nothing happens where the first or the last of
/// them is not in memory as it stands in the file: whoever has put copies in their place has put them everywhere.
///
/// # Safety
/// The pages are mapped and can be read, and none of them has been written to alone.
pub(super) unsafe fn let_go(pages: Range<usize>) {
    let Ok(pagemap) = File::open("/proc/self/pagemap") else {
        return;
    };
    let last = pages.end - page_size();
    // To look at them brings them into memory.
    for page in [pages.start, last] {
        // SAFETY: a mapped page that can be read, by the contract.
        unsafe { std::ptr::read_volatile(page as *const u8) };
        if !is_as_in_file(&pagemap, page) {
            return;
        }
    }
    // SAFETY: the first and the last page are those of a file, and so are all others, or all of them would have been
    // written to, by the contract; they are that again for who reads them after this.
    unsafe { libc::madvise(pages.start as *mut libc::c_void, pages.len(), libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    /// Five pages of a file, private, and where they lie.
    fn mapped(file: &File, protection: libc::c_int) -> Range<usize> {
        let len = 5 * page_size();
        // SAFETY: a new mapping anywhere.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_PRIVATE,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        start as usize..start as usize + len
    }

    /// The bytes of the pages.
    fn bytes(pages: &Range<usize>) -> &[u8] {
        // SAFETY: mapped by `mapped`, for the rest of the process.
        unsafe { std::slice::from_raw_parts(pages.start as *const u8, pages.len()) }
    }

    fn in_memory(pages: &Range<usize>) -> usize {
        let pagemap = File::open("/proc/self/pagemap").expect("the system tells");
        let addresses = pages.clone().step_by(page_size());
        addresses.filter(|&page| is_as_in_file(&pagemap, page)).count()
    }

    #[test]
    fn pages_that_are_let_go_are_out_of_memory_and_come_back_from_the_file() {
        let dir = testkit::temp_dir("pages");
        let content: Vec<u8> = (0..5 * page_size()).map(|i| (i / 7) as u8).collect();
        std::fs::write(dir.path().join("file"), &content).expect("written");
        let file = File::open(dir.path().join("file")).expect("opened");
        let pages = mapped(&file, libc::PROT_READ);
        assert_eq!(bytes(&pages), content);
        assert_eq!(in_memory(&pages), 5);
        let inner = pages.start + page_size()..pages.end - page_size();
        // SAFETY: mapped above, and nobody writes to them.
        unsafe { let_go(inner) };
        assert_eq!(in_memory(&pages), 2);
        assert_eq!(bytes(&pages), content);
    }

    #[test]
    fn pages_that_were_written_to_stay_as_they_are() {
        let dir = testkit::temp_dir("pages-written");
        std::fs::write(dir.path().join("file"), vec![1; 5 * page_size()]).expect("written");
        let file = File::open(dir.path().join("file")).expect("opened");
        for written in [0, 4] {
            let pages = mapped(&file, libc::PROT_READ | libc::PROT_WRITE);
            let at = pages.start + written * page_size() + 5;
            // SAFETY: in the mapping, which nobody else has; what would become of the other pages is what they are.
            unsafe {
                (at as *mut u8).write(2);
                let_go(pages.clone());
            }
            assert_eq!(bytes(&pages)[at - pages.start], 2, "page {written}");
        }
    }
}
