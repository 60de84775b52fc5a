//! Bounds of runs hold, and a cell that has met one is as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mindir::builder::Builder;
use mindir::graph::{Arg, Closure, Model};
use mindir::{CancelToken, DType, Error, ErrorKind, Fact, GraphCell, Limit, Options, Spec, Tensor};
use mindir_tests::counting::Counting;
use mindir_tests::models::{convolutions, numbers, open};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How long a run may go on after it should have ended: far less than what the runs here would take.
const PATIENCE: Duration = Duration::from_secs(5);

// One test, because all count the bytes, the threads and the time of the process.
#[test]
fn budgets_hold() {
    weights_count_when_a_model_is_loaded();
    sizes_beyond_all_memory_are_errors();
    numbers_from_nothing_are_bounded();
    made_up_inputs_are_bounded();
    plans_are_refused_before_they_take_memory();
    kernels_make_nothing_of_sizes_that_are_refused();
    nodes_of_plans_are_counted();
    memory_stays_below_the_limit_from_several_threads();
    what_is_only_kept_makes_room();
    results_are_the_callers();
    runs_end_in_the_middle_of_a_step();
    planning_ends_in_the_middle_of_a_constant();
    loops_end_and_leave_parameters_as_they_were();
    waiting_for_another_run_ends();
    sessions_run_again();
    nothing_runs_on();
}

fn options() -> Options {
    Options { threads: Some(2), ..Options::default() }
}

/// Asserts that what began at `start`, and was to end 200 ms later, has ended in time.
#[track_caller]
fn ends(start: Instant, what: &str) {
    let time = start.elapsed();
    println!("{what} that was to end after 200 ms ended after {time:?}");
    assert!(time < PATIENCE, "{what}: {time:?}");
}

/// What the error says is bounded.
#[track_caller]
fn limit<T>(found: Result<T, Error>) -> (Limit, u64, u64) {
    match found {
        Err(e @ Error::Limit { what, limit, needed }) => {
            assert_eq!(e.kind(), ErrorKind::Limit);
            (what, limit, needed)
        }
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("no bound was met"),
    }
}

fn two_relus() -> Model {
    let mut b = Builder::new("relus");
    let x = b.input("x", open(&[None, None]));
    let y = b.op("Exp", [x.into()]).unwrap();
    let y = b.op("ReduceSum", [y.into(), Arg::from(&[0i64][..]), false.into()]).unwrap();
    let y = b.op("ReLU", [y.into()]).unwrap();
    b.finish(&[y])
}

/// One convolution by so large a filter that it takes minutes, of little memory.
fn long_step() -> Model {
    let mut b = Builder::new("long");
    let x = b.input("x", open(&[Some(1), Some(8), None, None]));
    let w = b.param("w", numbers(&[8, 8, 191, 191], 3));
    let y = b.op("Conv2DExt", [x.into(), w.into()]).unwrap();
    b.finish(&[y])
}

/// A search of each of many numbers in a long row, by its reference.
fn long_reference(values: usize) -> Model {
    let mut b = Builder::new("search");
    let x = b.input("x", open(&[None]));
    let v = b.constant(numbers(&[values], 5));
    let y = b.op("SearchSorted", [x.into(), v.into()]).unwrap();
    b.finish(&[y])
}

fn weights_count_when_a_model_is_loaded() {
    let model = Arc::new(long_step());
    let with = |max_memory| GraphCell::new(model.clone(), Options { max_memory: Some(max_memory), ..options() });
    let bytes = 8 * 8 * 191 * 191 * 4;
    assert_eq!(limit(with(1 << 20)), (Limit::Memory, 1 << 20, bytes));
    assert!(with(bytes).is_ok());
}

