//! Interleaved timing: every run calls each side once, in an order that rotates, so that what the machine
//! does besides hits all sides alike and ratios are taken within a run.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a row may take and how often its sides are called.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs of each row; `None` for as many as fit into [`Effort::budget`].
    pub runs: Option<usize>,
    /// Time for the measured runs of one row.
    pub budget: Duration,
    /// Fewest and most runs within the budget.
    pub bounds: (usize, usize),
    /// Saves by one side alone, for a profiler: the side's number.
    pub alone: Option<usize>,
}

impl Effort {
    /// The usual effort, or a tenth of it.
    #[must_use]
    pub fn new(runs: Option<usize>, quick: bool) -> Self {
        let (budget, bounds) = if quick {
            (300, (3, 100))
        } else {
            (3000, (11, 1000))
        };
        Effort {
            runs,
            budget: Duration::from_millis(budget),
            bounds,
            alone: None,
        }
    }
}

/// One side of a row: does its work once and says how long it took.
pub type Side<'a> = &'a mut dyn FnMut() -> Duration;

/// Calls all sides once without keeping the times, then in rotating order; answers the nanoseconds of each
/// side by run. `after` runs after each round, unmeasured.
pub fn interleave(effort: &Effort, sides: &mut [Side<'_>], mut after: impl FnMut()) -> Vec<Vec<f64>> {
    let start = Instant::now();
    for side in sides.iter_mut() {
        side();
    }
    after();
    let round = start.elapsed().max(Duration::from_nanos(1));
    let fitting = (effort.budget.as_secs_f64() / round.as_secs_f64()) as usize;
    let runs = effort
        .runs
        .unwrap_or(fitting.clamp(effort.bounds.0, effort.bounds.1));
    let mut times = vec![Vec::with_capacity(runs); sides.len()];
    for run in 0..runs {
        for i in 0..sides.len() {
            // Reversed every other run: each side follows each other one.
            let i = (i + run / 2) % sides.len();
            let i = if run % 2 == 0 { i } else { sides.len() - 1 - i };
            times[i].push(sides[i]().as_secs_f64() * 1e9);
        }
        after();
    }
    times
}

/// The CPU time of this thread that `work` takes, in the kernel too. Work on tmpfs waits for nothing, so on
/// an idle machine this is the time that passes; on a busy one it leaves out what other processes take.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = thread_time();
    work();
    thread_time() - start
}

/// The time that passes while `work` runs, for work on several threads.
pub fn timed_by_wall(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn thread_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is writable. The clock exists for every thread.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Median, and the quartiles around it.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle of all values.
    pub median: f64,
    /// Lower and upper quartile.
    pub quartiles: (f64, f64),
}

impl Spread {
    /// Of at least one value.
    #[must_use]
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let x = part * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[x.floor() as usize], sorted[x.ceil() as usize]);
            low + (high - low) * x.fract()
        };
        Spread {
            median: at(0.5),
            quartiles: (at(0.25), at(0.75)),
        }
    }

    /// Of `f` over pairs of two sides' runs.
    #[must_use]
    pub fn of_pairs(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Spread {
        let values: Vec<f64> = a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
        Spread::of(&values)
    }
}

/// Binds the calling thread to these CPUs.
pub fn pin(cpus: &[usize]) {
    // SAFETY: an all-zero set is empty; the calls get its size.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &cpu in cpus {
            libc::CPU_SET(cpu, &mut set);
        }
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0
    };
    assert!(
        !failed,
        "binding to CPUs {cpus:?}: {}",
        std::io::Error::last_os_error()
    );
}

/// The CPUs that the process could use when this was called first, which is before any thread was bound.
#[must_use]
pub fn all_cpus() -> Vec<usize> {
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    // SAFETY: an all-zero set is empty; the call gets its size.
    let read = || unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        (0..libc::CPU_SETSIZE as usize)
            .filter(|&cpu| libc::CPU_ISSET(cpu, &set))
            .collect()
    };
    CPUS.get_or_init(read).clone()
}

/// Runs `work` in a child process, which inherits all memory and ends without clean-up, and answers its
/// numbers. For what happens once in a process, and for what it does to a process's memory.
#[must_use]
pub fn in_child<const N: usize>(work: impl FnOnce() -> [f64; N]) -> [f64; N] {
    let mut pipe = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0, "no pipe");
    // SAFETY: the child runs on a copy of this thread; no other thread holds a lock that it needs, and it
    // leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(
        child >= 0,
        "no child process: {}",
        std::io::Error::last_os_error()
    );
    let mut numbers = [0.0; N];
    if child == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let status = match done {
            Ok(n) => {
                numbers = n;
                0
            }
            Err(_) => 1,
        };
        // SAFETY: the array is readable for its size; the child ends here.
        unsafe {
            libc::write(pipe[1], numbers.as_ptr().cast(), size_of_val(&numbers));
            libc::_exit(status);
        }
    }
    let mut status = 0;
    // SAFETY: the array is writable for its size; the descriptors are this function's own.
    let got = unsafe {
        libc::close(pipe[1]);
        let got = libc::read(pipe[0], numbers.as_mut_ptr().cast(), size_of_val(&numbers));
        libc::close(pipe[0]);
        libc::waitpid(child, &raw mut status, 0);
        got
    };
    assert!(
        status == 0 && got as usize == size_of_val(&numbers),
        "the child process failed: status {status:#x}"
    );
    numbers
}