fn sizes_beyond_all_memory_are_errors() {
    let cell = GraphCell::new(two_relus(), options()).unwrap();
    let want = cell.run(&[numbers(&[3, 4], 1)]).unwrap();
    for dims in [[1 << 23, 1 << 23], [1_000_000_000, 1_000_000_000], [1 << 31, 1 << 31]] {
        let facts = [Fact::new(DType::F32, &dims)];
        // A plan takes none of it, so that there may be one; a session does.
        if let Err(e) = cell.plan(&facts) {
            assert_eq!(limit::<()>(Err(e)).0, Limit::System);
        }
        let mut b = Builder::new("exp");
        let x = b.input("x", open(&[None, None]));
        let y = b.op("Exp", [x.into()]).unwrap();
        let one = GraphCell::new(b.finish(&[y]), options()).unwrap();
        assert_eq!(limit(one.session(&facts)).0, Limit::System);
    }
    let mut b = Builder::new("constant");
    let x = b.input("x", open(&[None]));
    let wide = b.op("BroadcastTo", [x.into(), Arg::from(&[1 << 23, 1 << 22, 2][..])]).unwrap();
    let y = b.op("Exp", [wide.into()]).unwrap();
    let cell2 = GraphCell::new(b.finish(&[y]), options()).unwrap();
    assert_eq!(limit(cell2.run(&[numbers(&[2], 1)])).0, Limit::System);
    assert_eq!(cell.run(&[numbers(&[3, 4], 1)]).unwrap(), want);
}

fn made_up_inputs_are_bounded() {
    let mut b = Builder::new("large");
    let x = b.input("x", Spec::fixed(DType::F32, &[1 << 44, 2]));
    let y = b.op("Neg", [x.into()]).unwrap();
    let model = Arc::new(b.finish(&[y]));
    for max_memory in [None, Some(1 << 30)] {
        let error = mindir::check::inputs(&model, &[], &Options { max_memory, ..options() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    }
}

fn plans_are_refused_before_they_take_memory() {
    let cell = GraphCell::new(two_relus(), Options { max_memory: Some(8 << 20), ..options() }).unwrap();
    let facts = |n: usize| [Fact::new(DType::F32, &[n, 1 << 20])];
    let watch = Counting::watch();
    let (what, most, needed) = limit(cell.plan(&facts(100)));
    assert_eq!((what, most), (Limit::Memory, 8 << 20));
    assert!(needed >= 4 << 20, "{needed}");
    assert_eq!(limit(cell.session(&facts(100))).0, Limit::Memory);
    let peak = watch.peak();
    assert!(peak < 1 << 20, "{peak} bytes for plans that are refused");
}

fn kernels_make_nothing_of_sizes_that_are_refused() {
    let (large, pairs) = (Arg::from(&[1i64 << 25, 2][..]), Arg::from(&[1i64, 2][..]));
    for (op, dims, args) in [
        ("ResizeBilinearV2", [1, 1, 4, 4], vec![large.clone()]),
        ("ResizeNearestNeighborV2", [1, 1, 4, 4], vec![large]),
        ("MaxPool", [1, 1, 1, 1 << 25], vec![pairs.clone(), pairs.clone()]),
        ("AvgPool", [1, 1, 1, 1 << 25], vec![pairs.clone(), pairs]),
    ] {
        let mut b = Builder::new("large");
        let x = b.input("x", Spec::fixed(DType::F32, &dims));
        let y = b.op(op, [Arg::from(x)].into_iter().chain(args)).unwrap();
        let model = Arc::new(b.finish(&[y]));
        let facts = [Fact::new(DType::F32, &dims)];
        let cell = GraphCell::new(model.clone(), Options { max_memory: Some(8 << 20), ..options() }).unwrap();
        let free = GraphCell::new(model, options()).unwrap();
        let watch = Counting::watch();
        assert_eq!(limit(cell.session(&facts)).0, Limit::Memory, "{op}");
        free.plan(&facts).unwrap();
        let peak = watch.peak();
        assert!(peak < 1 << 20, "{peak} bytes for {op}");
    }
}

/// Numbers that are made while lowering, and what is computed from them while planning.
fn numbers_from_nothing_are_bounded() {
    for (op, args) in [("Range", [0i64, 100_000_000, 1]), ("Eye", [10_000, 10_000, 42])] {
        let mut b = Builder::new("count");
        let x = b.input("x", open(&[]));
        let all = b.op(op, args.map(Arg::from)).unwrap();
        let sum = b.op("ReduceSum", [all.into()]).unwrap();
        let y = b.op("Add", [x.into(), sum.into()]).unwrap();
        let options = Options { max_memory: Some(8 << 20), ..options() };
        let cell = GraphCell::new(b.finish(&[y]), options).unwrap();
        let watch = Counting::watch();
        assert_eq!(limit(cell.run(&[Tensor::scalar(1.0f32)])).0, Limit::Memory, "{op}");
        let peak = watch.peak();
        assert!(peak < 9 << 20, "{peak} bytes for {op}");
    }
}

fn nodes_of_plans_are_counted() {
    let mut b = Builder::new("chain");
    let mut y = b.input("x", open(&[None]));
    for _ in 0..100 {
        y = b.op("Sin", [y.into()]).unwrap();
    }
    let model = Arc::new(b.finish(&[y]));
    let with = |max_plan_nodes| GraphCell::new(model.clone(), Options { max_plan_nodes, ..options() }).unwrap();
    let x = [numbers(&[4], 1)];
    assert_eq!(limit(with(99).run(&x)), (Limit::PlanNodes, 99, 100));
    assert!(with(100).run(&x).is_ok());
}

/// Runs of several sizes at a time need more than they may have: some are refused, and what runs is right.
fn memory_stays_below_the_limit_from_several_threads() {
    let model = Arc::new(convolutions(16).unwrap());
    let sizes = [8, 32, 64, 96, 224];
    let inputs = sizes.map(|n| [numbers(&[1, 3, n, n], 1)]);
    let free = GraphCell::new(model.clone(), options()).unwrap();
    let want = inputs.each_ref().map(|x| free.run(x).unwrap());
    drop(free);
    let max: usize = 6 << 20;
    let watch = Counting::watch();
    let options = Options { max_memory: Some(max as u64), threads: Some(1), ..Options::default() };
    let cell = GraphCell::new(model, options).unwrap();
    let (right, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|s| {
        for t in 0..4 {
            let (cell, inputs, want, right, refused) = (&cell, &inputs, &want, &right, &refused);
            s.spawn(move || {
                for round in 0..5 {
                    let i = (t + round) % sizes.len();
                    match cell.run(&inputs[i]) {
                        Ok(y) => {
                            assert_eq!(y, want[i], "size {}", sizes[i]);
                            right.fetch_add(1, Ordering::Relaxed);
                        }
                        found => {
                            assert_eq!(limit(found).0, Limit::Memory);
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let peak = watch.peak();
    let (right, refused) = (right.into_inner(), refused.into_inner());
    assert!(peak <= max + max / 10, "{peak} bytes where {max} are allowed");
    assert!(right > 0 && refused > 0, "{right} runs and {refused} refusals show nothing");
    for (x, want) in inputs.iter().zip(&want).take(3) {
        assert_eq!(&cell.run(x).unwrap(), want);
    }
}

/// Plans and arenas of other shapes are no reason to refuse a run that would fit without them.
fn what_is_only_kept_makes_room() {
    let max_memory = Some(7_000_000);
    let cell = GraphCell::new(two_relus(), Options { max_memory, ..options() }).unwrap();
    // The first takes 6 MB for the memory of a run, the second needs 1.6 MB beside that for its result.
    for (rows, cols) in [(1_500_000, 1), (1, 400_000), (700, 700)].repeat(2) {
        let y = cell.run(&[numbers(&[rows, cols], 2)]).unwrap();
        assert_eq!(y[0].shape(), [cols]);
    }
}

fn results_are_the_callers() {
    let mut b = Builder::new("exp");
    let x = b.input("x", open(&[None]));
    let y = b.op("Exp", [x.into()]).unwrap();
    let cell = GraphCell::new(b.finish(&[y]), Options { max_memory: Some(5 << 20), ..options() }).unwrap();
    let x = numbers(&[1 << 20], 1);
    let kept: Vec<Vec<Tensor>> = (0..10).map(|_| cell.run(std::slice::from_ref(&x)).unwrap()).collect();
    assert!(kept.iter().all(|y| *y == kept[0]));
}

fn runs_end_in_the_middle_of_a_step() {
    let small = [numbers(&[1, 8, 192, 192], 1)];
    let large = [numbers(&[1, 8, 512, 512], 1)];
    for threads in [1, 2] {
        let cell = GraphCell::new(long_step(), Options { threads: Some(threads), ..Options::default() }).unwrap();
        let want = cell.run(&small).unwrap();
        let start = Instant::now();
        let found = cell.clone().with_deadline(Duration::from_millis(200)).run(&large);
        assert_eq!(limit(found).0, Limit::Time);
        ends(start, "a convolution");

        let token = CancelToken::new();
        let cancelled = cell.clone().with_cancel(token.clone());
        let (start, large) = (Instant::now(), &large);
        std::thread::scope(|s| {
            let runs = [0; 3].map(|_| s.spawn(|| limit(cancelled.run(large)).0));
            std::thread::sleep(Duration::from_millis(200));
            token.cancel();
            for run in runs {
                assert_eq!(run.join().unwrap(), Limit::Cancelled);
            }
        });
        ends(start, "three convolutions at one time");
        assert_eq!(limit(cancelled.run(&small)).0, Limit::Cancelled, "a token stays cancelled");
        assert_eq!(cell.run(&small).unwrap(), want);
    }
    let cell = GraphCell::new(long_reference(1 << 18), options()).unwrap();
    let (short, long) =
        ([Tensor::vector(&[0.0f32])], [Tensor::from_slice(&[1 << 20], &vec![0.5f32; 1 << 20]).unwrap()]);
    let want = cell.run(&short).unwrap();
    let start = Instant::now();
    assert_eq!(limit(cell.clone().with_deadline(Duration::from_millis(200)).run(&long)).0, Limit::Time);
    ends(start, "a reference");
    assert_eq!(cell.run(&short).unwrap(), want);
}

fn planning_ends_in_the_middle_of_a_constant() {
    let mut b = Builder::new("constant");
    let x = b.input("x", open(&[None]));
    let row = b.constant(Tensor::from_slice(&[1 << 20], &vec![0.5f32; 1 << 20]).unwrap());
    let values = b.constant(numbers(&[1 << 18], 5));
    let places = b.op("SearchSorted", [row.into(), values.into()]).unwrap();
    let y = b.op("Exp", [x.into()]).unwrap();
    let options = Options { deadline: Some(Duration::from_millis(200)), ..options() };
    let cell = GraphCell::new(b.finish(&[y, places]), options).unwrap();
    let start = Instant::now();
    assert_eq!(limit(cell.run(&[numbers(&[4], 1)])).0, Limit::Time);
    assert_eq!(limit(cell.session(&[Fact::new(DType::F32, &[4])])).0, Limit::Time);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

/// Adds `x` to a parameter, and goes round until the sum of `x` is negative.
fn endless() -> Model {
    let mut b = Builder::new("endless");
    let total = b.add_param("total", Tensor::vector(&[1.0f32, 2.0]));
    let x = b.input("x", Spec::fixed(DType::F32, &[2]));
    let again = b.declare("again");
    let leave = b.declare("leave");
    let test = |b: &mut Builder, x| -> Result<_, mindir::OpError> {
        let sum = b.op("ReduceSum", [Arg::from(x), Arg::from(&[0i64][..]), false.into()])?;
        let negative = b.op("Less", [sum.into(), 0.0f32.into()])?;
        let closure = |graph| Closure { graph, args: vec![Arg::from(x)] };
        Ok(b.choose(negative, closure(leave), closure(again), 1))
    };
    b.define(leave, |b| Ok(vec![b.input("x", Spec::fixed(DType::F32, &[2]))])).unwrap();
    b.define(again, |b| {
        let x = b.input("x", Spec::fixed(DType::F32, &[2]));
        test(b, x)
    })
    .unwrap();
    let now = b.read_param(total);
    let sum = b.op("AssignAdd", [now.into(), x.into()]).unwrap();
    let y = test(&mut b, x).unwrap();
    b.finish(&[y[0], sum])
}

fn loops_end_and_leave_parameters_as_they_were() {
    let x = [Tensor::vector(&[1.0f32, 1.0])];
    let cell = GraphCell::new(endless(), Options { max_calls: 50, ..options() }).unwrap();
    assert_eq!(limit(cell.run(&x)), (Limit::Calls, 50, 51));
    let cell = GraphCell::new(endless(), options()).unwrap();
    let start = Instant::now();
    assert_eq!(limit(cell.clone().with_deadline(Duration::from_millis(100)).run(&x)).0, Limit::Time);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert_eq!(cell.param("total").unwrap(), Tensor::vector(&[1.0f32, 2.0]));
    let y = cell.run(&[Tensor::vector(&[-1.0f32, 0.0])]).unwrap();
    assert_eq!(y[1], Tensor::vector(&[0.0f32, 2.0]));
    assert_eq!(cell.param("total").unwrap(), y[1]);
}

/// Runs of a model that writes its parameters wait for each other, but no longer than they may.
fn waiting_for_another_run_ends() {
    let cell = GraphCell::new(endless(), options()).unwrap();
    let x = [Tensor::vector(&[1.0f32, 1.0])];
    let token = CancelToken::new();
    let first = cell.clone().with_cancel(token.clone());
    std::thread::scope(|s| {
        let running = s.spawn(|| limit(first.run(&x)).0);
        std::thread::sleep(Duration::from_millis(50));
        let start = Instant::now();
        assert_eq!(limit(cell.clone().with_deadline(Duration::from_millis(50)).run(&x)).0, Limit::Time);
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        token.cancel();
        assert_eq!(running.join().unwrap(), Limit::Cancelled);
    });
}

fn sessions_run_again() {
    let cell = GraphCell::new(long_step(), options()).unwrap();
    let dims = [1, 8, 256, 256];
    let x = numbers(&dims, 1);
    let mut session = cell.session(&[Fact::new(DType::F32, &dims)]).unwrap();
    let token = CancelToken::new();
    session.set_cancel(token.clone());
    token.cancel();
    assert_eq!(limit(session.run_bytes(&[x.bytes()])).0, Limit::Cancelled);
    session.set_cancel(None);
    session.set_deadline(Duration::from_nanos(1));
    let (what, most, needed) = limit(session.run_bytes(&[x.bytes()]));
    assert!(what == Limit::Time && most == 1 && needed >= 1);
    let dims = [1, 8, 191, 191];
    let x = numbers(&dims, 1);
    let mut session = cell.session(&[Fact::new(DType::F32, &dims)]).unwrap();
    session.set_deadline(Duration::ZERO);
    limit(session.run_bytes(&[x.bytes()]));
    session.set_deadline(None);
    session.run_bytes(&[x.bytes()]).unwrap();
    let fresh = GraphCell::new(long_step(), options()).unwrap();
    assert_eq!(session.output_bytes(0).unwrap(), fresh.run(&[x]).unwrap()[0].bytes().as_ref());
}

/// After all these errors the process has the threads that it had, and they sleep.
#[cfg(target_os = "linux")]
fn nothing_runs_on() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let start = Instant::now();
    let before = threads();
    let cell = GraphCell::new(long_step(), options()).unwrap();
    let large = [numbers(&[1, 8, 512, 512], 1)];
    for _ in 0..3 {
        assert_eq!(limit(cell.clone().with_deadline(Duration::from_millis(100)).run(&large)).0, Limit::Time);
    }
    let worked = ticks();
    std::thread::sleep(Duration::from_millis(500));
    let idle = ticks() - worked;
    assert!(idle <= 10, "{idle} ticks of work after {:?}", start.elapsed());
    drop(cell);
    let deadline = Instant::now() + PATIENCE;
    while threads() > before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(threads() <= before, "{} threads, {before} before", threads());
}

#[cfg(not(target_os = "linux"))]
fn nothing_runs_on() {}
